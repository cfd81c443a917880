//! TLS for both sides: rustls with one provider, bundled public roots, PEM files.

use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;

/// What is wrong with TLS material.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{what} {path}: {why}")]
    File { what: &'static str, path: String, why: String },
    #[error("certFile and keyFile go together: give both or none")]
    HalfIdentity,
    #[error("serverName {0:?} is neither a host name nor an IP address")]
    ServerName(String),
    #[error("certificate and key do not fit: {0}")]
    Identity(String),
}

/// What a TLS server needs, all PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// The server's chain, leaf first.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// When given, clients must show a certificate of one of these authorities (mTLS).
    pub client_ca_file: Option<PathBuf>,
}

/// A server's TLS made ready. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    pub(crate) config: Arc<rustls::ServerConfig>,
}

impl ServerTls {
    /// Reads the files.
    pub fn load(_files: &ServerFiles) -> Result<Self, TlsError> {
        todo!()
    }
}
