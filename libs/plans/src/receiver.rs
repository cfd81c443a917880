//! A receiver: what it is told, and how others ask it what it holds.

use std::path::PathBuf;
use std::time::Duration;

use api::RemoteWriteReceiverSpec;
use floodmark_http::client::{BasicAuth, Endpoint, Secret, Tls};
use protocol::ReceiverControl;
use protocol::receiver::{BasicFiles, ServerFiles};

use crate::{Files, certificate, secret};

/// A whole store may be asked for in one answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);
const STORE_ANSWER: usize = 64 << 20;

/// A receiver of ours, and its base address.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverAt<'a> {
    pub spec: &'a RemoteWriteReceiverSpec,
    pub base: &'a str,
}

impl ReceiverAt<'_> {
    pub(crate) fn write_url(self) -> String {
        format!("{}{}", self.base, protocol::path::WRITE)
    }

    /// A part of the same run under an address that the engine gave it: its certificate need not name that.
    pub(crate) fn tls(self) -> Tls {
        Tls { insecure_skip_verify: self.spec.tls_config.is_some(), ..Tls::default() }
    }

    /// The credentials that its document demands.
    pub(crate) fn basic_auth<F: Files>(self, files: &F) -> Result<Option<BasicAuth>, F::Error> {
        let Some(basic) = &self.spec.basic_auth else { return Ok(None) };
        Ok(Some(BasicAuth {
            username: Secret::File(secret(files, &basic.username, "spec.basicAuth.username")?),
            password: Some(Secret::File(secret(files, &basic.password, "spec.basicAuth.password")?)),
        }))
    }
}

/// `conductor` is the base address of the run's conductor; without one, every series is foreign.
///
/// # Errors
/// A reference without a file.
pub fn receiver_control<F: Files>(
    spec: &RemoteWriteReceiverSpec,
    conductor: Option<String>,
    files: &F,
) -> Result<ReceiverControl, F::Error> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let tls = match &spec.tls_config {
        None => None,
        Some(tls) => Some(ServerFiles {
            cert_file: certificate(files, Some(&tls.cert), "spec.tlsConfig.cert")?.map(text).unwrap_or_default(),
            key_file: text(secret(files, &tls.key_secret, "spec.tlsConfig.keySecret")?),
            client_ca_file: certificate(files, tls.client_ca.as_ref(), "spec.tlsConfig.clientCa")?.map(text),
        }),
    };
    let basic_auth = match &spec.basic_auth {
        None => None,
        Some(basic) => Some(BasicFiles {
            username_file: text(secret(files, &basic.username, "spec.basicAuth.username")?),
            password_file: text(secret(files, &basic.password, "spec.basicAuth.password")?),
        }),
    };
    Ok(ReceiverControl { spec: spec.clone(), conductor, tls, basic_auth })
}

/// Where a receiver of ours serves what it holds, with the credentials that its document demands.
///
/// # Errors
/// A reference without a file.
pub fn store<F: Files>(receiver: ReceiverAt<'_>, files: &F) -> Result<Endpoint, F::Error> {
    let mut store = Endpoint::new(receiver.base).with_timeout(STORE_TIMEOUT).with_max_answer(STORE_ANSWER);
    store.tls = receiver.tls();
    store.basic_auth = receiver.basic_auth(files)?;
    Ok(store)
}
