//! TLS for both sides: rustls with one provider, bundled public roots, PEM files.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use thiserror::Error;

use crate::client::Tls;

/// A PEM file or a secret is small; more than this is a mistake.
const MAX_FILE: u64 = 1 << 20;

/// What is wrong with TLS material.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read or parsed.
    #[error("{what} {path}: {why}")]
    File { what: &'static str, path: String, why: String },
    /// One of two.
    #[error("certFile and keyFile go together: give both or none")]
    HalfIdentity,
    /// Not a name that can be verified.
    #[error("serverName {0:?} is neither a host name nor an IP address")]
    ServerName(String),
    /// The key is not the certificate's, or of an unknown kind.
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
    pub(crate) config: Arc<ServerConfig>,
}

impl ServerTls {
    /// Reads the files. They are not read again: a renewed certificate needs a restart.
    pub fn load(files: &ServerFiles) -> Result<Self, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError::Identity(e.to_string()))?;
        let builder = match &files.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(roots_of("clientCaFile", path, &read("clientCaFile", path)?)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(|e| {
                    TlsError::File { what: "clientCaFile", path: path.display().to_string(), why: e.to_string() }
                })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = chain_of(&files.cert_file, &read("certFile", &files.cert_file)?)?;
        let key = key_of(&files.key_file, &read("keyFile", &files.key_file)?)?;
        let mut config = builder.with_single_cert(chain, key).map_err(|e| TlsError::Identity(e.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config) })
    }
}

/// The contents of a client's files, kept to see whether they changed.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Material {
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
}

impl Material {
    pub(crate) fn read(tls: &Tls) -> Result<Self, TlsError> {
        let file = |what, path: &Option<PathBuf>| path.as_deref().map(|p| read(what, p)).transpose();
        if tls.cert_file.is_some() != tls.key_file.is_some() {
            return Err(TlsError::HalfIdentity);
        }
        Ok(Self {
            ca: file("caFile", &tls.ca_file)?,
            cert: file("certFile", &tls.cert_file)?,
            key: file("keyFile", &tls.key_file)?,
        })
    }

    pub(crate) fn client_config(&self, tls: &Tls) -> Result<Arc<ClientConfig>, TlsError> {
        let roots = match (&tls.ca_file, &self.ca) {
            (Some(path), Some(pem)) => roots_of("caFile", path, pem)?,
            _ => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError::Identity(e.to_string()))?;
        let builder = if tls.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptsAnyServerCertificate(provider())))
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|e| TlsError::Identity(e.to_string()))?;
            builder.with_webpki_verifier(verifier)
        };
        let mut config = match (&tls.cert_file, &tls.key_file, &self.cert, &self.key) {
            (Some(cert_file), Some(key_file), Some(cert), Some(key)) => builder
                .with_client_auth_cert(chain_of(cert_file, cert)?, key_of(key_file, key)?)
                .map_err(|e| TlsError::Identity(e.to_string()))?,
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Reads a small file, bounded. Blocks for as long as the file system does.
pub(crate) fn read_small(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > max {
        return Err(format!("larger than {max} bytes"));
    }
    Ok(bytes)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    read_small(path, MAX_FILE).map_err(|why| TlsError::File { what, path: path.display().to_string(), why })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(what: &'static str, path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let error = |why: String| TlsError::File { what, path: path.display().to_string(), why };
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|e| error(format!("not PEM: {e}")))?;
    if certificates.is_empty() {
        return Err(error("holds no certificate (want -----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(certificates)
}

fn chain_of(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates("certFile", path, pem)
}

fn roots_of(what: &'static str, path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, path, pem)? {
        roots.add(certificate).map_err(|e| TlsError::File {
            what,
            path: path.display().to_string(),
            why: e.to_string(),
        })?;
    }
    Ok(roots)
}

fn key_of(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| TlsError::File {
        what: "keyFile",
        path: path.display().to_string(),
        why: format!("holds no unencrypted PEM private key: {e}"),
    })
}

/// What `insecureSkipVerify` means: the handshake's signatures are checked, who signed the certificate is not.
#[derive(Debug)]
struct AcceptsAnyServerCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptsAnyServerCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
