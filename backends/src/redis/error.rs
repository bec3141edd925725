//! Owns what an error of Redis means to a caller: try again, make room, or call a person.
//! Never logs and never retries.

use ::redis::{ErrorKind, RedisError};
use longhaul_shared::port::StoreError;

use crate::tls;

/// The code with which our scripts say that a key holds what Longhaul never put there.
const FOREIGN_KEY: &str = "LHKEY";

/// What an error means; `what` names the key or the work it happened on.
pub(super) fn store_error(address: &str, what: &str, error: &RedisError) -> StoreError {
    let reason = said(error);
    if let Some(reason) = tls::fault(error).and_then(|fault| tls::explain(fault, host(address))) {
        return StoreError::Untrusted {
            address: address.to_owned(),
            reason,
        };
    }
    match error.kind() {
        ErrorKind::Io => unavailable(address, reason),
        ErrorKind::AuthenticationFailed
        | ErrorKind::InvalidClientConfig
        | ErrorKind::RESP3NotSupported
        | ErrorKind::Client => refused(address, &reason),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => unreadable(what, reason),
        _ => match error.code().unwrap_or_default() {
            "OOM" => StoreError::Full { reason },
            "WRONGPASS" | "NOAUTH" | "NOPERM" | "DENIED" => refused(address, &reason),
            "WRONGTYPE" | FOREIGN_KEY => unreadable(what, reason),
            // A script that fails in itself met something it did not expect to find: an id out of order, a
            // number that is none. Trying again cannot help.
            "ERR" if !reason.contains("max number of clients") => unreadable(what, reason),
            // LOADING, BUSY, MISCONF, NOREPLICAS, READONLY, MASTERDOWN, NOSCRIPT, cluster moves: all pass.
            _ => unavailable(address, reason),
        },
    }
}

/// `h` of `rediss://h:6379/2`.
fn host(address: &str) -> &str {
    let place = address.split_once("://").map_or(address, |(_, place)| place);
    place.rsplit_once(':').map_or(place, |(host, _)| host)
}

/// The server could not be asked, or did not answer.
pub(super) fn unavailable(address: &str, reason: impl Into<String>) -> StoreError {
    StoreError::Unavailable {
        address: address.to_owned(),
        reason: reason.into(),
    }
}

/// What is stored is not what should be there.
pub(super) fn unreadable(what: &str, reason: impl Into<String>) -> StoreError {
    StoreError::Unreadable {
        what: what.to_owned(),
        reason: reason.into(),
    }
}

fn refused(address: &str, reason: &str) -> StoreError {
    StoreError::Refused {
        reason: format!(
            "[LH1501] Redis at {address} refuses this program: {reason}; check the credentials and options in the redis url"
        ),
    }
}

/// Code and text as Redis sent them, or what the connection said.
fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::redis::make_extension_error;

    #[test]
    fn what_redis_says_decides_what_the_caller_may_do() {
        let check = |code: &str, detail: &str, expected: &str| {
            let error = make_extension_error(code.to_owned(), Some(detail.to_owned()));
            let mapped = store_error("redis://h:1", "{h:p000}:i:a", &error);
            let name = format!("{mapped:?}");
            assert!(name.starts_with(expected), "{code}: {name}");
            assert!(mapped.to_string().contains(detail), "{mapped}");
        };
        check("OOM", "command not allowed", "Full");
        check("WRONGPASS", "invalid username-password pair", "Refused");
        check("NOAUTH", "authentication required", "Refused");
        check("NOPERM", "no permissions", "Refused");
        check("MISCONF", "errors writing to the AOF file", "Unavailable");
        check("NOREPLICAS", "not enough good replicas", "Unavailable");
        check("LOADING", "loading the dataset", "Unavailable");
        check("READONLY", "a read only replica", "Unavailable");
        check("LHKEY", "x is a list where a hash belongs", "Unreadable");
        check("WRONGTYPE", "against a key", "Unreadable");
    }
}
