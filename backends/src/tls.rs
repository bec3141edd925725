//! Owns what TLS needs to know: whom this program trusts, what it shows of itself, and what a failure means.
//! Never opens a connection, and never trusts a certificate without a check.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};

/// Whom to trust and what to show. By default whom the machine trusts, and nothing.
#[derive(Clone, Default)]
pub struct Tls {
    trusted: Option<Arc<[u8]>>,
    identity: Option<Identity>,
}

/// Certificates and their key, as PEM.
#[derive(Clone)]
struct Identity {
    certificates: Arc<[u8]>,
    key: Arc<[u8]>,
}

/// Which of the files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The certificates of those who are trusted.
    Trusted,
    /// The certificate that is shown.
    Certificate,
    /// Its key.
    Key,
}

/// Why a file is of no use.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the file {} is of no use for TLS: {reason}", path.display())]
pub struct TlsFileError {
    /// Which of the files.
    pub part: Part,
    /// Where it was looked for.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl Tls {
    /// Reads and checks the files: the certificates of those who are trusted instead of those whom the machine
    /// trusts, and the certificate to show with its key.
    ///
    /// # Errors
    /// [`TlsFileError`] for the first that is of no use. It never holds anything of a key.
    pub fn load(trusted: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<Self, TlsFileError> {
        let fails = |part, path: &Path, reason: String| TlsFileError {
            part,
            path: path.to_owned(),
            reason,
        };
        let read = |part, path: &Path| match std::fs::read(path) {
            Ok(bytes) => Ok(Arc::<[u8]>::from(bytes)),
            Err(error) => Err(fails(
                part,
                path,
                format!("{error}; check the path and its permissions"),
            )),
        };
        let mut tls = Self::default();
        if let Some(path) = trusted {
            let pem = read(Part::Trusted, path)?;
            roots_of(&pem).map_err(|reason| fails(Part::Trusted, path, reason))?;
            tls.trusted = Some(pem);
        }
        if let Some((certificate_path, key_path)) = identity {
            let identity = Identity {
                certificates: read(Part::Certificate, certificate_path)?,
                key: read(Part::Key, key_path)?,
            };
            certificates_of(&identity.certificates)
                .map_err(|reason| fails(Part::Certificate, certificate_path, reason))?;
            identity
                .prove()
                .map_err(|reason| fails(Part::Key, key_path, reason))?;
            tls.identity = Some(identity);
        }
        Ok(tls)
    }

    /// The PEM of those who are trusted instead of those whom the machine trusts.
    #[cfg(feature = "redis")]
    pub(crate) fn trusted(&self) -> Option<&[u8]> {
        self.trusted.as_deref()
    }

    /// The PEM of what is shown: certificates, then their key.
    #[cfg(feature = "redis")]
    pub(crate) fn identity(&self) -> Option<(&[u8], &[u8])> {
        let identity = self.identity.as_ref()?;
        Some((&identity.certificates, &identity.key))
    }

    /// What rustls wants to know.
    ///
    /// # Errors
    /// Why there is nobody to trust, in words that say what to do.
    #[cfg(feature = "rabbitmq")]
    pub(crate) fn client_config(&self) -> Result<ClientConfig, String> {
        let roots = match &self.trusted {
            Some(pem) => roots_of(pem)?,
            None => roots_of_the_machine()?,
        };
        let config = builder()?.with_root_certificates(roots);
        match &self.identity {
            None => Ok(config.with_no_client_auth()),
            Some(identity) => config
                .with_client_auth_cert(certificates_of(&identity.certificates)?, key_of(&identity.key)?)
                .map_err(|error| error.to_string()),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("has_trusted", &self.trusted.is_some())
            .field("has_identity", &self.identity.is_some())
            .finish()
    }
}

impl Identity {
    /// Whether the key is the certificate's.
    fn prove(&self) -> Result<(), String> {
        let (certificates, key) = (certificates_of(&self.certificates)?, key_of(&self.key)?);
        builder()?
            .with_root_certificates(RootCertStore::empty())
            .with_client_auth_cert(certificates, key)
            .map(drop)
            .map_err(|error| {
                format!("it does not go with the certificate ({error}); name the key that it was made with")
            })
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

fn certificates_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        // Its own words may quote what it found.
        Ok(_) | Err(_) => {
            Err("there is no certificate in it; it must have a part -----BEGIN CERTIFICATE-----".to_owned())
        }
    }
}

fn key_of(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        "there is no key in it that can be read; it must have a part -----BEGIN PRIVATE KEY-----, without a passphrase"
            .to_owned()
    })
}

fn roots_of(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("a certificate in it cannot sign others ({error}); name the CA's"))?;
    }
    Ok(roots)
}

#[cfg(feature = "rabbitmq")]
fn roots_of_the_machine() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _unusable) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(
            "this machine trusts nobody: install ca-certificates, or name the CA in tls_ca".to_owned(),
        );
    }
    Ok(roots)
}

/// Gives the process a provider of cryptography, unless it has one already.
#[cfg(feature = "redis")]
pub(crate) fn provide() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have been faster, with the same.
        let _ = ring::default_provider().install_default();
    }
}

/// A failure that has to do with TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault<'a>(&'a Error);

/// The fault of TLS that is behind an error, if one is. Drivers wrap it in different ways.
pub(crate) fn fault<'a>(error: &'a (dyn StdError + 'static)) -> Option<Fault<'a>> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<Error>() {
            return Some(Fault(fault));
        }
        next = if let Some(shared) = error.downcast_ref::<Arc<dyn StdError + Send + Sync>>() {
            Some(&**shared)
        } else if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner)
        } else {
            error.source()
        };
    }
    None
}

/// What is wrong, and what to do, for whoever operates the program that wanted to speak to `host`. `None` for what
/// says nothing of trust, such as a connection that ended.
pub(crate) fn explain(Fault(error): Fault<'_>, host: &str) -> Option<String> {
    use CertificateError as Bad;
    let said = match error {
        // A CA of the same name with another key makes a bad signature.
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "its certificate is signed by nobody whom this program trusts; name the CA's certificate in tls_ca".to_owned()
        }
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has expired; renew it there, or correct this machine's clock".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "its certificate is not valid yet; correct the clock of this machine or of whoever signed it".to_owned()
        }
        Error::InvalidCertificate(Bad::NotValidForName) => format!(
            "its certificate is not for {host}; write a host in the url that it is for, or have it made for this one too"
        ),
        Error::InvalidCertificate(Bad::NotValidForNameContext { presented, .. }) => format!(
            "its certificate is for {}, not for {host}; write a host in the url that it is for, or have it made for \
             this one too",
            presented.join(" and ")
        ),
        Error::InvalidCertificate(other) => {
            format!("its certificate is not accepted ({other}); have it made anew, or name its CA in tls_ca")
        }
        Error::InvalidMessage(_) => {
            "it does not answer in TLS; check the port, or write the url without the s of amqps:// or rediss://".to_owned()
        }
        Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied),
        ) => format!(
            "it does not accept the certificate that this program shows, or wants one ({alert:?}); set tls_cert and \
             tls_key to one that it trusts"
        ),
        Error::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => return None,
        other => format!("TLS is not agreed on ({other}); compare its TLS versions and ciphers with rustls'"),
    };
    Some(said)
}
