//! From a document's Endpoint to the plan of a client: references become URLs, Secrets become files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use floodmark_http::client::{self, Secret};

use crate::secrets::{SecretError, Secrets};

/// What references resolve to on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    pub(crate) secrets: Secrets,
    /// `--resolve HOST=ADDR`.
    pub(crate) hosts: BTreeMap<String, String>,
}

impl Resolver {
    /// `url` is used where the endpoint names a receiver instead of a URL; `field` is for error messages.
    pub(crate) fn endpoint(
        &self,
        endpoint: &api::Endpoint,
        url: Option<&str>,
        field: &str,
    ) -> Result<client::Endpoint, SecretError> {
        let target = endpoint.url.as_deref().or(url).unwrap_or_default();
        let mut plan = client::Endpoint::new(target).with_timeout(endpoint.request_timeout.0);
        plan.user_agent.clone_from(&endpoint.user_agent);
        plan.resolve.clone_from(&self.hosts);
        for (index, header) in endpoint.headers.iter().enumerate() {
            let value = match (&header.value, &header.value_from) {
                (_, Some(source)) => self.secret(&source.secret, &format!("{field}.headers[{index}].valueFrom"))?,
                (Some(value), None) => Secret::Value(value.clone()),
                (None, None) => Secret::Value(String::new()),
            };
            plan.headers.push(client::Header { name: header.name.clone(), value });
        }
        if let Some(basic) = &endpoint.basic_auth {
            plan.basic_auth = Some(client::BasicAuth {
                username: self.secret(&basic.username, &format!("{field}.basicAuth.username"))?,
                password: Some(self.secret(&basic.password, &format!("{field}.basicAuth.password"))?),
            });
        }
        if let Some(authorization) = &endpoint.authorization {
            plan.authorization = Some(client::Authorization {
                scheme: authorization.r#type.clone(),
                credentials: self.secret(&authorization.credentials, &format!("{field}.authorization.credentials"))?,
            });
        }
        if let Some(tls) = &endpoint.tls_config {
            plan.tls = client::Tls {
                ca_file: self.certificate(tls.ca.as_ref(), &format!("{field}.tlsConfig.ca"))?,
                cert_file: self.certificate(tls.cert.as_ref(), &format!("{field}.tlsConfig.cert"))?,
                key_file: match &tls.key_secret {
                    Some(key) => Some(self.file(key, &format!("{field}.tlsConfig.keySecret"))?),
                    None => None,
                },
                server_name: tls.server_name.clone(),
                insecure_skip_verify: tls.insecure_skip_verify,
            };
        }
        Ok(plan)
    }

    pub(crate) fn file(&self, key: &api::SecretKey, field: &str) -> Result<PathBuf, SecretError> {
        self.secrets.file(field, &key.name, &key.key)
    }

    pub(crate) fn certificate(
        &self,
        source: Option<&api::SecretOrConfigMap>,
        field: &str,
    ) -> Result<Option<PathBuf>, SecretError> {
        source.and_then(api::SecretOrConfigMap::key).map(|key| self.file(key, field)).transpose()
    }

    fn secret(&self, key: &api::SecretKey, field: &str) -> Result<Secret, SecretError> {
        self.file(key, field).map(Secret::File)
    }
}
