//! TLS to both servers, with real certificates: what works, and what each refusal says.
//! Never without a check of the certificate: there is no such switch.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests may fail them")]

mod certificates;

use std::sync::Arc;
use std::time::Duration;

use longhaul_backends::config::{Config, Sources};
use longhaul_backends::open::{OpenError, Role, open};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_tests::binaries::Binary;
use longhaul_tests::servers::{RabbitServer, RedisServer, TlsFiles};

use crate::certificates::{Authority, text};

const READY_WITHIN: Duration = Duration::from_secs(120);

/// Both servers, for clients that this authority signed.
struct Site {
    authority: Authority,
    rabbit: RabbitServer,
    redis: RedisServer,
    client: TlsFiles,
}

impl Site {
    /// The servers' certificates are for `localhost`, and for nothing else.
    fn start() -> Self {
        Self::with_certificate(|authority| authority.signs("localhost"))
    }

    fn with_certificate(certificate: impl FnOnce(&Authority) -> TlsFiles) -> Self {
        let authority = Authority::new();
        let server = certificate(&authority);
        Self {
            rabbit: RabbitServer::with_tls(&server).unwrap(),
            redis: RedisServer::with_tls(&server).unwrap(),
            client: authority.signs("client"),
            authority,
        }
    }

    fn amqp(&self, host: &str) -> String {
        format!("amqps://guest:guest@{host}:{}/%2f", self.rabbit.tls_port())
    }

    fn redis(&self, host: &str) -> String {
        format!("rediss://{host}:{}/", self.redis.tls_port())
    }

    /// What a client needs that is let in, with these pairs of keys and values instead.
    fn flags(&self, instead: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut flags = vec![
            ("amqp.url", self.amqp("localhost")),
            ("amqp.tls_ca", text(&self.client.ca)),
            ("amqp.tls_cert", text(&self.client.certificate)),
            ("amqp.tls_key", text(&self.client.key)),
            ("redis.url", self.redis("localhost")),
            ("redis.tls_ca", text(&self.client.ca)),
            ("redis.tls_cert", text(&self.client.certificate)),
            ("redis.tls_key", text(&self.client.key)),
        ];
        flags.extend(instead.iter().map(|(key, value)| (*key, (*value).to_owned())));
        flags
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    async fn open(&self, instead: &[(&str, &str)]) -> Result<(), OpenError> {
        let flags = self.flags(instead);
        let config = Config::load(Sources {
            flags,
            ..Sources::default()
        });
        let opened = open(&config.unwrap(), Role::Client, Arc::new(TokioRuntime::current())).await?;
        opened.shutdown().await;
        Ok(())
    }

    /// Expects one line with all of these, and no password.
    async fn refuses(&self, instead: &[(&str, &str)], parts: &[&str]) {
        let error = self.open(instead).await.unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is missing in {error:?}");
        }
        assert!(!error.contains('\n') && !error.contains("guest"), "{error}");
    }
}

#[test]
fn an_orchestration_runs_from_start_to_end_over_tls() {
    let site = Site::start();
    let flags = site.flags(&[]);
    let mut arguments: Vec<String> = flags
        .iter()
        .map(|(key, value)| format!("--{key}={value}"))
        .collect();
    arguments.push("--hub.name=tls".to_owned());
    let workers: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut orchestrator = Binary::OrchestratorWorker.start(&workers).unwrap();
    orchestrator
        .says("orchestrator_worker: ready", READY_WITHIN)
        .unwrap();
    let mut activity = Binary::ActivityWorker.start(&workers).unwrap();
    activity.says("activity_worker: ready", READY_WITHIN).unwrap();
    let start = ["start", "hello_sequence", "--id", "over-tls", "--wait"];
    let ran = Binary::Longhaul
        .output(&[&start, workers.as_slice()].concat())
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    assert!(ran.status.success() && said.contains("Hello"), "{said}");
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_told_in_one_line() {
    let site = Site::start();
    site.open(&[]).await.unwrap();

    let stranger = Authority::new();
    let other_ca = text(&stranger.certificate());
    let nobody = "signed by nobody whom this program trusts; name the CA's certificate in tls_ca";
    site.refuses(
        &[("amqp.tls_ca", &other_ca)],
        &[
            "LH1602",
            "RabbitMQ at localhost:",
            nobody,
            "(amqp.url: flag --amqp.url)",
        ],
    )
    .await;
    site.refuses(
        &[("redis.tls_ca", &other_ca)],
        &[
            "LH1602",
            "the store at rediss://localhost:",
            nobody,
            "(redis.url: flag --redis.url)",
        ],
    )
    .await;
    site.refuses(&[("amqp.tls_ca", "")], &["LH1602"]).await;
    site.refuses(&[("redis.tls_ca", "")], &["LH1602", nobody]).await;

    let not_for = "not for 127.0.0.1; write a host in the url that it is for";
    site.refuses(
        &[("amqp.url", &site.amqp("127.0.0.1"))],
        &["LH1602", "localhost", not_for],
    )
    .await;
    site.refuses(
        &[("redis.url", &site.redis("127.0.0.1"))],
        &["LH1602", "localhost", not_for],
    )
    .await;

    let unwelcome = stranger.signs("client");
    let (certificate, key) = (text(&unwelcome.certificate), text(&unwelcome.key));
    for section in ["amqp", "redis"] {
        let [cert_key, key_key] = ["tls_cert", "tls_key"].map(|key| format!("{section}.{key}"));
        let refused = "it does not accept the certificate that this program shows, or wants one";
        site.refuses(
            &[(&cert_key, &certificate), (&key_key, &key)],
            &["LH1602", refused],
        )
        .await;
        site.refuses(&[(&cert_key, ""), (&key_key, "")], &["LH1602", refused])
            .await;
        site.refuses(
            &[(&key_key, &key)],
            &[
                "LH1602",
                &key,
                "does not go with the certificate",
                &format!("({key_key}: flag --{key_key})"),
            ],
        )
        .await;
        site.refuses(
            &[(&format!("{section}.tls_ca"), "/nowhere/ca.pem")],
            &["LH1602", "/nowhere/ca.pem", "No such file", "check the path"],
        )
        .await;
    }
}

#[tokio::test]
async fn a_port_that_does_not_speak_as_the_url_says_is_told() {
    let site = Site::start();
    let plain = "it does not answer in TLS; check the port";
    let amqp = format!("amqps://guest:guest@localhost:{}/%2f", site.rabbit.port());
    site.refuses(&[("amqp.url", &amqp)], &["LH1602", plain]).await;
    let redis = format!("rediss://localhost:{}/", site.redis.port());
    let patient = "is that the port that speaks TLS? If it has none, write redis://";
    site.refuses(&[("redis.url", &redis)], &["LH1501", patient]).await;

    let none = ["tls_ca", "tls_cert", "tls_key"];
    let without = |section: &str, url: &str| {
        let mut flags = vec![(format!("{section}.url"), url.to_owned())];
        flags.extend(none.iter().map(|key| (format!("{section}.{key}"), String::new())));
        flags
    };
    for (section, url, code) in [
        ("amqp", site.amqp("localhost").replace("amqps", "amqp"), "LH1401"),
        (
            "redis",
            site.redis("localhost").replace("rediss", "redis"),
            "LH1501",
        ),
    ] {
        let flags = without(section, &url);
        let flags: Vec<(&str, &str)> = flags
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        site.refuses(&flags, &[code, "does it speak TLS"]).await;
    }
    let insecure = format!("{}#insecure", site.redis("localhost"));
    site.refuses(&[("redis.url", &insecure)], &["LH1601", "#insecure"])
        .await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused() {
    let site = Site::with_certificate(|authority| authority.signs_until("localhost", 2001));
    let expired = "its certificate has expired; renew it there";
    let plain = [
        ("redis.tls_ca", ""),
        ("redis.tls_cert", ""),
        ("redis.tls_key", ""),
    ];
    let redis = site.redis.url();
    let reachable = [&plain[..], &[("redis.url", redis.as_str())]].concat();
    site.refuses(&reachable, &["LH1602", "RabbitMQ", expired]).await;
    let amqp = site.rabbit.url();
    let plain = [("amqp.tls_ca", ""), ("amqp.tls_cert", ""), ("amqp.tls_key", "")];
    let reachable = [&plain[..], &[("amqp.url", amqp.as_str())]].concat();
    site.refuses(&reachable, &["LH1602", "the store", expired]).await;
    assert!(site.authority.certificate().exists());
}
