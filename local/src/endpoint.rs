//! What documents refer to, on this machine: Secrets are files, host names may have addresses. What a part could not use is an error
//! here: addresses, credentials, certificates and keys are read and checked.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use floodmark_http::client::{Connection, Endpoint, Secret};
use floodmark_http::server::{self, ServerTls};
use plans::{Files, Kept};
use protocol::receiver::ServerFiles;

use crate::hosts::Hosts;
use crate::run::RunError;
use crate::secrets::{Secrets, list};

/// What references resolve to on this machine.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    pub(crate) secrets: Secrets,
    /// `--resolve HOST=ADDR`.
    pub(crate) hosts: Hosts,
}

impl Files for Resolver {
    type Error = RunError;

    /// Secrets and `ConfigMaps` are one: `--secret` stands for both.
    fn file(&self, field: &str, _: Kept, name: &str, key: &str) -> Result<PathBuf, RunError> {
        Ok(self.secrets.file(field, name, key)?)
    }
}

impl Resolver {
    /// Where the endpoint of `field` is on this machine, usable as it is.
    pub(crate) fn settle(&self, endpoint: &mut Endpoint, field: &str) -> Result<(), RunError> {
        endpoint.resolve = self.hosts.for_url(&endpoint.url);
        match Connection::new(endpoint) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.refuse(field, error, &files(endpoint))),
        }
    }

    /// Certificate and key are loaded once here, so that a receiver does not refuse them later.
    pub(crate) fn check_server(&self, tls: &ServerFiles) -> Result<(), RunError> {
        let files = server::ServerFiles {
            cert_file: (&tls.cert_file).into(),
            key_file: (&tls.key_file).into(),
            client_ca_file: tls.client_ca_file.as_ref().map(PathBuf::from),
        };
        ServerTls::load(&files).map(drop).map_err(|error| {
            let all = [&files.cert_file, &files.key_file].into_iter().chain(&files.client_ca_file);
            self.refuse("spec.tlsConfig", error, &all.map(PathBuf::as_path).collect::<Vec<_>>())
        })
    }

    /// A usage error that names the field and the arguments which gave the files: those that the error speaks of, else all.
    fn refuse(&self, field: &str, error: impl Display, files: &[&Path]) -> RunError {
        let text = error.to_string();
        let named: Vec<&Path> =
            files.iter().copied().filter(|path| text.contains(&path.display().to_string())).collect();
        let given = self.secrets.arguments(if named.is_empty() { files } else { &named });
        let given = if given.is_empty() { String::new() } else { format!(" (given by {})", list(&given)) };
        RunError::Usage(format!("{field}: {text}{given}"))
    }
}

/// All files of an endpoint.
fn files(plan: &Endpoint) -> Vec<&Path> {
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
