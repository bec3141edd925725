//! The `longhaul` program as a person or a script uses it: what it prints where, and its exit codes. It stands here
//! because only the integration tests of a package are given its program, freshly built.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests may fail them")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use longhaul::backends::embedded::Embedded;
use longhaul::backends::runtime::TokioRuntime;
use longhaul_shared::commit::{CommitOutcome, Ready, RowChange, TurnCommit};
use longhaul_shared::id::{CommitId, InstanceId, PartitionId, WorkerId};
use longhaul_shared::instance::WaitingFor;
use longhaul_shared::port::{HubSettings, LeaseOutcome, LeaseWish, LoadRequest, Store};
use longhaul_shared::{code, codec};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A directory with an embedded hub in `hub/`, and the program run in it, whatever the environment says.
struct Bench {
    dir: TempDir,
}

/// What a run left behind.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
        command
            .current_dir(self.path())
            .env_clear()
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs the program as it stands.
    fn bare(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs the program on the embedded hub.
    fn run(&self, arguments: &[&str]) -> Ran {
        self.bare(&[arguments, &["--dir", "hub"]].concat())
    }

    /// Runs the program on the embedded hub, and reads the JSON that it prints.
    fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["-o", "json"]].concat());
        ran.ends(0);
        serde_json::from_str(&ran.stdout).unwrap()
    }
}

impl Bench {
    /// Parks an instance of the embedded hub as an orchestrator worker does.
    fn park(&self, id: &str) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let tasks = Arc::new(TokioRuntime::new(runtime.handle().clone()));
        let hub = Embedded::open(&self.path().join("hub"), tasks).unwrap();
        let id = InstanceId::new(id).unwrap();
        runtime.block_on(park(&*hub.store(), &id));
    }
}

async fn park(store: &dyn Store, id: &InstanceId) {
    let settings = HubSettings { partitions: 16 };
    let partition = PartitionId::of(id, store.open_hub(settings).await.unwrap().partitions);
    let worker = WorkerId::new("dead").unwrap();
    let lease = store
        .acquire_lease(partition, &worker, LeaseWish::new(1, Duration::ZERO))
        .await
        .unwrap();
    let LeaseOutcome::Granted { token, .. } = lease else {
        unreachable!("nobody else owns it");
    };
    let request = LoadRequest {
        id: id.clone(),
        history: false,
    };
    let row = store.load(vec![request]).await.remove(0).unwrap().unwrap().row;
    let now = store.time().await.unwrap();
    let (code, message) = (code::INSTANCE_STUCK, "[LH1110] it kills its workers".to_owned());
    let parked = codec::parked_instance(partition, id.clone(), code, message.clone(), now);
    store.park(parked).await.unwrap();
    let commit = TurnCommit {
        partition,
        token,
        instance: id.clone(),
        execution: row.execution,
        expected: row.commit_number,
        id: CommitId::from_bits(1),
        expected_seq: row.last_seq,
        events: Vec::new(),
        row: RowChange {
            status: row.status,
            changed: now,
            waiting_for: Some(WaitingFor::Stuck {
                code: code.to_string(),
                message,
                attempts: 6,
            }),
            output: None,
            failure: None,
        },
        ready: Ready::Rest,
        inbox_add: Vec::new(),
        inbox_remove: Vec::new(),
        outbox_add: Vec::new(),
        outbox_remove: Vec::new(),
        timers_add: Vec::new(),
        timers_remove: Vec::new(),
        survived: false,
    };
    assert_eq!(store.commit(vec![commit]).await, [Ok(CommitOutcome::Applied)]);
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    fn ends(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// It failed, with nothing on standard output, and said each of these.
    fn fails(&self, code: i32, parts: &[&str]) {
        self.ends(code);
        assert_eq!(self.stdout, "", "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is missing in {self:#?}");
        }
    }

    /// It succeeded, and printed each of these.
    fn prints(&self, parts: &[&str]) {
        self.ends(0);
        for part in parts {
            assert!(self.stdout.contains(part), "{part:?} is missing in {self:#?}");
        }
    }
}

#[test]
fn the_page_of_keys_is_the_one_that_the_code_makes() {
    let bench = Bench::new();
    let page = bench.bare(&["config", "reference"]);
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    assert!(
        page.ends(0).stdout == std::fs::read_to_string(stored).unwrap(),
        "docs/configuration.md is not what the table of keys says; run\n  \
         cargo run -p longhaul -- config reference > docs/configuration.md"
    );
}

#[test]
fn a_password_that_stands_in_the_wrong_place_is_not_repeated() {
    let bench = Bench::new();
    for arguments in [
        &["--redis-url", "=", "redis://:secret@h", "list"][..],
        &["list", "redis://:secret@h"],
        &["list", "--set", "redis://:secret@h"],
        &["list", "--redis.url:redis://:secret@h"],
        &["list", "--redis-url", "redsi://:secret@h"],
        &["list", "--set", "redis.uri=redis://:secret@h"],
    ] {
        let ran = bench.bare(arguments);
        assert!(!ran.ends(2).stderr.contains("secret"), "{ran:#?}");
    }
}

#[test]
fn an_instance_is_started_and_looked_at() {
    let bench = Bench::new();
    let start = [
        "start",
        "backup",
        "--id",
        "nightly",
        "--input",
        r#"{"from":"/home"}"#,
        "--tag",
        "by=cron",
    ];
    bench.run(&start).prints(&["Started backup as nightly"]);
    bench
        .run(&["list"])
        .prints(&["ID ", "nightly", "backup", "Pending"]);
    bench
        .run(&["show", "nightly"])
        .prints(&["nightly", "Pending", "by=cron", r#""from": "/home""#]);
    let history = bench.run(&["history", "nightly"]);
    assert_eq!(history.ends(0).stdout, "");
    assert!(history.stderr.contains("no history yet"), "{history:?}");
}

#[test]
fn json_is_whole_and_alone_on_standard_output() {
    let bench = Bench::new();
    let started = bench.json(&[
        "start",
        "backup",
        "--id",
        "nightly",
        "--input",
        "12345678901234567890",
    ]);
    let expected =
        json!({ "id": "nightly", "orchestration": "backup", "status": "Pending", "repeated": false });
    assert_eq!(started, expected);
    bench.json(&["start", "backup", "--id", "weekly"]);

    let page = bench.json(&["list", "--limit", "1"]);
    assert_eq!(page["instances"][0]["id"], "weekly");
    let cursor = page["next"].as_str().unwrap();
    let rest = bench.json(&["list", "--limit", "1", "--cursor", cursor]);
    assert_eq!(rest["instances"][0]["id"], "nightly");
    assert_eq!(
        bench.json(&["list", "--status", "failed,completed"]),
        json!({ "instances": [], "next": null })
    );
    assert_eq!(bench.json(&["list", "--name", "other"])["instances"], json!([]));

    let shown = bench.json(&["show", "nightly"]);
    assert_eq!(
        (&shown["input"], &shown["status"]),
        (&json!(12_345_678_901_234_567_890_u64), &json!("Pending"))
    );
    assert_eq!(bench.json(&["show", "weekly"])["input"], Value::Null);
    assert_eq!(bench.json(&["history", "nightly"])["events"], json!([]));

    let lines = bench.run(&["list", "-o", "jsonl"]);
    let ids: Vec<Value> = lines
        .ends(0)
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, ["weekly", "nightly"]);
}

#[test]
fn a_repeated_start_is_told_apart_from_a_taken_id() {
    let bench = Bench::new();
    let start = ["start", "backup", "--id", "nightly", "--start-id", "one"];
    bench.run(&start).ends(0);
    bench.run(&start).prints(&["started before", "Pending"]);
    assert_eq!(bench.json(&start)["repeated"], true);
    let other = ["start", "backup", "--id", "nightly", "--start-id", "two"];
    bench
        .run(&other)
        .fails(1, &["error: [LH1003]", "nightly", "one", "fix: "]);
}

#[test]
fn the_input_comes_from_an_argument_a_file_or_standard_input() {
    let bench = Bench::new();
    std::fs::write(bench.path().join("input.json"), "[1, 2]").unwrap();
    bench
        .run(&["start", "a", "--id", "file", "--input-file", "input.json"])
        .ends(0);
    assert_eq!(bench.json(&["show", "file"])["input"], json!([1, 2]));

    let mut piped = bench.command(&["start", "a", "--id", "pipe", "--input", "-", "--dir", "hub"]);
    let mut child = piped
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"a\": 1}").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(bench.json(&["show", "pipe"])["input"], json!({ "a": 1 }));

    bench
        .run(&["start", "a", "--input", "{"])
        .fails(2, &["not JSON", "line 1"]);
    bench
        .run(&["start", "a", "--input", "Ada"])
        .fails(2, &["not JSON", r#"--input '"Ada"'"#]);
    bench
        .run(&["start", "a", "--input-file", "none.json"])
        .fails(2, &["none.json"]);
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    bench
        .run(&["start", "a", "--input", &deep])
        .fails(2, &["JSON_DEPTH_MAX"]);
    assert_eq!(bench.json(&["list"])["instances"].as_array().unwrap().len(), 2);
}

#[test]
fn a_terminate_is_accepted_until_the_end() {
    let bench = Bench::new();
    bench.run(&["start", "a", "--id", "x"]).ends(0);
    bench
        .run(&["terminate", "x", "--reason", "enough"])
        .prints(&["x ends"]);
    assert_eq!(
        bench.json(&["terminate", "x"]),
        json!({ "id": "x", "accepted": true })
    );
    bench.run(&["wait", "x"]).fails(1, &["x is Pending"]);
}

#[test]
fn an_unknown_instance_is_an_error_everywhere() {
    let bench = Bench::new();
    bench.run(&["start", "a"]).ends(0);
    for command in ["show", "history", "wait", "terminate"] {
        let ran = bench.run(&[command, "nobody"]);
        ran.fails(
            1,
            &[
                "error: [LH1201] there is no instance nobody in hub default",
                "fix: ",
            ],
        );
        let ran = bench.run(&[command, "nobody", "-o", "json"]);
        let told: Value = serde_json::from_str(&ran.ends(1).stderr).unwrap();
        assert_eq!(told["error"]["code"], "LH1201");
    }
}

#[test]
fn a_wrong_question_ends_with_two() {
    let bench = Bench::new();
    let check = |arguments: &[&str], parts: &[&str]| bench.run(arguments).fails(2, parts);
    check(&[], &["Usage: longhaul"]);
    check(&["start"], &["<NAME>"]);
    check(&["start", "bad name"], &["function name"]);
    check(&["start", "a", "--id", ""], &["id"]);
    check(&["start", "a", "--tag", "x"], &["KEY=VALUE"]);
    check(&["start", "a", "--wait"], &["--wait"]);
    check(&["list", "--status", "ended"], &["pending, running"]);
    check(&["wait", "a", "--timeout", "30"], &["30s"]);
    check(&["list", "--set", "hub.nmae=x"], &["LH1601", "hub.name"]);
    check(&["list", "--hub", "a b"], &["LH1601", "hub.name"]);
    check(&["parked", "requeue", "--all"], &["stays parked"]);
    check(&["parked", "requeue"], &["--all"]);
    check(&["list", "--config", "none.toml"], &["none.toml"]);
    bench
        .bare(&["list", "--dir", "none"])
        .fails(2, &["there is no directory none"]);
    assert!(!bench.path().join("none").exists());
    assert!(!bench.path().join("hub").exists());
}

#[test]
fn a_directory_in_use_and_a_server_out_of_reach_are_told_with_code_and_remedy() {
    let bench = Bench::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tasks = Arc::new(TokioRuntime::new(runtime.handle().clone()));
    let held = Embedded::open(&bench.path().join("hub"), tasks).unwrap();
    let pid = std::process::id().to_string();
    bench
        .run(&["list"])
        .fails(1, &["error: [LH1505]", "hub is in use by", &pid, "stop it first"]);
    drop(held);

    let nowhere = [
        "list",
        "--redis-url",
        "redis://:secret@127.0.0.1:1/",
        "--amqp-url",
        "amqp://a:secret@127.0.0.1:1",
    ];
    let ran = bench.bare(&nowhere);
    ran.fails(1, &["127.0.0.1:1", "not reachable", "Check the"]);
    assert!(!ran.stderr.contains("secret"), "{ran:?}");
}

#[test]
fn codes_are_explained() {
    let bench = Bench::new();
    bench.bare(&["explain", "LH1201"]).prints(&[
        "LH1201: there is no instance",
        "longhaul list",
        "## Example",
    ]);
    bench.bare(&["explain", "1100"]).prints(&["LH1100"]);
    bench.bare(&["explain"]).prints(&["LH1001", "LH1601"]);
    bench.bare(&["explain", "LH9999"]).fails(2, &["LH9999"]);
    // Not even a broken configuration keeps anybody from asking what its error means.
    std::fs::write(bench.path().join("longhaul.toml"), "[").unwrap();
    bench.bare(&["explain", "LH1601"]).prints(&["configuration"]);
    bench
        .bare(&["config", "dump"])
        .fails(2, &["LH1601", "longhaul.toml:1"]);
}

#[test]
fn the_configuration_is_told_with_its_origins_and_without_its_secrets() {
    let bench = Bench::new();
    std::fs::write(bench.path().join("longhaul.toml"), "[hub]\nname = \"orders\"\n").unwrap();
    let mut command = bench.command(&[
        "config",
        "dump",
        "-o",
        "json",
        "--amqp-url",
        "amqp://bo:secret@h/",
    ]);
    command.env("LONGHAUL_STORE__DIR", "here");
    let ran = Ran::from(command.output().unwrap());
    let dump: Value = serde_json::from_str(&ran.ends(0).stdout).unwrap();
    let keys = dump["keys"].as_array().unwrap();
    let said = |key: &str| {
        let said = keys.iter().find(|said| said["key"] == key).unwrap();
        format!(
            "{} from {}",
            said["value"].as_str().unwrap(),
            said["origin"].as_str().unwrap()
        )
    };
    assert_eq!(said("hub.name"), "orders from longhaul.toml:2");
    assert_eq!(said("store.dir"), "here from variable LONGHAUL_STORE__DIR");
    assert_eq!(said("amqp.url"), "amqp://bo:***@h/ from flag --amqp.url");
    assert_eq!(said("hub.partitions"), "16 from default");
    assert_eq!(said("store.kind"), "fleet from default");
}

#[test]
fn an_instance_says_why_it_does_not_move() {
    let bench = Bench::new();
    bench.run(&["start", "hello_sequence", "--id", "poison"]).ends(0);
    bench.run(&["why", "poison"]).prints(&[
        "hello_sequence",
        "Pending",
        "waits for",
        "unblocked by",
        "on this directory",
    ]);
    let why = bench.json(&["why", "poison"]);
    assert_eq!(why["waits"][0]["kind"], "hub_at_rest");
    assert_eq!((&why["steps"], &why["owner"]), (&json!([]), &Value::Null));
    bench.park("poison");
    let why = bench.json(&["why", "poison"]);
    let stuck = &why["waits"][1];
    assert_eq!(
        (&stuck["kind"], &stuck["code"]),
        (&json!("stuck"), &json!("LH1110"))
    );
    assert_eq!(stuck["needs_a_person"], true);
    assert!(
        stuck["remedy"]
            .as_str()
            .unwrap()
            .contains("longhaul parked requeue poison")
    );
    bench.run(&["why", "nobody"]).fails(1, &["[LH1201]", "nobody"]);
}

#[test]
fn the_doctor_looks_at_a_hub_in_a_directory_and_makes_none() {
    let bench = Bench::new();
    bench.run(&["doctor"]).fails(2, &["there is no directory hub"]);
    bench.run(&["start", "hello_sequence", "--id", "poison"]).ends(0);
    let well = bench.run(&["doctor", "--apart", "1ms"]);
    well.prints(&["ok", "16 partitions", "1 pending"]);
    assert!(well.stderr.contains("Hub default is well"), "{well:?}");
    bench.park("poison");
    let report = bench.json(&["doctor", "--apart", "1ms"]);
    let checks = report["checks"].as_array().unwrap();
    let parked = checks.iter().find(|check| check["check"] == "parked").unwrap();
    assert_eq!(parked["verdict"], "warn");
    let nowhere = [
        "doctor",
        "--redis-url",
        "redis://:secret@127.0.0.1:1/",
        "--amqp-url",
        "amqp://a:secret@127.0.0.1:1",
        "-o",
        "json",
    ];
    let ran = bench.bare(&nowhere);
    let report: Value = serde_json::from_str(&ran.ends(1).stdout).unwrap();
    let failed = report["checks"].as_array().unwrap().iter();
    let failed: Vec<_> = failed.map(|check| (&check["check"], &check["verdict"])).collect();
    assert_eq!(
        failed,
        [
            (&json!("store"), &json!("fail")),
            (&json!("broker"), &json!("fail"))
        ]
    );
    assert!(!ran.stdout.contains("secret"), "{ran:?}");
}

#[test]
fn nothing_parked_is_said_so() {
    let bench = Bench::new();
    bench.run(&["start", "a"]).ends(0);
    let listed = bench.run(&["parked", "list"]);
    assert_eq!(listed.ends(0).stdout, "");
    assert!(listed.stderr.contains("Nothing is parked"), "{listed:?}");
    assert_eq!(
        bench.json(&["parked", "list"]),
        json!({ "messages": [], "next": null })
    );
    let id = "0".repeat(32);
    bench
        .run(&["parked", "show", &id])
        .fails(1, &["there is no parked message", &id]);
}

#[test]
fn ids_of_every_byte_are_shown_as_they_are() {
    let bench = Bench::new();
    // Three ids, since one holds at most 128 bytes.
    let characters: Vec<char> = (0..=u8::MAX).map(char::from).collect();
    let printable = characters.iter().filter(|character| !character.is_control());
    let printable: Vec<char> = printable.copied().collect();
    let ids: Vec<String> = printable
        .chunks(60)
        .map(|chunk| chunk.iter().collect::<String>())
        .map(|text| format!("i{text}"))
        .collect();
    for id in &ids {
        let started = bench.json(&["start", "hello_sequence", "--id", id]);
        assert_eq!(started["id"], id.as_str());
        let shown = bench.json(&["show", id]);
        assert_eq!(shown["id"], id.as_str());
        bench.run(&["show", id]).prints(&[id]);
    }
    let listed = bench.json(&["list"]);
    let listed: Vec<_> = listed["instances"].as_array().unwrap().iter().collect();
    assert_eq!(listed.len(), ids.len());
    for id in &ids {
        assert!(listed.iter().any(|shown| shown["id"] == id.as_str()), "{id}");
    }
    for control in characters.iter().filter(|character| character.is_control()) {
        // The operating system takes no zero in an argument.
        if *control != '\0' {
            let id = format!("i{control}");
            bench
                .run(&["start", "hello_sequence", "--id", &id])
                .fails(2, &["id"]);
        }
    }
}

#[test]
fn a_parked_instance_is_listed_and_requeued_by_its_own_id_or_that_of_its_message() {
    let bench = Bench::new();
    for id in ["poison", "other"] {
        bench.run(&["start", "hello_sequence", "--id", id]).ends(0);
        bench.park(id);
    }
    let shown = bench.json(&["show", "poison"]);
    assert_eq!(
        (&shown["waiting_for"]["kind"], &shown["waiting_for"]["attempts"]),
        (&json!("stuck"), &json!(6))
    );
    bench.run(&["list"]).prints(&["stuck [LH1110] after 6 attempts"]);
    let parked = bench.json(&["parked", "list"]);
    assert_eq!(parked["messages"].as_array().unwrap().len(), 2);
    let message = parked["messages"][1]["id"].as_str().unwrap();

    for id in ["poison", message] {
        bench.run(&["parked", "requeue", id]).ends(0);
    }
    assert_eq!(bench.json(&["parked", "list"])["messages"], json!([]));
    bench
        .run(&["parked", "requeue", "nobody"])
        .fails(1, &["nobody", "neither a message nor an instance"]);
    bench.run(&["parked", "requeue", message]).fails(1, &[message]);
}

#[test]
fn there_are_no_colours_outside_of_a_terminal() {
    let bench = Bench::new();
    bench.run(&["start", "a"]).ends(0);
    let ran = bench.run(&["list"]);
    assert!(!ran.ends(0).stdout.contains('\x1b'), "{ran:?}");
    let ran = bench.run(&["show", "nobody"]);
    assert!(!ran.stderr.contains('\x1b'), "{ran:?}");
}
