//! The control document: read, checked, made into what requests need.

use std::path::{Path, PathBuf};

use api::{Profile, RemoteWriteReceiverSpec};
use floodmark_http::server::{BasicAuth, ServerFiles, ServerTls};
use protocol::ReceiverControl;

use crate::answers::{Answers, AnswersError};

/// Longest control document.
const MAX_CONTROL: u64 = 4 << 20;
/// Longest file with a credential.
const MAX_SECRET: u64 = 64 << 10;

/// Why a control document cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("{path}: {why}; give a readable JSON file of at most {MAX_CONTROL} bytes")]
    Read { path: String, why: String },
    #[error("{path}: not a receiver's control document: {why}")]
    Parse { path: String, why: String },
    #[error("profile {0:?} is not available yet; use Strict")]
    Profile(Profile),
    #[error("forwardTo is not available yet; leave it out")]
    ForwardTo,
    #[error(transparent)]
    Answers(#[from] AnswersError),
    #[error("cannot serve https: {0}")]
    Tls(#[from] floodmark_http::tls::TlsError),
}

/// What requests are held to.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    /// How far behind the newest sample another one is accepted, milliseconds.
    pub(crate) window_ms: i64,
    pub(crate) max_series: u64,
    pub(crate) answers: Answers,
}

/// The document of a receiver that has none.
pub(crate) fn alone() -> ReceiverControl {
    ReceiverControl { spec: RemoteWriteReceiverSpec::default(), conductor: None, tls: None, basic_auth: None }
}

/// The document and its bytes, to see whether it changes.
pub(crate) fn read(path: &Path) -> Result<(ReceiverControl, Vec<u8>), ControlError> {
    let bytes = bounded(path, MAX_CONTROL)?;
    let control = serde_json::from_slice(&bytes)
        .map_err(|e| ControlError::Parse { path: path.display().to_string(), why: e.to_string() })?;
    Ok((control, bytes))
}

fn bounded(path: &Path, max: u64) -> Result<Vec<u8>, ControlError> {
    use std::io::Read as _;
    let fail = |why: String| ControlError::Read { path: path.display().to_string(), why };
    let file = std::fs::File::open(path).map_err(|e| fail(e.to_string()))?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| fail(e.to_string()))?;
    if bytes.len() as u64 > max { Err(fail(format!("larger than {max} bytes"))) } else { Ok(bytes) }
}

/// Checks the spec and prepares its answers.
pub(crate) fn policy(control: &ReceiverControl) -> Result<Policy, ControlError> {
    let spec = &control.spec;
    if spec.profile != Profile::Strict {
        return Err(ControlError::Profile(spec.profile));
    }
    if spec.forward_to.is_some() {
        return Err(ControlError::ForwardTo);
    }
    let window_ms = i64::try_from(spec.out_of_order_window.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let max_series = spec.max_series.as_ref().map_or(u64::MAX, |count| count.0);
    Ok(Policy { window_ms, max_series, answers: Answers::new(&spec.answers)? })
}

pub(crate) fn tls(control: &ReceiverControl) -> Result<Option<ServerTls>, ControlError> {
    let Some(files) = &control.tls else { return Ok(None) };
    let files = ServerFiles {
        cert_file: PathBuf::from(&files.cert_file),
        key_file: PathBuf::from(&files.key_file),
        client_ca_file: files.client_ca_file.as_ref().map(PathBuf::from),
    };
    Ok(Some(ServerTls::load(&files)?))
}

pub(crate) fn basic_auth(control: &ReceiverControl) -> Result<Option<BasicAuth>, ControlError> {
    let Some(files) = &control.basic_auth else { return Ok(None) };
    let secret = |path: &str| {
        let bytes = bounded(Path::new(path), MAX_SECRET)?;
        let text =
            String::from_utf8(bytes).map_err(|e| ControlError::Read { path: path.to_owned(), why: e.to_string() })?;
        Ok::<_, ControlError>(text.trim_end_matches(['\n', '\r']).to_owned())
    };
    Ok(Some(BasicAuth::new(&secret(&files.username_file)?, &secret(&files.password_file)?)))
}
