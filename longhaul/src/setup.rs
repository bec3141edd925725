//! Owns the options that every command has, and the way from them to a configuration and a client.
//! Never starts a worker.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Arg, ArgMatches, Args, Command};
use longhaul_backends::config::{Config, ConfigError, Flags, SECTIONS, Sources, StoreKind};
use longhaul_backends::open::{Opened, Role, open};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_client::Client;

use crate::output::Usage;

/// What every command may be told about the hub.
#[derive(Args, Debug)]
#[command(next_help_heading = "Which hub")]
pub(crate) struct HubArgs {
    /// The hub's name [default: default].
    #[arg(long, global = true, value_name = "NAME")]
    hub: Option<String>,
    /// Where Redis is [default: redis://127.0.0.1:6379/].
    #[arg(long, global = true, value_name = "URL")]
    redis_url: Option<String>,
    /// Where RabbitMQ is [default: amqp://guest:guest@127.0.0.1:5672/%2f].
    #[arg(long, global = true, value_name = "URL")]
    amqp_url: Option<String>,
    /// Use the embedded hub in this directory instead of servers.
    #[arg(long, global = true, value_name = "DIR", conflicts_with_all = ["redis_url", "amqp_url"])]
    dir: Option<String>,
    /// The configuration file [default: ./longhaul.toml if it is there].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any key that `longhaul config dump` lists; --SECTION.KEY VALUE does the same.
    #[arg(long, global = true, value_name = "SECTION.KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    keys: KeyArgs,
}

/// Reads `key=value`.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// A hidden flag for each key of the configuration, as the workers have them.
#[derive(Clone, Debug, Default)]
struct KeyArgs(Vec<(String, String)>);

fn keys() -> impl Iterator<Item = &'static str> {
    SECTIONS
        .iter()
        .flat_map(|section| section.keys)
        .map(|key| key.name)
}

impl Args for KeyArgs {
    fn augment_args(command: Command) -> Command {
        let flag = |key| {
            Arg::new(key)
                .long(key)
                .global(true)
                .hide(true)
                .value_name("VALUE")
        };
        keys().fold(command, |command, key| command.arg(flag(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for KeyArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut said = Self::default();
        said.update_from_arg_matches(matches)?;
        Ok(said)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let said = |key: &str| Some((key.to_owned(), matches.get_one::<String>(key)?.clone()));
        self.0.extend(keys().filter_map(said));
        Ok(())
    }
}

impl HubArgs {
    /// What the command line said, as keys of the configuration.
    fn flags(&self) -> Flags {
        let mut said: Vec<(&str, &str)> = Vec::new();
        for (key, value) in [
            ("hub.name", &self.hub),
            ("redis.url", &self.redis_url),
            ("amqp.url", &self.amqp_url),
            ("store.dir", &self.dir),
        ] {
            said.extend(value.as_deref().map(|value| (key, value)));
        }
        if self.dir.is_some() {
            said.push(("store.kind", "embedded"));
        }
        let said = said
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        Flags {
            keys: said.chain(self.keys.0.clone()).chain(self.set.clone()).collect(),
            config: self.config.clone(),
        }
    }

    /// The configuration: flags, then the environment, then the file, then the defaults.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        Config::load(Sources::of_process(self.flags())?)
    }
}

/// What a command was told, and the hub it means.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// Whether the hub is in this process's own hands, so that no worker can be running.
    pub(crate) is_embedded: bool,
    opened: Opened,
}

/// Whether a command may begin an embedded hub where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Begin {
    /// It may: it is about to put something there.
    May,
    /// It may not: an empty hub would only hide that the directory is misspelt.
    MustNot,
}

/// Opens the hub, does something with it, and closes it in good order.
///
/// # Errors
/// That the hub cannot be opened, or whatever `work` says.
pub(crate) async fn with_session<T>(
    config: &Config,
    begin: Begin,
    work: impl AsyncFnOnce(&Session) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    check_dir(config, begin)?;
    let runtime = Arc::new(TokioRuntime::current());
    let opened = open(config, Role::Client, runtime).await?;
    let client =
        Client::with_hub_settings(opened.ports.clone(), opened.hub.clone(), opened.hub_settings).await?;
    let session = Session {
        client,
        is_embedded: config.store.kind == StoreKind::Embedded,
        opened,
    };
    let done = work(&session).await;
    session.opened.shutdown().await;
    done
}

pub(crate) fn check_dir(config: &Config, begin: Begin) -> Result<(), Usage> {
    if config.store.kind != StoreKind::Embedded {
        return Ok(());
    }
    match &config.store.dir {
        None => Err(Usage::new(
            "an embedded hub without a directory is in the memory of the program that made it: name its directory \
             with --dir DIR",
        )),
        Some(dir) if begin == Begin::MustNot && !dir.exists() => Err(Usage::new(format!(
            "there is no directory {}, so no hub is in it: check --dir; `longhaul start` and `longhaul dev` begin a \
             hub where there is none",
            dir.display()
        ))),
        Some(_) => Ok(()),
    }
}
