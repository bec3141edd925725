//! Owns the question that a container's health check asks a program: one GET, answered or not.
//! Never follows a redirect and never speaks TLS: it asks a program beside it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::HOST;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longest wait for the whole answer: an image's health check gives up sooner than a person.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// Most bytes of an answer that are read.
const BYTES_MAX: usize = 4 << 20;

/// Why a program did not say yes.
#[derive(Debug)]
pub enum ProbeError {
    /// The URL is none that can be asked.
    Url(String),
    /// No answer came.
    Silent(String),
    /// It said no: the status, and what it said besides.
    No(StatusCode, String),
}

impl std::fmt::Display for ProbeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{url:?} cannot be asked: write http://host:port/path"),
            Self::Silent(why) => write!(f, "no answer: {why}"),
            Self::No(status, text) => write!(f, "{status}\n{}", text.trim_end()),
        }
    }
}

impl std::error::Error for ProbeError {}

/// As [`probe`], for a program that does nothing else and has no async runtime.
///
/// # Errors
/// [`ProbeError`], within three seconds.
pub fn probe_blocking(url: &str) -> Result<String, ProbeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ProbeError::Silent(error.to_string()))?;
    runtime.block_on(probe(url))
}

/// Asks a page of a program, and returns it if the status says that all is well.
///
/// # Errors
/// [`ProbeError`], within three seconds.
pub async fn probe(url: &str) -> Result<String, ProbeError> {
    let refused = || ProbeError::Url(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| refused())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
    let authority = authority.ok_or_else(refused)?.to_string();
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    #[expect(
        clippy::disallowed_methods,
        reason = "no loop of a worker asks: a health check does, in a process of its own"
    )]
    let answered = tokio::time::timeout(ANSWER_WITHIN, ask(&authority, &path)).await;
    let silent = |why: String| ProbeError::Silent(format!("{url}: {why}"));
    match answered {
        Ok(Ok((status, text))) if status.is_success() => Ok(text),
        Ok(Ok((status, text))) => Err(ProbeError::No(status, text)),
        Ok(Err(error)) => Err(silent(error.to_string())),
        Err(_) => Err(silent(format!("not within {ANSWER_WITHIN:?}"))),
    }
}

type AskError = Box<dyn std::error::Error + Send + Sync>;

async fn ask(authority: &str, path: &str) -> Result<(StatusCode, String), AskError> {
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(HOST, authority)
        .body(Empty::<Bytes>::new())?;
    let asking = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BYTES_MAX).collect().await?;
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    };
    // The connection moves the bytes; it ends with the conversation.
    let (answer, _moved) = futures::future::join(asking, connection).await;
    answer
}
