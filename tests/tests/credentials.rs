//! Passwords: whatever the programs print or log, they are not in it, whoever asks for how much of a log.
//! Never looks for how that is done.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests may fail them")]

use std::time::Duration;

use longhaul_tests::binaries::{Binary, Running, Signal};
use longhaul_tests::servers::{RabbitServer, RedisServer};

const SECRET: &str = "Kn0tenpunkt";
const WORKERS: [Binary; 2] = [Binary::OrchestratorWorker, Binary::ActivityWorker];
/// As much as anybody can ask for, by name, too.
const EVERYTHING: &str = "trace,lapin=trace,lapin::internal_rpc=trace,lapin::channel=trace,amq_protocol=trace,\
                          redis=trace,rustls=trace,longhaul_backends=trace";
const READY_WITHIN: Duration = Duration::from_secs(120);
const ENDED_WITHIN: Duration = Duration::from_secs(60);

fn assert_no_secret(what: &str, said: &str) {
    let bytes = SECRET
        .bytes()
        .map(|byte| byte.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    for secret in [SECRET, &bytes] {
        let line = said.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{what}");
    }
}

fn environment<'a>(amqp: &'a str, redis: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("LONGHAUL_AMQP__URL", amqp),
        ("LONGHAUL_REDIS__URL", redis),
        ("RUST_LOG", EVERYTHING),
        ("RUST_BACKTRACE", "full"),
    ]
}

fn start(worker: Binary, amqp: &str, redis: &str) -> Running {
    worker.start_with(&[], &environment(amqp, redis)).unwrap()
}

/// Runs the command line to its end, and returns all that it wrote.
fn longhaul(arguments: &[&str], amqp: &str, redis: &str) -> String {
    let mut command = Binary::Longhaul.command().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ran = command
        .args(arguments)
        .envs(environment(amqp, redis))
        .current_dir(directory.path())
        .output()
        .unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    )
}

#[test]
fn a_password_that_lets_in_is_in_no_log() {
    let rabbit = RabbitServer::with_config(&[("default_user", "bo"), ("default_pass", SECRET)]).unwrap();
    let redis_server = RedisServer::with_config(&[("requirepass", SECRET)]).unwrap();
    let amqp = format!("amqp://bo:{SECRET}@127.0.0.1:{}/%2f", rabbit.port());
    let redis = redis_server.url();
    let mut orchestrator = start(Binary::OrchestratorWorker, &amqp, &redis);
    orchestrator
        .says("orchestrator_worker: ready", READY_WITHIN)
        .unwrap();
    // The log is as detailed as it was asked to be.
    orchestrator.says("partition acquired", READY_WITHIN).unwrap();
    let mut activity = start(Binary::ActivityWorker, &amqp, &redis);
    activity.says("activity_worker: ready", READY_WITHIN).unwrap();
    let ran = longhaul(&["start", "hello_sequence", "--id", "a", "--wait"], &amqp, &redis);
    assert!(ran.contains("Hello"), "{ran}");
    assert_no_secret("longhaul start", &ran);
    for command in [&["list"][..], &["show", "a"], &["parked", "list"]] {
        assert_no_secret("longhaul", &longhaul(command, &amqp, &redis));
    }
    let dump = longhaul(&["config", "dump"], &amqp, &redis);
    assert!(dump.contains("amqp://bo:***@127.0.0.1"), "{dump}");
    assert_no_secret("longhaul config dump", &dump);
    for worker in [&mut activity, &mut orchestrator] {
        worker.signal(Signal::Terminate).unwrap();
        let (_, said) = worker.ends(ENDED_WITHIN).unwrap();
        assert_no_secret("a worker", &said);
    }
}

#[test]
fn a_password_that_does_not_let_in_is_in_no_error() {
    let rabbit = RabbitServer::start().unwrap();
    let redis_server = RedisServer::with_config(&[("requirepass", "another")]).unwrap();
    let wrong_amqp = format!("amqp://bo:{SECRET}@127.0.0.1:{}/%2f", rabbit.port());
    let wrong_redis = format!("redis://:{SECRET}@127.0.0.1:{}/", redis_server.port());
    let nowhere_amqp = format!("amqp://bo:{SECRET}@127.0.0.1:1/%2f");
    let nowhere_redis = format!("redis://:{SECRET}@127.0.0.1:1/");
    let malformed_amqp = format!("amqp://bo:{SECRET}@127.0.0.1:port/%2f");
    let malformed_redis = format!("redis://:{SECRET}@127.0.0.1:port/");
    let misspelt = format!("amqqp://bo:{SECRET}@h");
    let good_redis = redis_server.url();
    for (amqp, redis) in [
        (&wrong_amqp, &good_redis),
        (&rabbit.url(), &wrong_redis),
        (&nowhere_amqp, &good_redis),
        (&rabbit.url(), &nowhere_redis),
        (&malformed_amqp, &good_redis),
        (&rabbit.url(), &malformed_redis),
        (&misspelt, &wrong_redis),
    ] {
        let mut workers = WORKERS.map(|worker| start(worker, amqp, redis));
        for worker in &mut workers {
            let (status, said) = worker.ends(ENDED_WITHIN).unwrap();
            assert!(!status.success(), "{said}");
            assert_no_secret(amqp, &said);
        }
        assert_no_secret(redis, &longhaul(&["list"], amqp, redis));
    }
}

#[test]
fn help_and_a_broken_file_hold_no_password() {
    let amqp = format!("amqp://bo:{SECRET}@h");
    let redis = format!("redis://:{SECRET}@h");
    for program in [
        Binary::OrchestratorWorker,
        Binary::ActivityWorker,
        Binary::Longhaul,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let broken = format!("[amqp]\nurl = \"{amqp}\nx\n");
        std::fs::write(directory.path().join("longhaul.toml"), broken).unwrap();
        for arguments in [
            &["--help"][..],
            &["--version"],
            &["config", "dump"],
            &["--redis.url", "=", &redis],
        ] {
            let mut command = program.command().unwrap();
            command.args(arguments).envs(environment(&amqp, &redis));
            let ran = command.current_dir(directory.path()).output().unwrap();
            for said in [ran.stdout, ran.stderr] {
                assert_no_secret(program.name(), &String::from_utf8_lossy(&said));
            }
        }
    }
}
