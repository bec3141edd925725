//! What cannot go on: it waits, says for what, hurts no neighbour, and goes on or ends when it is helped.

use longhaul_examples::contracts::{HELLO_SEQUENCE, MISSPELT_ACTIVITY, NOT_DURABLE, PANICKING};
use longhaul_sdk::{Activity, ActivityContext, BoxError, Orchestration};
use longhaul_shared::id::{FunctionName, QueueName};
use longhaul_shared::instance::{Status, WaitingFor};

use crate::site::{Kind, Site};

pub(crate) async fn an_unknown_orchestration_waits_visibly_and_runs_once_it_is_hosted(site: &Site) {
    const LATECOMER: Orchestration<u64, u64> = Orchestration::new("latecomer");
    let run = site.start_new(LATECOMER, "early", 20).await;
    let name = LATECOMER.function_name();
    let shown = site.shown_waiting("early").await;
    assert_eq!(shown, (Status::Pending, WaitingFor::Orchestration { name }));

    site.stop(Kind::Orchestrator).await;
    let hosted =
        longhaul_examples::orchestrations().register(LATECOMER, |_ctx, n: u64| async move { Ok(n + 1) });
    site.orchestrate(hosted).await;
    assert_eq!(site.output(&run).await, 21);
    assert_eq!(site.load("early").await.row.waiting_for, None);
}

pub(crate) async fn an_unknown_activity_waits_visibly_and_runs_once_it_is_hosted(site: &Site) {
    const SAY_HELO: Activity<String, String> = Activity::new("say_helo");
    async fn say_helo(_ctx: ActivityContext, _to: String) -> Result<String, BoxError> {
        Ok("Helo".to_owned())
    }
    let run = site.start_new(MISSPELT_ACTIVITY, "misspelt", ()).await;
    let expected = WaitingFor::Activity {
        name: FunctionName::new("say_helo").unwrap(),
        queue: QueueName::default(),
    };
    assert_eq!(site.shown_waiting("misspelt").await, (Status::Running, expected));
    let events = site.load("misspelt").await.history.len();

    site.stop(Kind::Activity).await;
    site.act(longhaul_examples::activities().register(SAY_HELO, say_helo))
        .await;
    site.output(&run).await;
    let loaded = site.load("misspelt").await;
    assert_eq!(loaded.row.waiting_for, None);
    assert_eq!(loaded.history.len(), events + 4, "the waiting left no event");
}

pub(crate) async fn a_panic_pauses_the_instance_and_no_other(site: &Site) {
    pauses(site, PANICKING, "LH1102", "index out of bounds").await;
}

pub(crate) async fn awaiting_what_is_not_durable_pauses_the_instance_and_no_other(site: &Site) {
    pauses(site, NOT_DURABLE, "LH1101", "not durable").await;
}

async fn pauses(site: &Site, mistake: Orchestration<(), ()>, code: &str, says: &str) {
    site.start_new(mistake, "mistake", ()).await;
    paused(site, "mistake", code, says).await;

    let neighbour = site.neighbour_of("mistake");
    let run = site.start_new(HELLO_SEQUENCE, &neighbour, ()).await;
    assert_eq!(site.output(&run).await.len(), 3);

    site.terminate("mistake", "seen enough").await;
    assert_eq!(site.ended("mistake").await.status, Status::Terminated);
}

/// Waits until the list shows an instance as paused with this code, in these words.
pub(super) async fn paused(site: &Site, id: &str, code: &str, says: &str) {
    let (_, waiting_for) = site.shown_waiting(id).await;
    let WaitingFor::Paused { code: shown, message } = waiting_for else {
        panic!("{id} waits for {waiting_for}");
    };
    assert_eq!(shown, code, "{message}");
    assert!(message.contains(code) && message.contains(says), "{message}");
}
