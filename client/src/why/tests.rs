//! Every case of an explanation, as data: what is known, and what is said of it.
//! Never asks a store or a broker.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::history::{
    EventKind, HistoryEvent, Place, TaskCompleted, TaskFailed, TaskScheduled, TimerCreated,
};
use longhaul_shared::id::{
    Dispatch, Fingerprint, FunctionName, LeaseToken, ParkedId, PartitionId, QueueName, TaskId, WorkerId,
};
use longhaul_shared::instance::{Status, WaitingFor};
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{Depth, HeldLease, WorkerRow};
use longhaul_shared::time::Timestamp;

use super::evidence::{Evidence, QueueStand};
use super::explain::explain;
use crate::sample::row;

const NOW: i64 = 100_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn name(text: &str) -> FunctionName {
    FunctionName::new(text).unwrap()
}

fn there(ready: u64, consumers: u32) -> QueueStand {
    QueueStand::There(Depth { ready, consumers })
}

fn worker(id: &str, hosts: &[&str]) -> WorkerRow {
    WorkerRow {
        id: WorkerId::new(id).unwrap(),
        hosts: hosts.iter().map(|host| name(host)).collect(),
    }
}

/// A running instance whose partition is owned by a worker that lives and consumes.
fn evidence(history: Vec<HistoryEvent>) -> Evidence {
    Evidence {
        now: Timestamp::from_micros(NOW),
        row: row(Status::Running),
        unread: 0,
        history,
        partition: PartitionId(3),
        is_at_rest: false,
        lease: Some(HeldLease {
            owner: WorkerId::new("w1").unwrap(),
            token: LeaseToken::from("1:1"),
            consuming: true,
            expires_in: Duration::from_secs(5),
        }),
        workers: vec![worker("w1", &["sample"])],
        control: there(0, 1),
        queues: BTreeMap::from([(QueueName::default(), there(0, 2))]),
        unsent: Default::default(),
        attempts: BTreeMap::new(),
    }
}

fn event(seconds: i64, kind: EventKind) -> HistoryEvent {
    HistoryEvent {
        time: at(seconds),
        kind,
    }
}

fn scheduled(seconds: i64, task: u32, activity: &str, place: Place) -> HistoryEvent {
    let scheduled = TaskScheduled {
        task: TaskId(task),
        name: name(activity),
        fingerprint: Fingerprint(0),
        place,
        input: None,
        timeout: None,
        tags: BTreeMap::new(),
    };
    event(seconds, EventKind::TaskScheduled(scheduled))
}

fn on_default(seconds: i64, task: u32, activity: &str) -> HistoryEvent {
    scheduled(seconds, task, activity, Place::Queue(QueueName::default()))
}

fn completed(seconds: i64, task: u32) -> HistoryEvent {
    let completed = TaskCompleted {
        task: TaskId(task),
        dispatch: Dispatch(1),
        output: Payload::unit(),
    };
    event(seconds, EventKind::TaskCompleted(completed))
}

fn failed(seconds: i64, task: u32) -> HistoryEvent {
    let failed = TaskFailed {
        task: TaskId(task),
        dispatch: Dispatch(1),
        failure: Failure::new(FailureKind::Application, "no"),
    };
    event(seconds, EventKind::TaskFailed(failed))
}

fn timer(seconds: i64, task: u32, due: i64) -> HistoryEvent {
    let created = TimerCreated {
        task: TaskId(task),
        due: at(due),
    };
    event(seconds, EventKind::TimerCreated(created))
}

/// Kind, age in seconds, whether a person is needed, and what is said of each wait.
fn told(evidence: &Evidence) -> Vec<(&'static str, u64, bool, String)> {
    let why = explain(evidence);
    let waits = why.waits.iter().map(|wait| {
        let reason = &wait.reason;
        let age = why.now.since(wait.since).as_secs();
        (
            reason.kind(),
            age,
            reason.needs_a_person(),
            format!("{reason}; {}", reason.remedy()),
        )
    });
    waits.collect()
}

/// Checks the first wait, and that it says each of these.
fn check(evidence: &Evidence, kind: &str, age: u64, needs_a_person: bool, parts: &[&str]) {
    let told = told(evidence);
    let first = told.first().unwrap();
    assert_eq!(
        (first.0, first.1, first.2),
        (kind, age, needs_a_person),
        "{told:?}"
    );
    for part in parts {
        assert!(first.3.contains(part), "{part:?} is not in {:?}", first.3);
    }
}

#[test]
fn one_that_has_ended_waits_for_nothing() {
    for status in [Status::Completed, Status::Failed, Status::Terminated] {
        let ended = Evidence {
            row: row(status),
            ..evidence(vec![on_default(10, 1, "a")])
        };
        let why = explain(&ended);
        assert!(why.waits.is_empty() && why.steps.is_empty(), "{why:?}");
    }
}

#[test]
fn a_hub_in_a_directory_is_at_rest_while_it_is_looked_at() {
    let at_rest = Evidence {
        is_at_rest: true,
        lease: None,
        ..evidence(vec![on_default(10, 1, "a")])
    };
    check(
        &at_rest,
        "hub_at_rest",
        90,
        true,
        &["directory", "run the program"],
    );
    assert_eq!(explain(&at_rest).waits.len(), 2);
}

#[test]
fn ownership_comes_before_everything_else() {
    let base = || evidence(vec![on_default(10, 1, "a")]);
    let nobody = Evidence {
        lease: None,
        workers: Vec::new(),
        ..base()
    };
    check(
        &nobody,
        "no_orchestrator_worker",
        90,
        true,
        &["none of this hub is alive", "start an"],
    );
    let unowned = Evidence {
        lease: None,
        ..base()
    };
    check(&unowned, "no_owner", 90, false, &["partition 003"]);

    let mut expired = base();
    if let Some(lease) = &mut expired.lease {
        lease.expires_in = Duration::ZERO;
    }
    check(&expired, "owner_silent", 90, false, &["w1 did not renew"]);
    expired.workers.clear();
    check(&expired, "no_orchestrator_worker", 90, true, &[]);

    let deleted = Evidence {
        control: QueueStand::Missing,
        ..base()
    };
    check(&deleted, "owner_deaf", 90, false, &["w1", "003", "restart it"]);
    let killed = Evidence {
        control: there(1, 0),
        ..base()
    };
    check(&killed, "owner_deaf", 90, false, &[]);
    let not_told = Evidence {
        control: QueueStand::Unknown,
        ..base()
    };
    check(&not_told, "activity", 90, false, &[]);
}

#[test]
fn a_task_that_nobody_serves_is_told_from_one_that_waits_its_turn_and_one_that_runs() {
    let with = |stand| Evidence {
        queues: BTreeMap::from([(QueueName::default(), stand)]),
        ..evidence(vec![
            on_default(10, 1, "a"),
            completed(11, 1),
            on_default(20, 2, "b"),
        ])
    };
    let nobody = [
        "activity b (task 2)",
        "no activity worker serves queue default",
        "3 messages",
        "registers b",
    ];
    check(&with(there(3, 0)), "no_activity_worker", 80, true, &nobody);
    check(
        &with(QueueStand::Missing),
        "no_activity_worker",
        80,
        true,
        &["does not exist"],
    );
    check(
        &with(there(7, 2)),
        "activity",
        80,
        false,
        &["messages waiting: 7", "consumers: 2", "start more"],
    );
    check(
        &with(there(0, 2)),
        "activity",
        80,
        false,
        &["it is being run", "answer of the activity"],
    );
    check(
        &with(QueueStand::Unknown),
        "activity",
        80,
        false,
        &["on queue default"],
    );
}

#[test]
fn tasks_of_one_activity_are_told_together_with_the_oldest_age() {
    let history = (1..=1_000).map(|task| on_default(10 + i64::from(task == 1), task, "copy"));
    let told = told(&evidence(history.collect()));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].0, told[0].1), ("activity", 90));
    assert!(told[0].3.contains("1000 tasks from 2 on"), "{told:?}");
}

#[test]
fn a_message_in_the_outbox_is_told_once_it_is_old() {
    let unsent = |seconds| Evidence {
        unsent: [TaskId(1)].into(),
        ..evidence(vec![on_default(seconds, 1, "a")])
    };
    check(&unsent(10), "not_sent", 90, false, &["task 1", "outbox"]);
    check(&unsent(99), "activity", 1, false, &[]);
}

#[test]
fn timers_say_when_and_what_for() {
    let waiting = evidence(vec![timer(10, 4, 160)]);
    check(
        &waiting,
        "timer",
        90,
        false,
        &["timer (task 4), due at 1970-01-01T00:02:40", "by itself"],
    );
    let overdue = evidence(vec![timer(10, 4, 60)]);
    check(&overdue, "timer", 90, false, &["due since", "behind"]);
    let begin = || event(20, EventKind::OrchestratorStarted);
    let history = vec![
        on_default(10, 1, "charge"),
        begin(),
        failed(20, 1),
        timer(20, 2, 160),
    ];
    let pause = ["next attempt of charge (task 1 failed)", "timer 2", "due at"];
    check(&evidence(history), "timer", 80, false, &pause);
    // One that a later turn set has another reason.
    let history = vec![
        on_default(10, 1, "charge"),
        begin(),
        failed(20, 1),
        begin(),
        timer(20, 2, 160),
    ];
    check(&evidence(history), "timer", 80, false, &["timer (task 2), due"]);
}

#[test]
fn an_inline_step_runs_in_its_owner() {
    let history = vec![scheduled(10, 1, "stat", Place::Inline)];
    check(
        &evidence(history),
        "inline_step",
        90,
        false,
        &["inline step stat (task 1)"],
    );
}

/// The same with what its row says that it waits for: a task and a timer are open beside it.
fn waiting(waiting_for: WaitingFor) -> Evidence {
    let mut evidence = evidence(vec![on_default(10, 1, "a"), timer(10, 2, 160)]);
    evidence.row.waiting_for = Some(waiting_for);
    evidence
}

#[test]
fn a_halt_is_told_alone() {
    let halted = |evidence: &Evidence, kind: &str, parts: &[&str]| {
        check(evidence, kind, 90, true, parts);
        assert_eq!(explain(evidence).waits.len(), 1);
    };
    let mut elsewhere = waiting(WaitingFor::Orchestration { name: name("sample") });
    elsewhere.workers = vec![worker("w1", &[]), worker("w2", &["sample"])];
    halted(
        &elsewhere,
        "orchestration_not_hosted",
        &["w2 does", "same orchestrations"],
    );
    elsewhere.workers.pop();
    halted(&elsewhere, "orchestration_not_hosted", &["no other", "misspelt"]);

    let (code, message) = ("LH1102".to_owned(), "LH1102: it panicked".to_owned());
    let paused = waiting(WaitingFor::Paused { code, message });
    halted(
        &paused,
        "paused",
        &["corrected code: LH1102: it panicked", "explain LH1102"],
    );

    let (code, message) = ("LH1110".to_owned(), "it kills".to_owned());
    let stuck = waiting(WaitingFor::Stuck {
        code,
        message,
        attempts: 6,
    });
    halted(
        &stuck,
        "stuck",
        &["[LH1110] it kills", "longhaul parked requeue a"],
    );
}

#[test]
fn a_task_that_cannot_go_on_comes_before_what_is_beside_it_and_is_told_once() {
    let first = |evidence: &Evidence, kind: &str, parts: &[&str]| {
        check(evidence, kind, 90, true, parts);
        let kinds: Vec<_> = told(evidence).iter().map(|told| told.0).collect();
        assert_eq!(kinds, [kind, "timer"]);
    };
    let parked = ParkedId::from_bits(7);
    let task = waiting(WaitingFor::ParkedTask {
        task: TaskId(1),
        name: name("a"),
        code: "LH1302".to_owned(),
        parked,
    });
    first(
        &task,
        "task_parked",
        &["a (task 1)", &format!("requeue {parked}")],
    );

    let (activity, queue) = (name("a"), QueueName::default());
    let not_hosted = waiting(WaitingFor::Activity {
        name: activity,
        queue,
    });
    let parts = ["served by 2, and who was asked does not", "registers a"];
    first(&not_hosted, "activity_not_hosted", &parts);
}

#[test]
fn one_that_nobody_has_come_to_waits_for_its_turn() {
    let pending = Evidence {
        row: row(Status::Pending),
        ..evidence(Vec::new())
    };
    check(&pending, "turn", 100, false, &["its next turn", "two seconds"]);
    let unread = Evidence {
        unread: 2,
        ..evidence(vec![on_default(10, 1, "a")])
    };
    check(&unread, "turn", 90, false, &["2 unread messages"]);
    check(&evidence(Vec::new()), "turn", 100, false, &[]);
}

#[test]
fn runs_that_did_not_end_are_told() {
    let begun = Evidence {
        attempts: BTreeMap::from([(TaskId(1), 3)]),
        ..evidence(vec![on_default(10, 1, "a")])
    };
    check(&begun, "activity", 90, false, &["3 runs did not come to an end"]);
}
