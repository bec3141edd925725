//! Asks a running program for its metrics, as Prometheus would.
//! Never judges them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What `GET /metrics` answers on this port of 127.0.0.1.
pub(crate) fn scrape(port: u16) -> anyhow::Result<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(Some(ANSWER_WITHIN))?;
    // HTTP/1.0: the answer comes in one piece and ends with the connection.
    connection.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    if !status.contains(" 200 ") {
        bail!("{status}");
    }
    Ok(body.to_owned())
}

/// The metrics of which there is at least one sample.
pub(crate) fn sampled(body: &str) -> BTreeSet<String> {
    let kinds: BTreeSet<String> = body
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(ToOwned::to_owned)
        .collect();
    body.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(|series| crate::catalogue::metric_of(series, &kinds).to_owned())
        .collect()
}
