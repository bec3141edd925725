//! Owns what an operator reads when a program cannot open its hub: one line with code, place, reason and remedy.
//! Never holds credentials.

use longhaul_shared::code::{self, Code};
use longhaul_shared::port::{BrokerError, StoreError};

use crate::config::Origin;
use crate::tls::TlsFileError;

/// Why a hub could not be opened. Each is one line for whoever started the program.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// The store: Redis, or the directory of an embedded hub.
    #[error("{error}{}", remedy(store_remedy(error), key, origin))]
    Store {
        /// What happened, where, and why.
        error: StoreError,
        /// The key that says where the store is.
        key: &'static str,
        /// Where that was said.
        origin: Origin,
    },
    /// RabbitMQ.
    #[error("{error}{}", remedy(broker_remedy(error), key, origin))]
    Broker {
        /// What happened, where, and why.
        error: BrokerError,
        /// The key that says where the broker is.
        key: &'static str,
        /// Where that was said.
        origin: Origin,
    },
    /// A file for TLS.
    #[error("[{}] {error} ({key}: {origin})", code::TLS_UNUSABLE)]
    Tls {
        /// Which file, and what is wrong with it.
        error: TlsFileError,
        /// The key that names it.
        key: &'static str,
        /// Where that was said.
        origin: Origin,
    },
}

impl OpenError {
    /// Whether trying again may help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Store { error, .. } => error.is_retryable(),
            Self::Broker { error, .. } => error.is_retryable(),
            Self::Tls { .. } => false,
        }
    }
}

/// The other errors of the store say themselves what to do.
fn store_remedy(error: &StoreError) -> Option<Code> {
    matches!(error, StoreError::Unavailable { .. }).then_some(code::STORE_UNREACHABLE)
}

fn broker_remedy(error: &BrokerError) -> Option<Code> {
    matches!(
        error,
        BrokerError::Unavailable { .. } | BrokerError::Refused { .. }
    )
    .then_some(code::BROKER_UNREACHABLE)
}

fn remedy(code: Option<Code>, key: &str, origin: &Origin) -> String {
    let fix = code.map_or(String::new(), |code| {
        format!(". {}", code.fix().trim_end_matches('.'))
    });
    format!("{fix} ({key}: {origin})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_where_why_and_what_to_do() {
        let error = OpenError::Broker {
            error: BrokerError::Unavailable {
                address: "rabbit:5672".to_owned(),
                reason: "connection refused".to_owned(),
            },
            key: "amqp.url",
            origin: Origin::Variable("LONGHAUL_AMQP__URL".to_owned()),
        };
        assert_eq!(
            error.to_string(),
            "[LH1401] RabbitMQ is not reachable at rabbit:5672: connection refused. Check the amqp url, that the \
             server runs, and that the credentials may use the virtual host (amqp.url: variable LONGHAUL_AMQP__URL)"
        );
    }
}
