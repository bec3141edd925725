//! The images that the files name: what is there or can be pulled is used, the rest is built from Debian's packages.
//! Never replaces an image that is there.
//!
//! A stand-in bears the name of what it stands in for, and the label [`LABEL`]. `docker image rm NAME` removes it.

use std::path::Path;

use anyhow::{Context, bail};

use super::docker;
use crate::packages;

/// Says that an image is ours, and which.
const LABEL: &str = "io.longhaul.stand-in";

/// Below all stand-ins.
const DEBIAN: &str = "longhaul-stand-in/debian:trixie";
const DEBIAN_REAL: &str = "debian:trixie-slim";

/// Starts orchestrations from outside.
pub(crate) const LOAD: &str = "longhaul-stand-in/load";

/// Repositories that Debian has an answer to, and the recipe in `xtask/stand-ins`.
const RECIPES: [(&str, &str); 4] = [
    ("rabbitmq", "rabbitmq"),
    ("redis", "redis"),
    ("prom/prometheus", "prometheus"),
    ("rust", RUST),
];
const RUST: &str = "rust";

/// Makes sure that `image` is there; `false` if there is no way to it.
pub(crate) fn provide(root: &Path, image: &str) -> anyhow::Result<bool> {
    let there = label_of(image);
    if there.as_deref() == Some("") {
        println!("{image}: is there");
        return Ok(true);
    }
    if there.is_none() && docker::output(&["docker", "pull", "--quiet", image]).is_ok() {
        println!("{image}: pulled");
        return Ok(true);
    }
    let Some(recipe) = recipe_of(image) else {
        println!("{image}: cannot be pulled, and Debian does not have it: LEFT OUT");
        return Ok(false);
    };
    provide_debian()?;
    if recipe == RUST {
        provide_rust(root, image)?;
    } else {
        build(&root.join("xtask/stand-ins").join(recipe), image, recipe)?;
    }
    println!("{image}: a stand-in, made of Debian's packages");
    Ok(true)
}

/// The foreign service.
pub(crate) fn provide_load(root: &Path) -> anyhow::Result<()> {
    provide_debian()?;
    build(&root.join("xtask/stand-ins/load"), LOAD, "load")
}

fn recipe_of(image: &str) -> Option<&'static str> {
    let repository = image.split_once(':').map_or(image, |(repository, _)| repository);
    let found = RECIPES.iter().find(|(name, _)| *name == repository);
    found.map(|(_, recipe)| *recipe)
}

/// The label of an image that is there: empty if it is not one of ours.
fn label_of(image: &str) -> Option<String> {
    let format = format!("{{{{index .Config.Labels {LABEL:?}}}}}");
    let words = ["docker", "image", "inspect", "--format", &format, image];
    // Docker says `<no value>` where there are no labels at all.
    let label = docker::output(&words).ok()?;
    Some(label.replace("<no value>", ""))
}

fn build(context: &Path, image: &str, label: &str) -> anyhow::Result<()> {
    let label = format!("{LABEL}={label}");
    let context = context.to_string_lossy();
    docker::output(&[
        "docker", "build", "--quiet", "--label", &label, "--tag", image, &context,
    ])?;
    Ok(())
}

fn provide_debian() -> anyhow::Result<()> {
    if label_of(DEBIAN).is_some() {
        return Ok(());
    }
    if docker::output(&["docker", "pull", "--quiet", DEBIAN_REAL]).is_ok() {
        return docker::run(&["docker", "tag", DEBIAN_REAL, DEBIAN]);
    }
    packages::install(&["debootstrap"])?;
    let script = format!(
        "set -eu\n\
         root=$(mktemp --directory)\n\
         trap 'rm -rf \"$root\"' EXIT\n\
         debootstrap --variant=minbase trixie \"$root/debian\" http://deb.debian.org/debian\n\
         rm -rf \"$root\"/debian/var/cache/apt/archives/*.deb\n\
         tar --directory \"$root/debian\" --create . | docker import --change 'LABEL {LABEL}=debian' - {DEBIAN}\n"
    );
    packages::as_root(&["sh", "-c", &script]).context("cannot make a Debian without an image of it")
}

/// This machine's own Rust, in an image.
fn provide_rust(root: &Path, image: &str) -> anyhow::Result<()> {
    let version = docker::output(&["rustc", "--version"])?;
    if docker::output(&["docker", "run", "--rm", image, "rustc", "--version"]).ok() == Some(version) {
        return Ok(());
    }
    let sysroot = docker::output(&["rustc", "--print", "sysroot"])?;
    let context = tempfile::tempdir_in(root.join("target"))?;
    let toolchain = context.path().join("toolchain");
    let bin = toolchain.join("bin");
    std::fs::create_dir_all(&bin)?;
    for program in ["rustc", "cargo"] {
        std::fs::copy(Path::new(&sysroot).join("bin").join(program), bin.join(program))
            .with_context(|| format!("cannot copy {program} of {sysroot}"))?;
    }
    let libraries = Path::new(&sysroot).join("lib");
    docker::output(&[
        "cp".as_ref(),
        "-r".as_ref(),
        libraries.as_os_str(),
        toolchain.as_os_str(),
    ])?;
    let certificates = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if !certificates.is_file() {
        bail!("the build needs this machine's certificates: apt-get install ca-certificates");
    }
    std::fs::copy(certificates, context.path().join("ca-certificates.crt"))?;
    std::fs::copy(
        root.join("xtask/stand-ins").join(RUST).join("Dockerfile"),
        context.path().join("Dockerfile"),
    )?;
    build(context.path(), image, RUST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_found_by_the_repository_whatever_the_tag() {
        assert_eq!(recipe_of("rabbitmq:4.2.4-management"), Some("rabbitmq"));
        assert_eq!(recipe_of("prom/prometheus:v3"), Some("prometheus"));
        assert_eq!(recipe_of("grafana/grafana:12"), None);
    }
}
