//! What the compose file and the Dockerfile name: services, and the images that they are made of.
//! Never expands variables; no image name has one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::yaml;

/// The file that is tested.
pub(crate) const COMPOSE: &str = "docker-compose.yml";

/// What counts here of the compose file.
#[derive(Deserialize)]
pub(crate) struct Compose {
    pub(crate) services: BTreeMap<String, Service>,
}

#[derive(Deserialize)]
pub(crate) struct Service {
    pub(crate) image: String,
    pub(crate) build: Option<Build>,
}

#[derive(Deserialize)]
pub(crate) struct Build {
    pub(crate) dockerfile: String,
    pub(crate) target: String,
}

impl Compose {
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(root.join(COMPOSE)).with_context(|| format!("cannot read {COMPOSE}"))?;
        yaml::read(&text)
            .and_then(|file| Ok(serde_json::from_value(file)?))
            .with_context(|| format!("cannot understand {COMPOSE}"))
    }

    /// What has to be there before anything is built or started.
    pub(crate) fn base_images(&self, root: &Path) -> anyhow::Result<BTreeSet<String>> {
        let mut images = BTreeSet::new();
        for service in self.services.values() {
            match &service.build {
                None => {
                    images.insert(service.image.clone());
                }
                Some(build) => {
                    let text = std::fs::read_to_string(root.join(&build.dockerfile))
                        .with_context(|| format!("cannot read {}", build.dockerfile))?;
                    images.extend(bases(&text));
                }
            }
        }
        Ok(images)
    }
}

/// What a Dockerfile begins with, but for its own stages and nothing.
fn bases(dockerfile: &str) -> Vec<String> {
    let mut stages = vec!["scratch"];
    let mut bases = Vec::new();
    for line in dockerfile.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (base, stage) = match words.as_slice() {
            ["FROM", base, "AS", stage] => (*base, Some(*stage)),
            ["FROM", base] => (*base, None),
            _ => continue,
        };
        if !stages.contains(&base) {
            bases.push(base.to_owned());
        }
        stages.extend(stage);
    }
    bases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_no_base() {
        let text = "# FROM nothing\nFROM rust:1 AS build\nRUN true\nFROM build AS more\nFROM scratch\nFROM debian:13\n";
        assert_eq!(bases(text), ["rust:1", "debian:13"]);
    }
}
