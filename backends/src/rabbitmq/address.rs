//! Owns the broker's URL: reads it, fills in what it leaves out, and shows it without credentials.
//! Never hands the URL's text to a log or an error: it holds a password.

use std::fmt;
use std::time::Duration;

use lapin::uri::{AMQPScheme, AMQPUri};
use longhaul_shared::port::BrokerError;

/// Heartbeat asked for unless the URL names one, in seconds. A dead peer is noticed after at most three times that,
/// by RabbitMQ: for so long it keeps what a hung worker has received, so this should not be much more than a lease.
const HEARTBEAT_SECONDS: u16 = 5;

/// What stands in an error where the URL was too broken to tell a host.
const UNREADABLE: &str = "the configured URL";

/// Where the broker is and how to log in there.
#[derive(Clone)]
pub(super) struct Address {
    uri: AMQPUri,
    shown: String,
}

impl Address {
    /// Reads `amqp://user:password@host:port/vhost?heartbeat=5&connection_timeout=5000`, or the same with `amqps`.
    /// An absent or empty virtual host means `/`.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] for what cannot be used, in words that hold nothing of the URL but its scheme.
    pub(super) fn parse(url: &str) -> Result<Self, BrokerError> {
        let refused = |reason: String| BrokerError::Refused {
            address: UNREADABLE.to_owned(),
            reason,
        };
        let mut uri: AMQPUri = url
            .parse()
            .map_err(|reason: String| refused(explain(url, &reason)))?;
        // The parser of lapin passes over a literal IPv6 address and takes `localhost` instead.
        if let Some(host) = ipv6_literal(url) {
            uri.authority.host = host.to_owned();
        }
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        let shown = show(&uri);
        Ok(Self { uri, shown })
    }

    /// What lapin connects to.
    pub(super) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }

    /// The host to connect to, whose name its certificate must bear.
    pub(super) fn host(&self) -> &str {
        &self.uri.authority.host
    }

    /// Whether the connection is to be encrypted.
    pub(super) fn is_secure(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }

    /// Host, port and virtual host.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// The URL's `connection_timeout`, if it has one.
    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        self.uri.query.connection_timeout.map(Duration::from_millis)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn show(uri: &AMQPUri) -> String {
    let authority = &uri.authority;
    let host = if authority.host.contains(':') {
        format!("[{}]:{}", authority.host, authority.port)
    } else {
        format!("{}:{}", authority.host, authority.port)
    };
    match uri.vhost.as_str() {
        "/" => host,
        vhost => format!("{host}, virtual host {vhost}"),
    }
}

/// The parser's own words, unless they quote the URL.
fn explain(url: &str, reason: &str) -> String {
    const FORM: &str = "expected amqp://user:password@host:port/vhost";
    if url.is_empty() {
        format!("it is empty, {FORM}")
    } else if reason.contains(url) {
        FORM.to_owned()
    } else {
        format!("{reason}, {FORM}")
    }
}

fn ipv6_literal(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit('@').next()?;
    host.strip_prefix('[')?.split(']').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shown_without_credentials() {
        let check = |url: &str, shown: &str| {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.shown(), shown);
            assert_eq!(format!("{address} {address:?}"), format!("{shown} {shown}"));
        };
        check("amqp://bo:secret@rabbit:5673/%2f", "rabbit:5673");
        check("amqp://bo:secret@rabbit/", "rabbit:5672");
        check("amqp://rabbit", "rabbit:5672");
        check(
            "amqp://bo:secret@rabbit/staging?heartbeat=3",
            "rabbit:5672, virtual host staging",
        );
        check("amqp://bo:secret@[::1]:5673/%2f", "[::1]:5673");
        check("amqps://bo:secret@rabbit/", "rabbit:5671");
    }

    #[test]
    fn fills_in_what_the_url_leaves_out() {
        let plain = Address::parse("amqp://rabbit/").unwrap();
        assert_eq!(plain.uri().vhost, "/");
        assert_eq!(plain.uri().query.heartbeat, Some(HEARTBEAT_SECONDS));
        assert_eq!(plain.connect_timeout(), None);
        let explicit = Address::parse("amqp://rabbit/v?heartbeat=3&connection_timeout=700").unwrap();
        assert_eq!(explicit.uri().query.heartbeat, Some(3));
        assert_eq!(explicit.connect_timeout(), Some(Duration::from_millis(700)));
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_repeating_it() {
        for url in [
            "",
            "secret",
            "amqp:secret",
            "http://bo:secret@rabbit/",
            "amqp://bo:secret@rabbit:port/",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(!error.is_retryable(), "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
