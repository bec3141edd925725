//! Redis, RabbitMQ and promtool on this machine: looks for them, and installs Debian's packages where it may.
//! Never starts a service, and never installs anything that is already there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::step::Outcome;

/// What the tests run, and how this machine may have it.
struct Needed {
    program: &'static str,
    package: &'static str,
    /// Where it is when it is not in `PATH`.
    also: &'static [&'static str],
    /// Names the program for the tests, so that nothing needs to be installed.
    program_variable: &'static str,
    /// Names a running server for the tests, so that nothing needs to be installed.
    url_variable: Option<&'static str>,
}

const NEEDED: [Needed; 4] = [
    Needed {
        program: "redis-server",
        package: "redis-server",
        also: &["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"],
        program_variable: "LONGHAUL_TEST_REDIS_SERVER",
        url_variable: Some("LONGHAUL_TEST_REDIS_URL"),
    },
    Needed {
        program: "rabbitmq-server",
        package: "rabbitmq-server",
        also: &[
            "/usr/lib/rabbitmq/bin",
            "/opt/rabbitmq/sbin",
            "/opt/homebrew/sbin",
            "/usr/local/sbin",
        ],
        program_variable: "LONGHAUL_TEST_RABBITMQ_SERVER",
        url_variable: Some("LONGHAUL_TEST_AMQP_URL"),
    },
    // Instructions are counted with it.
    Needed {
        program: "valgrind",
        package: "valgrind",
        also: &["/usr/bin", "/usr/local/bin"],
        program_variable: "LONGHAUL_TEST_VALGRIND",
        url_variable: None,
    },
    // The rules of Prometheus are checked with its own program.
    Needed {
        program: "promtool",
        package: "prometheus",
        also: &["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"],
        program_variable: "LONGHAUL_TEST_PROMTOOL",
        url_variable: None,
    },
];

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Makes sure that the tests find all of them.
pub(crate) fn ensure() -> anyhow::Result<Outcome> {
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|needed| !is_there(needed))
        .map(|needed| needed.package)
        .collect();
    if missing.is_empty() {
        println!("redis-server, rabbitmq-server and promtool are there");
        return Ok(Outcome::Passed);
    }
    if !can_install() {
        let packages = missing.join(" ");
        bail!(
            "the tests need {packages}, and this machine does not let me install it. On Debian or Ubuntu, as root:\n\
             \n    apt-get install {packages}\n\n\
             elsewhere install Redis >= 7.0, RabbitMQ >= 3.10 and Prometheus (for promtool) so that the programs are in PATH"
        );
    }
    install(&missing)?;
    Ok(Outcome::Passed)
}

/// Makes sure of Debian's packages; the words are theirs.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let names = packages.join(" ");
    let Some(root) = Root::find().filter(|_| can_install()) else {
        bail!(
            "this machine does not let me install {names}; on Debian or Ubuntu, as root: apt-get install {names}"
        );
    };
    println!("installing Debian's {names} with apt-get (no service will be started)");
    let _no_services = NoServices::begin(&root)?;
    root.run(&["apt-get", "update"])?;
    let install = ["apt-get", "install", "--yes", "--no-install-recommends"];
    root.run(&[&install, packages].concat())
}

/// Runs a command as root, by `sudo` where that asks for no password.
pub(crate) fn as_root(words: &[&str]) -> anyhow::Result<()> {
    let root = Root::find().context("this needs root, or sudo without a password")?;
    root.run(words)
}

fn can_install() -> bool {
    Root::find().is_some() && directory_of("apt-get", &[]).is_some()
}

fn is_there(needed: &Needed) -> bool {
    let named = [Some(needed.program_variable), needed.url_variable]
        .into_iter()
        .flatten()
        .any(|name| std::env::var_os(name).is_some());
    named || directory_of(needed.program, needed.also).is_some()
}

fn directory_of(program: &str, also: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).chain(also.iter().map(PathBuf::from));
    directories
        .into_iter()
        .find(|directory| directory.join(program).is_file())
}

/// Whoever may install packages: us, or us through `sudo` without a password.
struct Root {
    prefix: &'static [&'static str],
}

impl Root {
    fn find() -> Option<Self> {
        let id = Command::new("id").arg("-u").output().ok()?;
        if String::from_utf8_lossy(&id.stdout).trim() == "0" {
            return Some(Self { prefix: &[] });
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        sudo.status()
            .is_ok_and(|status| status.success())
            .then_some(Self {
                prefix: &["sudo", "-n"],
            })
    }

    fn run(&self, words: &[&str]) -> anyhow::Result<()> {
        // `env` because sudo drops what we would set for it.
        let words = [self.prefix, &["env", "DEBIAN_FRONTEND=noninteractive"], words].concat();
        println!("{}", words.join(" "));
        let [program, arguments @ ..] = words.as_slice() else {
            bail!("nothing to run")
        };
        let status = Command::new(program)
            .args(arguments)
            .status()
            .with_context(|| format!("cannot run {program}"))?;
        if !status.success() {
            bail!("`{}` failed: {status}", words.join(" "));
        }
        Ok(())
    }
}

/// While this lives, Debian's packages do not start the services they bring.
struct NoServices<'a> {
    root: &'a Root,
    /// Another policy was there already, and stays.
    ours: bool,
}

impl<'a> NoServices<'a> {
    fn begin(root: &'a Root) -> anyhow::Result<Self> {
        let ours = !Path::new(POLICY).exists();
        if ours {
            let script = tempfile::NamedTempFile::new().context("cannot write a temporary file")?;
            std::fs::write(
                script.path(),
                "#!/bin/sh\n# 101: no service may be started or stopped.\nexit 101\n",
            )?;
            root.run(&["install", "-m", "755", &script.path().to_string_lossy(), POLICY])?;
        }
        Ok(Self { root, ours })
    }
}

impl Drop for NoServices<'_> {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = self.root.run(&["rm", "-f", POLICY])
        {
            println!("please remove {POLICY}: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_it_is_known_to_be() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a-server"), "").unwrap();
        let known = directory.path().to_string_lossy().into_owned();
        assert_eq!(
            directory_of("a-server", &[&known]),
            Some(directory.path().to_path_buf())
        );
        assert_eq!(directory_of("another-server", &[&known]), None);
    }
}
