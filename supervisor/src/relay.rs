//! One `ConfigMap` handed to the role as files: read afresh before the role starts, then followed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use floodmark_http::client::{Authorization, Endpoint, Fetch, Secret};
use ownership::ChaosEntry;
use serde::Deserialize;
use telemetry::{Limiter, warn_limited};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::Control;
use crate::state::replace;

/// The documents that a role reads; the plan first, since a role that sees the control document looks for its plan.
const KEYS: [&str; 2] = ["plan.json", CONTROL];
const CONTROL: &str = "control.json";
/// Between two looks at the object, and after one that failed.
const POLL: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(5);
/// A `ConfigMap` holds 1 MiB at most; quotes double and who wrote what is told beside it.
const MAX_OBJECT: usize = 8 << 20;

static TROUBLE: Limiter = Limiter::new(1, Duration::from_secs(10));

/// What the supervisor itself needs of the documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relayed {
    /// `resourceVersion` of the object.
    pub(crate) revision: String,
    pub(crate) chaos: Vec<ChaosEntry>,
}

/// The object as the API has it.
#[derive(Debug, Deserialize)]
struct ConfigMap {
    metadata: Metadata,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    resource_version: String,
}

/// The part of a control document that is meant for supervisors; a receiver's has none.
#[derive(Debug, Default, Deserialize)]
struct Timeline {
    #[serde(default)]
    chaos: Vec<ChaosEntry>,
}

pub(crate) struct Relay {
    control: Control,
    into: PathBuf,
    fetch: Option<Fetch>,
}

impl Relay {
    pub(crate) fn new(control: &Control, into: &Path) -> Self {
        Self { control: control.clone(), into: into.to_owned(), fetch: None }
    }

    /// Takes away what an earlier process obeyed, and comes back once the object as it is now lies there.
    pub(crate) async fn fresh(&mut self) -> Relayed {
        loop {
            match self.try_fresh().await {
                Ok(relayed) => return relayed,
                Err(error) => warn_limited!(TROUBLE, "the role is not started: {error:#}"),
            }
            sleep(POLL).await;
        }
    }

    async fn try_fresh(&mut self) -> anyhow::Result<Relayed> {
        for key in KEYS {
            remove(&self.into.join(key))?;
        }
        // Without a resourceVersion the API server answers with the newest state there is, not with a cache.
        let object = self.get().await?;
        self.hand_on(&object)
    }

    /// Hands on every later state of the object, until dropped.
    pub(crate) async fn follow(mut self, news: watch::Sender<Relayed>) {
        loop {
            sleep(POLL).await;
            let relayed = match self.get().await {
                Ok(object) if object.metadata.resource_version == news.borrow().revision => continue,
                Ok(object) => self.hand_on(&object),
                Err(error) => Err(error),
            };
            match relayed {
                Ok(relayed) => {
                    tracing::info!(revision = relayed.revision, "handed on a new control document");
                    news.send_replace(relayed);
                }
                Err(error) => warn_limited!(TROUBLE, "the role goes on with what it has: {error:#}"),
            }
        }
    }

    async fn get(&mut self) -> anyhow::Result<ConfigMap> {
        let fetch = match &mut self.fetch {
            Some(fetch) => fetch,
            none => none.insert(Fetch::new(&endpoint(&self.control)?)?),
        };
        let got = fetch.json(None).await;
        if got.is_err() {
            // The next one reads the service account anew.
            self.fetch = None;
        }
        got.with_context(|| format!("ConfigMap {}", self.control.config_map))
    }

    fn hand_on(&self, object: &ConfigMap) -> anyhow::Result<Relayed> {
        let name = &self.control.config_map;
        let control = object.data.get(CONTROL).with_context(|| format!("ConfigMap {name} has no key {CONTROL}"))?;
        let timeline: Timeline =
            serde_json::from_str(control).with_context(|| format!("ConfigMap {name}, key {CONTROL}"))?;
        for key in KEYS {
            let path = self.into.join(key);
            match object.data.get(key) {
                Some(text) => replace(&path, text.as_bytes()).with_context(|| path.display().to_string())?,
                None => remove(&path)?,
            }
        }
        Ok(Relayed { revision: object.metadata.resource_version.clone(), chaos: timeline.chaos })
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// The object's address and the pod's own credentials for it.
fn endpoint(control: &Control) -> anyhow::Result<Endpoint> {
    let account = &control.service_account;
    let namespace = account.join("namespace");
    let namespace = std::fs::read_to_string(&namespace)
        .with_context(|| format!("{}: no service account is mounted here", namespace.display()))?;
    let base = match &control.api_server {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => api_server(|name| std::env::var(name).ok())?,
    };
    let url = format!("{base}/api/v1/namespaces/{}/configmaps/{}", namespace.trim(), control.config_map);
    let mut endpoint = Endpoint::new(url).with_timeout(TIMEOUT).with_max_answer(MAX_OBJECT);
    endpoint.authorization =
        Some(Authorization { scheme: "Bearer".to_owned(), credentials: Secret::File(account.join("token")) });
    if endpoint.url.starts_with("https:") {
        endpoint.tls.ca_file = Some(account.join("ca.crt"));
    }
    Ok(endpoint)
}

/// Where every pod is told that the API server is.
fn api_server(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<String> {
    let get = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .with_context(|| format!("{name} is not set, so this is no pod: name the API server with --api-server URL"))
    };
    let (host, port) = (get("KUBERNETES_SERVICE_HOST")?, get("KUBERNETES_SERVICE_PORT")?);
    Ok(if host.contains(':') { format!("https://[{host}]:{port}") } else { format!("https://{host}:{port}") })
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
