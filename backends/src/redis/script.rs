//! Owns how a script is called: by its hash, in pipelines, loaded again wherever the server lost it.
//! Never knows what a script does; each stands in a .lua file beside the Rust file that calls it.

use std::sync::OnceLock;
use std::time::Duration;

use ::redis::{Cmd, ErrorKind, Pipeline, RedisResult, Script, ServerErrorKind, ToRedisArgs, Value};
use longhaul_shared::port::StoreError;

use super::connection::Link;
use super::error::{store_error, unavailable};

/// How often the scripts are loaded again for one call, before the server is taken for unable to keep them.
const LOADS_MAX: usize = 3;

/// A script, known to the server by its hash.
pub(super) struct Lua {
    source: &'static str,
    hash: OnceLock<String>,
}

impl Lua {
    pub(super) const fn new(source: &'static str) -> Self {
        Self {
            source,
            hash: OnceLock::new(),
        }
    }

    fn hash(&self) -> &str {
        self.hash
            .get_or_init(|| Script::new(self.source).get_hash().to_owned())
    }
}

/// A call of a script; its arguments are added to it.
pub(super) struct Call {
    script: &'static Lua,
    command: Cmd,
}

impl Call {
    /// Begins a call on these keys, all of one slot.
    pub(super) fn new(script: &'static Lua, keys: &[&str]) -> Self {
        let mut command = ::redis::cmd("EVALSHA");
        command.arg(script.hash()).arg(keys.len()).arg(keys);
        Self { script, command }
    }

    /// Adds an argument.
    pub(super) fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.command.arg(argument);
        self
    }
}

/// Sends calls in one pipeline. With `replicate`, none counts as done unless a replica has them all in time.
///
/// # Errors
/// There was no answer, or no replica had the changes in time: each may have taken place.
pub(super) async fn run(
    link: &Link,
    calls: Vec<Call>,
    replicate: Option<Duration>,
) -> Result<Vec<RedisResult<Value>>, StoreError> {
    let (scripts, commands): (Vec<&Lua>, Vec<Cmd>) =
        calls.into_iter().map(|call| (call.script, call.command)).unzip();
    let mut commands = pipeline(commands);
    let mut answers = send(link, &mut commands, replicate).await?;
    for _ in 0..LOADS_MAX {
        let lost: Vec<usize> = (0..answers.len())
            .filter(|at| answers.get(*at).is_some_and(is_lost))
            .collect();
        if lost.is_empty() {
            break;
        }
        let mut unknown: Vec<&Lua> = lost.iter().filter_map(|at| scripts.get(*at).copied()).collect();
        unknown.dedup_by_key(|script| script.source);
        load(link, &unknown).await?;
        let again = commands
            .cmd_iter()
            .enumerate()
            .filter(|(at, _)| lost.contains(at));
        let mut again = pipeline(again.map(|(_, command)| command.clone()).collect());
        let second = send(link, &mut again, replicate).await?;
        for (at, answer) in lost.into_iter().zip(second) {
            if let Some(slot) = answers.get_mut(at) {
                *slot = answer;
            }
        }
    }
    Ok(answers)
}

/// Makes scripts known to the server.
///
/// # Errors
/// It does not take them, or there was no answer.
pub(super) async fn load(link: &Link, scripts: &[&Lua]) -> Result<(), StoreError> {
    let mut loads = Pipeline::with_capacity(scripts.len());
    loads.ignore_errors();
    for script in scripts {
        loads.cmd("SCRIPT").arg("LOAD").arg(script.source);
    }
    for answer in link.send(&loads).await? {
        answer.map_err(|error| store_error(link.address(), "the answer to SCRIPT LOAD", &error))?;
    }
    Ok(())
}

fn pipeline(calls: Vec<Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(calls.len() + 1);
    pipeline.ignore_errors();
    for call in calls {
        pipeline.add_command(call);
    }
    pipeline
}

async fn send(
    link: &Link,
    calls: &mut Pipeline,
    replicate: Option<Duration>,
) -> Result<Vec<RedisResult<Value>>, StoreError> {
    let Some(limit) = replicate else {
        return link.send(calls).await;
    };
    calls.cmd("WAIT").arg(1).arg(limit.as_millis().max(1).to_string());
    let mut answers = link.send(calls).await?;
    match answers.pop() {
        Some(Ok(Value::Int(replicas))) if replicas >= 1 => Ok(answers),
        Some(Err(error)) => Err(store_error(link.address(), "the answer to WAIT", &error)),
        _ => Err(unavailable(
            link.address(),
            format!("no replica has confirmed the change within {limit:?}"),
        )),
    }
}

fn is_lost(answer: &RedisResult<Value>) -> bool {
    let no_script = ErrorKind::Server(ServerErrorKind::NoScript);
    answer.as_ref().is_err_and(|error| error.kind() == no_script)
}
