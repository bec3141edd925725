//! Every verdict as data: two looks at a hub that is well, and what one difference makes of it.
//! Never asks a server.

use std::time::Duration;

use longhaul_backends::config::{Config, Sources};
use longhaul_backends::redis::Durability;
use longhaul_shared::id::{Epoch, FunctionName, LeaseToken, MessageId, QueueName, WorkerId};
use longhaul_shared::port::{
    BrokerCondition, Census, Depth, HeldLease, HubInfo, Persistence, StatusCounts, StoreCondition, StoreRole,
    StoreRun, WorkerRow,
};
use longhaul_shared::time::Timestamp;

use super::check::{Check, Verdict};
use super::fleet::Looks;
use super::look::Look;
use super::{judge, servers};

fn worker(id: &str, hosts: &[&str]) -> WorkerRow {
    WorkerRow {
        id: WorkerId::new(id).unwrap(),
        hosts: hosts
            .iter()
            .map(|host| FunctionName::new(host).unwrap())
            .collect(),
    }
}

fn lease(owner: &str) -> Option<HeldLease> {
    Some(HeldLease {
        owner: WorkerId::new(owner).unwrap(),
        token: LeaseToken::from("1:1"),
        consuming: true,
        expires_in: Duration::from_secs(9),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "as a look has it")]
fn depth(ready: u64, consumers: u32) -> Option<Depth> {
    Some(Depth { ready, consumers })
}

fn census() -> Census {
    Census {
        by_status: StatusCounts {
            running: 3,
            ..StatusCounts::default()
        },
        ready_overdue: 0,
        ready_oldest: None,
        outbox: 1,
        timers: 2,
        next_timer: Some(seconds(200)),
    }
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// A look at a hub of two partitions that is well.
fn look(at: i64) -> Look {
    Look {
        now: seconds(at),
        here: seconds(at),
        store_takes: Duration::from_micros(300),
        broker_takes: Duration::from_millis(1),
        store: StoreCondition {
            kind: "redis",
            version: Some("7.0.15".to_owned()),
            run: StoreRun::default(),
            memory_used_bytes: Some(100 << 20),
            memory_max_bytes: Some(1000 << 20),
            role: Some(StoreRole::Primary),
            replicas: 0,
            persistence: Persistence {
                appendonly: Some("yes".to_owned()),
                appendfsync: Some("always".to_owned()),
                eviction: Some("noeviction".to_owned()),
            },
            is_last_write_ok: Some(true),
        },
        broker: BrokerCondition {
            kind: "rabbitmq",
            version: Some("4.1.0".to_owned()),
            is_connected: true,
            is_blocked: false,
            unconfirmed: 0,
        },
        has_epoch: true,
        workers: vec![worker("w1", &["a", "b"]), worker("w2", &["a", "b"])],
        leases: vec![lease("w1"), lease("w2")],
        census: vec![census(), census()],
        control: vec![depth(0, 1), depth(0, 1)],
        intake: depth(0, 2),
        dead: depth(5, 0),
        tasks: [(QueueName::default(), depth(0, 2))].into(),
        unsent: Default::default(),
        parked: 0,
    }
}

fn looks() -> Looks {
    Looks {
        hub: HubInfo {
            partitions: 2,
            epoch: Epoch::new(1),
            queue_type: "quorum".to_owned(),
            born: StoreRun::default(),
        },
        first: look(100),
        second: look(102),
    }
}

fn config() -> Config {
    Config::load(Sources::default()).unwrap()
}

/// The checks that are not ok once `second` and, if `in_both`, the first look are changed so.
fn not_ok(in_both: bool, change: impl Fn(&mut Look)) -> Vec<(&'static str, Verdict, String)> {
    let mut looks = looks();
    change(&mut looks.second);
    if in_both {
        change(&mut looks.first);
    }
    let checks = judge(&looks, &config());
    let told = |check: Check| {
        let remedy = check.remedy.unwrap_or_default();
        assert!(
            !remedy.is_empty() || check.verdict == Verdict::Ok,
            "{}",
            check.name
        );
        (check.name, check.verdict, check.finding)
    };
    let not_ok = checks.into_iter().filter(|check| check.verdict != Verdict::Ok);
    not_ok.map(told).collect()
}

/// Checks that this change in both looks makes this one check so, and no other.
fn check(name: &str, verdict: Verdict, parts: &[&str], change: impl Fn(&mut Look)) {
    let told = not_ok(true, change);
    let [(found, how, finding)] = told.as_slice() else {
        panic!("{name}: {told:?}");
    };
    assert_eq!((*found, *how), (name, verdict), "{finding}");
    for part in parts {
        assert!(finding.contains(part), "{part:?} is not in {finding:?}");
    }
}

/// Checks that a change that only one look shows is nobody's trouble.
fn passes(change: impl Fn(&mut Look)) {
    assert_eq!(not_ok(false, change), []);
}

#[test]
fn a_hub_that_is_well_is_called_so() {
    passes(|_| ());
    let checks = judge(&looks(), &config());
    let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
    assert_eq!(names.first(), Some(&"store"));
    assert_eq!(names.last(), Some(&"bottleneck"));
}

#[test]
fn what_is_wrong_with_the_servers_is_told() {
    let fail = Verdict::Fail;
    check("store", fail, &["replica"], |look| {
        look.store.role = Some(StoreRole::Replica)
    });
    check("broker", fail, &["takes no messages"], |look| {
        look.broker.is_blocked = true
    });
    check("persistence", fail, &["everysec", "lose"], |look| {
        look.store.persistence.appendfsync = Some("everysec".to_owned());
    });
    check("persistence", fail, &["allkeys-lru"], |look| {
        look.store.persistence.eviction = Some("allkeys-lru".to_owned());
    });
    check("persistence", fail, &["last write"], |look| {
        look.store.is_last_write_ok = Some(false)
    });
    check("persistence", Verdict::Warn, &["hidden"], |look| {
        look.store.persistence = Persistence::default();
    });
    check("memory", fail, &["85 %", "refused"], |look| {
        look.store.memory_used_bytes = Some(850 << 20)
    });
    check("memory", Verdict::Warn, &["70 %"], |look| {
        look.store.memory_used_bytes = Some(700 << 20)
    });
    check("clock", Verdict::Warn, &["7s ahead"], |look| {
        look.here = look.now.plus(Duration::from_secs(7))
    });
    check("clock", Verdict::Warn, &["7s behind"], |look| {
        look.here = Timestamp::from_micros(look.now.micros() - 7_000_000);
    });
    passes(|look| look.store.memory_max_bytes = None);
}

#[test]
fn a_replicated_hub_needs_its_replica_and_no_sync_of_its_own() {
    let mut store = look(100).store;
    store.persistence.appendfsync = Some("everysec".to_owned());
    let alone = servers::persistence(&store, Durability::Replicated);
    assert_eq!(alone.verdict, Verdict::Fail, "{alone:?}");
    store.replicas = 1;
    let followed = servers::persistence(&store, Durability::Replicated);
    assert_eq!(followed.verdict, Verdict::Ok, "{followed:?}");
}

/// A check, what it says, and what makes it say so.
type Case = (&'static str, &'static [&'static str], fn(&mut Look));

#[test]
fn what_is_wrong_with_the_fleet_is_told_if_it_lasts() {
    let fail = Verdict::Fail;
    let changes: [Case; 5] = [
        ("epoch", &["epoch 1"], |look| look.has_epoch = false),
        ("partitions", &["1 of 2", "001"], |look| look.leases[1] = None),
        ("partitions", &["1 of 2", "000"], |look| {
            if let Some(lease) = &mut look.leases[0] {
                lease.expires_in = Duration::ZERO;
            }
        }),
        ("owners", &["1 owned partition: 001", "w2"], |look| {
            look.control[1] = depth(3, 0)
        }),
        ("intake", &["nobody receives"], |look| look.intake = depth(4, 0)),
    ];
    for (name, parts, change) in changes {
        check(name, fail, parts, change);
        passes(change);
    }
    check("tasks", fail, &["4 in default"], |look| {
        look.tasks.insert(QueueName::default(), depth(4, 0));
    });
    check("tasks", Verdict::Warn, &["no activity worker"], |look| {
        look.tasks.insert(QueueName::default(), depth(0, 0));
    });
    let lost = not_ok(true, |look| look.control[0] = None);
    assert_eq!(
        lost.iter().map(|told| told.0).collect::<Vec<_>>(),
        ["queues", "owners"]
    );
    assert!(
        lost[0].2.contains("1 queue missing in RabbitMQ: ctl.000"),
        "{lost:?}"
    );
    passes(|look| look.control[0] = None);
}

#[test]
fn workers_that_host_different_orchestrations_are_told_with_the_difference() {
    check("workers", Verdict::Warn, &["w2 lacks b"], |look| {
        look.workers[1] = worker("w2", &["a"])
    });
    check("partitions", Verdict::Warn, &["w2", "no sign of life"], |look| {
        look.workers.truncate(1)
    });
    let gone = not_ok(true, |look| look.workers.clear());
    assert_eq!((gone[0].0, gone[0].1), ("workers", Verdict::Fail), "{gone:?}");
}

#[test]
fn what_is_late_or_set_aside_is_told() {
    check("parked", Verdict::Warn, &["2 set aside"], |look| look.parked = 2);
    check("outbox", Verdict::Fail, &["1 of 2 messages"], |look| {
        look.unsent.insert(MessageId::from_bits(1));
    });
    passes(|look| {
        look.unsent.insert(MessageId::from_bits(1));
    });
    let overdue = |age: u64| {
        move |look: &mut Look| {
            look.census[0].ready_overdue = 4;
            look.census[0].ready_oldest = Some(Duration::from_secs(age));
        }
    };
    check("turns", Verdict::Warn, &["4 instances", "7s"], overdue(7));
    check("turns", Verdict::Fail, &["1m 10s"], overdue(70));
    check("timers", Verdict::Warn, &["overdue by 12s"], |look| {
        look.census[0].next_timer = Some(seconds(90))
    });
    check("timers", Verdict::Fail, &["overdue by 1m 32s"], |look| {
        look.census[0].next_timer = Some(seconds(10));
    });
    passes(overdue(7));
}

#[test]
fn the_bottleneck_is_what_grows() {
    let bottleneck = |change: &dyn Fn(&mut Look)| {
        let mut looks = looks();
        change(&mut looks.second);
        super::work::bottleneck(&looks)
    };
    let named = |change: &dyn Fn(&mut Look), who: &str, remedy: &str| {
        let told = bottleneck(change);
        assert_eq!(told.verdict, Verdict::Warn, "{told:?}");
        assert!(told.finding.starts_with(who), "{told:?}");
        assert!(
            told.remedy.as_deref().unwrap_or_default().contains(remedy),
            "{told:?}"
        );
    };
    let tasks = |look: &mut Look| {
        look.tasks.insert(QueueName::default(), depth(300, 2));
    };
    let turns = |look: &mut Look| look.control[1] = depth(300, 1);
    named(
        &tasks,
        "the activity workers of queue default: tasks waiting 0 -> 300 in 2.0 s",
        "activity.concurrency",
    );
    named(
        &turns,
        "the orchestrator workers: turns waiting 0 -> 300",
        "one for each partition",
    );
    named(
        &|look| look.census[0].ready_overdue = 40,
        "the orchestrator workers",
        "more orchestrator workers",
    );
    named(
        &|look| look.intake = depth(50, 2),
        "the intake: start messages waiting 0 -> 50",
        "memory",
    );
    // Tasks may wait because turns do.
    named(
        &|look| {
            tasks(look);
            turns(look);
        },
        "the orchestrator workers",
        "orchestrator workers",
    );
    let slow = Looks {
        first: Look {
            store_takes: Duration::from_millis(30),
            ..look(100)
        },
        second: Look {
            store_takes: Duration::from_millis(40),
            control: vec![depth(300, 1), depth(0, 1)],
            ..look(102)
        },
        ..looks()
    };
    let told = super::work::bottleneck(&slow);
    assert!(
        told.finding
            .starts_with("the store: it answers in 30.0 ms and 40.0 ms"),
        "{told:?}"
    );
    let stands = |waiting: [u64; 2]| {
        let mut looks = looks();
        let look = |look: &mut Look, ready| look.tasks.insert(QueueName::default(), depth(ready, 2));
        look(&mut looks.first, waiting[0]);
        look(&mut looks.second, waiting[1]);
        super::work::bottleneck(&looks).verdict
    };
    assert_eq!(stands([500, 500]), Verdict::Warn);
    assert_eq!(stands([500, 400]), Verdict::Ok);
    assert_eq!(stands([50, 50]), Verdict::Ok);
    let few = bottleneck(&|look| look.control[1] = depth(9, 1));
    assert_eq!(few.verdict, Verdict::Ok, "{few:?}");
}
