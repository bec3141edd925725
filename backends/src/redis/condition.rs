//! Owns what a server says of itself, in the words of the port.
//! Never judges it: `safety` does, before anything is done with a server.

use std::collections::BTreeMap;
use std::str::FromStr;

use longhaul_shared::port::{Persistence, StoreCondition, StoreError, StoreRole, StoreRun};

use super::hub::Hub;
use super::safety::Said;

impl Hub {
    /// See [`Store::condition`](longhaul_shared::port::Store::condition).
    pub(super) async fn condition(&self) -> Result<StoreCondition, StoreError> {
        Ok(of(&self.ask_server().await?))
    }
}

fn of(said: &Said) -> StoreCondition {
    let info = |name: &str| said.info.get(name).cloned();
    let setting = |name: &str| said.settings.get(name).cloned();
    // Valkey calls itself Redis where programs look that know no other.
    let valkey = info("valkey_version");
    let role = info("role").and_then(|role| match role.as_str() {
        "master" => Some(StoreRole::Primary),
        "slave" => Some(StoreRole::Replica),
        _ => None,
    });
    StoreCondition {
        kind: if valkey.is_some() { "valkey" } else { "redis" },
        version: valkey.or_else(|| info("redis_version")),
        run: StoreRun(info("run_id").unwrap_or_default()),
        memory_used_bytes: number(&said.info, "used_memory"),
        memory_max_bytes: number(&said.info, "maxmemory").filter(|max| *max > 0),
        role,
        replicas: number(&said.info, "connected_slaves").unwrap_or_default(),
        persistence: Persistence {
            appendonly: setting("appendonly"),
            appendfsync: setting("appendfsync"),
            eviction: setting("maxmemory-policy"),
        },
        is_last_write_ok: last_write(&said.info),
    }
}

/// Whether the log was last written without an error, or, without a log, the last snapshot was.
fn last_write(info: &BTreeMap<String, String>) -> Option<bool> {
    let has_log = info.get("aof_enabled").is_some_and(|enabled| enabled != "0");
    let name = if has_log {
        "aof_last_write_status"
    } else {
        "rdb_last_bgsave_status"
    };
    info.get(name).map(|status| status == "ok")
}

fn number<T: FromStr>(info: &BTreeMap<String, String>, name: &str) -> Option<T> {
    info.get(name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::safety::fields;
    use super::*;

    fn condition(info: &str, settings: &[(&str, &str)]) -> StoreCondition {
        let settings = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        of(&Said {
            info: fields(info),
            settings: settings.collect(),
        })
    }

    #[test]
    fn a_server_that_shows_everything_is_understood() {
        let condition = condition(
            "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nused_memory:80\r\nmaxmemory:100\r\nrole:master\r\n\
             connected_slaves:2\r\naof_enabled:1\r\naof_last_write_status:err\r\nrdb_last_bgsave_status:ok\r\n",
            &[
                ("appendonly", "yes"),
                ("appendfsync", "always"),
                ("maxmemory-policy", "noeviction"),
            ],
        );
        let text = |text: &str| Some(text.to_owned());
        let expected = StoreCondition {
            kind: "redis",
            version: text("7.0.15"),
            run: StoreRun("abc".to_owned()),
            memory_used_bytes: Some(80),
            memory_max_bytes: Some(100),
            role: Some(StoreRole::Primary),
            replicas: 2,
            persistence: Persistence {
                appendonly: text("yes"),
                appendfsync: text("always"),
                eviction: text("noeviction"),
            },
            is_last_write_ok: Some(false),
        };
        assert_eq!(condition, expected);
        assert_eq!(condition.memory_ratio(), Some(0.8));
    }

    #[test]
    fn what_a_server_does_not_show_is_left_open() {
        let condition = condition(
            "redis_version:7.2.4\r\nvalkey_version:8.0.1\r\nmaxmemory:0\r\nrole:slave\r\naof_enabled:0\r\n\
             rdb_last_bgsave_status:ok\r\n",
            &[],
        );
        assert_eq!(
            (condition.kind, condition.version.as_deref()),
            ("valkey", Some("8.0.1"))
        );
        assert_eq!(condition.role, Some(StoreRole::Replica));
        assert_eq!(
            (condition.memory_max_bytes, condition.memory_ratio()),
            (None, None)
        );
        assert_eq!(condition.persistence, Persistence::default());
        assert_eq!(condition.is_last_write_ok, Some(true), "the last snapshot");
    }
}
