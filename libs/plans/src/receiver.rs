//! A receiver: what it is told, and how others ask it what it holds.

use std::path::PathBuf;
use std::time::Duration;

use api::RemoteWriteReceiverSpec;
use floodmark_http::client::{BasicAuth, Endpoint, Secret};
use protocol::ReceiverControl;
use protocol::receiver::{BasicFiles, ServerFiles};

use crate::{Files, certificate, secret};

/// A whole store may be asked for in one answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);
const STORE_ANSWER: usize = 64 << 20;

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

/// Where a receiver of ours at `base` serves what it holds, with the credentials that its document demands.
///
/// # Errors
/// A reference without a file.
pub fn store<F: Files>(spec: &RemoteWriteReceiverSpec, base: &str, files: &F) -> Result<Endpoint, F::Error> {
    let mut store = Endpoint::new(base).with_timeout(STORE_TIMEOUT).with_max_answer(STORE_ANSWER);
    // A part of the same run under an address that the engine gave it: its certificate need not name that.
    store.tls.insecure_skip_verify = spec.tls_config.is_some();
    if let Some(basic) = &spec.basic_auth {
        store.basic_auth = Some(BasicAuth {
            username: Secret::File(secret(files, &basic.username, "spec.basicAuth.username")?),
            password: Some(Secret::File(secret(files, &basic.password, "spec.basicAuth.password")?)),
        });
    }
    Ok(store)
}
