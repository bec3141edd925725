//! Owns where a server finds what it needs for TLS.
//! Never makes a certificate: a test does.

use std::path::PathBuf;

/// Three PEM files of a server or a client.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate of the CA whose signatures it trusts.
    pub ca: PathBuf,
    /// Its own certificate.
    pub certificate: PathBuf,
    /// The key of that.
    pub key: PathBuf,
}
