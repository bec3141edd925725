//! Owns those who start instances and wait for them: callers of the client library, and a foreign service.
//! Never gives up on a start before it is accepted.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use longhaul_client::{Client, StartError, WaitError};
use longhaul_shared::code;
use longhaul_shared::id::{InstanceId, MessageId};
use longhaul_shared::message::{ContentType, Destination, Publication};
use longhaul_shared::port::{HubSettings, PageRequest, Ports};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;

use crate::executor::micros;
use crate::plan::Planned;
use crate::stage::{Stage, Told, hub};
use crate::workload::RECIPE;

/// How soon whoever failed tries again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often an operator looks at what is parked.
const OPERATE_EVERY: Duration = Duration::from_secs(20);
/// How long after the calm a start by message may still be unknown before its sender gives it up.
const UNKNOWN_MAX: u64 = 60;

/// Starts what is planned and waits for it; after a crash, what is not known to have ended.
pub(crate) async fn run(world: Stage, ports: Ports) {
    let settings = HubSettings {
        partitions: world.plan().partitions,
    };
    let client = loop {
        match Client::with_hub_settings(ports.clone(), hub(), settings).await {
            Ok(client) => break client,
            Err(_) => ports.runtime.sleep(AGAIN_AFTER).await,
        }
    };
    let planned = world.plan().instances.clone();
    let open = planned
        .into_iter()
        .filter(|planned| world.seen().of(&planned.id).told.is_none());
    let callers = join_all(open.map(|planned| attend(&world, &ports, &client, planned)));
    futures::future::select(callers, std::pin::pin!(operate(&world, &ports, &client))).await;
}

/// Sends again, once it is calm, what was parked: so many faults can hit an activity that it looks like their cause.
async fn operate(world: &Stage, ports: &Ports, client: &Client) {
    loop {
        ports.runtime.sleep(OPERATE_EVERY).await;
        if !world.is_calm() {
            continue;
        }
        let page = PageRequest {
            cursor: None,
            limit: 100,
        };
        let Ok(parked) = client.parked(page).await else {
            continue;
        };
        let works = parked
            .messages
            .iter()
            .filter(|message| !matches!(message.origin, Destination::Intake));
        for message in works.filter(|message| message.code != code::RESULT_UNKNOWN.to_string()) {
            world
                .room()
                .note(|| format!("client  requeues {} [{}]", message.id, message.code));
            // What fails now is tried again with the next look.
            let _ = client.requeue(message.id).await;
        }
    }
}

/// Sees one instance from its start to its end.
async fn attend(world: &Stage, ports: &Ports, client: &Client, planned: Planned) {
    until(world, ports, planned.at).await;
    if !world.seen().of(&planned.id).accepted {
        if planned.by_message {
            publish(world, ports, &planned).await;
        } else {
            start(world, ports, client, &planned).await;
        }
        world.seen().accepted(&planned.id);
        world
            .room()
            .note(|| format!("client  {} is accepted", planned.id));
    }
    let Ok(id) = InstanceId::new(&planned.id) else {
        return;
    };
    let (told, ()) = futures::join!(
        wait(world, ports, client, &planned, &id),
        terminate(world, ports, client, &planned, &id)
    );
    world
        .room()
        .note(|| format!("client  {} is known to be {told:?}", planned.id));
    if world.seen().told(&planned.id, told) {
        world.ended();
    }
}

async fn until(world: &Stage, ports: &Ports, at: u64) {
    let now = world.room().now();
    if at > now {
        ports.runtime.sleep(Duration::from_micros(at - now)).await;
    }
}

async fn start(world: &Stage, ports: &Ports, client: &Client, planned: &Planned) {
    loop {
        let call = client
            .start(RECIPE, planned.recipe.clone())
            .id(&planned.id)
            .start_id(format!("start-{}", planned.id));
        match call.await {
            Ok(_) => return,
            Err(StartError::Unsettled { .. } | StartError::Store(_)) => {
                ports.runtime.sleep(AGAIN_AFTER).await
            }
            Err(error) => {
                world
                    .oracle()
                    .accuse(format!("the start of {} is refused: {error}", planned.id));
                return;
            }
        }
    }
}

/// Starts an instance as a foreign service does: a message on the intake queue, sent until it is confirmed.
async fn publish(world: &Stage, ports: &Ports, planned: &Planned) {
    let body = serde_json::json!({
        "orchestration": RECIPE.name(),
        "id": planned.id,
        "start_id": format!("start-{}", planned.id),
        "input": planned.recipe,
    });
    let message = Publication {
        destination: Destination::Intake,
        id: MessageId::of(&[b"foreign", planned.id.as_bytes()]),
        kind: "start".to_owned(),
        correlation: None,
        content_type: ContentType::Json.as_str().to_owned(),
        time: Timestamp::default(),
        trace: TraceContext::default(),
        body: Bytes::from(body.to_string()),
    };
    loop {
        let answers = ports.broker.publish(vec![message.clone()]).await;
        if matches!(answers.first(), Some(Ok(()))) {
            return;
        }
        world
            .room()
            .note(|| format!("client  {} is sent again", planned.id));
        ports.runtime.sleep(AGAIN_AFTER).await;
    }
}

async fn wait(world: &Stage, ports: &Ports, client: &Client, planned: &Planned, id: &InstanceId) -> Told {
    let handle = client.handle(id.clone()).of(RECIPE);
    loop {
        match handle.wait().await {
            Ok(sum) => return Told::Completed(sum),
            Err(WaitError::Failed { failure, .. }) => return Told::Failed(failure.to_string()),
            Err(WaitError::Terminated { .. }) => return Told::Terminated,
            Err(WaitError::Unknown { .. }) => {
                let lost =
                    world.oracle().has_amnesia() || (planned.by_message && world.plan().loses_messages());
                let late = world.plan().calm_at + micros(Duration::from_secs(UNKNOWN_MAX));
                if (!planned.by_message && !lost) || world.room().now() > late {
                    return Told::Unknown;
                }
            }
            Err(WaitError::Undecodable { .. }) => {
                return Told::Failed("its output cannot be read".to_owned());
            }
            Err(_) => {}
        }
        ports.runtime.sleep(AGAIN_AFTER).await;
    }
}

async fn terminate(world: &Stage, ports: &Ports, client: &Client, planned: &Planned, id: &InstanceId) {
    let Some(at) = planned.terminate_at else { return };
    until(world, ports, at).await;
    let answer = client.terminate(id, "as planned").await;
    world
        .room()
        .note(|| format!("client  terminate {id}: {answer:?}"));
}
