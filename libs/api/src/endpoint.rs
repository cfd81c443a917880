//! The shared Endpoint: where requests go and how they authenticate. Field names are prometheus-operator's where it has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cel;
use crate::scalar::Duration;

/// A reference to an object of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ref {
    /// The name of the object.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// A Remote-Write endpoint, or the address of a store's query API for reading back: exactly one of `url` and `receiverRef`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::endpoint()))]
pub struct Endpoint {
    /// The full URL, `http` or `https`, with the path. Left out with `receiverRef`.
    #[schemars(length(min = 1, max = 2048))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A RemoteWriteReceiver of the same namespace, instead of a URL; the TLS and credentials that it asks for need not be said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver_ref: Option<Ref>,
    /// The version of the Remote-Write protocol, in quotes. Default "1.0".
    pub protocol: Protocol,
    /// How long one attempt may take, from the first byte sent to the last byte of the answer; in readBack at least 1m. Default 5s.
    pub request_timeout: Duration,
    /// The User-Agent header. Default `floodmark/VERSION`.
    #[schemars(length(min = 1, max = 256))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// More headers for every request; those of the protocol are reserved. At most 64.
    #[schemars(length(max = 64))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// HTTP basic authentication from Secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// An Authorization header from a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Authorization>,
    /// AWS signature version 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigv4: Option<Sigv4>,
    /// TLS for https URLs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<TlsConfig>,
    /// What a 400 did with the good samples of the request; only in a sink's backend. Default Unknown.
    pub partial_writes: PartialWrites,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            url: None,
            receiver_ref: None,
            protocol: Protocol::V1,
            request_timeout: Duration::from_secs(5),
            user_agent: None,
            headers: Vec::new(),
            basic_auth: None,
            authorization: None,
            sigv4: None,
            tls_config: None,
            partial_writes: PartialWrites::Unknown,
        }
    }
}

/// The version of the Remote-Write protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// prometheus.WriteRequest.
    #[default]
    #[serde(rename = "1.0")]
    V1,
    /// io.prometheus.write.v2.Request.
    #[serde(rename = "2.0")]
    V2,
}

/// What an endpoint does with the good samples of a request that it answers with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum PartialWrites {
    /// None of the request is stored (Prometheus with protocol 1.0).
    Atomic,
    /// The good samples are stored (Mimir, Thanos, Cortex).
    KeepsGood,
    /// Not known: such samples are ambiguous until they are read back.
    #[default]
    Unknown,
}

/// One request header: exactly one of `value` and `valueFrom`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::header()))]
pub struct Header {
    /// The name of the header, in any case.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The value, in the open. Left out with `valueFrom`.
    #[schemars(length(max = 8192))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderSource>,
}

/// Where the value of a header is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderSource {
    /// A key of a Secret.
    pub secret: SecretKey,
}

/// A key of a Secret or ConfigMap of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::secret_key()))]
pub struct SecretKey {
    /// The name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// HTTP basic authentication; both halves come from Secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    /// The key that holds the user name.
    pub username: SecretKey,
    /// The key that holds the password.
    pub password: SecretKey,
}

/// An Authorization header of the form `TYPE CREDENTIALS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::authorization()))]
pub struct Authorization {
    /// The scheme. Default Bearer.
    #[serde(rename = "type", default = "bearer")]
    #[schemars(length(min = 1, max = 64))]
    pub r#type: String,
    /// The key that holds the credentials.
    pub credentials: SecretKey,
}

fn bearer() -> String {
    "Bearer".to_owned()
}

/// AWS signature version 4, made anew for every attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::sigv4()))]
pub struct Sigv4 {
    /// The region, such as eu-central-1.
    #[schemars(length(min = 1, max = 64))]
    pub region: String,
    /// The service name in the signature. Default aps.
    #[serde(default = "aps")]
    #[schemars(length(min = 1, max = 64))]
    pub service: String,
    /// The key that holds the access key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<SecretKey>,
    /// The key that holds the secret access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<SecretKey>,
}

fn aps() -> String {
    "aps".to_owned()
}

/// A key of a Secret or of a ConfigMap: exactly one of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::secret_or_config_map()))]
pub struct SecretOrConfigMap {
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretKey>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<SecretKey>,
}

impl SecretOrConfigMap {
    /// The key that is named, wherever it is kept.
    pub fn key(&self) -> Option<&SecretKey> {
        self.secret.as_ref().or(self.config_map.as_ref())
    }
}

/// TLS of a client.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schemars(extend("x-kubernetes-validations" = cel::tls()))]
pub struct TlsConfig {
    /// PEM certificates that are trusted instead of the built-in roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<SecretOrConfigMap>,
    /// The PEM certificate (with its chain) that the client shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<SecretOrConfigMap>,
    /// The PEM private key of `cert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_secret: Option<SecretKey>,
    /// The name that the server's certificate must carry. Default: the URL's host.
    #[schemars(length(min = 1, max = 253))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Accept any certificate of the server. Default false.
    pub insecure_skip_verify: bool,
}

/// TLS of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerTlsConfig {
    /// The PEM certificate (with its chain) that the server shows.
    pub cert: SecretOrConfigMap,
    /// The PEM private key of `cert`.
    pub key_secret: SecretKey,
    /// PEM certificates that clients' certificates must be signed by; left out, clients show none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<SecretOrConfigMap>,
}
