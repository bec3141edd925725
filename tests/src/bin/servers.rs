//! `servers COMMAND [ARGUMENT…]` runs a command with a private Redis and RabbitMQ, handed over by the environment;
//! with `--programs` once the programs that tests run are built.
//! Never starts a server whose URL the environment already names, and leaves nothing behind.

#![expect(clippy::print_stderr, reason = "a command line program")]

use std::process::{Command, ExitCode};

use anyhow::Context;
use longhaul_tests::binaries::Binary;
use longhaul_tests::servers::{AMQP_URL_VARIABLE, REDIS_URL_VARIABLE, RabbitServer, RedisServer};

/// The command's tests start programs of this workspace.
const PROGRAMS: &str = "--programs";

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1).peekable();
    let is_for_tests = arguments.next_if(|argument| argument == PROGRAMS).is_some();
    let Some(program) = arguments.next() else {
        eprintln!("usage: servers [{PROGRAMS}] COMMAND [ARGUMENT…]");
        return Ok(ExitCode::from(2));
    };
    let mut command = Command::new(&program);
    command.args(arguments);

    if is_for_tests {
        // Now, so that it is not the first test that needs them whose time goes into it.
        Binary::OrchestratorWorker.path()?;
    }
    let (redis, rabbit) = start_missing()?;
    if let Some(redis) = &redis {
        command.env(REDIS_URL_VARIABLE, redis.url());
    }
    if let Some(rabbit) = &rabbit {
        command.env(AMQP_URL_VARIABLE, rabbit.url());
    }
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    // A command that a signal ended has no code.
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Both at once, because RabbitMQ takes its time.
fn start_missing() -> anyhow::Result<(Option<RedisServer>, Option<RabbitServer>)> {
    let missing = |variable: &str| std::env::var_os(variable).is_none();
    std::thread::scope(|scope| {
        let rabbit = scope.spawn(|| missing(AMQP_URL_VARIABLE).then(RabbitServer::start).transpose());
        let redis = missing(REDIS_URL_VARIABLE).then(RedisServer::start).transpose();
        let rabbit = rabbit
            .join()
            .map_err(|_| anyhow::anyhow!("the start of RabbitMQ panicked"))?;
        Ok((redis?, rabbit?))
    })
}
