//! Owns the bytes' way to the broker: a TCP socket, and TLS around it where the URL says `amqps`.
//! Never lets anything but the handshake through before TLS is agreed on.
//!
//! lapin can do TLS itself, with 60 packages more and without a way to hold the socket meanwhile. What it writes to
//! is whatever its runtime calls a TCP stream, so this runtime calls ours one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::{DummyIO, RuntimeParts};
use async_rs::{Runtime, Tokio};
use futures::Stream;
use futures::io::{AsyncRead, AsyncWrite};
use lapin::uri::AMQPUri;
use longhaul_shared::port::BrokerError;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tokio_util::either::Either;

use super::address::Address;
use super::socket::Socket;
use crate::tls::Tls;

/// What lapin reads and writes.
pub(super) type Wire = Compat<Either<TcpStream, Box<TlsStream<TcpStream>>>>;

/// What is needed to encrypt: whom to trust, what to show, and whose name the certificate must bear.
#[derive(Clone)]
pub(super) struct Secured {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// What it takes to encrypt a connection to this address, if that is wanted.
///
/// # Errors
/// [`BrokerError::Refused`] when no certificate can be for the host, [`BrokerError::Untrusted`] when nobody is
/// trusted.
pub(super) fn secured(address: &Address, tls: &Tls) -> Result<Option<Secured>, BrokerError> {
    if !address.is_secure() {
        return Ok(None);
    }
    let name = ServerName::try_from(address.host().to_owned()).map_err(|_| BrokerError::Refused {
        address: address.shown().to_owned(),
        reason: "a certificate cannot be for a host of this name".to_owned(),
    })?;
    let config = tls.client_config().map_err(|reason| BrokerError::Untrusted {
        address: address.shown().to_owned(),
        reason,
    })?;
    Ok(Some(Secured {
        connector: TlsConnector::from(Arc::new(config)),
        name,
    }))
}

/// The runtime whose TCP stream is a [`Wire`]. Call it within a tokio runtime.
pub(super) fn reactor() -> Runtime<Kit> {
    Runtime::new(RuntimeParts::new(Tokio::current(), Wires(Tokio::current())))
}

pub(super) type Kit = RuntimeParts<Tokio, Wires>;

/// Opens the socket, hands it over to be held, and agrees on TLS.
///
/// # Cancel safety
/// Dropping the future closes the socket.
pub(super) async fn connect(
    uri: &AMQPUri,
    reactor: &Runtime<Kit>,
    socket: &Socket,
    tls: Option<&Secured>,
) -> io::Result<Wire> {
    let place = (uri.authority.host.clone(), uri.authority.port);
    let wire = reactor.tcp_connect(reactor.to_socket_addrs(place)).await?;
    let Either::Left(plain) = wire.into_inner() else {
        return Err(io::ErrorKind::AlreadyExists.into());
    };
    socket.hold(&plain)?;
    let wire = match tls {
        None => Either::Left(plain),
        Some(Secured { connector, name }) => {
            Either::Right(Box::new(connector.connect(name.clone(), plain).await?))
        }
    };
    Ok(wire.compat())
}

/// tokio's reactor, with [`Wire`]s for its streams.
#[derive(Clone, Debug)]
pub(super) struct Wires(Tokio);

impl Reactor for Wires {
    type TcpStream = Wire;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Nobody asks for it: lapin registers nothing.
    fn register<H: io::Read + io::Write + Send + 'static>(
        &self,
        _socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<DummyIO, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, span: Duration) -> Self::Sleep {
        self.0.sleep(span)
    }

    fn interval(&self, span: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(span)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Wire>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(Either::Left(connecting.await?.into_inner()).compat()) }
    }
}
