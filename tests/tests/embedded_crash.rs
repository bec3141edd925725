//! Kills a process that writes to an embedded hub, again and again, and looks at what is left.
//! Never kills itself: the process that dies is this test binary, started once more for one test.
//!
//! The child prints a line for everything the store accepted, after it was accepted. So whatever was printed
//! must be there, whole and without gaps, and of what was not printed at most the change under way.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use longhaul_backends::embedded::Embedded;
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::commit::{CommitOutcome, Ready, RowChange, TurnCommit};
use longhaul_shared::history::{EventKind, HistoryEvent, TimerFired};
use longhaul_shared::id::{
    CommitId, CommitNumber, EventSeq, ExecutionId, FunctionName, InstanceId, LeaseToken, PartitionId,
    StartId, TaskId, WorkerId,
};
use longhaul_shared::instance::{StartInstance, Status};
use longhaul_shared::message::{Destination, Envelope, Publication};
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{
    Created, HubSettings, LeaseOutcome, LeaseWish, LoadRequest, PageRequest, Posted, Query, Runtime, Store,
};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;

const PARTITIONS: u16 = 4;
/// How many instances the child works on at once.
const LANES: usize = 8;
/// How many events each of the child's commits appends.
const EVENTS_A_COMMIT: u64 = 3;
/// How many commits an instance gets before the child begins the next.
const COMMITS_AN_INSTANCE: u64 = 20;
/// Tells the child where the hub is and how to call its instances.
const DIR: &str = "LONGHAUL_CRASH_TEST_DIR";
const ROUND: &str = "LONGHAUL_CRASH_TEST_ROUND";

#[test]
fn what_was_accepted_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut accepted = Accepted::default();
    for (round, lines) in [1, 40, 300, 301, 1_000, 5].into_iter().enumerate() {
        accepted.read_until_killed(dir.path(), round, lines);
        block_on(accepted.check(dir.path()));
    }
    assert!(accepted.commits.len() > LANES, "{accepted:?}");
}

/// Not a test: what the child process runs.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else {
        return;
    };
    let round = std::env::var(ROUND).unwrap();
    block_on(async move {
        let hub = Embedded::open(Path::new(&dir), runtime()).unwrap();
        let settings = HubSettings {
            partitions: PARTITIONS,
        };
        hub.store().open_hub(settings).await.unwrap();
        let worker = Worker::new(hub.store()).await;
        join_all((0..LANES).map(|lane| worker.work(format!("round {round} lane {lane}")))).await;
    });
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime::current())
}

/// The child's work.
struct Worker {
    store: Arc<dyn Store>,
    runtime: Arc<dyn Runtime>,
    tokens: Vec<LeaseToken>,
}

impl Worker {
    /// Owns all partitions. Its leases expire at once, so that the next child need not wait for them; a token is
    /// good until another is given.
    async fn new(store: Arc<dyn Store>) -> Self {
        let runtime = runtime();
        let mut tokens = Vec::new();
        for partition in PartitionId::all(PARTITIONS) {
            let worker = WorkerId::new("child").unwrap();
            let lease = store.acquire_lease(
                partition,
                &worker,
                LeaseWish::new(runtime.random(), Duration::ZERO),
            );
            match lease.await.unwrap() {
                LeaseOutcome::Granted { token, .. } => tokens.push(token),
                held => panic!("the child before is dead: {held:?}"),
            }
        }
        Self {
            store,
            runtime,
            tokens,
        }
    }

    /// Starts instances and commits to them until the process is killed.
    async fn work(&self, name: String) {
        for instance in 0.. {
            let id = InstanceId::new(format!("{name} instance {instance}")).unwrap();
            let execution = ExecutionId::from_bits(self.runtime.random());
            let start = StartInstance {
                id: id.clone(),
                start_id: StartId::new(format!("start of {id}")).unwrap(),
                name: FunctionName::new("crash").unwrap(),
                version: None,
                input: Payload::encode(&"x".repeat(500)).unwrap(),
                tags: BTreeMap::new(),
                trace: TraceContext::default(),
                execution,
            };
            assert_eq!(self.store.create(start).await, Ok(Created::New));
            tell(&id, 0);
            for number in 0..COMMITS_AN_INSTANCE {
                let letter = letter(&id, number);
                assert_eq!(self.store.post(letter).await, Ok(Posted::Accepted));
                let commit = self.commit(&id, execution, CommitNumber(number));
                let outcome = self.store.commit(vec![commit]).await;
                assert_eq!(outcome, [Ok(CommitOutcome::Applied)]);
                tell(&id, number + 1);
            }
        }
    }

    fn commit(&self, id: &InstanceId, execution: ExecutionId, expected: CommitNumber) -> TurnCommit {
        let partition = PartitionId::of(id, PARTITIONS);
        let time = Timestamp::from_micros(1_000_000);
        let expected_seq = EventSeq(expected.0 * EVENTS_A_COMMIT);
        let fired = |seq| HistoryEvent {
            time,
            kind: EventKind::TimerFired(TimerFired {
                task: TaskId(1),
                due: Timestamp::from_micros(seq),
            }),
        };
        let first = i64::try_from(expected_seq.0).unwrap() + 1;
        TurnCommit {
            partition,
            token: self.tokens[usize::from(partition.0)].clone(),
            instance: id.clone(),
            execution,
            expected,
            id: CommitId::from_bits(self.runtime.random()),
            expected_seq,
            events: (first..).map(fired).take(EVENTS_A_COMMIT as usize).collect(),
            row: RowChange {
                status: Status::Running,
                changed: time,
                waiting_for: None,
                output: None,
                failure: None,
            },
            ready: Ready::Settle,
            inbox_add: Vec::new(),
            inbox_remove: vec![letter(id, expected.0).id],
            outbox_add: vec![publication(id, expected.0)],
            outbox_remove: expected
                .0
                .checked_sub(1)
                .map(|before| publication(id, before).id)
                .into_iter()
                .collect(),
            timers_add: Vec::new(),
            timers_remove: Vec::new(),
            survived: false,
        }
    }
}

fn letter(id: &InstanceId, number: u64) -> Envelope {
    let message = longhaul_shared::id::MessageId::of(&[id.as_str().as_bytes(), &number.to_be_bytes()]);
    Envelope::terminate(message, id.clone(), format!("letter {number}"))
}

fn publication(id: &InstanceId, number: u64) -> Publication {
    Publication {
        destination: Destination::Intake,
        id: letter(id, number).id,
        kind: "work".to_owned(),
        correlation: None,
        content_type: "application/msgpack".to_owned(),
        time: Timestamp::from_micros(1),
        trace: TraceContext::default(),
        body: "body".into(),
    }
}

/// Prints that an instance has so many commits.
fn tell(id: &InstanceId, commits: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\naccepted\t{id}\t{commits}").unwrap();
    out.flush().unwrap();
}

/// What the children said was accepted: commits by instance.
#[derive(Default, Debug)]
struct Accepted {
    commits: BTreeMap<String, u64>,
}

impl Accepted {
    /// Starts a child, kills it once it has said so many things, and reads what it still had said.
    fn read_until_killed(&mut self, dir: &Path, round: usize, lines: usize) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(DIR, dir)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut heard = 0;
        let mut line = String::new();
        while said.read_line(&mut line).unwrap() > 0 {
            let whole = line.strip_suffix('\n');
            if let Some(("accepted", rest)) = whole.and_then(|line| line.split_once('\t')) {
                let (id, commits) = rest.split_once('\t').unwrap();
                self.commits.insert(id.to_owned(), commits.parse().unwrap());
                heard += 1;
                if heard == lines {
                    child.kill().unwrap();
                }
            }
            line.clear();
        }
        let status = child.wait().unwrap();
        assert!(
            heard >= lines,
            "the child ended by itself after {heard} lines: {status}"
        );
    }

    /// Opens the hub and compares it with what was said.
    async fn check(&self, dir: &Path) {
        let hub = Embedded::open(dir, runtime()).expect("a hub opens after a kill");
        let store = hub.store();
        let listed = list(&*store).await;
        for (id, commits) in &self.commits {
            assert!(listed.contains_key(id), "{id} was accepted and is not listed");
            check_instance(&*store, id, *commits).await;
        }
        for id in listed.keys().filter(|id| !self.commits.contains_key(*id)) {
            check_instance(&*store, id, 0).await;
        }
        let unheard = listed.len() - self.commits.len();
        assert!(
            unheard <= LANES * 6,
            "{unheard} instances were accepted and not said"
        );
    }
}

/// An instance has the commits that were said, or one more, all whole.
async fn check_instance(store: &dyn Store, id: &str, said: u64) {
    let request = LoadRequest {
        id: InstanceId::new(id).unwrap(),
        history: true,
    };
    let loaded = store.load(vec![request]).await.remove(0).unwrap().unwrap();
    let commits = loaded.row.commit_number.0;
    assert!(
        (said..=said + 1).contains(&commits),
        "{id} has {commits} commits and {said} were said"
    );
    assert_eq!(loaded.row.last_seq, EventSeq(commits * EVENTS_A_COMMIT), "{id}");
    let seqs: Vec<_> = loaded.history.iter().map(seq).collect();
    let expected: Vec<_> = (1..).take(seqs.len()).collect();
    assert_eq!(seqs, expected, "{id} has a gap");
    assert_eq!(seqs.len() as u64, loaded.row.last_seq.0, "{id}");
    assert!(
        loaded.inbox.len() <= 1,
        "{id} still has what its commits dealt with"
    );
    let partition = PartitionId::of(&loaded.row.id, PARTITIONS);
    let outbox = store.outbox(partition, everything()).await.unwrap();
    let is_sent = |number| {
        let wanted = publication(&loaded.row.id, number).id;
        outbox.messages.iter().any(|message| message.id == wanted)
    };
    for number in 0..=commits {
        let is_last = number + 1 == commits;
        assert_eq!(
            is_sent(number),
            is_last,
            "{id}: message {number} of {commits} commits"
        );
    }
    let ready = store.ready(partition, Duration::ZERO, usize::MAX).await.unwrap();
    let is_ready = ready.contains(&loaded.row.id);
    let should_be = commits == 0 || !loaded.inbox.is_empty();
    assert_eq!(is_ready, should_be, "{id} with {commits} commits");
}

fn seq(event: &HistoryEvent) -> i64 {
    match &event.kind {
        EventKind::TimerFired(fired) => fired.due.micros(),
        other => panic!("the child commits no {other}"),
    }
}

async fn list(store: &dyn Store) -> BTreeMap<String, Status> {
    let page = store
        .query(Query {
            page: everything(),
            ..Query::default()
        })
        .await
        .unwrap();
    assert_eq!(page.next, None);
    page.instances
        .into_iter()
        .map(|instance| (instance.id.as_str().to_owned(), instance.status))
        .collect()
}

fn everything() -> PageRequest {
    PageRequest {
        cursor: None,
        limit: 100_000,
    }
}
