//! The fleet of the compose file, under a project name of its own: up, scaled, hurt, down.
//! Never touches a container of another project, and leaves none behind.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use super::docker::{self, Docker};
use super::files;
use super::patience::wait_until;
use super::stand_ins;

const PROJECT: &str = "longhaul-compose-test";

/// The two kinds of worker, as the compose file calls them.
pub(crate) const ORCHESTRATOR: &str = "orchestrator-worker";
pub(crate) const ACTIVITY: &str = "activity-worker";

/// The hub of this run.
pub(crate) const HUB: &str = "compose-test";

/// Letters and digits, as .env.example asks for. It guards a loopback port for a quarter of an hour.
const PASSWORD: &str = "composetest";

/// Generous: RabbitMQ begins slowly on a busy machine.
const HEALTHY_WITHIN: Duration = Duration::from_secs(240);

/// The containers of this run.
pub(crate) struct Stack<'a> {
    docker: &'a Docker,
    root: &'a Path,
    settings: tempfile::NamedTempFile,
    ports: Ports,
    services: Vec<String>,
}

/// Where this machine finds what runs inside.
struct Ports {
    amqp: u16,
    redis: u16,
    prometheus: u16,
    rabbitmq_ui: u16,
    grafana: u16,
}

/// A running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) name: String,
    /// In the project's network; empty while it is cut off.
    pub(crate) address: String,
}

impl<'a> Stack<'a> {
    /// Brings `services` up, with one worker of each kind, and waits until every one is healthy.
    pub(crate) fn up(docker: &'a Docker, root: &'a Path, services: Vec<String>) -> anyhow::Result<Self> {
        let ports = Ports::free()?;
        let mut settings = tempfile::NamedTempFile::new()?;
        settings.write_all(ports.settings().as_bytes())?;
        let stack = Self {
            docker,
            root,
            settings,
            ports,
            services,
        };
        // What a run that was killed has left.
        stack.down();
        stack.scale(1, 1)?;
        for service in &stack.services {
            stack.wait_healthy(service, 1)?;
        }
        Ok(stack)
    }

    /// `compose up --scale …`, as an operator would.
    pub(crate) fn scale(&self, orchestrators: usize, activities: usize) -> anyhow::Result<()> {
        let mut command = self.compose();
        command.args(["up", "--detach", "--no-build", "--no-recreate"]);
        command.arg(format!("--scale={ORCHESTRATOR}={orchestrators}"));
        command.arg(format!("--scale={ACTIVITY}={activities}"));
        docker::shown(command.args(&self.services))
    }

    /// Waits until a service has as many containers, all healthy.
    pub(crate) fn wait_healthy(&self, service: &str, count: usize) -> anyhow::Result<Vec<Container>> {
        let what = format!("{count} {service} healthy");
        wait_until(&what, HEALTHY_WITHIN, || {
            let containers = self.containers(service)?;
            for container in &containers {
                let health = "{{.State.Health.Status}}";
                let health = docker::output(&["docker", "inspect", "--format", health, &container.id])?;
                if health != "healthy" {
                    anyhow::bail!("{} is {health}", container.name);
                }
            }
            Ok((containers.len() == count).then_some(containers))
        })
    }

    /// The running containers of a service.
    pub(crate) fn containers(&self, service: &str) -> anyhow::Result<Vec<Container>> {
        let project = format!("label=com.docker.compose.project={PROJECT}");
        let service = format!("label=com.docker.compose.service={service}");
        let ids = docker::output(&[
            "docker", "ps", "--quiet", "--filter", &project, "--filter", &service,
        ])?;
        let look = "{{.Name}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        ids.lines()
            .map(|id| {
                let said = docker::output(&["docker", "inspect", "--format", look, id])?;
                let (name, address) = said.split_once(' ').unwrap_or((&said, ""));
                Ok(Container {
                    id: id.to_owned(),
                    name: name.trim_start_matches('/').to_owned(),
                    address: address.to_owned(),
                })
            })
            .collect()
    }

    /// Ends a container's first process as a crash would. The restart policy is to start it again: `docker kill`
    /// would count as the operator's wish.
    pub(crate) fn crash(container: &Container) -> anyhow::Result<()> {
        println!("crash {}", container.name);
        let look = ["docker", "inspect", "--format", "{{.State.Pid}}", &container.id];
        let pid = docker::output(&look)?;
        let kill = format!("kill -9 {pid}");
        docker::output(&[
            "docker",
            "run",
            "--rm",
            "--pid=host",
            "--user=root",
            "--entrypoint=sh",
            stand_ins::LOAD,
            "-c",
            &kill,
        ])?;
        wait_until("it is started again", HEALTHY_WITHIN, || {
            let now = docker::output(&look)?;
            Ok((now != "0" && now != pid).then_some(()))
        })
    }

    /// Takes a container off its network: nothing says goodbye.
    pub(crate) fn cut_off(container: &Container) -> anyhow::Result<()> {
        docker::run(&[
            "docker",
            "network",
            "disconnect",
            "--force",
            &network(),
            &container.id,
        ])
    }

    /// Puts it back, under the name of its service.
    pub(crate) fn reconnect(container: &Container, service: &str) -> anyhow::Result<()> {
        docker::run(&[
            "docker",
            "network",
            "connect",
            "--alias",
            service,
            &network(),
            &container.id,
        ])
    }

    /// `compose stop`; returns the exit codes of the workers.
    pub(crate) fn stop(&self) -> anyhow::Result<Vec<(String, String)>> {
        let workers = [self.containers(ORCHESTRATOR)?, self.containers(ACTIVITY)?].concat();
        docker::shown(self.compose().arg("stop"))?;
        workers
            .into_iter()
            .map(|worker| {
                let code = ["docker", "inspect", "--format", "{{.State.ExitCode}}", &worker.id];
                Ok((worker.name, docker::output(&code)?))
            })
            .collect()
    }

    /// Where the fleet's Prometheus answers on this machine.
    pub(crate) fn prometheus(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.prometheus)
    }

    /// Where RabbitMQ listens on this machine.
    pub(crate) fn amqp_url(&self) -> String {
        format!("amqp://longhaul:{PASSWORD}@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// Where Redis listens on this machine.
    pub(crate) fn redis_url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}/", self.ports.redis)
    }

    /// Keeps what the containers have said, for whoever looks for the reason of a failure.
    pub(crate) fn keep_logs(&self, directory: &Path) -> anyhow::Result<PathBuf> {
        let path = directory.join("containers.log");
        let log = std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut command = self.compose();
        command.args(["logs", "--no-color", "--timestamps"]);
        command.stderr(log.try_clone()?).stdout(log).status()?;
        Ok(path)
    }

    fn compose(&self) -> Command {
        let mut command = self.docker.compose();
        command.arg("--project-name").arg(PROJECT);
        command.arg("--env-file").arg(self.settings.path());
        command.arg("--file").arg(self.root.join(files::COMPOSE));
        command
    }

    fn down(&self) {
        let mut command = self.compose();
        command.args(["down", "--volumes", "--remove-orphans", "--timeout", "5"]);
        if let Err(error) = docker::captured(&mut command) {
            println!("please remove what is left of the project {PROJECT}: {error:#}");
        }
    }
}

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        self.down();
    }
}

impl Ports {
    fn free() -> anyhow::Result<Self> {
        // All at once, so that no two are the same.
        let listeners: [TcpListener; 5] = [listen()?, listen()?, listen()?, listen()?, listen()?];
        let [amqp, redis, prometheus, rabbitmq_ui, grafana] = &listeners;
        let port = |listener: &TcpListener| anyhow::Ok(listener.local_addr()?.port());
        Ok(Self {
            amqp: port(amqp)?,
            redis: port(redis)?,
            prometheus: port(prometheus)?,
            rabbitmq_ui: port(rabbitmq_ui)?,
            grafana: port(grafana)?,
        })
    }

    /// What an operator writes into `.env`.
    fn settings(&self) -> String {
        let Self {
            amqp,
            redis,
            prometheus,
            rabbitmq_ui,
            grafana,
        } = self;
        format!(
            "LONGHAUL_RABBITMQ_PASSWORD={PASSWORD}\nLONGHAUL_REDIS_PASSWORD={PASSWORD}\n\
             LONGHAUL_GRAFANA_PASSWORD={PASSWORD}\nLONGHAUL_HUB={HUB}\nLONGHAUL_AMQP_PORT={amqp}\n\
             LONGHAUL_REDIS_PORT={redis}\nLONGHAUL_PROMETHEUS_PORT={prometheus}\n\
             LONGHAUL_RABBITMQ_UI_PORT={rabbitmq_ui}\nLONGHAUL_GRAFANA_PORT={grafana}\n"
        )
    }
}

fn listen() -> anyhow::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0)).context("no free loopback port")
}

fn network() -> String {
    format!("{PROJECT}_default")
}
