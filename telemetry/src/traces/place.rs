//! Owns what is said of a trace: a place in it, and a span that is told of when it is over.
//! Never knows where it goes.

use std::time::Duration;

/// A place in a trace, as the W3C headers say it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// `traceparent`.
    pub traceparent: &'a str,
    /// `tracestate`.
    pub tracestate: Option<&'a str>,
}

/// A span that no worker has watched from its begin to its end, told when it has ended.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What was done.
    pub name: &'a str,
    /// Where it stands: its trace and its own span id, which its children knew before it was told.
    pub own: Place<'a>,
    /// What it is a child of; it begins its trace if absent.
    pub parent: Option<Place<'a>>,
    /// When it began and ended, since 1970.
    pub times: (Duration, Duration),
    /// Further attributes.
    pub attributes: &'a [(&'static str, String)],
    /// What went wrong, if it did.
    pub error: Option<&'a str>,
}
