//! What a service in any language may do that knows RabbitMQ and nothing else: publish starts on the intake queue.
//! Never uses a line of Longhaul's own broker adapter.

use std::collections::BTreeMap;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use longhaul_examples::contracts::{HELLO_SEQUENCE, JOURNAL_FAN_OUT, SUM_OF_SQUARES};
use longhaul_shared::id::StartId;
use longhaul_shared::limits;
use longhaul_shared::message::Destination;
use longhaul_shared::parked::ParkedMessage;
use longhaul_tests::servers::Servers;
use serde_json::json;

use crate::journal::Journal;
use crate::site::{Backend, DEADLINE, Site, instance};

const JSON: &str = "application/json";
const MSGPACK: &str = "application/msgpack";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_in_json_and_msgpack_run() {
    let site = Site::start(Backend::Fleet).await;
    let foreign = Foreign::connect(&site).await;
    let hello = json!({ "orchestration": "hello_sequence", "id": "in-json" });
    let sum = json!({ "orchestration": "sum_of_squares", "id": "in-msgpack", "input": 4, "tags": { "from": "afar" } });
    foreign
        .publish(
            &site,
            Some("m-1"),
            "application/json; charset=utf-8",
            hello.to_string(),
        )
        .await;
    foreign
        .publish(
            &site,
            Some("m-2"),
            MSGPACK,
            rmp_serde::to_vec_named(&sum).unwrap(),
        )
        .await;
    site.exists("in-json").await;
    site.exists("in-msgpack").await;
    let hello = site.client.handle(instance("in-json")).of(HELLO_SEQUENCE);
    assert_eq!(site.output(&hello).await.len(), 3);
    let sum = site.client.handle(instance("in-msgpack")).of(SUM_OF_SQUARES);
    assert_eq!(site.output(&sum).await, 1 + 4 + 9 + 16);
    let row = site.load("in-msgpack").await.row;
    assert_eq!(row.start_id, StartId::new("m-2").unwrap());
    assert_eq!(row.tags.get("from").map(String::as_str), Some("afar"));
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_an_instance_id_gets_one_that_its_message_id_decides() {
    let site = Site::start(Backend::Fleet).await;
    let foreign = Foreign::connect(&site).await;
    let start = json!({ "orchestration": "inline_steps", "input": 1 }).to_string();
    foreign.publish(&site, Some("order/17"), JSON, start).await;
    let id = site
        .wait_until("the instance is listed", DEADLINE, async || {
            site.list().await.first().map(|listed| listed.id.clone())
        })
        .await;
    // A client that repeats the start gets the same instance.
    let contract = longhaul_examples::contracts::INLINE_STEPS;
    let again = site.client.start(contract, 1).start_id("order/17").await.unwrap();
    assert_eq!(again.id(), &id);
    assert!(again.repeated().is_some());
    assert_eq!(site.output(&again).await, 16);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_published_again_runs_once_and_is_not_parked() {
    const LINES: u64 = 5;
    let site = Site::start(Backend::Fleet).await;
    let foreign = Foreign::connect(&site).await;
    let journal = Journal::at(site.path("journal"));
    let start = json!({ "orchestration": "journal_fan_out", "id": "once", "input": journal.request(LINES) });
    for _ in 0..10 {
        foreign
            .publish(&site, Some("the wish"), JSON, start.to_string())
            .await;
    }
    site.exists("once").await;
    let run = site.client.handle(instance("once")).of(JOURNAL_FAN_OUT);
    assert_eq!(site.output(&run).await, LINES);
    foreign
        .publish(&site, Some("the wish"), JSON, start.to_string())
        .await;
    // What was published before is dealt with once a later start has run.
    let later = json!({ "orchestration": "hello_sequence", "id": "later" });
    foreign
        .publish(&site, Some("later"), JSON, later.to_string())
        .await;
    site.exists("later").await;
    let what = "the intake queue is empty";
    site.wait_until(what, DEADLINE, async || {
        (foreign.count("intake").await == Some(0)).then_some(())
    })
    .await;
    journal.check("once", LINES, 1);
    assert_eq!(site.parked(0).await, []);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "it is a table of bad messages"
)]
async fn what_is_not_a_start_is_parked_with_its_reason_and_hurts_nobody() {
    let site = Site::start(Backend::Fleet).await;
    let foreign = Foreign::connect(&site).await;
    site.start_new(HELLO_SEQUENCE, "taken", ()).await;

    let hello = || json!({ "orchestration": "hello_sequence" }).to_string();
    let large = json!({ "orchestration": "sum_of_squares", "input": "x".repeat(limits::PAYLOAD_BYTES_MAX) });
    let bad: Vec<(&str, Option<&str>, &str, Vec<u8>, &str)> = vec![
        (
            "LH1001",
            Some("b-1"),
            JSON,
            b"{\"orchestration\":".to_vec(),
            "JSON",
        ),
        ("LH1001", Some("b-2"), "text/plain", hello().into(), "text/plain"),
        ("LH1001", Some("b-3"), MSGPACK, hello().into(), "msgpack"),
        (
            "LH1001",
            Some("b-4"),
            JSON,
            b"{\"orchestration\":\"hello_sequence\",\"inptu\":1}".to_vec(),
            "inptu",
        ),
        (
            "LH1001",
            Some("b-5"),
            JSON,
            b"{\"id\":\"nameless\"}".to_vec(),
            "orchestration",
        ),
        ("LH1001", Some("b-6"), JSON, Vec::new(), "JSON"),
        ("LH1002", None, JSON, hello().into(), "message_id"),
        (
            "LH1003",
            Some("b-7"),
            JSON,
            json!({ "orchestration": "hello_sequence", "id": "taken" })
                .to_string()
                .into(),
            "taken",
        ),
        (
            "LH1004",
            Some("b-8"),
            JSON,
            vec![b' '; limits::INTAKE_BYTES_MAX + 1],
            "INTAKE_BYTES_MAX",
        ),
        (
            "LH1004",
            Some("b-9"),
            JSON,
            large.to_string().into(),
            "PAYLOAD_BYTES_MAX",
        ),
        (
            "LH1005",
            Some("b-10"),
            JSON,
            json!({ "orchestration": "hello sequence" }).to_string().into(),
            "function name",
        ),
        (
            "LH1005",
            Some("b-11"),
            JSON,
            json!({ "orchestration": "hello_sequence", "id": "a\u{0}b" })
                .to_string()
                .into(),
            "instance id",
        ),
    ];
    for (_, message_id, content_type, body, _) in &bad {
        foreign
            .publish(&site, *message_id, content_type, body.clone())
            .await;
    }
    let parked = site.parked(bad.len()).await;
    for (code, message_id, content_type, body, says) in &bad {
        let is_it = |parked: &&ParkedMessage| parked.message_id.as_deref() == *message_id;
        let parked = parked
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{message_id:?} is not parked"));
        assert_eq!(
            (&*parked.code, &parked.origin),
            (*code, &Destination::Intake),
            "{}",
            parked.reason
        );
        assert!(
            parked.reason.contains(code) && parked.reason.contains(says),
            "{}",
            parked.reason
        );
        assert_eq!(parked.content_type.as_deref(), Some(*content_type));
        assert_eq!(parked.body, body, "kept as it came");
    }
    assert_eq!(parked.len(), bad.len(), "nothing else is parked");
    let what = "a copy of each is in the dead queue";
    let copies = u32::try_from(bad.len()).ok();
    site.wait_until(what, DEADLINE, async || {
        (foreign.count("dead").await == copies).then_some(())
    })
    .await;

    foreign
        .publish(
            &site,
            Some("good"),
            JSON,
            json!({ "orchestration": "hello_sequence", "id": "good" }).to_string(),
        )
        .await;
    site.exists("good").await;
    for id in ["good", "taken"] {
        let run = site.client.handle(instance(id)).of(HELLO_SEQUENCE);
        assert_eq!(site.output(&run).await.len(), 3, "{id}");
    }
    site.close().await;
}

/// What becomes of a start whose body holds a byte somewhere.
enum Fate {
    Started,
    Parked(&'static str),
}

/// Starts that hold a byte in their instance id, start id or name, as a character or bare; with their message ids.
fn starts_with(byte: u8) -> [(String, Vec<u8>, Fate, char); 4] {
    let character = char::from(byte);
    let is_control = character.is_control();
    let text = format!("b{character}b");
    let by_grammar = |fits: bool| {
        if fits {
            Fate::Started
        } else {
            Fate::Parked("LH1005")
        }
    };
    let start = |id: &str, start_id: &str, name: &str| {
        json!({ "orchestration": name, "id": id, "start_id": start_id, "input": 1 })
            .to_string()
            .into_bytes()
    };
    let in_id = start(&text, &format!("id-{byte}"), "sum_of_squares");
    let in_start_id = start(&format!("start-{byte}"), &text, "sum_of_squares");
    let is_named = byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let in_name = start(&format!("name-{byte}"), &format!("name-{byte}"), &text);
    // The bare byte, which may be half a character, or mean something in JSON.
    let bare = [
        br#"{"orchestration":"sum_of_squares","input":1,"id":"bare"#.as_slice(),
        &[byte],
        br#"","start_id":"bare-"#,
        byte.to_string().as_bytes(),
        br#""}"#,
    ]
    .concat();
    let bare_fate = match byte {
        b' '..=b'~' if byte != b'"' && byte != b'\\' => Fate::Started,
        // JSON knows DEL, the grammar of ids does not.
        0x7f => Fate::Parked("LH1005"),
        _ => Fate::Parked("LH1001"),
    };
    [
        ("id", in_id, by_grammar(!is_control)),
        ("start", in_start_id, by_grammar(!is_control)),
        ("name", in_name, by_grammar(is_named)),
        ("bare", bare, bare_fate),
    ]
    .map(|(what, body, fate)| (format!("{what}-{byte}"), body, fate, character))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_and_names_of_every_byte_are_started_or_parked() {
    let site = Site::start(Backend::Fleet).await;
    let foreign = Foreign::connect(&site).await;
    let mut fates = BTreeMap::new();
    for (message, body, fate, character) in (0..=u8::MAX).flat_map(starts_with) {
        foreign.publish(&site, Some(&message), JSON, body).await;
        fates.insert(message, (fate, character));
    }
    let parked_count = fates
        .values()
        .filter(|(fate, _)| matches!(fate, Fate::Parked(_)))
        .count();
    let parked = site.parked(parked_count).await;
    assert_eq!(parked.len(), parked_count);
    for (message, (fate, character)) in &fates {
        let found = parked
            .iter()
            .find(|parked| parked.message_id.as_ref() == Some(message));
        match fate {
            Fate::Parked(code) => {
                assert_eq!(found.map(|parked| parked.code.as_str()), Some(*code), "{message}")
            }
            Fate::Started => {
                assert_eq!(found, None, "{message}");
                let id = match message.split_once('-') {
                    Some(("id", _)) => format!("b{character}b"),
                    Some(("bare", _)) => format!("bare{character}"),
                    _ => message.clone(),
                };
                site.exists(&id).await;
                let row = site.load(&id).await.row;
                assert_eq!(row.id.as_str(), id);
                if message.starts_with("start-") {
                    assert_eq!(row.start_id.as_str(), format!("b{character}b"));
                }
                if message.starts_with("name-") {
                    assert_eq!(row.name.as_str(), format!("b{character}b"));
                    site.terminate(&id, "nobody hosts it").await;
                }
            }
        }
    }
    assert_eq!(site.list().await.len(), fates.len() - parked_count);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_start_that_is_requeued_goes_back_to_the_intake_queue() {
    let site = Site::start(Backend::Fleet).await;
    let foreign = Foreign::connect(&site).await;
    // Nothing has changed about it: it is parked once more.
    foreign.publish(&site, Some("hopeless"), JSON, "{").await;
    let parked = site.parked(1).await.remove(0);
    assert_eq!(parked.message_id.as_deref(), Some("hopeless"));
    site.client.requeue(parked.id).await.unwrap();
    let what = "it was sent again and is parked once more";
    let parked_again = site
        .wait_until(what, DEADLINE, async || {
            let now = site.parked(1).await;
            (foreign.count("dead").await == Some(2)).then_some(now)
        })
        .await;
    assert_eq!(parked_again.len(), 1, "{parked_again:?}");
    assert_eq!(parked_again[0].code, "LH1001");
    assert_eq!(parked_again[0].body, parked.body);
    site.close().await;
}

/// A program that speaks AMQP.
struct Foreign {
    channel: Channel,
    hub: String,
    connection: Connection,
}

impl Foreign {
    async fn connect(site: &Site) -> Self {
        let url = Servers::shared_rabbit().unwrap();
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        let foreign = Self {
            channel,
            hub: site.hub.to_string(),
            connection,
        };
        let what = "the workers have declared the intake queue";
        site.wait_until(what, DEADLINE, async || foreign.count("intake").await)
            .await;
        foreign
    }

    /// How many messages wait in one of the hub's queues; `None` if it does not exist.
    async fn count(&self, queue: &str) -> Option<u32> {
        // A queue that is not there costs the channel.
        let channel = self.connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = channel.queue_declare(self.queue(queue).into(), passive, FieldTable::default());
        Some(declared.await.ok()?.message_count())
    }

    fn queue(&self, name: &str) -> String {
        format!("lh.{}.v1.{name}", self.hub)
    }

    /// Publishes as any client library would: to the default exchange, persistent, and again until it is confirmed,
    /// since RabbitMQ refuses messages for a moment while a new queue finds its leader.
    async fn publish(
        &self,
        site: &Site,
        message_id: Option<&str>,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) {
        let body = body.into();
        site.wait_until("RabbitMQ takes the message", DEADLINE, async || {
            let mut properties = BasicProperties::default()
                .with_content_type(content_type.into())
                .with_delivery_mode(2);
            if let Some(id) = message_id {
                properties = properties.with_message_id(id.into());
            }
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let queue = self.queue("intake");
            let sent = self
                .channel
                .basic_publish("".into(), queue.into(), options, &body, properties);
            let confirmed = sent.await.unwrap().await.unwrap();
            matches!(confirmed, Confirmation::Ack(None)).then_some(())
        })
        .await;
    }
}
