//! `cargo xtask compose-test`: the fleet of docker-compose.yml, built and brought up for real, scaled, hurt and stopped
//! under load that comes from outside.
//! Never changes the files that it tests: where an image cannot be had, a stand-in bears its name.

mod docker;
mod files;
mod load;
mod patience;
mod prometheus;
mod queries;
mod spread;
mod stack;
mod stand_ins;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use crate::cargo;
use docker::Docker;
use files::Compose;
use load::{Hub, Load};
use patience::wait_until;
use prometheus::Prometheus;
use stack::{ACTIVITY, Container, ORCHESTRATOR, Stack};

/// How many of each the fleet is scaled to, and back to one.
const ORCHESTRATORS: usize = 3;
const ACTIVITIES: usize = 4;

/// How soon the service outside must get so many more starts through.
const STARTS_MORE: usize = 20;
const STARTS_WITHIN: Duration = Duration::from_secs(180);

/// How a run ended.
pub(crate) enum Verdict {
    Passed,
    /// Nothing was tested, and why.
    NoEngine(String),
}

/// The whole of it. An error says what the fleet did not do.
pub(crate) fn run(root: &Path) -> anyhow::Result<Verdict> {
    let docker = match Docker::find() {
        Ok(docker) => docker,
        Err(why) => return Ok(Verdict::NoEngine(why)),
    };
    let directory = root.join("target/compose-test");
    std::fs::create_dir_all(&directory)?;

    step("the base images");
    let services = provide(root)?;
    step("the workers' images");
    build(root)?;
    let program = ["build", "--package", "longhaul"];
    let program = cargo::build(root, &program, "longhaul")?.context("the program longhaul does not build")?;

    step("up");
    let stack = Stack::up(&docker, root, services)?;
    let tested = scenario(root, &stack, &directory, &Hub::of(&stack, program));
    let log = stack.keep_logs(&directory)?;
    tested.with_context(|| format!("the containers' logs are in {}", log.display()))?;
    Ok(Verdict::Passed)
}

/// Base images, from wherever; the services that can be run with them.
fn provide(root: &Path) -> anyhow::Result<Vec<String>> {
    let compose = Compose::read(root)?;
    let mut missing = Vec::new();
    for image in compose.base_images(root)? {
        if !stand_ins::provide(root, &image)? {
            missing.push(image);
        }
    }
    stand_ins::provide_load(root)?;
    let services = compose.services.iter();
    Ok(services
        .filter(|(_, service)| !missing.contains(&service.image))
        .map(|(name, _)| name.clone())
        .collect())
}

fn build(root: &Path) -> anyhow::Result<()> {
    let context = root.to_string_lossy();
    for service in Compose::read(root)?.services.values() {
        let Some(build) = &service.build else { continue };
        let file = root.join(&build.dockerfile);
        let file = file.to_string_lossy();
        let words = [
            "docker",
            "build",
            "--file",
            &file,
            "--target",
            &build.target,
            "--tag",
            &service.image,
        ];
        docker::run(&[&words, [&*context].as_slice()].concat())?;
        let size = docker::output(&[
            "docker",
            "image",
            "inspect",
            "--format",
            "{{.Size}}",
            &service.image,
        ])?;
        println!("{}: {} bytes", service.image, size);
    }
    Ok(())
}

fn scenario(root: &Path, stack: &Stack<'_>, directory: &Path, hub: &Hub) -> anyhow::Result<()> {
    let prometheus = Prometheus::at(stack.prometheus());
    let [orchestrators, _] = settle(stack, &prometheus, 1, 1)?;
    spread::wait_for_partitions(&prometheus, &orchestrators)?;

    step("load");
    let load = Load::begin(stack, directory)?;
    wait_for_starts(&load)?;

    step("scale up");
    stack.scale(ORCHESTRATORS, ACTIVITIES)?;
    let [orchestrators, activities] = settle(stack, &prometheus, ORCHESTRATORS, ACTIVITIES)?;
    spread::wait_for_partitions(&prometheus, &orchestrators)?;
    spread::wait_for_work(&prometheus, &spread::ATTEMPTS, &activities)?;
    spread::wait_for_work(&prometheus, &spread::TURNS, &orchestrators)?;

    step("workers die");
    Stack::crash(first(&orchestrators)?)?;
    Stack::crash(first(&activities)?)?;
    let [orchestrators, activities] = settle(stack, &prometheus, ORCHESTRATORS, ACTIVITIES)?;
    spread::wait_for_partitions(&prometheus, &orchestrators)?;

    step("workers are cut off");
    let (lost, others) = orchestrators
        .split_last()
        .context("there are orchestrator workers")?;
    let (lost_too, _) = activities.split_last().context("there are activity workers")?;
    Stack::cut_off(lost)?;
    Stack::cut_off(lost_too)?;
    spread::wait_for_partitions(&prometheus, others)?;
    wait_for_starts(&load)?;
    Stack::reconnect(lost, ORCHESTRATOR)?;
    Stack::reconnect(lost_too, ACTIVITY)?;
    let [orchestrators, _] = settle(stack, &prometheus, ORCHESTRATORS, ACTIVITIES)?;
    spread::wait_for_partitions(&prometheus, &orchestrators)?;

    step("servers die");
    for server in ["redis", "rabbitmq"] {
        Stack::crash(first(&stack.containers(server)?)?)?;
        stack.wait_healthy(server, 1)?;
        settle(stack, &prometheus, ORCHESTRATORS, ACTIVITIES)?;
        wait_for_starts(&load)?;
    }

    step("every query of every dashboard and rule");
    queries::check(root, &prometheus)?;

    step("scale down");
    stack.scale(1, 1)?;
    let [orchestrators, _] = settle(stack, &prometheus, 1, 1)?;
    spread::wait_for_partitions(&prometheus, &orchestrators)?;
    wait_for_starts(&load)?;

    step("nothing was lost");
    let ids = load.end()?;
    hub.wait_for_all(&ids)?;

    step("stop drains, and what stopped comes up again");
    for (worker, code) in stack.stop()? {
        ensure!(code == "0", "{worker} ended with {code} when it was told to stop");
    }
    stack.scale(1, 1)?;
    settle(stack, &prometheus, 1, 1)?;
    let kept = hub.statuses()?.len();
    ensure!(
        kept == ids.len(),
        "{} instances went down, and {kept} came up",
        ids.len()
    );
    Ok(())
}

/// Waits until there are as many of each, healthy, and Prometheus has found them all.
fn settle(
    stack: &Stack<'_>,
    prometheus: &Prometheus,
    orchestrators: usize,
    activities: usize,
) -> anyhow::Result<[Vec<Container>; 2]> {
    let orchestrators = stack.wait_healthy(ORCHESTRATOR, orchestrators)?;
    let activities = stack.wait_healthy(ACTIVITY, activities)?;
    prometheus.wait_scraped(ORCHESTRATOR, &orchestrators)?;
    prometheus.wait_scraped(ACTIVITY, &activities)?;
    Ok([orchestrators, activities])
}

fn wait_for_starts(load: &Load) -> anyhow::Result<()> {
    let before = load.count()?;
    wait_until("more instances are started", STARTS_WITHIN, || {
        let more = load.count()? - before;
        if more < STARTS_MORE {
            bail!("{more} have been started");
        }
        Ok(Some(()))
    })
}

fn first(containers: &[Container]) -> anyhow::Result<&Container> {
    containers.first().context("there is no container")
}

fn step(name: &str) {
    println!("\n-- {name}");
}
