//! Owns the HTTP endpoint of a program: `/metrics`, `/healthz`, `/readyz`.
//! Never changes anything, and never lets whoever asks hold up what the program is for.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::TEXT_FORMAT;
use tokio::net::{TcpListener, TcpStream};

use crate::health::Health;

/// Most connections at once; further ones wait. A Prometheus needs one, an orchestrator's probes another.
const CONNECTIONS_MAX: usize = 32;
/// Longest wait for a request on an open connection: a scraper that keeps its connection asks each minute or so.
const REQUEST_WITHIN: Duration = Duration::from_secs(150);

const TEXT: &str = "text/plain; charset=utf-8";

/// What a program shows.
pub trait Pages: Send + Sync + 'static {
    /// Everything measured, in Prometheus' text format.
    fn metrics(&self) -> String;

    /// Whether the program does, or could do, what it is for.
    fn ready(&self) -> Health;
}

/// An endpoint that listens.
pub struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.address).finish()
    }
}

impl Endpoint {
    /// Listens here. Port 0 stands for any free one.
    ///
    /// # Errors
    /// When the address is in use or is none of this machine's.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for as long as it is polled.
    ///
    /// # Cancel safety
    /// Dropping the future closes every connection.
    pub async fn serve(self, pages: Arc<dyn Pages>) {
        let mut connections: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
        loop {
            let has_room = connections.len() < CONNECTIONS_MAX;
            tokio::select! {
                biased;
                Some(()) = connections.next() => {}
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((stream, _)) => connections.push(Box::pin(converse(stream, Arc::clone(&pages)))),
                    // Of this one caller, or of a lack that passes: the next is another matter.
                    Err(error) => {
                        tracing::debug!(%error, "a connection to the metrics endpoint was not accepted");
                        tokio::task::yield_now().await;
                    }
                },
            }
        }
    }
}

/// Answers one caller until it goes.
async fn converse(stream: TcpStream, pages: Arc<dyn Pages>) {
    let answer = service_fn(move |request| {
        let answer = answer(&*pages, &request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let conversation = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = conversation.await {
        tracing::debug!(%error, "a connection to the metrics endpoint ended");
    }
}

fn answer<B>(pages: &dyn Pages, request: &Request<B>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".to_owned());
        refused
            .headers_mut()
            .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => page(StatusCode::OK, TEXT_FORMAT, pages.metrics()),
        "/healthz" => page(StatusCode::OK, TEXT, "ok   alive\n".to_owned()),
        "/readyz" => {
            let health = pages.ready();
            let status = match health.is_good() {
                true => StatusCode::OK,
                false => StatusCode::SERVICE_UNAVAILABLE,
            };
            page(status, TEXT, health.to_string())
        }
        _ => {
            let there_is = "not found; there is /metrics, /healthz and /readyz\n";
            page(StatusCode::NOT_FOUND, TEXT, there_is.to_owned())
        }
    }
}

fn page(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::new(Bytes::from(text)));
    *page.status_mut() = status;
    page.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(content_type),
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Check;
    use crate::probe::{ProbeError, probe};

    struct Program {
        is_ready: bool,
    }

    impl Pages for Program {
        fn metrics(&self) -> String {
            "a_total 1\n".to_owned()
        }

        fn ready(&self) -> Health {
            let check = Check::that("consuming", self.is_ready, "nobody delivers");
            Health { checks: vec![check] }
        }
    }

    async fn asked(is_ready: bool, path: &str) -> Result<String, ProbeError> {
        let endpoint = Endpoint::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let url = format!("http://{}{path}", endpoint.address());
        let serving = endpoint.serve(Arc::new(Program { is_ready }));
        tokio::select! {
            answer = probe(&url) => answer,
            () = serving => unreachable!("it serves for ever"),
        }
    }

    #[tokio::test]
    async fn each_page_is_there_and_readiness_shows_in_the_status() {
        assert_eq!(asked(true, "/metrics").await.unwrap(), "a_total 1\n");
        assert_eq!(asked(true, "/readyz").await.unwrap(), "ok   consuming\n");
        assert_eq!(asked(false, "/healthz").await.unwrap(), "ok   alive\n");
        let unready = asked(false, "/readyz").await.unwrap_err().to_string();
        assert!(
            unready.contains("503") && unready.contains("nobody delivers"),
            "{unready}"
        );
        let unknown = asked(true, "/metric").await.unwrap_err().to_string();
        assert!(
            unknown.contains("404") && unknown.contains("/metrics"),
            "{unknown}"
        );
    }

    #[tokio::test]
    async fn callers_that_say_nothing_do_not_keep_others_out() {
        let endpoint = Endpoint::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let address = endpoint.address();
        let serving = endpoint.serve(Arc::new(Program { is_ready: true }));
        let asking = async {
            let mut silent = Vec::new();
            for _ in 0..CONNECTIONS_MAX - 1 {
                silent.push(TcpStream::connect(address).await.unwrap());
            }
            probe(&format!("http://{address}/healthz")).await.unwrap()
        };
        tokio::select! {
            answer = asking => assert_eq!(answer, "ok   alive\n"),
            () = serving => unreachable!("it serves for ever"),
        }
    }
}
