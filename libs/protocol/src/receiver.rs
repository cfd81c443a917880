//! The control document of a receiver: a file (locally) or a ConfigMap; the receiver only reads it.

use serde::{Deserialize, Serialize};

/// What a receiver is told. Without `conductor`, every series is foreign to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverControl {
    pub spec: api::RemoteWriteReceiverSpec,
    /// Base address of the conductor: the receiver fetches the plan and t0 from it.
    pub conductor: Option<String>,
    /// Server certificate and key files, already resolved from the document's Secrets.
    #[serde(default)]
    pub tls: Option<ServerFiles>,
    /// Files holding the basic-auth user name and password.
    #[serde(default)]
    pub basic_auth: Option<BasicFiles>,
}

/// PEM files of a TLS server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerFiles {
    pub cert_file: String,
    pub key_file: String,
    /// Authorities that clients' certificates must be signed by.
    #[serde(default)]
    pub client_ca_file: Option<String>,
}

/// Files with credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BasicFiles {
    pub username_file: String,
    pub password_file: String,
}
