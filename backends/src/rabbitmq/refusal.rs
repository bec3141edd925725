//! Owns what lapin's errors mean for callers: gone for now, refused for good, or no such queue.
//! Never logs: an error is logged where it is handled.

use std::io;

use lapin::{Error, ErrorKind};
use longhaul_shared::port::BrokerError;

use super::address::Address;
use crate::tls;

/// AMQP reply codes, by their names in the specification.
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// The reply code, if the broker itself raised the error.
fn reply_code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => Some(refusal.get_id()),
        _ => None,
    }
}

/// What the error means for whoever asked about `queue`.
pub(super) fn of_queue(address: &Address, queue: &str, error: &Error) -> BrokerError {
    match reply_code(error) {
        Some(NOT_FOUND) if !is_only_down(&words(error)) => BrokerError::Missing {
            queue: queue.to_owned(),
        },
        Some(PRECONDITION_FAILED) => BrokerError::Refused {
            address: address.shown().to_owned(),
            reason: format!(
                "the queue {queue} exists with other arguments ({}); use the queue type that the hub was made \
                 with, or another hub name",
                words(error)
            ),
        },
        Some(ACCESS_REFUSED) => BrokerError::Refused {
            address: address.shown().to_owned(),
            reason: format!("no permission for the queue {queue} ({})", words(error)),
        },
        _ => unavailable(address, words(error)),
    }
}

/// A cluster says "not found" as well of a queue whose node is away. Its data is not lost: nothing may be made of it.
fn is_only_down(words: &str) -> bool {
    words.contains("is down or inaccessible") || words.contains("process is stopped")
}

/// What the error means for whoever wanted to connect.
pub(super) fn of_connection(address: &Address, error: &Error) -> BrokerError {
    if let Some(reason) = tls_fault(error).and_then(|fault| tls::explain(fault, address.host())) {
        return BrokerError::Untrusted {
            address: address.shown().to_owned(),
            reason,
        };
    }
    let reason = match reply_code(error) {
        Some(ACCESS_REFUSED) => "it does not accept the user name or the password".to_owned(),
        Some(NOT_ALLOWED) => words(error),
        _ if !address.is_secure() && is_no_amqp(error) => {
            let reason = format!("{}; does it speak TLS there? Then write amqps://", words(error));
            return unavailable(address, reason);
        }
        _ => return unavailable(address, words(error)),
    };
    BrokerError::Refused {
        address: address.shown().to_owned(),
        reason,
    }
}

/// Whether whoever is there hung up, or said what is not AMQP: a port that speaks TLS does.
fn is_no_amqp(error: &Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
    match error.kind() {
        ErrorKind::ParsingError(_) => true,
        ErrorKind::IOError(io) => matches!(
            io.kind(),
            ConnectionAborted | ConnectionReset | InvalidData | UnexpectedEof
        ),
        _ => false,
    }
}

fn tls_fault(error: &Error) -> Option<tls::Fault<'_>> {
    match error.kind() {
        ErrorKind::IOError(io) => tls::fault(&**io),
        _ => None,
    }
}

/// Try again later, and why.
pub(super) fn unavailable(address: &Address, reason: impl Into<String>) -> BrokerError {
    BrokerError::Unavailable {
        address: address.shown().to_owned(),
        reason: reason.into(),
    }
}

/// The error in words, without the names of Rust types or of AMQP constants.
pub(super) fn words(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => {
            let text = refusal.get_message().as_str();
            match text.split_once(" - ") {
                Some((constant, words)) if constant.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => {
                    words.to_owned()
                }
                _ => text.to_owned(),
            }
        }
        ErrorKind::IOError(io) if io.kind() == io::ErrorKind::ConnectionAborted => {
            "the connection was closed".to_owned()
        }
        ErrorKind::IOError(io) => io.to_string(),
        ErrorKind::ParsingError(_) => {
            "it sent what cannot be read, such as a message with a property that is not UTF-8".to_owned()
        }
        ErrorKind::MissingHeartbeatError => "it stopped answering heartbeats".to_owned(),
        ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_) => {
            "the connection is gone".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    fn refusal(code: u16, text: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::from_id(code, text.into()).unwrap()).into()
    }

    #[test]
    fn each_refusal_becomes_something_to_act_on() {
        let address = Address::parse("amqp://bo:secret@rabbit/").unwrap();
        let check = |code, text, expected: &str, retryable| {
            let error = of_queue(&address, "lh.a.v1.intake", &refusal(code, text));
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.is_retryable(), retryable, "{expected}");
        };
        check(
            404,
            "NOT_FOUND - no queue 'lh.a.v1.intake' in vhost '/'",
            "the queue lh.a.v1.intake does not exist: an orchestrator worker of the hub declares it",
            true,
        );
        check(
            406,
            "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'",
            "[LH1401] RabbitMQ at rabbit:5672 refuses: the queue lh.a.v1.intake exists with other arguments \
             (inequivalent arg 'x-queue-type'); use the queue type that the hub was made with, or another hub name",
            false,
        );
        check(
            404,
            "NOT_FOUND - home node 'b' of durable queue 'lh.a.v1.intake' in vhost '/' is down or inaccessible",
            "[LH1401] RabbitMQ is not reachable at rabbit:5672: home node 'b' of durable queue 'lh.a.v1.intake' in \
             vhost '/' is down or inaccessible",
            true,
        );
        check(
            541,
            "INTERNAL_ERROR - no leader",
            "[LH1401] RabbitMQ is not reachable at rabbit:5672: no leader",
            true,
        );
    }

    #[test]
    fn a_login_that_fails_is_told_apart_from_a_broker_that_is_down() {
        let address = Address::parse("amqp://bo:secret@rabbit/").unwrap();
        let login = of_connection(&address, &refusal(403, "ACCESS_REFUSED - Login was refused"));
        assert_eq!(
            login.to_string(),
            "[LH1401] RabbitMQ at rabbit:5672 refuses: it does not accept the user name or the password"
        );
        let down: Error = io::Error::from(io::ErrorKind::ConnectionRefused).into();
        assert_eq!(
            of_connection(&address, &down).to_string(),
            "[LH1401] RabbitMQ is not reachable at rabbit:5672: connection refused"
        );
    }
}
