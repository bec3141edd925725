//! Owns how spans are posted to a collector: HTTP by blocking calls, from the exporter's own thread.
//! Never retries and never decides what is sent: the exporter does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::variables::said;

/// Longest wait for a collector's answer; the default of the OpenTelemetry specification.
const EXPORT_WITHIN: Duration = Duration::from_secs(10);
/// The same, if somebody said something else, in milliseconds.
const TIMEOUT_VARIABLES: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Posts what it is given.
#[derive(Debug)]
pub(super) struct Post(ureq::Agent);

impl Post {
    /// Trusts whom this machine trusts.
    pub(super) fn new() -> Self {
        let trusted = rustls_native_certs::load_native_certs().certs;
        let trusted: Vec<_> = trusted
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(trusted)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout()))
            .http_status_as_error(false)
            .tls_config(tls)
            .build();
        Self(agent.into())
    }
}

fn timeout() -> Duration {
    let text = TIMEOUT_VARIABLES.into_iter().find_map(said);
    let millis = text.and_then(|text| text.trim().parse().ok());
    millis.map_or(EXPORT_WITHIN, Duration::from_millis)
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(head, body.as_ref()))?;
        let (head, mut body) = answer.into_parts();
        let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok(Response::from_parts(head, Bytes::from(body)))
    }
}
