//! The workspace's packages and what they depend on, as `cargo metadata` tells it.
//! Never looks at packages from elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// What each feature switches on.
    pub(crate) features: BTreeMap<String, Vec<String>>,
    manifest_path: String,
    /// The manifest, relative to the root of the workspace.
    #[serde(skip)]
    pub(crate) manifest: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build`, or none for an ordinary one.
    pub(crate) kind: Option<String>,
    pub(crate) optional: bool,
}

impl Dependency {
    /// What a user of the package gets to build: everything but what its tests need.
    pub(crate) fn ships(&self) -> bool {
        self.kind.as_deref() != Some("dev")
    }
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// Asks cargo, without any network.
pub(crate) fn read(root: &Path) -> anyhow::Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("cannot run `cargo metadata`")?;
    if !output.status.success() {
        bail!(
            "`cargo metadata` failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    parse(&output.stdout, root)
}

fn parse(json: &[u8], root: &Path) -> anyhow::Result<Vec<Package>> {
    let metadata: Metadata =
        serde_json::from_slice(json).context("cannot read what `cargo metadata` says")?;
    let mut packages = metadata.packages;
    for package in &mut packages {
        let path = Path::new(&package.manifest_path);
        package.manifest = path
            .strip_prefix(root)
            .unwrap_or(path)
            .to_string_lossy()
            .into_owned();
    }
    Ok(packages)
}

/// A made-up package: `name: a, b?, c (dev)`, where `?` marks an optional dependency.
#[cfg(test)]
pub(crate) fn package(text: &str, features: &[(&str, &[&str])]) -> Package {
    let (name, dependencies) = text.split_once(':').unwrap();
    let dependency = |text: &str| {
        let (text, dev) = text
            .strip_suffix(" (dev)")
            .map_or((text, false), |text| (text, true));
        let (name, optional) = text.strip_suffix('?').map_or((text, false), |text| (text, true));
        Dependency {
            name: name.to_owned(),
            kind: dev.then(|| "dev".to_owned()),
            optional,
        }
    };
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Package {
        name: name.to_owned(),
        dependencies: dependencies
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(dependency)
            .collect(),
        features: features
            .iter()
            .map(|&(feature, on)| (feature.to_owned(), owned(on)))
            .collect(),
        manifest_path: String::new(),
        manifest: format!("{name}/Cargo.toml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_what_cargo_says() {
        let json = br#"{"packages": [{"name": "a", "manifest_path": "/root/x/a/Cargo.toml", "features": {"f": ["dep:b"]},
            "dependencies": [{"name": "b", "kind": null, "optional": true}, {"name": "c", "kind": "dev", "optional": false}]}]}"#;
        let packages = parse(json, Path::new("/root/x")).unwrap();
        let package = packages.first().unwrap();
        assert_eq!(package.manifest, "a/Cargo.toml");
        let ships: Vec<bool> = package.dependencies.iter().map(Dependency::ships).collect();
        assert_eq!(ships, [true, false]);
    }
}
