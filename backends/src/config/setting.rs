//! Owns the types that a value can have, and how each is read from what an operator wrote.
//! Never says why a text is refused: the key's form says what is allowed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use longhaul_shared::id::{HubName, QueueName};

use super::key::Form;
use super::units::{self, ByteSize};
use super::url::{AmqpUrl, RedisUrl};
use crate::rabbitmq::QueueType;
use crate::redis::Durability;

/// Where a hub keeps its truth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// On Redis, with RabbitMQ between the workers.
    Fleet,
    /// In one process, in a directory.
    Embedded,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Where to listen; `None` for nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen(pub Option<SocketAddr>);

/// The path of a file in PEM form: certificates, or a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PemFile(pub PathBuf);

/// A type that a key's value can have.
pub(super) trait Setting: Sized {
    /// How it is written.
    const FORM: Form;

    /// What a text says; `None` where it says nothing of this form.
    fn read(text: &str) -> Option<Self>;

    /// Whether it lies between the two, both included. What has no order always does.
    fn is_within(&self, _least: &Self, _greatest: &Self) -> bool {
        true
    }
}

macro_rules! ordered {
    ($($Type:ty: $form:expr, $read:expr;)*) => {
        $(impl Setting for $Type {
            const FORM: Form = $form;

            fn read(text: &str) -> Option<Self> {
                $read(text)
            }

            fn is_within(&self, least: &Self, greatest: &Self) -> bool {
                (least..=greatest).contains(&self)
            }
        })*
    };
}

macro_rules! unordered {
    ($($Type:ty: $form:expr, $read:expr;)*) => {
        $(impl Setting for $Type {
            const FORM: Form = $form;

            fn read(text: &str) -> Option<Self> {
                $read(text)
            }
        })*
    };
}

macro_rules! choices {
    ($($Type:ty: $($word:literal => $value:expr),+;)*) => {
        $(impl Setting for $Type {
            const FORM: Form = Form::Choice(&[$($word),+]);

            fn read(text: &str) -> Option<Self> {
                match text.trim() {
                    $($word => Some($value),)+
                    _ => None,
                }
            }
        })*
    };
}

ordered! {
    u16: Form::Count, |text: &str| text.trim().parse().ok();
    usize: Form::Count, |text: &str| text.trim().parse().ok();
    Duration: Form::Span, units::span;
    ByteSize: Form::Bytes, |text: &str| text.parse().ok();
}

unordered! {
    bool: Form::Bool, |text: &str| text.trim().parse().ok();
    HubName: Form::Name, |text: &str| Self::new(text.trim()).ok();
    Vec<QueueName>: Form::Names, names;
    AmqpUrl: Form::Url { pattern: "amqp[s]://user:password@host:port/vhost" }, |text: &str| Self::new(text.trim());
    RedisUrl: Form::Url { pattern: "redis[s]://user:password@host:port/db" }, |text: &str| Self::new(text.trim());
    Option<PathBuf>: Form::Directory, |text: &str| Some((!text.is_empty()).then(|| PathBuf::from(text)));
    Listen: Form::Listen, listen;
    Option<PemFile>: Form::PemFile, |text: &str| Some((!text.is_empty()).then(|| PemFile(PathBuf::from(text))));
    String: Form::LogFilter, |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
}

choices! {
    QueueType: "quorum" => Self::Quorum, "classic" => Self::Classic;
    Durability: "single" => Self::Single, "replicated" => Self::Replicated;
    StoreKind: "fleet" => Self::Fleet, "embedded" => Self::Embedded;
    LogFormat: "pretty" => Self::Pretty, "json" => Self::Json;
}

fn listen(text: &str) -> Option<Listen> {
    match text.trim() {
        "" => Some(Listen(None)),
        address => Some(Listen(Some(address.parse().ok()?))),
    }
}

/// At least one, each once.
fn names(text: &str) -> Option<Vec<QueueName>> {
    let mut names = Vec::new();
    for name in text.split(',') {
        let name = QueueName::new(name.trim()).ok()?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names)
}
