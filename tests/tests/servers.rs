//! The test servers themselves: they start, keep or forget data as told, and leave nothing behind.
//! Never uses the shared servers: everything here is about servers of one's own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of these tests may fail them"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use longhaul_tests::servers::{AMQP_URL_VARIABLE, REDIS_URL_VARIABLE, RabbitServer, RedisServer, poll_until};

const DEADLINE: Duration = Duration::from_secs(20);
const SERVERS: &str = env!("CARGO_BIN_EXE_servers");

#[test]
fn redis_keeps_through_a_sigkill_what_it_answered() {
    let mut redis = RedisServer::start().unwrap();
    let port = redis.port();
    assert_eq!(ask(port, "SET ship longhaul"), "+OK");
    redis.kill();
    assert!(
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(),
        "it still listens"
    );
    redis.restart().unwrap();
    assert_eq!(redis.port(), port);
    assert_eq!(ask(port, "GETRANGE ship 0 -1"), "$8 longhaul");
}

#[test]
fn redis_forgets_everything_when_wiped() {
    let mut redis = RedisServer::start().unwrap();
    assert_eq!(ask(redis.port(), "SET ship longhaul"), "+OK");
    redis.wipe().unwrap();
    assert_eq!(ask(redis.port(), "EXISTS ship"), ":0");
}

#[test]
fn redis_is_durable_and_never_evicts_unless_told_otherwise() {
    let setting = |redis: &RedisServer, name: &str| {
        let answer = ask(redis.port(), &format!("CONFIG GET {name}"));
        answer.rsplit(' ').next().unwrap().to_owned()
    };
    let redis = RedisServer::start().unwrap();
    assert_eq!(setting(&redis, "appendonly"), "yes");
    assert_eq!(setting(&redis, "appendfsync"), "always");
    assert_eq!(setting(&redis, "maxmemory-policy"), "noeviction");

    let unsafe_one =
        RedisServer::with_config(&[("maxmemory-policy", "allkeys-lru"), ("appendonly", "no")]).unwrap();
    assert_eq!(setting(&unsafe_one, "appendonly"), "no");
    assert_eq!(setting(&unsafe_one, "maxmemory-policy"), "allkeys-lru");
}

#[test]
fn a_redis_password_is_asked_for_and_stands_in_the_url() {
    let redis = RedisServer::with_config(&[("requirepass", "secret")]).unwrap();
    assert_eq!(
        redis.url(),
        format!("redis://:secret@127.0.0.1:{}/", redis.port())
    );
    assert!(ask(redis.port(), "GET ship").starts_with("-NOAUTH"));
}

#[test]
fn a_frozen_redis_answers_after_its_thaw_and_not_before() {
    let mut redis = RedisServer::start().unwrap();
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).unwrap();
    redis.freeze().unwrap();
    connection.write_all(b"PING\r\n").unwrap();
    connection
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    assert!(connection.read(&mut [0; 16]).is_err(), "a frozen server answered");
    redis.thaw().unwrap();
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = [0; 7];
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn a_server_that_does_not_come_up_shows_the_end_of_its_log() {
    let error = RedisServer::with_config(&[("maxmemory-policy", "nonsense")]).unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("redis-server ended") && text.contains("argument(s) must be one of"),
        "{text}"
    );
}

#[tokio::test]
async fn rabbit_keeps_through_a_sigkill_what_it_confirmed_and_forgets_it_when_wiped() {
    let mut rabbit = RabbitServer::start().unwrap();
    let channel = connect(&rabbit).await;
    declare(
        &channel,
        QueueDeclareOptions {
            durable: true,
            ..Default::default()
        },
    )
    .await
    .unwrap();
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .unwrap();
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let confirm = channel
        .basic_publish(
            "".into(),
            "kept".into(),
            BasicPublishOptions::default(),
            b"longhaul",
            persistent,
        )
        .await
        .unwrap();
    assert!(confirm.await.unwrap().is_ack());

    let url = rabbit.url();
    rabbit.wait_until_on_disk("kept").unwrap();
    rabbit.kill();
    rabbit.restart().unwrap();
    assert_eq!(rabbit.url(), url);
    let channel = connect(&rabbit).await;
    let message = channel
        .basic_get("kept".into(), BasicGetOptions { no_ack: true })
        .await
        .unwrap();
    assert_eq!(message.expect("the message is lost").delivery.data, b"longhaul");

    rabbit.wipe().unwrap();
    let channel = connect(&rabbit).await;
    let passive = declare(
        &channel,
        QueueDeclareOptions {
            passive: true,
            ..Default::default()
        },
    )
    .await;
    assert!(passive.is_err(), "a wiped broker still has its queue");
}

#[test]
fn servers_run_beside_each_other_and_leave_nothing_behind() {
    // Two of each with what operators are given, which shows besides that these files load.
    let start_rabbit = || {
        std::thread::spawn(|| {
            RabbitServer::with_config(&settings(include_str!("../../deploy/rabbitmq.conf"))).unwrap()
        })
    };
    let rabbits = [start_rabbit(), start_rabbit()].map(|start| start.join().unwrap());
    let redises = [(); 2]
        .map(|()| RedisServer::with_config(&settings(include_str!("../../deploy/redis.conf"))).unwrap());

    assert_eq!(ask(redises[0].port(), "SET ship longhaul"), "+OK");
    assert_eq!(ask(redises[1].port(), "EXISTS ship"), ":0");
    assert_ne!(rabbits[0].url(), rabbits[1].url());

    let directories = [
        rabbits[0].directory().to_path_buf(),
        rabbits[1].directory().to_path_buf(),
        redises[0].directory().to_path_buf(),
        redises[1].directory().to_path_buf(),
    ];
    for directory in &directories {
        assert_ne!(
            processes_of(directory),
            Vec::<String>::new(),
            "the check itself sees nothing"
        );
    }
    drop((rabbits, redises));
    for directory in &directories {
        assert_gone(directory);
    }
}

#[test]
fn servers_end_when_the_process_that_started_them_is_killed() {
    let mut wrapper = Command::new(SERVERS)
        .args(["sh", "-c"])
        .arg(format!(
            "echo \"${REDIS_URL_VARIABLE} ${AMQP_URL_VARIABLE}\"; cat"
        ))
        .env_remove(REDIS_URL_VARIABLE)
        .env_remove(AMQP_URL_VARIABLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut urls = String::new();
    BufReader::new(wrapper.stdout.as_mut().unwrap())
        .read_line(&mut urls)
        .unwrap();
    let ports: Vec<u16> = urls.split_whitespace().map(port_of).collect();
    assert_eq!(ports.len(), 2, "{urls:?}");
    let directories = directories_of_children(wrapper.id());
    assert_eq!(directories.len(), 2, "{directories:?}");

    wrapper.kill().unwrap();
    wrapper.wait().unwrap();
    for port in ports {
        poll_until("the port is closed", DEADLINE, || {
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .is_err()
                .then_some(()))
        })
        .unwrap();
    }
    for directory in directories {
        assert_gone(Path::new(&directory));
    }
}

#[test]
fn the_wrapper_hands_over_given_urls_and_the_exit_code() {
    let output = wrap(
        &[],
        &[
            "sh",
            "-c",
            "echo $LONGHAUL_TEST_REDIS_URL $LONGHAUL_TEST_AMQP_URL; exit 7",
        ],
    );
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "redis://given amqp://given\n"
    );
}

#[test]
fn a_missing_program_is_an_error_that_names_its_package() {
    for (variable, url, package) in [
        ("LONGHAUL_TEST_REDIS_SERVER", REDIS_URL_VARIABLE, "redis-server"),
        (
            "LONGHAUL_TEST_RABBITMQ_SERVER",
            AMQP_URL_VARIABLE,
            "rabbitmq-server",
        ),
    ] {
        let output = wrap(&[(variable, "/nowhere/to/be/found"), (url, "")], &["true"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        for part in [
            "/nowhere/to/be/found",
            "cargo xtask test",
            &format!("apt-get install {package}"),
        ] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }
}

/// What a file of `deploy/` sets, by `name value` or `name = value`.
fn settings(file: &'static str) -> Vec<(&'static str, &'static str)> {
    let lines = file
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let setting = |line: &'static str| {
        let (name, value) = line.split_once(' ').unwrap();
        (name, value.trim_start_matches("= ").trim_matches('"'))
    };
    lines.map(setting).collect()
}

/// Runs the wrapper with both URLs given, except for those that `environment` empties.
fn wrap(environment: &[(&str, &str)], command: &[&str]) -> Output {
    let mut wrapper = Command::new(SERVERS);
    wrapper
        .args(command)
        .env(REDIS_URL_VARIABLE, "redis://given")
        .env(AMQP_URL_VARIABLE, "amqp://given");
    for (name, value) in environment {
        if value.is_empty() {
            wrapper.env_remove(name);
        } else {
            wrapper.env(name, value);
        }
    }
    wrapper.output().unwrap()
}

/// Sends one inline command, and returns the answer with its lines joined by a space each.
fn ask(port: u16, command: &str) -> String {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    connection
        .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
        .unwrap();
    let mut answers = String::new();
    connection.read_to_string(&mut answers).unwrap();
    let answer = answers.strip_suffix("+OK\r\n").unwrap();
    answer.lines().collect::<Vec<_>>().join(" ")
}

async fn connect(rabbit: &RabbitServer) -> Channel {
    let connection = Connection::connect(&rabbit.url(), ConnectionProperties::default())
        .await
        .unwrap();
    connection.create_channel().await.unwrap()
}

async fn declare(channel: &Channel, options: QueueDeclareOptions) -> lapin::Result<lapin::Queue> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    channel.queue_declare("kept".into(), options, arguments).await
}

fn port_of(url: &str) -> u16 {
    let digits: String = url
        .rsplit("127.0.0.1:")
        .next()
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap()
}

fn assert_gone(directory: &Path) {
    // Helpers that Erlang puts into sessions of their own leave a moment after their broker.
    let gone = poll_until("no process and no file is left", DEADLINE, || {
        Ok((processes_of(directory).is_empty() && !directory.exists()).then_some(()))
    });
    if let Err(error) = gone {
        panic!(
            "{error}: {} exists: {}, {:?}",
            directory.display(),
            directory.exists(),
            processes_of(directory)
        );
    }
}

/// Every process of a server, its helpers too, has the server's directory as its home.
fn processes_of(directory: &Path) -> Vec<String> {
    let home = format!("HOME={}", directory.display());
    processes()
        .filter(|(_, environment)| environment.contains(&home))
        .map(|(id, _)| id)
        .collect()
}

fn directories_of_children(parent: u32) -> Vec<String> {
    let child_of_parent = |id: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().to_owned();
        fields.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    };
    let mut directories: Vec<String> = processes()
        .filter(|(id, _)| child_of_parent(id))
        .flat_map(|(_, environment)| environment)
        .filter_map(|variable| variable.strip_prefix("HOME=").map(str::to_owned))
        .filter(|home| home.contains("/longhaul-"))
        .collect();
    directories.sort();
    directories.dedup();
    directories
}

/// The id and environment of every process that this user may look at; a zombie has none.
fn processes() -> impl Iterator<Item = (String, Vec<String>)> {
    std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let id = entry
            .ok()?
            .file_name()
            .into_string()
            .ok()
            .filter(|name| name.parse::<u32>().is_ok())?;
        let bytes = std::fs::read(format!("/proc/{id}/environ")).ok()?;
        let environment = String::from_utf8_lossy(&bytes)
            .split('\0')
            .map(str::to_owned)
            .collect();
        Some((id, environment))
    })
}
