//! Owns the judgement of a server: whether it keeps what it accepts, and whether there is room for more.
//! Never changes a server's settings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::{ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value, from_redis_value};
use longhaul_shared::code;
use longhaul_shared::port::{Monotonic, Runtime, StoreError};

use super::config::Durability;
use super::connection::Link;
use super::error::store_error;

/// What CONFIG is asked for.
const SETTINGS: [&str; 4] = [
    "maxmemory-policy",
    "appendonly",
    "appendfsync",
    "no-appendfsync-on-rewrite",
];
/// The oldest server with `#!lua` scripts, whose memory check these scripts rely on.
const VERSION_MIN: u32 = 7;
/// New work is refused from this share of `maxmemory` on, so that running work has room to end.
const FULL_PERCENT: u64 = 80;
/// How long what a server said about its memory is believed.
const FILL_BELIEVED_FOR: Duration = Duration::from_secs(1);

/// Refuses a server that is too old, or that could lose or evict what it accepts unless that is allowed.
///
/// # Errors
/// [`StoreError::Refused`] with what is wrong, why, and what to do.
pub(super) async fn check(link: &Link, durability: Durability, allow_unsafe: bool) -> Result<(), StoreError> {
    let Said { info: _, settings } = ask(link).await?;
    check_version(link.address(), &settings)?;
    if !settings.contains_key("appendfsync") {
        tracing::warn!(
            address = link.address(),
            "CONFIG is forbidden: that appendfsync is always cannot be checked, make sure of it"
        );
    }
    let dangers = dangers(&settings, durability);
    if dangers.is_empty() {
        return Ok(());
    }
    let told = format!(
        "[{}] {} at {}: {}. {}",
        code::STORE_UNSAFE,
        code::STORE_UNSAFE.title(),
        link.address(),
        dangers.join("; "),
        code::STORE_UNSAFE.fix()
    );
    if allow_unsafe {
        tracing::warn!("{told}");
        return Ok(());
    }
    Err(StoreError::Refused { reason: told })
}

/// What a server says of itself.
pub(super) struct Said {
    /// Every field of INFO, under its own name.
    pub(super) info: BTreeMap<String, String>,
    /// What decides whether it keeps what it accepts, under the names that CONFIG uses; without what INFO does not
    /// tell where CONFIG is forbidden.
    pub(super) settings: BTreeMap<String, String>,
}

/// Asks a server about itself.
///
/// # Errors
/// There was no answer.
pub(super) async fn ask(link: &Link) -> Result<Said, StoreError> {
    let mut questions = Pipeline::new();
    questions.ignore_errors().cmd("INFO");
    for setting in SETTINGS {
        questions.cmd("CONFIG").arg("GET").arg(setting);
    }
    let mut answers = link.send(&questions).await?.into_iter();
    let info = answers.next().map_or_else(|| Ok(String::new()), text);
    let info = info.map_err(|error| store_error(link.address(), "the answer to INFO", &error))?;
    let info = fields(&info);
    let mut settings = from_info(&info);
    for answer in answers {
        match answer.and_then(|value| Ok(from_redis_value::<BTreeMap<String, String>>(value)?)) {
            Ok(told) => settings.extend(told),
            Err(error) if is_forbidden(&error) => {}
            Err(error) => return Err(store_error(link.address(), "the answer to CONFIG GET", &error)),
        }
    }
    Ok(Said { info, settings })
}

/// What is wrong and why, one sentence part each.
fn dangers(settings: &BTreeMap<String, String>, durability: Durability) -> Vec<String> {
    let is = |name: &str, value: &str| settings.get(name).is_none_or(|found| found == value);
    let found = |name: &str| settings.get(name).map_or("unknown", String::as_str);
    let mut dangers = Vec::new();
    if !is("maxmemory-policy", "noeviction") {
        dangers.push(format!(
            "maxmemory-policy is {}, so it may evict running instances",
            found("maxmemory-policy")
        ));
    }
    if !is("appendonly", "yes") {
        dangers.push("appendonly is no, so a restart forgets what was accepted".to_owned());
        return dangers;
    }
    if durability == Durability::Replicated {
        return dangers;
    }
    if !is("appendfsync", "always") {
        dangers.push(format!(
            "appendfsync is {}, so a crash of the machine forgets the last seconds, and the hub's durability is single",
            found("appendfsync")
        ));
    }
    if !is("no-appendfsync-on-rewrite", "no") {
        dangers.push(
            "no-appendfsync-on-rewrite is yes, so a crash during a rewrite forgets what it wrote meanwhile"
                .to_owned(),
        );
    }
    dangers
}

/// The fields of an answer to INFO.
pub(super) fn fields(info: &str) -> BTreeMap<String, String> {
    let lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// What INFO tells, under the names that CONFIG uses.
fn from_info(info: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (name, value) in info {
        let (name, value) = match (name.as_str(), value.as_str()) {
            ("maxmemory_policy", policy) => ("maxmemory-policy", policy),
            ("aof_enabled", "0") => ("appendonly", "no"),
            ("aof_enabled", _) => ("appendonly", "yes"),
            ("redis_version", version) => ("version", version),
            _ => continue,
        };
        settings.insert(name.to_owned(), value.to_owned());
    }
    settings
}

fn check_version(address: &str, settings: &BTreeMap<String, String>) -> Result<(), StoreError> {
    let version = settings.get("version").map_or("", String::as_str);
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    match major {
        Some(major) if major < VERSION_MIN => Err(StoreError::Refused {
            reason: format!(
                "[LH1501] Redis at {address} has version {version}, and Longhaul needs Redis {VERSION_MIN} or newer, or Valkey"
            ),
        }),
        _ => Ok(()),
    }
}

/// Managed servers forbid CONFIG by rights or by renaming it.
fn is_forbidden(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => true,
        _ => error
            .detail()
            .is_some_and(|text| text.contains("unknown command")),
    }
}

fn text(answer: RedisResult<Value>) -> RedisResult<String> {
    Ok(from_redis_value(answer?)?)
}

/// Whether the server takes new work, asked at most once a second.
pub(super) struct Fill {
    runtime: Arc<dyn Runtime>,
    last: Mutex<Option<(Monotonic, bool)>>,
}

impl Fill {
    pub(super) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self {
            runtime,
            last: Mutex::new(None),
        }
    }

    /// Whether the server is so full that it takes no new work. One caller asks; those beside it believe what
    /// was said before.
    ///
    /// # Errors
    /// There was no answer.
    pub(super) async fn is_high(&self, link: &Link) -> Result<bool, StoreError> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let mut question = Pipeline::new();
        question.ignore_errors().cmd("INFO").arg("memory");
        let answer = link.send(&question).await?.into_iter().next();
        let info = answer.map_or_else(|| Ok(String::new()), text);
        let info = info.map_err(|error| store_error(link.address(), "the answer to INFO", &error))?;
        let high = is_high(&info);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((self.runtime.now(), high));
        Ok(high)
    }

    /// What is still believed; the first caller to find it too old goes and asks.
    fn known(&self) -> Option<bool> {
        let now = self.runtime.now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, high) = (*last)?;
        if now.since(asked) < FILL_BELIEVED_FOR {
            return Some(high);
        }
        *last = Some((now, high));
        None
    }
}

fn is_high(info: &str) -> bool {
    let field = |name: &str| {
        let mut lines = info.lines().filter_map(|line| line.trim_end().split_once(':'));
        let (_, value) = lines.find(|(found, _)| *found == name)?;
        value.parse::<u64>().ok()
    };
    match (field("used_memory"), field("maxmemory")) {
        (Some(used), Some(most)) if most > 0 => used.saturating_mul(100) >= most.saturating_mul(FULL_PERCENT),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn each_danger_is_named() {
        let check = |policy, aof, fsync, durability, expected: &[&str]| {
            let found = settings(&[
                ("maxmemory-policy", policy),
                ("appendonly", aof),
                ("appendfsync", fsync),
            ]);
            let dangers = dangers(&found, durability);
            assert_eq!(dangers.len(), expected.len(), "{dangers:?}");
            for (danger, part) in dangers.iter().zip(expected) {
                assert!(danger.contains(part), "{danger}");
            }
        };
        use Durability::{Replicated, Single};
        check("noeviction", "yes", "always", Single, &[]);
        check("noeviction", "yes", "everysec", Single, &["everysec"]);
        check("noeviction", "yes", "everysec", Replicated, &[]);
        check("noeviction", "no", "always", Replicated, &["appendonly"]);
        check(
            "allkeys-lru",
            "no",
            "everysec",
            Single,
            &["allkeys-lru", "appendonly"],
        );
    }

    #[test]
    fn info_stands_in_for_config() {
        let from_info = |info| from_info(&fields(info));
        let found =
            from_info("# Memory\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nredis_version:7.0.15\r\n");
        assert!(dangers(&found, Durability::Single).is_empty());
        assert!(check_version("a", &found).is_ok());
        let found = from_info("maxmemory_policy:volatile-ttl\r\naof_enabled:0\r\nredis_version:6.2.1\r\n");
        assert_eq!(dangers(&found, Durability::Single).len(), 2);
        assert!(check_version("a", &found).is_err());
    }

    #[test]
    fn four_fifths_is_full_and_no_bound_never_is() {
        assert!(is_high("used_memory:80\r\nmaxmemory:100\r\n"));
        assert!(!is_high("used_memory:79\r\nmaxmemory:100\r\n"));
        assert!(!is_high("used_memory:79\r\nmaxmemory:0\r\n"));
    }
}
