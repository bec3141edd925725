//! Owns the URLs of servers, which may hold passwords.
//! Never shows one: what is displayed or debugged has `***` in the place of every secret.

use std::fmt;

const MASK: &str = "***";

macro_rules! server_url {
    ($(#[$doc:meta])* $name:ident: $schemes:expr, with TLS $secure:expr) => {
        $(#[$doc])*
        ///
        /// [`Display`](fmt::Display) and [`Debug`](fmt::Debug) show it without its password.
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Checks that the text begins like such a URL; the adapter judges the rest of it.
            #[must_use]
            pub fn new(text: &str) -> Option<Self> {
                let (scheme, rest) = text.split_once("://")?;
                (!rest.is_empty() && $schemes.contains(&scheme)).then(|| Self(text.to_owned()))
            }

            /// The URL itself, password and all: for the adapter and nobody else.
            #[must_use]
            pub fn expose(&self) -> &str {
                &self.0
            }

            /// Whether the connection is to be encrypted.
            #[must_use]
            pub fn is_secure(&self) -> bool {
                self.0.split_once("://").is_some_and(|(scheme, _)| $secure.contains(&scheme))
            }

            /// Host, port and whatever follows, without user and password.
            #[must_use]
            pub fn place(&self) -> String {
                let masked = masked(&self.0);
                let rest = masked.split_once("://").map_or(masked.as_str(), |(_, rest)| rest);
                rest.rsplit_once('@').map_or(rest, |(_, place)| place).to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&masked(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&masked(&self.0), f)
            }
        }
    };
}

server_url!(
    /// Where RabbitMQ is.
    AmqpUrl: ["amqp", "amqps"], with TLS ["amqps"]
);
server_url!(
    /// Where Redis is.
    RedisUrl: ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix", "valkey+unix"], with TLS ["rediss", "valkeys"]
);

/// The text of a URL, however broken, without what may be a secret. Passwords that are not escaped as they
/// should be are no excuse: everything up to the last `@` counts as credentials.
pub(super) fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return MASK.to_owned();
    };
    let (credentials, place) = match rest.rsplit_once('@') {
        None => (String::new(), rest),
        Some((credentials, place)) => match credentials.split_once(':') {
            None => (format!("{MASK}@"), place),
            Some((user, _)) => (format!("{user}:{MASK}@"), place),
        },
    };
    let place = match place.split_once('?') {
        // The URL of a socket carries its password as a parameter.
        Some((place, query)) if query.contains("pass") => format!("{place}?{MASK}"),
        _ => place.to_owned(),
    };
    format!("{scheme}://{credentials}{place}")
}

/// A text that somebody else wrote, such as what stood on a command line in the wrong place, with every URL in it
/// [`masked`].
#[must_use]
pub fn without_secrets(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`');
    let words = text.split_inclusive(is_end);
    let shown = words.map(|word| {
        let (word, end) = match word.char_indices().next_back() {
            Some((at, last)) if is_end(last) => word.split_at(at),
            _ => (word, ""),
        };
        match word.split_once("://") {
            Some(_) => format!("{}{end}", masked(word)),
            None => format!("{word}{end}"),
        }
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_a_text_of_somebody_else_are_masked() {
        let check = |text: &str, shown: &str| assert_eq!(without_secrets(text), shown);
        check("", "");
        check("no flag 'a' is known\n", "no flag 'a' is known\n");
        check(
            "'redis://:secret@h/1' and amqp://b:secret@h",
            "'redis://:***@h/1' and amqp://b:***@h",
        );
        check("--redis.url:redis://:secret@h\n", "--redis.url:redis://:***@h\n");
    }

    #[test]
    fn secrets_are_masked_in_whatever_shape_they_come() {
        let check = |url: &str, shown: &str| assert_eq!(masked(url), shown);
        check("redis://127.0.0.1:6379/", "redis://127.0.0.1:6379/");
        check("redis://:secret@h:1/2", "redis://:***@h:1/2");
        check("redis://secret@h:1/2", "redis://***@h:1/2");
        check(
            "amqp://bo:secret@h/%2f?heartbeat=3",
            "amqp://bo:***@h/%2f?heartbeat=3",
        );
        check("amqp://bo:se/cr@et@h/%2f", "amqp://bo:***@h/%2f");
        check("unix:///s?db=1&pass=secret", "unix:///s?***");
        check("bo:secret@h", "***");
        check("secret", "***");
    }

    #[test]
    fn what_is_debugged_is_masked() {
        let url = AmqpUrl::new("amqp://bo:secret@h").unwrap();
        assert_eq!(format!("{url} {url:?}"), "amqp://bo:***@h \"amqp://bo:***@h\"");
        assert_eq!(
            (url.expose(), url.place()),
            ("amqp://bo:secret@h", "h".to_owned())
        );
        assert_eq!(AmqpUrl::new("redis://h"), None);
        assert_eq!(RedisUrl::new("redis://"), None);
    }
}
