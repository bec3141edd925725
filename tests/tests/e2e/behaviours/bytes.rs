//! Ids and names that hold any byte: each is refused where it is said, or comes back as it was wherever it is shown.

use std::collections::BTreeMap;

use longhaul_sdk::{Activity, ActivityContext, BoxError, Orchestration, OrchestrationContext};
use longhaul_shared::id::{FunctionName, InstanceId, QueueName, StartId};
use longhaul_shared::instance::{Status, WaitingFor};
use longhaul_shared::payload::Payload;

use crate::site::{DEADLINE, Kind, Site};

/// A text around each byte: as the character of that number and, where that is no text, not at all.
fn texts(prefix: &str) -> BTreeMap<u8, String> {
    (0..=u8::MAX)
        .map(|byte| (byte, format!("{prefix}{}{prefix}", char::from(byte))))
        .collect()
}

pub(crate) async fn instance_ids_of_every_byte_are_refused_or_come_back(site: &Site) {
    const QUIET: Orchestration<u8, u8> = Orchestration::new("quiet");
    site.stop(Kind::Orchestrator).await;
    let hosted =
        longhaul_examples::orchestrations().register(QUIET, |_ctx, byte: u8| async move { Ok(byte) });
    site.orchestrate(hosted).await;
    let mut runs = BTreeMap::new();
    for (byte, text) in texts("i") {
        let is_control = char::from(byte).is_control();
        assert_eq!(InstanceId::new(text.clone()).is_err(), is_control, "{text:?}");
        assert_eq!(StartId::new(text.clone()).is_err(), is_control, "{text:?}");
        let start = site
            .client
            .start(QUIET, byte)
            .id(text.clone())
            .start_id(text.clone());
        match start.await {
            Ok(run) => assert!(runs.insert(text, (byte, run)).is_none() && !is_control),
            Err(error) => assert!(is_control && error.to_string().contains("LH1005"), "{error}"),
        }
    }
    assert_eq!(runs.len(), 256 - 65, "all but the control characters");
    for (text, (byte, run)) in &runs {
        assert_eq!(site.output(run).await, *byte, "{text:?}");
        let row = site.load(text).await.row;
        assert_eq!(
            (row.id.as_str(), row.start_id.as_str()),
            (text.as_str(), text.as_str())
        );
    }
    let listed = site.list().await;
    assert_eq!(listed.len(), runs.len());
    for shown in listed {
        assert!(runs.contains_key(shown.id.as_str()), "{:?}", shown.id);
        assert_eq!(shown.status, Status::Completed);
    }
}

pub(crate) async fn names_of_every_byte_are_refused_or_come_back(site: &Site) {
    let mut waiting = BTreeMap::new();
    for (byte, text) in texts("n") {
        let fits = byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        assert_eq!(FunctionName::new(text.clone()).is_ok(), fits, "{text:?}");
        assert_eq!(QueueName::new(text.clone()).is_ok(), fits, "{text:?}");
        if let Ok(name) = FunctionName::new(text.clone()) {
            let id = format!("of {text}");
            let start = site
                .client
                .start_by_name(name.clone(), Payload::unit())
                .id(id.clone());
            start.await.unwrap();
            waiting.insert(id, name);
        }
    }
    assert_eq!(waiting.len(), 65);
    let what = "every one waits for a worker that hosts its name";
    site.wait_until(what, DEADLINE, async || {
        let shown = site.list().await;
        let is_shown = |(id, name): (&String, &FunctionName)| {
            let shown = shown.iter().find(|shown| shown.id.as_str() == id);
            shown.is_some_and(|shown| {
                let expected = WaitingFor::Orchestration { name: name.clone() };
                shown.name == *name && shown.waiting_for == Some(expected)
            })
        };
        waiting.iter().all(is_shown).then_some(())
    })
    .await;
    for id in waiting.keys() {
        site.terminate(id, "seen enough").await;
    }
    for id in waiting.keys() {
        assert_eq!(site.ended(id).await.status, Status::Terminated);
    }
}

pub(crate) async fn a_queue_and_an_activity_of_every_byte_that_fits_are_served(site: &Site) {
    const NAME: &str = "az.AZ_09-abcdefghijklmnopqrstuvwxyz.ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789-";
    const ECHO: Activity<String, String> = Activity::new(NAME);
    const CALL: Orchestration<String, String> = Orchestration::new("call");
    site.stop(Kind::Orchestrator).await;
    site.stop(Kind::Activity).await;
    let hosted = longhaul_examples::orchestrations().register(
        CALL,
        |ctx: OrchestrationContext, text: String| async move {
            let queue = QueueName::new(NAME)?;
            Ok(ctx.activity(ECHO, text).queue(queue).await?)
        },
    );
    site.orchestrate(hosted).await;
    let echo = |_ctx: ActivityContext, text: String| async move { Ok::<_, BoxError>(text) };
    let queues = vec![QueueName::new(NAME).unwrap()];
    site.act_on(queues, longhaul_examples::activities().register(ECHO, echo))
        .await;
    let every_character: String = (0..=u8::MAX).map(char::from).collect();
    let run = site.start_new(CALL, "caller", every_character.clone()).await;
    assert_eq!(site.output(&run).await, every_character);
}
