//! The compose file, the Dockerfile and Prometheus's configuration name only what there is.
//! Never needs a Docker Engine: `cargo xtask compose-test` runs them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of these tests may fail them"
)]

#[path = "../../xtask/src/yaml.rs"]
mod yaml;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use longhaul_backends::config::{Config, Sources};
use serde_json::{Map, Value};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn parsed(file: &str) -> Value {
    yaml::read(&text(file)).unwrap_or_else(|error| panic!("{file}: {error:#}"))
}

fn services() -> Map<String, Value> {
    parsed("docker-compose.yml")["services"]
        .as_object()
        .unwrap()
        .clone()
}

fn texts<'a>(service: &'a Value, field: &str) -> Vec<&'a str> {
    let items = service.get(field).and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .map(|item| item.as_str().unwrap())
        .collect()
}

/// `${NAME}`, `${NAME:-default}` and `${NAME:?message}`: the name, and what stands behind it.
fn variables(text: &str) -> Vec<(&str, &str)> {
    let places = text.split("${").skip(1);
    places
        .map(|place| {
            let inside = place.split('}').next().unwrap();
            let end = inside.find(':').unwrap_or(inside.len());
            inside.split_at(end)
        })
        .collect()
}

/// As compose would, with `x` for whatever has no default.
fn filled(text: &str) -> String {
    let mut filled = text.to_owned();
    for (name, behind) in variables(text) {
        let value = behind.strip_prefix(":-").unwrap_or("x");
        filled = filled.replace(&format!("${{{name}{behind}}}"), value);
    }
    filled
}

fn is_pinned(image: &str) -> bool {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    // Major, minor and patch: a tag with fewer moves.
    tag.matches('.').count() >= 2 && tag.contains(|letter: char| letter.is_ascii_digit())
}

#[test]
fn every_image_is_pinned_and_what_is_built_here_bears_our_version() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap();
        assert!(is_pinned(image), "{name}: {image}");
        if service.get("build").is_some() {
            let version = format!(":{}", env!("CARGO_PKG_VERSION"));
            assert!(image.ends_with(&version), "{name}: {image} is not {version}");
        }
    }
    let mut stages = vec!["scratch".to_owned()];
    for line in text("deploy/Dockerfile")
        .lines()
        .filter(|line| line.starts_with("FROM "))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(
            stages.iter().any(|stage| stage == words[1]) || is_pinned(words[1]),
            "{line}"
        );
        stages.push(words[3].to_owned());
    }
    assert!(!is_pinned("redis:8") && !is_pinned("redis:latest") && !is_pinned("redis"));
}

#[test]
fn what_is_built_has_its_dockerfile_and_stage() {
    let mut built = 0;
    for (name, service) in services() {
        let Some(build) = service.get("build") else {
            continue;
        };
        let dockerfile = text(build["dockerfile"].as_str().unwrap());
        let stage = format!(" AS {}\n", build["target"].as_str().unwrap());
        assert!(dockerfile.contains(&stage), "{name}: no stage{stage}");
        built += 1;
    }
    assert_eq!(built, 2);
}

#[test]
fn every_port_is_open_to_this_machine_only() {
    let mut ports = 0;
    for (name, service) in services() {
        for port in texts(&service, "ports") {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port}");
            ports += 1;
        }
        assert!(
            service.get("network_mode").is_none(),
            "{name} would open its ports by itself"
        );
    }
    assert!(ports > 0);
}

#[test]
fn every_mounted_file_and_volume_exists() {
    let file = parsed("docker-compose.yml");
    let volumes = file["volumes"].as_object().unwrap();
    let mut used = BTreeSet::new();
    for (name, service) in services() {
        for mount in texts(&service, "volumes") {
            let source = mount.split(':').next().unwrap();
            if source.starts_with("./") {
                assert!(root().join(source).exists(), "{name} mounts {source}");
                assert!(mount.ends_with(":ro"), "{name} may write to {source}");
            } else {
                assert!(volumes.contains_key(source), "{name} mounts the volume {source}");
                used.insert(source.to_owned());
            }
        }
    }
    assert_eq!(used.len(), volumes.len(), "a volume that nobody uses");
}

#[test]
fn the_workers_are_told_only_what_they_understand() {
    let services = services();
    for (name, section) in [
        ("orchestrator-worker", "orchestrator"),
        ("activity-worker", "activity"),
    ] {
        let environment = services[name]["environment"].as_object().unwrap();
        let env = environment
            .iter()
            .map(|(key, value)| (key.clone(), filled(value.as_str().unwrap())));
        let sources = Sources {
            env: env.collect(),
            ..Sources::default()
        };
        let config = Config::load(sources).unwrap_or_else(|error| panic!("{name}: {error}"));
        let listen = format!("{section}.listen");
        let said = config.effective().iter().find(|key| key.key == listen);
        assert!(said.is_some(), "{name} does not know where to listen");
        let listen = format!("LONGHAUL_{}__LISTEN", section.to_uppercase());
        assert_eq!(environment[&listen], "0.0.0.0:9464");
        let probe = texts(&services[name]["healthcheck"], "test").join(" ");
        assert!(
            probe.ends_with(&format!("/{name} --probe http://127.0.0.1:9464/readyz")),
            "{probe}"
        );
    }
}

#[test]
fn every_variable_is_explained_and_no_password_has_a_default() {
    let compose = text("docker-compose.yml");
    let example = text(".env.example");
    let lines = example.lines().filter(|line| !line.starts_with('#'));
    let explained: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once('=')).collect();
    let named: BTreeSet<&str> = variables(&compose).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        named,
        explained.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>()
    );
    for (name, value) in explained {
        let defaults = variables(&compose)
            .into_iter()
            .filter(|(found, _)| *found == name);
        let defaults: Vec<&str> = defaults
            .filter_map(|(_, behind)| behind.strip_prefix(":-"))
            .collect();
        if name.ends_with("_PASSWORD") {
            assert!(defaults.is_empty() && value.is_empty(), "{name} has a default");
            assert!(
                compose.contains(&format!("${{{name}:?")),
                "{name} may be left out"
            );
        } else {
            assert!(
                defaults.iter().all(|default| *default == value),
                "{name}: {defaults:?}, not {value}"
            );
        }
    }
}

#[test]
fn prometheus_asks_services_of_the_compose_file() {
    let services = services();
    let config = parsed("deploy/prometheus/prometheus.yml");
    let mut by_name = BTreeSet::new();
    for job in config["scrape_configs"].as_array().unwrap() {
        let name = job["job_name"].as_str().unwrap();
        for found in job
            .get("dns_sd_configs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            assert_eq!(found["type"], "A", "{name}");
            assert_eq!(texts(found, "names"), [name]);
            assert_eq!(found["port"], 9464, "{name}");
            by_name.insert(name);
        }
        for listed in job
            .get("static_configs")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            for target in texts(listed, "targets") {
                let (host, _) = target.split_once(':').unwrap();
                assert!(services.contains_key(host), "{name} asks {host}");
            }
        }
    }
    assert_eq!(
        by_name,
        BTreeSet::from(["activity-worker", "orchestrator-worker"])
    );
    let plugins = text("deploy/rabbitmq-plugins");
    assert!(plugins.contains("rabbitmq_prometheus") && plugins.contains("rabbitmq_management"));
}
