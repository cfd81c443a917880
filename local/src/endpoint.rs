//! From a document's Endpoint to the plan of a client: references become URLs, Secrets become files.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use floodmark_http::client::{self, Connection, Secret};

use crate::hosts::Hosts;
use crate::run::RunError;
use crate::secrets::{SecretError, Secrets, list};

/// What references resolve to on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    pub(crate) secrets: Secrets,
    /// `--resolve HOST=ADDR`.
    pub(crate) hosts: Hosts,
}

impl Resolver {
    /// `url` is used where the endpoint names a receiver instead of a URL; `field` is for error messages. What a part could not use
    /// is an error here: addresses, credentials, certificates and keys are read and checked.
    pub(crate) fn endpoint(
        &self,
        endpoint: &api::Endpoint,
        url: Option<&str>,
        field: &str,
    ) -> Result<client::Endpoint, RunError> {
        let target = endpoint.url.as_deref().or(url).unwrap_or_default();
        let mut plan = client::Endpoint::new(target).with_timeout(endpoint.request_timeout.0);
        plan.user_agent.clone_from(&endpoint.user_agent);
        plan.resolve = self.hosts.for_url(target);
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
        match Connection::new(&plan) {
            Ok(_) => Ok(plan),
            Err(error) => Err(self.refuse(field, error, &files(&plan))),
        }
    }

    /// A usage error that names the field and the arguments which gave the files: those that the error speaks of, else all.
    pub(crate) fn refuse(&self, field: &str, error: impl Display, files: &[&Path]) -> RunError {
        let text = error.to_string();
        let named: Vec<&Path> =
            files.iter().copied().filter(|path| text.contains(&path.display().to_string())).collect();
        let given = self.secrets.arguments(if named.is_empty() { files } else { &named });
        let given = if given.is_empty() { String::new() } else { format!(" (given by {})", list(&given)) };
        RunError::Usage(format!("{field}: {text}{given}"))
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

/// All files of an endpoint.
fn files(plan: &client::Endpoint) -> Vec<&Path> {
    let basic = plan.basic_auth.iter().flat_map(|basic| [Some(&basic.username), basic.password.as_ref()]).flatten();
    let token = plan.authorization.iter().map(|authorization| &authorization.credentials);
    let secrets = plan.headers.iter().map(|header| &header.value).chain(basic).chain(token);
    let secrets = secrets.filter_map(|secret| match secret {
        Secret::File(path) => Some(path),
        Secret::Value(_) => None,
    });
    let tls = [&plan.tls.ca_file, &plan.tls.cert_file, &plan.tls.key_file].into_iter().flatten();
    secrets.chain(tls).map(PathBuf::as_path).collect()
}
