//! Loopback TCP ports that nobody else takes while a test holds them, also while its server is down.
//! Never hands out ephemeral ports: an outgoing connection could take one between a kill and a restart.
//!
//! The claim is a bound *UDP* socket of the same number: it leaves the TCP port free for the server, is seen by
//! every process and user of the machine, and ends with the process that holds it.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::Context;

const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A claimed port on 127.0.0.1.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _claim: UdpSocket,
}

impl Port {
    /// Claims a port of 20000-29999 on which nothing listens.
    pub(crate) fn claim() -> anyhow::Result<Self> {
        // Processes begin at different places so that they rarely meet; when they do, the claim decides.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let offset =
            u16::try_from(std::process::id().wrapping_mul(37) % u32::from(COUNT)).unwrap_or_default();
        (0..COUNT)
            .find_map(|_| {
                let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
                Self::try_claim(FIRST + (offset + step) % COUNT)
            })
            .context("no free port on 127.0.0.1 between 20000 and 29999")
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    fn try_claim(number: u16) -> Option<Self> {
        let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self {
            number,
            _claim: claim,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_held_port_is_not_handed_out_again() {
        let held = Port::claim().unwrap();
        assert!(Port::try_claim(held.number()).is_none());
    }

    #[test]
    fn a_port_with_a_listener_is_passed_over() {
        let port = Port::claim().unwrap();
        let number = port.number();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        drop(port);
        assert!(Port::try_claim(number).is_none());
    }

    #[test]
    fn many_ports_at_once_differ() {
        let ports: Vec<Port> = (0..50).map(|_| Port::claim().unwrap()).collect();
        let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
    }
}
