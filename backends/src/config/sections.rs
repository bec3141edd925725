//! Owns the table of keys, and the typed configuration that is read by it.
//! Never says the same thing twice: struct, meaning, default and range of a key are one entry.

use std::path::PathBuf;
use std::time::Duration;

use longhaul_shared::id::{HubName, QueueName};

use super::error::ConfigError;
use super::given::{Effective, Given};
use super::key::{Key, Section};
use super::origin::Origin;
use super::setting::{Listen, LogFormat, PemFile, Setting, StoreKind};
use super::sources::Sources;
use super::units::ByteSize;
use super::url::{AmqpUrl, RedisUrl};
use crate::rabbitmq::QueueType;
use crate::redis::Durability;

/// `section: Struct { key: Type = default, in least to greatest; }`, where the first line of a doc comment is what
/// operators read, too.
macro_rules! sections {
    ($($(#[doc = $about:literal])+ $section:ident: $Section:ident {
        $($(#[doc = $meaning:literal])+ $key:ident: $Type:ty = $default:literal $(, in $least:literal to $greatest:literal)?;)+
    })+) => {
        $(
            $(#[doc = $about])+
            #[derive(Clone, PartialEq, Eq, Debug)]
            pub struct $Section {
                $($(#[doc = $meaning])+ pub $key: $Type,)+
            }

            impl $Section {
                const KEYS: &[Key] = &[$(sections!(
                    @key $section $key $Type, $default, [$($meaning)+] $($least $greatest)?
                )),+];
            }
        )+

        /// Everything that an operator may say, checked.
        #[derive(Clone, Debug)]
        pub struct Config {
            $($(#[doc = $about])+ pub $section: $Section,)+
            effective: Vec<Effective>,
        }

        /// Every key there is, by section.
        pub const SECTIONS: &[Section] = &[$(Section {
            name: stringify!($section),
            about: concat!($($about),+),
            keys: $Section::KEYS,
        }),+];

        impl Config {
            fn read(given: &Given) -> Result<Self, ConfigError> {
                Ok(Self {
                    $($section: $Section {
                        $($key: given.read(&sections!(
                            @key $section $key $Type, $default, [$($meaning)+] $($least $greatest)?
                        ))?,)+
                    },)+
                    effective: given.effective(),
                })
            }
        }
    };
    (@key $section:ident $key:ident $Type:ty, $default:literal, [$($meaning:literal)+] $($least:literal $greatest:literal)?) => {
        Key {
            name: concat!(stringify!($section), ".", stringify!($key)),
            meaning: concat!($($meaning),+),
            form: <$Type as Setting>::FORM,
            default: $default,
            range: sections!(@range $($least $greatest)?),
        }
    };
    (@range $least:literal $greatest:literal) => { Some(($least, $greatest)) };
    (@range) => { None };
}

sections! {
    /// The hub: its own queues and keys on shared servers. All programs of a hub say the same here.
    hub: HubSection {
        /// Which hub.
        name: HubName = "default";
        /// Into how many slices the instances are divided; an existing hub keeps its own.
        partitions: u16 = "16", in "1" to "512";
        /// What kind of queues RabbitMQ keeps: quorum survives the loss of a broker, classic is for a single
        /// broker at half the latency. Fixed when the hub is made.
        queue_type: QueueType = "quorum";
        /// When a change counts as accepted: single once Redis has it on disk, replicated once a replica has it,
        /// too. Fixed when the hub is made.
        durability: Durability = "single";
    }

    /// RabbitMQ, which distributes the work.
    amqp: AmqpSection {
        /// Where it is; amqps:// encrypts the connection. Query parameters: heartbeat in seconds, connection_timeout
        /// in milliseconds.
        url: AmqpUrl = "amqp://guest:guest@127.0.0.1:5672/%2f";
        /// Whose certificates are trusted, with amqps://. Nothing means whom this machine trusts.
        tls_ca: Option<PemFile> = "";
        /// The certificate that this program shows, and those between it and its CA, where the server wants one.
        tls_cert: Option<PemFile> = "";
        /// The key of tls_cert.
        tls_key: Option<PemFile> = "";
    }

    /// Redis, which holds the truth.
    redis: RedisSection {
        /// Where it is; rediss:// encrypts the connection.
        url: RedisUrl = "redis://127.0.0.1:6379/";
        /// Whose certificates are trusted, with rediss://. Nothing means whom this machine trusts.
        tls_ca: Option<PemFile> = "";
        /// The certificate that this program shows, and those between it and its CA, where the server wants one.
        tls_cert: Option<PemFile> = "";
        /// The key of tls_cert.
        tls_key: Option<PemFile> = "";
        /// Whether to go on, with a warning, on a server that may lose or evict what it accepted.
        allow_unsafe: bool = "false";
    }

    /// What stands behind the hub.
    store: StoreSection {
        /// fleet is RabbitMQ and Redis; embedded is one process without servers.
        kind: StoreKind = "fleet";
        /// Where an embedded hub keeps its files. Nothing keeps it in memory: it is gone when the process ends.
        dir: Option<PathBuf> = ".longhaul";
    }

    /// Workers that host orchestrations.
    orchestrator: OrchestratorSection {
        /// How long a partition's lease lasts without renewal: for so long a hung worker's partitions rest.
        lease_ttl: Duration = "10s", in "1s" to "10m";
        /// How often leases are renewed; at most a third of lease_ttl.
        lease_renew: Duration = "3s", in "50ms" to "3m";
        /// How often a partition that should be this worker's is tried for, and how often dead workers are looked for.
        acquire_poll: Duration = "300ms", in "10ms" to "1m";
        /// How long a connection to RabbitMQ must have stood before a dead worker's partitions are taken early.
        early_connected: Duration = "5s", in "0s" to "1d";
        /// How far the two looks lie apart that must find a worker without consumers before it counts as dead.
        early_looks: Duration = "500ms", in "0s" to "1m";
        /// How long a shutdown or a handover waits for turns in progress; the next owner runs the rest again.
        drain_max: Duration = "5s", in "0s" to "1h";
        /// Most turns in progress at once.
        turns_max: usize = "512", in "1" to "65535";
        /// Most histories being read and replayed at once, of those turns.
        replays_max: usize = "64", in "1" to "65535";
        /// How many bytes of histories may be held for replay before no further one is read.
        replay_bytes_max: ByteSize = "64 MiB", in "1 MiB" to "1024 GiB";
        /// Most sessions kept in memory between turns; the least recently used are replayed when needed.
        sessions_max: usize = "10000", in "1" to "10000000";
        /// Most unacknowledged control messages a partition holds.
        control_prefetch: u16 = "512", in "1" to "65535";
        /// Most unacknowledged intake messages.
        intake_prefetch: u16 = "128", in "1" to "65535";
        /// Most work items that share a message, if their activities are known to be quick; 1 = none do.
        work_items_max: u16 = "64", in "1" to "64";
        /// How long the work items that share a message take to run at most, one after the other: what takes longer travels alone.
        work_per_message: Duration = "1ms", in "0s" to "1s";
        /// How many runs must be known of an activity before its work items share messages.
        quick_after_runs: u16 = "16", in "1" to "65535";
        /// How often instances whose wake-up got lost are looked for.
        sweep_every: Duration = "1s", in "50ms" to "10m";
        /// How long an instance must have been ready before it is taken for one of those.
        sweep_age: Duration = "1s", in "0s" to "10m";
        /// How often messages that a predecessor left unsent are looked for.
        outbox_every: Duration = "5s", in "50ms" to "10m";
        /// How long sent messages wait for a commit that removes them from the outbox.
        forget_after: Duration = "200ms", in "1ms" to "1m";
        /// How long one turn of an orchestration may compute before it counts as stalled.
        stall_after: Duration = "5s", in "100ms" to "1h";
        /// The first pause before something that nobody hosts, or that is paused, is tried again; it doubles.
        retry_first: Duration = "1s", in "10ms" to "1h";
        /// The longest such pause.
        retry_max: Duration = "60s", in "10ms" to "1d";
        /// Where /metrics, /healthz and /readyz are answered. In a container say 0.0.0.0:9464; nothing: nowhere.
        listen: Listen = "127.0.0.1:9464";
        /// How often the metrics are looked at that nobody sees as they happen, such as depths of queues; 0s is never.
        sample_every: Duration = "5s", in "0s" to "10m";
    }

    /// Workers that run activities.
    activity: ActivitySection {
        /// The task queues that are served.
        queues: Vec<QueueName> = "default";
        /// How many activities of one queue run at once.
        concurrency: u16 = "64", in "1" to "65535";
        /// How long one run may take that has no timeout of its own. Stay well below RabbitMQ's consumer_timeout.
        attempt_max: Duration = "15m", in "100ms" to "1d";
        /// How long a shutdown waits for running activities; the rest run again elsewhere.
        drain_max: Duration = "10s", in "0s" to "1h";
        /// Where /metrics, /healthz and /readyz are answered. In a container say 0.0.0.0:9464; nothing: nowhere.
        listen: Listen = "127.0.0.1:9465";
        /// How often the hub's clock is asked for, by which it is measured how long tasks waited; 0s is never.
        sample_every: Duration = "5s", in "0s" to "10m";
    }

    /// What programs say about themselves, on standard error.
    log: LogSection {
        /// What is shown. The variable RUST_LOG, if set, counts more than anything said here.
        level: String = "info";
        /// pretty is for people, json for machines.
        format: LogFormat = "pretty";
    }
}

impl Config {
    /// Reads and checks everything that was said.
    ///
    /// # Errors
    /// [`ConfigError`]: the first thing that is wrong, and where it stands.
    pub fn load(sources: Sources) -> Result<Self, ConfigError> {
        let config = Self::read(&Given::collect(SECTIONS, sources)?)?;
        let orchestrator = &config.orchestrator;
        if orchestrator.lease_renew.saturating_mul(3) > orchestrator.lease_ttl {
            let rule = "a lease is renewed at least three times in its life";
            return Err(config.conflict("orchestrator.lease_renew", "orchestrator.lease_ttl", rule));
        }
        if orchestrator.retry_first > orchestrator.retry_max {
            let rule = "the first pause is not longer than the longest";
            return Err(config.conflict("orchestrator.retry_first", "orchestrator.retry_max", rule));
        }
        let (amqp, redis) = (&config.amqp, &config.redis);
        let files = [
            ("amqp.tls_ca", amqp.tls_ca.is_some()),
            ("amqp.tls_cert", amqp.tls_cert.is_some()),
            ("amqp.tls_key", amqp.tls_key.is_some()),
        ];
        let rule = "these files are for an encrypted connection, amqps://";
        config.check_tls(files, "amqp.url", amqp.url.is_secure(), rule)?;
        let files = [
            ("redis.tls_ca", redis.tls_ca.is_some()),
            ("redis.tls_cert", redis.tls_cert.is_some()),
            ("redis.tls_key", redis.tls_key.is_some()),
        ];
        let rule = "these files are for an encrypted connection, rediss://";
        config.check_tls(files, "redis.url", redis.url.is_secure(), rule)?;
        Ok(config)
    }

    /// A file for TLS needs TLS, and of certificate and key neither is of use alone.
    fn check_tls(
        &self,
        files: [(&'static str, bool); 3],
        url: &'static str,
        is_secure: bool,
        rule: &'static str,
    ) -> Result<(), ConfigError> {
        let [_, (cert, has_cert), (key, has_key)] = files;
        if let Some((file, _)) = files.into_iter().find(|(_, is_said)| *is_said && !is_secure) {
            return Err(self.conflict(file, url, rule));
        }
        if has_cert != has_key {
            let rule = "a certificate and its key go together";
            let (said, missing) = if has_cert { (cert, key) } else { (key, cert) };
            return Err(self.conflict(missing, said, rule));
        }
        Ok(())
    }

    /// Every key with its value, and where that was said; secrets are masked.
    #[must_use]
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Where the value of a key was said.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.said(key).1
    }

    /// The error of a value that passed the table and turned out not to be usable.
    #[must_use]
    pub fn refuse(&self, key: &'static str) -> ConfigError {
        let known = SECTIONS
            .iter()
            .flat_map(|section| section.keys)
            .find(|known| known.name == key);
        let (value, origin) = self.said(key);
        ConfigError::Value {
            key,
            value,
            origin,
            allowed: known.map(Key::allowed).unwrap_or_default(),
        }
    }

    fn conflict(&self, key: &'static str, other: &'static str, rule: &'static str) -> ConfigError {
        let or_nothing = |(value, origin): (String, Origin)| match value.as_str() {
            "" => ("nothing".to_owned(), origin),
            _ => (value, origin),
        };
        let (value, origin) = or_nothing(self.said(key));
        let (other_value, other_origin) = or_nothing(self.said(other));
        ConfigError::Conflict {
            key,
            value,
            origin,
            other,
            other_value,
            other_origin,
            rule,
        }
    }

    fn said(&self, key: &str) -> (String, Origin) {
        let said = self.effective.iter().find(|effective| effective.key == key);
        said.map_or((String::new(), Origin::Default), |said| {
            (said.value.clone(), said.origin.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use longhaul_shared::limits;

    use super::super::sources::ConfigFile;
    use super::*;

    /// Pairs of flags, then of the environment, then the file.
    fn sources(flags: &[(&str, &str)], env: &[(&str, &str)], file: &str) -> Sources {
        let pairs = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            owned.collect()
        };
        Sources {
            flags: pairs(flags),
            env: pairs(env),
            file: Some(ConfigFile {
                path: "a.toml".into(),
                text: file.to_owned(),
            }),
        }
    }

    fn refusal(flags: &[(&str, &str)], env: &[(&str, &str)], file: &str) -> String {
        Config::load(sources(flags, env, file)).unwrap_err().to_string()
    }

    fn defaults() -> Config {
        Config::load(Sources::default()).unwrap()
    }

    #[test]
    fn the_defaults_are_valid_and_agree_with_the_limits() {
        let config = defaults();
        assert_eq!(config.hub.name, HubName::default());
        assert_eq!(config.hub.partitions, limits::PARTITIONS_DEFAULT);
        let partitions = &HubSection::KEYS[1];
        assert_eq!(partitions.name, "hub.partitions");
        let range = [limits::PARTITIONS_MIN, limits::PARTITIONS_MAX].map(|bound| bound.to_string());
        assert_eq!(partitions.range, Some((range[0].as_str(), range[1].as_str())));
        assert!(
            config
                .effective()
                .iter()
                .all(|said| said.origin == Origin::Default)
        );
        for key in SECTIONS.iter().flat_map(|section| section.keys) {
            assert!(key.meaning().ends_with('.'), "{}: {:?}", key.name, key.meaning());
            let file = |text: &str| Config::load(sources(&[(key.name, text)], &[], ""));
            for bound in key.range.iter().flat_map(|(least, greatest)| [least, greatest]) {
                let is_conflict = matches!(file(bound), Err(ConfigError::Conflict { .. }));
                assert!(is_conflict || file(bound).is_ok(), "{} = {bound}", key.name);
            }
        }
    }

    #[test]
    fn a_flag_counts_more_than_a_variable_and_that_more_than_the_file() {
        let file = "[hub]\nname = \"file\"\n";
        let variable = [("LONGHAUL_HUB__NAME", "variable")];
        let flag = [("hub.name", "early"), ("hub.name", "flag")];
        let check = |flags: &[(&str, &str)], env: &[(&str, &str)], file, name: &str, origin: &str| {
            let config = Config::load(sources(flags, env, file)).unwrap();
            assert_eq!(config.hub.name.as_str(), name);
            let said = config.effective().first().unwrap();
            assert_eq!((said.key, said.value.as_str()), ("hub.name", name));
            assert_eq!(said.origin.to_string(), origin);
        };
        check(&flag, &variable, file, "flag", "flag --hub.name");
        check(&[], &variable, file, "variable", "variable LONGHAUL_HUB__NAME");
        check(&[], &[], file, "file", "a.toml:2");
        check(&[], &[], "", "default", "default");
    }

    #[test]
    fn rust_log_counts_more_than_anything_said_here() {
        let level = |env: &[(&str, &str)]| {
            let config = Config::load(sources(&[("log.level", "warn")], env, "")).unwrap();
            (config.log.level.clone(), config.origin("log.level").to_string())
        };
        let of = |level: &str, origin: &str| (level.to_owned(), origin.to_owned());
        assert_eq!(level(&[("RUST_LOG", "trace")]), of("trace", "variable RUST_LOG"));
        assert_eq!(level(&[("RUST_LOG", "")]), of("warn", "flag --log.level"));
    }

    #[test]
    fn an_unknown_key_is_refused_wherever_it_stands_and_the_nearest_is_named() {
        assert_eq!(
            refusal(&[], &[], "[orchestrator]\nturns_max = 1\nlease_tl = \"9s\"\n"),
            "[LH1601] unknown key \"orchestrator.lease_tl\" (a.toml:3): did you mean orchestrator.lease_ttl?"
        );
        assert_eq!(
            refusal(&[], &[("LONGHAUL_HUB__NMAE", "a")], ""),
            "[LH1601] unknown key \"hub.nmae\" (variable LONGHAUL_HUB__NMAE): did you mean LONGHAUL_HUB__NAME?"
        );
        assert_eq!(
            refusal(&[("redis.uri", "a")], &[], ""),
            "[LH1601] unknown key \"redis.uri\" (flag --redis.uri): did you mean --redis.url?"
        );
        assert_eq!(
            refusal(&[], &[], "concurrency = 3\n"),
            "[LH1601] unknown key \"concurrency\" (a.toml:1): did you mean activity.concurrency?"
        );
        assert_eq!(
            refusal(&[], &[], "[weather]\n"),
            "[LH1601] unknown key \"weather\" (a.toml:1): --help lists the keys"
        );
    }

    #[test]
    fn variables_that_are_no_keys_are_left_alone_unless_they_look_like_one() {
        let other = [
            ("LONGHAUL_CONFIG", "a.toml"),
            ("LONGHAUL_TEST_REDIS__URL", "x"),
            ("LONGHAUL_HUB", "x"),
            ("PATH", "x__y"),
        ];
        assert!(Config::load(sources(&[], &other, "")).is_ok());
        assert_eq!(
            refusal(&[], &[("LONGHAUL_REDIS_URL", "redis://h")], ""),
            "[LH1601] unknown key \"redis_url\" (variable LONGHAUL_REDIS_URL): section and key are separated by two \
             underscores, LONGHAUL_REDIS__URL"
        );
    }

    #[test]
    fn a_bad_value_is_refused_with_its_origin_and_what_is_allowed() {
        let check = |key: &str, value: &str, allowed: &str| {
            let expected = format!("[LH1601] {key} = {value:?} (flag --{key}) is not valid: write {allowed}");
            assert_eq!(refusal(&[(key, value)], &[], ""), expected);
        };
        check("hub.partitions", "0", "a whole number from 1 to 512");
        check("hub.partitions", "many", "a whole number from 1 to 512");
        check("hub.queue_type", "stream", "quorum or classic");
        check("redis.allow_unsafe", "yes", "true or false");
        check("log.format", "", "pretty or json");
        check(
            "activity.queues",
            "a,,b",
            "names separated by commas, in the file also a list",
        );
        check(
            "orchestrator.lease_ttl",
            "10",
            "a span of time with its unit (ms, s, m, h or d), such as 250ms or 30s, from 1s to 10m",
        );
        assert_eq!(
            refusal(&[], &[], "[hub]\n\nqueue_type = 1\n"),
            "[LH1601] hub.queue_type = \"1\" (a.toml:3) is not valid: write quorum or classic"
        );
    }

    #[test]
    fn values_that_do_not_fit_each_other_are_refused_together() {
        assert_eq!(
            refusal(&[("orchestrator.lease_ttl", "6s")], &[], ""),
            "[LH1601] orchestrator.lease_renew = 3s (default) does not fit orchestrator.lease_ttl = 6s (flag \
             --orchestrator.lease_ttl): a lease is renewed at least three times in its life"
        );
        let pauses = "[orchestrator]\nretry_first = \"2s\"\nretry_max = \"1s\"";
        assert!(refusal(&[], &[], pauses).contains("orchestrator.retry_max = 1s (a.toml:3)"));
    }

    #[test]
    fn secrets_are_shown_nowhere() {
        let said = [
            ("redis.url", "redis://:secret@h"),
            ("amqp.url", "amqp://bo:secret@h"),
        ];
        let config = Config::load(sources(&said, &[], "")).unwrap();
        assert_eq!(config.redis.url.expose(), "redis://:secret@h");
        let shown = format!("{config:?} {:?}", config.effective());
        assert!(
            shown.contains("amqp://bo:***@h") && !shown.contains("secret"),
            "{shown}"
        );
        let refused = refusal(&[("redis.url", "redsi://:secret@h")], &[], "");
        assert_eq!(
            refused,
            "[LH1601] redis.url = \"redsi://:***@h\" (flag --redis.url) is not valid: write \
             redis[s]://user:password@host:port/db"
        );
    }

    #[test]
    fn files_for_tls_go_with_an_encrypted_connection_and_with_each_other() {
        let check = |said: &[(&str, &str)], expected: &str| assert_eq!(refusal(said, &[], ""), expected);
        check(
            &[("redis.tls_ca", "/ca.pem"), ("redis.url", "redis://:secret@h")],
            "[LH1601] redis.tls_ca = /ca.pem (flag --redis.tls_ca) does not fit redis.url = redis://:***@h (flag \
             --redis.url): these files are for an encrypted connection, rediss://",
        );
        check(
            &[("amqp.tls_key", "/key.pem")],
            "[LH1601] amqp.tls_key = /key.pem (flag --amqp.tls_key) does not fit amqp.url = \
             amqp://guest:***@127.0.0.1:5672/%2f (default): these files are for an encrypted connection, amqps://",
        );
        check(
            &[("amqp.tls_key", "/key.pem"), ("amqp.url", "amqps://h")],
            "[LH1601] amqp.tls_cert = nothing (default) does not fit amqp.tls_key = /key.pem (flag --amqp.tls_key): \
             a certificate and its key go together",
        );
        let said = [("redis.url", "rediss://h"), ("redis.tls_ca", "ca.pem")];
        let config = Config::load(sources(&said, &[], "")).unwrap();
        assert_eq!(config.redis.tls_ca, Some(PemFile("ca.pem".into())));
        assert!(config.redis.url.is_secure() && !config.amqp.url.is_secure());
    }

    #[test]
    fn values_are_read_in_the_units_they_are_written_in() {
        let file = "[orchestrator]\nlease_ttl = \"1m\"\n[activity]\nqueues = [\"gpu\", \"mail\", \"gpu\"]\n\
                    [redis]\nallow_unsafe = true\n[store]\ndir = \"\"\nkind = \"embedded\"\n[log]\n";
        let config = Config::load(sources(&[], &[], file)).unwrap();
        assert_eq!(config.orchestrator.lease_ttl, Duration::from_secs(60));
        let queues: Vec<&str> = config.activity.queues.iter().map(QueueName::as_str).collect();
        assert_eq!(queues, ["gpu", "mail"]);
        assert!(config.redis.allow_unsafe);
        assert_eq!(config.store.dir, None);
    }
}
