//! The worker programs as operators meet them: what they say when they cannot start, and how they leave.
//! Never looks inside: arguments and variables go in, exit codes and lines come out.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests may fail them")]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use longhaul_tests::binaries::{Binary, Running, Signal};
use longhaul_tests::servers::{RabbitServer, RedisServer, Servers};
use tokio::net::TcpSocket;

const WORKERS: [Binary; 2] = [Binary::OrchestratorWorker, Binary::ActivityWorker];

/// Nothing listens on port 1.
const NO_AMQP: &str = "amqp://bo:secret@127.0.0.1:1/%2f";
const NO_REDIS: &str = "redis://:secret@127.0.0.1:1/";

/// The promise of a worker that finds no servers is about ten seconds; the rest is for a busy machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);
const READY_WITHIN: Duration = Duration::from_secs(60);
const DRAINED_WITHIN: Duration = Duration::from_secs(30);

/// A hub of the test's own.
fn hub() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    format!("worker-binaries-{}-{number}", std::process::id())
}

fn start(worker: Binary, amqp: &str, redis: &str, more: &[&str]) -> Running {
    let mut arguments = vec!["--amqp.url", amqp, "--redis.url", redis];
    arguments.extend(more);
    worker.start(&arguments).unwrap()
}

/// Expects one line, exit code 1, every one of the parts and no password.
fn assert_refused(running: &mut Running, parts: &[&str]) {
    let (status, said) = running.ends(REFUSED_WITHIN).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 1, "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
    for secret in ["secret", "guest:"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let servers = Servers::shared().unwrap();
    for worker in WORKERS {
        let mut no_rabbit = start(worker, NO_AMQP, servers.redis_url, &[]);
        let mut no_redis = start(worker, servers.amqp_url, NO_REDIS, &[]);
        assert_refused(
            &mut no_rabbit,
            &[
                "LH1401",
                "127.0.0.1:1:",
                "Check the amqp url",
                "(amqp.url: flag --amqp.url)",
            ],
        );
        assert_refused(
            &mut no_redis,
            &[
                "LH1501",
                "127.0.0.1:1:",
                "Check the redis url",
                "(redis.url: flag --redis.url)",
            ],
        );
    }
}

#[test]
fn a_server_that_accepts_and_says_nothing_is_not_waited_for() {
    let servers = Servers::shared().unwrap();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let place = silent.local_addr().unwrap().to_string();
    let mut no_rabbit = start(
        Binary::ActivityWorker,
        &format!("amqp://bo:secret@{place}/%2f"),
        servers.redis_url,
        &[],
    );
    let mut no_redis = start(
        Binary::OrchestratorWorker,
        servers.amqp_url,
        &format!("redis://:secret@{place}/"),
        &[],
    );
    assert_refused(&mut no_rabbit, &["LH1401", &place]);
    assert_refused(&mut no_redis, &["LH1501", &place]);
}

#[test]
fn a_wrong_password_is_told_apart_from_a_server_that_is_down() {
    let servers = Servers::shared().unwrap();
    let redis = RedisServer::with_config(&[("requirepass", "right")]).unwrap();
    let (_, rabbit) = servers.amqp_url.rsplit_once('@').unwrap();
    for worker in WORKERS {
        let wrong_amqp = format!("amqp://bo:secret@{rabbit}");
        let mut rabbit_refuses = start(worker, &wrong_amqp, servers.redis_url, &[]);
        assert_refused(
            &mut rabbit_refuses,
            &[
                "LH1401",
                "refuses: it does not accept the user name or the password",
            ],
        );
        let wrong_redis = format!("redis://:secret@127.0.0.1:{}/", redis.port());
        let mut redis_refuses = start(worker, servers.amqp_url, &wrong_redis, &[]);
        assert_refused(
            &mut redis_refuses,
            &["LH1501", "refuses this program", "check the credentials"],
        );
        let none = format!("redis://127.0.0.1:{}/", redis.port());
        let mut redis_refuses = start(worker, servers.amqp_url, &none, &[]);
        assert_refused(&mut redis_refuses, &["LH1501", "NOAUTH"]);
    }
}

#[test]
fn a_redis_that_may_lose_data_is_refused_unless_that_is_allowed() {
    let amqp = Servers::shared_rabbit().unwrap();
    for (setting, value) in [("maxmemory-policy", "allkeys-lru"), ("appendonly", "no")] {
        let redis = RedisServer::with_config(&[(setting, value)]).unwrap();
        let url = redis.url();
        for worker in WORKERS {
            let mut refused = start(worker, amqp, &url, &[]);
            assert_refused(
                &mut refused,
                &["LH1502", &format!("{setting} is {value}"), "redis.allow_unsafe"],
            );
        }
        let hub = hub();
        let mut allowed = start(
            Binary::OrchestratorWorker,
            amqp,
            &url,
            &["--allow-unsafe-store", "--hub.name", &hub],
        );
        allowed.says("LH1502", READY_WITHIN).unwrap();
        allowed.says("orchestrator_worker: ready", READY_WITHIN).unwrap();
        allowed.signal(Signal::Terminate).unwrap();
        let (status, said) = allowed.ends(DRAINED_WITHIN).unwrap();
        assert_eq!(status.code(), Some(0), "{said}");
    }
}

/// A port whose queue of connections is full: whoever connects waits, neither refused nor let in.
struct FullPort {
    place: String,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl FullPort {
    fn bind() -> Self {
        let context = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let _context = context.enter();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap().into_std().unwrap();
        let place = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&place, Duration::from_millis(200)) {
            assert!(waiting.len() < 16, "the port still takes connections");
            waiting.push(stream);
        }
        Self {
            place: place.to_string(),
            _listener: listener,
            _waiting: waiting,
        }
    }
}

#[test]
fn a_worker_that_leaves_while_it_still_reaches_for_rabbitmq_says_one_line() {
    let full = FullPort::bind();
    let redis = RedisServer::with_config(&[("maxmemory-policy", "allkeys-lru")]).unwrap();
    for worker in WORKERS {
        let amqp = format!("amqp://bo:secret@{}/%2f", full.place);
        let mut refused = start(worker, &amqp, &redis.url(), &[]);
        assert_refused(&mut refused, &["LH1502"]);
    }
}

#[test]
fn a_signal_drains_and_the_worker_leaves_with_zero() {
    let servers = Servers::shared().unwrap();
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let hub = hub();
        let start = |worker, more: &[&str]| {
            let arguments = [&["--hub.name", &hub], more].concat();
            start(worker, servers.amqp_url, servers.redis_url, &arguments)
        };
        let mut orchestrator = start(Binary::OrchestratorWorker, &[]);
        // Its queue does not exist before an orchestrator worker has declared it: it waits for that.
        let mut activity = start(Binary::ActivityWorker, &["--log.format=json"]);
        orchestrator
            .says("orchestrator_worker: ready", READY_WITHIN)
            .unwrap();
        activity.says("\"message\":\"ready\"", READY_WITHIN).unwrap();
        for worker in [&mut activity, &mut orchestrator] {
            worker.signal(signal).unwrap();
            let (status, said) = worker.ends(DRAINED_WITHIN).unwrap();
            assert_eq!(status.code(), Some(0), "{said}");
            assert!(said.contains("worker has stopped"), "{said}");
        }
        assert!(
            activity.said().lines().all(|line| line.starts_with('{')),
            "{}",
            activity.said()
        );
    }
}

#[test]
fn an_embedded_hub_needs_no_server() {
    let mut worker = Binary::OrchestratorWorker
        .start(&["--store.kind", "embedded", "--store.dir", "hub"])
        .unwrap();
    worker.says("orchestrator_worker: ready", READY_WITHIN).unwrap();
    worker.signal(Signal::Terminate).unwrap();
    let (status, said) = worker.ends(DRAINED_WITHIN).unwrap();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn a_second_signal_ends_a_drain_that_hangs() {
    let mut rabbit = RabbitServer::start().unwrap();
    let mut redis = RedisServer::start().unwrap();
    let mut worker = start(Binary::OrchestratorWorker, &rabbit.url(), &redis.url(), &[]);
    worker.says("orchestrator_worker: ready", READY_WITHIN).unwrap();
    redis.freeze().unwrap();
    rabbit.freeze().unwrap();
    worker.signal(Signal::Terminate).unwrap();
    worker.says("draining", DRAINED_WITHIN).unwrap();
    worker.signal(Signal::Terminate).unwrap();
    let (status, said) = worker.ends(Duration::from_secs(5)).unwrap();
    assert_eq!(status.code(), Some(128 + 15), "{said}");
}

#[test]
fn a_configuration_that_is_not_valid_is_another_exit_code() {
    let check = |worker: Binary, arguments: &[&str], variable: Option<(&str, &str)>, expected: &str| {
        let mut command = worker.command().unwrap();
        let output = command.args(arguments).envs(variable).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said, format!("{}: [LH1601] {expected}\n", worker.name()));
    };
    for worker in WORKERS {
        check(
            worker,
            &["--hub.nmae", "a"],
            None,
            "unknown key \"hub.nmae\" (flag --hub.nmae): did you mean --hub.name?",
        );
        check(
            worker,
            &[],
            Some(("LONGHAUL_AMQP__URI", "amqp://bo:secret@h")),
            "unknown key \"amqp.uri\" (variable LONGHAUL_AMQP__URI): did you mean LONGHAUL_AMQP__URL?",
        );
        check(
            worker,
            &["--hub.partitions=0"],
            None,
            "hub.partitions = \"0\" (flag --hub.partitions) is not valid: write a whole number from 1 to 512",
        );
        check(
            worker,
            &[],
            Some(("RUST_LOG", "info,=")),
            "log.level = \"info,=\" (variable RUST_LOG) is not valid: write a level (error, warn, info, debug, trace), \
             or levels by module such as info,longhaul_backends=debug",
        );
        check(
            worker,
            &["--config", "/nowhere/longhaul.toml"],
            None,
            "the configuration file /nowhere/longhaul.toml cannot be read: No such file or directory (os error 2)",
        );
    }
}

#[test]
fn a_worker_reads_the_file_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("longhaul.toml"),
        "[hub]\nqueue_tpye = \"classic\"\n",
    )
    .unwrap();
    let mut command = Binary::ActivityWorker.command().unwrap();
    let output = command.current_dir(directory.path()).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "activity-worker: [LH1601] unknown key \"hub.queue_tpye\" (longhaul.toml:2): did you mean hub.queue_type?\n"
    );
}

#[test]
fn help_lists_the_keys_of_the_program() {
    for (worker, own, other) in [
        (
            Binary::OrchestratorWorker,
            "--orchestrator.lease_ttl (10s)",
            "--activity.concurrency",
        ),
        (
            Binary::ActivityWorker,
            "--activity.concurrency (64)",
            "--orchestrator.lease_ttl",
        ),
    ] {
        let output = worker.output(&["--help"]).unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains(own) && !text.contains(other),
            "{text}"
        );
        let output = worker.output(&["--version"]).unwrap();
        let expected = format!("{} {}\n", worker.name(), env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    }
}
