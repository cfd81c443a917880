//! Where requests go and with which credentials: plain data that travels in plan documents.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A value given literally or kept in a file, written as `{"value": "…"}` or `{"file": "/path"}`.
///
/// A file is read again at every reconnect and after a 401; surrounding whitespace is dropped. Never printed: `Debug` shows the path
/// of a file and nothing of a literal. `Serialize` does write a literal, because plans must travel: keep secrets in files.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Secret {
    /// The value itself.
    Value(String),
    /// The file that holds the value, at most 64 KiB of it.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// A header sent with every request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// Its name; `Host`, `Content-Length`, `Transfer-Encoding` and `Connection` are refused.
    pub name: String,
    /// Its value.
    pub value: Secret,
}

/// `Authorization: Basic`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    /// The user's name; a colon in it is refused.
    pub username: Secret,
    /// The password; empty when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

/// `Authorization: TYPE CREDENTIALS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authorization {
    /// The scheme, `Bearer` when left out.
    #[serde(rename = "type", default = "bearer")]
    pub scheme: String,
    /// The token.
    pub credentials: Secret,
}

fn bearer() -> String {
    "Bearer".to_owned()
}

/// How an `https` endpoint is trusted and how the client shows who it is. All files are PEM and read again at a reconnect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Tls {
    /// The only authorities trusted (as Prometheus has it); the bundled public roots when left out.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate chain; needs `key_file`.
    pub cert_file: Option<PathBuf>,
    /// The client's private key; needs `cert_file`.
    pub key_file: Option<PathBuf>,
    /// The name asked for and verified instead of the URL's host.
    pub server_name: Option<String>,
    /// Accepts any certificate.
    pub insecure_skip_verify: bool,
}

/// Where requests go. Checked when a [`Connection`](super::Connection) is made from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// `http://host[:port][/path][?query]` or `https://…`.
    pub url: String,
    /// Headers of every request.
    #[serde(default)]
    pub headers: Vec<Header>,
    /// Excludes `authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Excludes `basic_auth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// TLS settings, used with `https` only.
    #[serde(default)]
    pub tls: Tls,
    /// Total time of one request: name look-up, connect, TLS, write and the whole answer. 5 s when left out.
    /// Reaching the peer may take the smaller of this and 5 s.
    #[serde(default = "default_timeout")]
    pub request_timeout: Duration,
    /// `User-Agent`; `floodmark/VERSION` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Overrides of name look-up: `host` or `host:port` → `ip` or `ip:port`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resolve: BTreeMap<String, String>,
    /// Bytes of an answer's body that are kept; beyond, the body is cut and the connection dropped. 64 KiB when left out.
    #[serde(default = "default_max_answer")]
    pub max_answer_bytes: usize,
}

fn default_timeout() -> Duration {
    Duration::from_secs(5)
}

fn default_max_answer() -> usize {
    64 << 10
}

impl Endpoint {
    /// An endpoint with every default: no credentials, 5 s, 64 KiB of an answer.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            basic_auth: None,
            authorization: None,
            tls: Tls::default(),
            request_timeout: default_timeout(),
            user_agent: None,
            resolve: BTreeMap::new(),
            max_answer_bytes: default_max_answer(),
        }
    }

    /// The same with another total time for a request.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The same with another bound on an answer's body.
    #[must_use]
    pub fn with_max_answer(mut self, bytes: usize) -> Self {
        self.max_answer_bytes = bytes;
        self
    }
}
