//! The worker programs as those who watch them meet them: metrics, health, readiness.
//! Never looks inside: pages are asked for over HTTP, by the programs' own `--probe`.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests may fail them")]

mod collector;
mod traces;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use longhaul_tests::binaries::{Binary, Running, Signal};
use longhaul_tests::servers::{RabbitServer, Servers, poll_until};

const DEADLINE: Duration = Duration::from_secs(60);
const WORKERS: [(Binary, &str); 2] = [
    (Binary::OrchestratorWorker, "orchestrator"),
    (Binary::ActivityWorker, "activity"),
];

fn hub() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    format!("watched-workers-{}-{number}", std::process::id())
}

/// A worker that shows its pages on a free port.
fn start(worker: Binary, kind: &str, hub: &str, amqp_url: &str) -> Running {
    let listen = format!("--{kind}.listen=127.0.0.1:0");
    let redis_url = Servers::shared_redis().unwrap();
    let arguments = [
        "--hub.name",
        hub,
        "--amqp.url",
        amqp_url,
        "--redis.url",
        redis_url,
        &listen,
    ];
    worker.start(&arguments).unwrap()
}

/// Where it says that its pages are.
fn address(running: &mut Running) -> String {
    running.says("metrics and health: http://", DEADLINE).unwrap();
    let said = running.said();
    let (_, after) = said.split_once("metrics and health: http://").unwrap();
    after.split('/').next().unwrap().to_owned()
}

/// Whether the page says yes, and what it says.
fn page(address: &str, path: &str) -> (bool, String) {
    let url = format!("http://{address}{path}");
    let output = Binary::ActivityWorker.output(&["--probe", &url]).unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn until_ready(address: &str, is_ready: bool) -> String {
    let what = format!("/readyz of {address} says {is_ready}");
    poll_until(&what, DEADLINE, || {
        let (ready, said) = page(address, "/readyz");
        Ok((ready == is_ready).then_some(said))
    })
    .unwrap()
}

#[test]
fn each_worker_shows_that_it_lives_that_it_is_ready_and_what_it_measures() {
    let amqp_url = Servers::shared_rabbit().unwrap();
    let hub = hub();
    for (worker, kind) in WORKERS {
        let mut running = start(worker, kind, &hub, amqp_url);
        let address = address(&mut running);
        let said = until_ready(&address, true);
        for check in ["ok   store", "ok   broker", "ok   consuming"] {
            assert!(said.contains(check), "{said}");
        }
        assert_eq!(said.contains("ok   partitions"), kind == "orchestrator", "{said}");
        assert_eq!(page(&address, "/healthz"), (true, "ok   alive\n".to_owned()));
        let (_, metrics) = page(&address, "/metrics");
        for line in [
            &*format!(
                "longhaul_worker_info{{kind=\"{kind}\",version=\"{}\"}} 1",
                env!("CARGO_PKG_VERSION")
            ),
            "longhaul_worker_ready 1",
            "longhaul_amqp_up 1",
            "longhaul_redis_up 1",
            "process_resident_memory_bytes ",
            "longhaul_tokio_workers ",
        ] {
            assert!(metrics.contains(line), "{line} is not in {metrics}");
        }
        running.signal(Signal::Terminate).unwrap();
        let (status, said) = running.ends(DEADLINE).unwrap();
        assert!(status.success(), "{said}");
    }
}

#[test]
fn a_worker_that_hears_nothing_is_alive_and_not_ready_until_it_hears_again() {
    let mut rabbit = RabbitServer::start().unwrap();
    let hub = hub();
    let mut running: Vec<_> = WORKERS
        .map(|(worker, kind)| start(worker, kind, &hub, &rabbit.url()))
        .into();
    let addresses: Vec<_> = running.iter_mut().map(address).collect();
    for address in &addresses {
        until_ready(address, true);
    }
    rabbit.kill();
    for address in &addresses {
        // The connection is missed first, then what came by it.
        let what = format!("{address} says that it consumes nothing");
        let said = poll_until(&what, DEADLINE, || {
            let said = until_ready(address, false);
            Ok(said.contains("FAIL consuming").then_some(said))
        });
        assert!(said.unwrap().contains("503"));
        assert!(page(address, "/healthz").0);
        let (_, metrics) = page(address, "/metrics");
        assert!(metrics.contains("longhaul_worker_ready 0"), "{metrics}");
    }
    rabbit.restart().unwrap();
    for address in &addresses {
        until_ready(address, true);
    }
}

#[test]
fn an_activity_worker_without_its_queue_is_not_ready() {
    let amqp_url = Servers::shared_rabbit().unwrap();
    let mut running = start(Binary::ActivityWorker, "activity", &hub(), amqp_url);
    let address = address(&mut running);
    let said = until_ready(&address, false);
    assert!(said.contains("its queue does not exist yet"), "{said}");
}

#[test]
fn an_address_that_was_said_and_is_taken_ends_the_program_and_the_default_does_not() {
    let amqp_url = Servers::shared_rabbit().unwrap();
    let redis_url = Servers::shared_redis().unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let place = taken.local_addr().unwrap().to_string();
    for (worker, kind) in WORKERS {
        let listen = format!("--{kind}.listen={place}");
        let hub = hub();
        let servers = [
            "--hub.name",
            &hub,
            "--amqp.url",
            amqp_url,
            "--redis.url",
            redis_url,
        ];
        let mut refused = worker.start(&[&servers[..], &[&listen]].concat()).unwrap();
        let (status, said) = refused.ends(DEADLINE).unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            said.contains("LH1603") && said.contains(&place) && said.contains(&format!("{kind}.listen")),
            "{said}"
        );
        // Two with the default address: at least one of them does not get it, and both work.
        let mut both = [(); 2].map(|()| worker.start(&servers).unwrap());
        let says = |running: &mut Running| running.says("orker starts", DEADLINE).unwrap();
        both.iter_mut().for_each(says);
        let warned = both
            .iter()
            .any(|running| running.said().contains("say another address with"));
        assert!(warned, "{}", both[0].said());
    }
}
