//! One orchestration reads as one trace, whoever took part in it.

use std::collections::BTreeSet;
use std::time::Duration;

use longhaul_tests::binaries::{Binary, READY, Running, Signal};
use longhaul_tests::servers::{Servers, poll_until};

use super::collector::{Collector, Seen};
use super::{DEADLINE, WORKERS, hub};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// Spans leave soon, or, where that is what a test is about, not by themselves.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");
const NEVER: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

struct Fleet {
    hub: String,
    workers: Vec<Running>,
}

impl Fleet {
    /// A worker of each kind, whose spans go there.
    fn start(url: &str, variable: (&str, &str)) -> Self {
        let hub = hub();
        let workers = WORKERS.map(|(worker, kind)| {
            let listen = format!("--{kind}.listen=127.0.0.1:0");
            let arguments = [Self::at(&hub).as_slice(), &[&listen]].concat();
            let mut running = worker
                .start_with(&arguments, &[(ENDPOINT, url), variable])
                .unwrap();
            running.says(READY, DEADLINE).unwrap();
            running
        });
        Self {
            hub,
            workers: workers.into(),
        }
    }

    fn at(hub: &str) -> [&str; 6] {
        let servers = Servers::shared().unwrap();
        [
            "--hub.name",
            hub,
            "--amqp.url",
            servers.amqp_url,
            "--redis.url",
            servers.redis_url,
        ]
    }

    /// Starts an instance and waits for its end.
    fn runs(&self, orchestration: &str, more: &[&str]) -> String {
        let start = [&["start", orchestration, "--wait"], more, &Self::at(&self.hub)].concat();
        let output = Binary::Longhaul.output(&start).unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    fn drain(&mut self) {
        for worker in &mut self.workers {
            worker.signal(Signal::Terminate).unwrap();
            let (status, said) = worker.ends(DEADLINE).unwrap();
            assert!(status.success(), "{said}");
        }
    }
}

/// The spans, once so many of this name are there.
fn until(collector: &Collector, name: &str, count: usize) -> Vec<Seen> {
    let what = format!("{count} spans {name:?} are collected");
    poll_until(&what, DEADLINE, || {
        let seen = collector.seen();
        let found = seen.iter().filter(|span| span.name == name).count();
        Ok((found >= count).then_some(seen))
    })
    .unwrap()
}

fn of<'a>(seen: &'a [Seen], name: &str) -> Vec<&'a Seen> {
    seen.iter().filter(|span| span.name == name).collect()
}

#[test]
fn an_orchestration_is_one_trace_below_the_span_of_its_start() {
    let collector = Collector::start();
    let mut fleet = Fleet::start(&collector.url, SOON);
    let caller = format!("00-{TRACE}-{CALLER}-01");
    fleet.runs("hello_sequence", &["--id", "traced", "--traceparent", &caller]);
    fleet.drain();

    let seen = collector.seen();
    assert!(seen.iter().all(|span| span.trace == TRACE), "{seen:#?}");
    let whole = of(&seen, "orchestration hello_sequence");
    let [whole] = whole.as_slice() else {
        panic!("one span for the whole: {seen:#?}");
    };
    assert_eq!(whole.parent, CALLER);
    assert_eq!(
        whole.attributes.get("status").map(String::as_str),
        Some("Completed")
    );
    let (turns, attempts) = (of(&seen, "turn hello_sequence"), of(&seen, "activity say_hello"));
    assert_eq!(attempts.len(), 3, "{seen:#?}");
    assert!(turns.len() >= 3, "{seen:#?}");
    assert_eq!(seen.len(), 1 + turns.len() + attempts.len(), "{seen:#?}");
    for (spans, service) in [
        (&turns, "longhaul-orchestrator-worker"),
        (&attempts, "longhaul-activity-worker"),
    ] {
        for span in spans {
            assert_eq!((&*span.parent, &*span.service), (&*whole.id, service));
            assert_eq!(
                span.attributes.get("instance_id").map(String::as_str),
                Some("traced")
            );
            assert_eq!(span.error, None);
            assert!(
                whole.nanos.0 <= span.nanos.1 && span.nanos.0 <= span.nanos.1,
                "{span:?} {whole:?}"
            );
        }
    }
    let ids: BTreeSet<&str> = seen.iter().map(|span| &*span.id).collect();
    assert_eq!(ids.len(), seen.len(), "every span has an id of its own");
}

#[test]
fn a_start_in_no_trace_begins_one_and_a_failure_is_told() {
    let collector = Collector::start();
    let fleet = Fleet::start(&collector.url, SOON);
    fleet.runs("hello_sequence", &["--id", "untraced"]);
    let said = fleet.runs("over_limit", &["--id", "failing"]);
    let seen = until(&collector, "orchestration over_limit", 1);
    let seen = [seen, until(&collector, "orchestration hello_sequence", 1)].concat();

    let (good, bad) = (
        of(&seen, "orchestration hello_sequence"),
        of(&seen, "orchestration over_limit"),
    );
    let (Some(good), Some(bad)) = (good.first(), bad.first()) else {
        panic!("both are told of: {seen:#?}");
    };
    assert_ne!(good.trace, bad.trace);
    assert_eq!((&*good.parent, &*bad.parent), ("", ""));
    assert_eq!(good.error, None);
    let error = bad.error.as_deref().unwrap_or_default();
    assert!(
        !error.is_empty() && said.contains(error),
        "{error:?} is not in {said:?}"
    );
    let execution = |span: &Seen| span.attributes.get("execution_id").cloned();
    assert_eq!(execution(good).as_ref(), Some(&good.trace));
    for turn in of(&seen, "turn hello_sequence") {
        assert_eq!((&turn.trace, &turn.parent), (&good.trace, &good.id));
    }
}

#[test]
fn the_last_spans_leave_before_a_program_ends() {
    let collector = Collector::start();
    let mut fleet = Fleet::start(&collector.url, NEVER);
    fleet.runs("hello_sequence", &["--id", "late"]);
    assert_eq!(collector.seen(), []);
    fleet.drain();
    let seen = collector.seen();
    assert_eq!(of(&seen, "orchestration hello_sequence").len(), 1, "{seen:#?}");
    assert_eq!(of(&seen, "activity say_hello").len(), 3, "{seen:#?}");
}

#[test]
fn a_collector_that_is_away_holds_nothing_up_and_is_named() {
    let mut fleet = Fleet::start("http://127.0.0.1:1", SOON);
    let output = fleet.runs("hello_sequence", &["--id", "unseen", "--timeout", "30s"]);
    assert!(output.contains("Hello"), "{output}");
    for worker in &mut fleet.workers {
        worker.says("BatchSpanProcessor.ExportError", DEADLINE).unwrap();
    }
    fleet.drain();
}

#[test]
fn a_protocol_that_is_not_spoken_is_refused() {
    for (worker, _) in WORKERS {
        let variables = [
            (ENDPOINT, "http://127.0.0.1:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ];
        let mut running = worker.start_with(&[], &variables).unwrap();
        let (status, said) = running.ends(Duration::from_secs(20)).unwrap();
        assert_eq!(status.code(), Some(2), "{said}");
        for part in ["OTEL_EXPORTER_OTLP_PROTOCOL = \"grpc\"", "http/protobuf", "4318"] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
}
