//! What goes well: steps, many at once, timers, inline steps, many instances.

use std::time::Duration;

use futures::future::join_all;
use longhaul_examples::contracts::{HELLO_SEQUENCE, INLINE_STEPS, REMINDER, ReminderRequest, SUM_OF_SQUARES};
use longhaul_shared::history::EventKind;

use crate::site::Site;

pub(crate) async fn steps_run_one_after_the_other(site: &Site) {
    let run = site.start_new(HELLO_SEQUENCE, "greetings", ()).await;
    let greetings = site.output(&run).await;
    assert_eq!(greetings, ["Hello, Tokyo!", "Hello, Seattle!", "Hello, London!"]);

    let history = site.load("greetings").await.history;
    let tasks: Vec<_> = history
        .iter()
        .filter(|event| event.kind.task().is_some())
        .map(|event| event.kind.name())
        .collect();
    assert_eq!(tasks, ["TaskScheduled", "TaskCompleted"].repeat(3));
}

pub(crate) async fn a_thousand_activities_run_at_once(site: &Site) {
    sum_of_squares(site, 1_000).await;
}

pub(crate) async fn ten_thousand_activities_run_at_once(site: &Site) {
    sum_of_squares(site, 10_000).await;
}

async fn sum_of_squares(site: &Site, n: u64) {
    let run = site.start_new(SUM_OF_SQUARES, "sum", n).await;
    assert_eq!(site.output(&run).await, n * (n + 1) * (2 * n + 1) / 6);
    let history = site.load("sum").await.history;
    let completed = history
        .iter()
        .filter(|event| matches!(event.kind, EventKind::TaskCompleted(_)));
    assert_eq!(completed.count() as u64, n);
}

pub(crate) async fn timers_are_never_early(site: &Site) {
    let spans: Vec<u64> = (0..40).map(|n| n * 25).collect();
    let before = site.ports.store.time().await.unwrap();
    let mut runs = Vec::new();
    for after_ms in &spans {
        let request = ReminderRequest { after_ms: *after_ms };
        runs.push(
            site.start_new(REMINDER, &format!("reminder-{after_ms}"), request)
                .await,
        );
    }
    for (run, after_ms) in runs.iter().zip(spans) {
        let reminded = site.output(run).await;
        let after = site.ports.store.time().await.unwrap();
        let due = before.plus(Duration::from_millis(after_ms)).micros();
        assert!(reminded.due_micros >= due, "{reminded:?} is due before {due}");
        assert!(
            reminded.woke_micros >= reminded.due_micros,
            "{reminded:?} is early"
        );
        assert!(
            reminded.woke_micros <= after.micros(),
            "{reminded:?} woke up after {after:?}"
        );
    }
}

pub(crate) async fn inline_steps_run_without_a_queue(site: &Site) {
    let run = site.start_new(INLINE_STEPS, "inline", 3).await;
    assert_eq!(site.output(&run).await, ((3 + 1) * 2_u64).pow(2));
}

pub(crate) async fn two_hundred_instances_get_their_own_answers(site: &Site) {
    const INSTANCES: u64 = 200;
    let each = async |n: u64| {
        let id = format!("instance-{n}");
        match n % 3 {
            0 => {
                let run = site.start_new(SUM_OF_SQUARES, &id, n).await;
                site.output(&run).await == n * (n + 1) * (2 * n + 1) / 6
            }
            1 => {
                let run = site.start_new(INLINE_STEPS, &id, n).await;
                site.output(&run).await == (2 * n + 2).pow(2)
            }
            _ => {
                let run = site.start_new(HELLO_SEQUENCE, &id, ()).await;
                site.output(&run).await.len() == 3
            }
        }
    };
    let answers = join_all((0..INSTANCES).map(each)).await;
    let wrong: Vec<_> = (0..INSTANCES)
        .zip(answers)
        .filter(|(_, is_right)| !is_right)
        .collect();
    assert_eq!(wrong, [], "wrong answers");
}
