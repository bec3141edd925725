//! Where the server programs are on this machine, and what to say when one is missing.
//! Never runs or installs anything.

use std::path::PathBuf;

/// A program that the tests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `redis-server`, at least 7.0.
    RedisServer,
    /// RabbitMQ's own start script. Debian's `/usr/sbin/rabbitmq-server` is another one: it insists on the user
    /// `rabbitmq` and on the system's data directory.
    RabbitmqServer,
    /// Erlang's port mapper, which comes with Erlang and so with RabbitMQ.
    Epmd,
    /// Prometheus' checker of rules, which comes with Prometheus.
    Promtool,
}

/// A server program that is not on this machine.
#[derive(Debug, PartialEq, Eq)]
pub struct MissingProgram {
    program: Program,
    looked: Vec<PathBuf>,
}

impl std::error::Error for MissingProgram {}

impl std::fmt::Display for MissingProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let looked: Vec<String> = self
            .looked
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        write!(
            f,
            "{} is not installed (looked at {}). `cargo xtask test` installs what is missing; or install Debian's \
             package `{}` (apt-get install {}), or name the program in {}",
            self.program.name(),
            looked.join(", "),
            self.program.package(),
            self.program.package(),
            self.program.variable(),
        )
    }
}

impl Program {
    /// The program's path: what its environment variable names, else the first place that has it.
    ///
    /// # Errors
    /// [`MissingProgram`] when no place has it. A path from the environment is the only place looked at.
    pub fn find(self) -> Result<PathBuf, MissingProgram> {
        self.find_in(match std::env::var_os(self.variable()) {
            Some(path) => vec![PathBuf::from(path)],
            None => self.places(std::env::var_os("PATH").unwrap_or_default().as_ref()),
        })
    }

    /// The environment variable that overrides where the program is.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::RedisServer => "LONGHAUL_TEST_REDIS_SERVER",
            Self::RabbitmqServer => "LONGHAUL_TEST_RABBITMQ_SERVER",
            Self::Epmd => "LONGHAUL_TEST_EPMD",
            Self::Promtool => "LONGHAUL_TEST_PROMTOOL",
        }
    }

    /// The Debian package that brings the program.
    #[must_use]
    pub fn package(self) -> &'static str {
        match self {
            Self::RedisServer => "redis-server",
            Self::RabbitmqServer | Self::Epmd => "rabbitmq-server",
            Self::Promtool => "prometheus",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::RedisServer => "redis-server",
            Self::RabbitmqServer => "rabbitmq-server",
            Self::Epmd => "epmd",
            Self::Promtool => "promtool",
        }
    }

    fn find_in(self, places: Vec<PathBuf>) -> Result<PathBuf, MissingProgram> {
        match places.iter().find(|path| path.is_file()) {
            // RabbitMQ's script looks for its neighbours beside itself: follow a link to it first. Not so Redis,
            // which decides by its name what to be.
            Some(path) if self == Self::RabbitmqServer => {
                Ok(path.canonicalize().unwrap_or_else(|_| path.clone()))
            }
            Some(path) => Ok(path.clone()),
            None => Err(MissingProgram {
                program: self,
                looked: places,
            }),
        }
    }

    /// Known places first for RabbitMQ, because on Debian the one in `PATH` is the wrong one.
    fn places(self, search_path: &std::ffi::OsStr) -> Vec<PathBuf> {
        let known: &[&str] = match self {
            Self::RedisServer | Self::Promtool => &["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"],
            Self::RabbitmqServer => &[
                "/usr/lib/rabbitmq/bin",
                "/opt/rabbitmq/sbin",
                "/opt/homebrew/sbin",
                "/usr/local/sbin",
            ],
            Self::Epmd => &[
                "/usr/bin",
                "/usr/local/bin",
                "/usr/lib/erlang/bin",
                "/opt/homebrew/bin",
            ],
        };
        let known = known.iter().map(PathBuf::from);
        let searched = std::env::split_paths(search_path);
        let directories: Vec<PathBuf> = match self {
            Self::RabbitmqServer => known.chain(searched).collect(),
            Self::RedisServer | Self::Epmd | Self::Promtool => searched.chain(known).collect(),
        };
        directories
            .iter()
            .map(|directory| directory.join(self.name()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package_and_the_command_that_helps() {
        let error = Program::RabbitmqServer
            .find_in(vec![PathBuf::from("/nowhere/rabbitmq-server")])
            .unwrap_err();
        let text = error.to_string();
        for part in [
            "rabbitmq-server is not installed",
            "/nowhere/rabbitmq-server",
            "cargo xtask test",
            "apt-get install",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }

    #[test]
    fn the_real_rabbitmq_script_comes_before_the_one_in_path() {
        let places = Program::RabbitmqServer.places("/usr/sbin".as_ref());
        let at = |wanted: &str| places.iter().position(|place| place.as_os_str() == wanted);
        assert!(
            at("/usr/lib/rabbitmq/bin/rabbitmq-server") < at("/usr/sbin/rabbitmq-server"),
            "{places:?}"
        );
    }

    #[test]
    fn path_decides_which_redis_is_used() {
        let places = Program::RedisServer.places("/somewhere".as_ref());
        assert_eq!(places.first(), Some(&PathBuf::from("/somewhere/redis-server")));
    }
}
