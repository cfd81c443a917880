//! One `ConfigMap` handed to the role as files: read afresh before the role starts, then followed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use floodmark_http::client::{Authorization, Endpoint, Fetch, Secret};
use ownership::ChaosEntry;
use serde::Deserialize;
use serde::de::IgnoredAny;
use telemetry::{Limiter, warn_limited};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::Control;
use crate::state::replace;

/// The documents that a role reads; the plan first, since a role that sees the control document looks for its plan.
const KEYS: [&str; 2] = ["plan.json", CONTROL];
const CONTROL: &str = "control.json";
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between two connections: doubling, and short again after one that lasted or brought something.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A `ConfigMap` holds 1 MiB at most; quotes double and who wrote what is told beside it.
const MAX_OBJECT: usize = 8 << 20;

/// How long one watch lasts. Nothing comes while nothing changes, so a dead connection is only told from a quiet one when the end does
/// not come in time either: that has to be noticed within a drain, which lasts two minutes.
#[derive(Clone, Copy, Debug)]
struct Watch {
    /// After so many the API server ends it.
    seconds: u64,
    /// How much later the end may come.
    slack: Duration,
}

const WATCH: Watch = Watch { seconds: 60, slack: Duration::from_secs(10) };

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

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    resource_version: String,
}

/// A line of a watch.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
enum Event {
    Added(ConfigMap),
    Modified(ConfigMap),
    Deleted(IgnoredAny),
    Error(Status),
    Bookmark(IgnoredAny),
}

/// Why the API server ends a watch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
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
    watch: Watch,
}

impl Relay {
    pub(crate) fn new(control: &Control, into: &Path) -> Self {
        Self { control: control.clone(), into: into.to_owned(), fetch: None, watch: WATCH }
    }

    /// Takes away what an earlier process obeyed, and comes back once the object as it is now lies there.
    pub(crate) async fn fresh(&mut self) -> Relayed {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_fresh().await {
                Ok(relayed) => return relayed,
                Err(error) => warn_limited!(TROUBLE, "the role is not started: {error:#}"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_fresh(&mut self) -> anyhow::Result<Relayed> {
        for key in KEYS {
            remove(&self.into.join(key))?;
        }
        let object = self.get().await?;
        self.hand_on(&object)
    }

    /// Hands on every later state of the object, until dropped.
    pub(crate) async fn follow(mut self, news: watch::Sender<Relayed>) {
        let mut known = Some(news.borrow().revision.clone());
        let mut pause = FIRST_PAUSE;
        loop {
            let (begun, before) = (Instant::now(), news.borrow().revision.clone());
            if let Err(error) = self.round(known.take(), &news).await {
                self.fetch = None;
                warn_limited!(TROUBLE, "the role goes on with what it has: {error:#}");
            }
            if begun.elapsed() > LONGEST_PAUSE || news.borrow().revision != before {
                pause = FIRST_PAUSE;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One watch, from the revision that is known, or else from the newest, to its end: which is no error when it comes in order.
    async fn round(&mut self, known: Option<String>, news: &watch::Sender<Relayed>) -> anyhow::Result<()> {
        let from = if let Some(revision) = known {
            revision
        } else {
            let object = self.get().await?;
            self.pass_on(&object, news);
            object.metadata.resource_version
        };
        let mut fetch = self.fetch()?;
        let name = &self.control.config_map;
        let path = format!(
            "{}?watch=1&fieldSelector=metadata.name%3D{name}&resourceVersion={from}&timeoutSeconds={}&allowWatchBookmarks=false",
            collection(&self.control)?,
            self.watch.seconds
        );
        let mut trouble = None;
        let idle = Duration::from_secs(self.watch.seconds) + self.watch.slack;
        let ended = fetch.lines(Some(&path), idle, |line| match self.event(line, news) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                trouble = Some(error);
                ControlFlow::Break(())
            }
        });
        ended.await.with_context(|| format!("watching ConfigMap {name}"))?;
        self.fetch = Some(fetch);
        trouble.map_or(Ok(()), |error| Err(error.context(format!("watching ConfigMap {name}"))))
    }

    fn event(&self, line: &[u8], news: &watch::Sender<Relayed>) -> anyhow::Result<()> {
        match serde_json::from_slice(line).context("not an event of the Kubernetes API")? {
            Event::Added(object) | Event::Modified(object) => self.pass_on(&object, news),
            Event::Bookmark(_) => {}
            Event::Deleted(_) => bail!("it was deleted"),
            Event::Error(Status { code, message }) => bail!("ended with status {code}: {message}"),
        }
        Ok(())
    }

    /// A state that cannot be read is passed over: a later one will do.
    fn pass_on(&self, object: &ConfigMap, news: &watch::Sender<Relayed>) {
        if object.metadata.resource_version == news.borrow().revision {
            return;
        }
        match self.hand_on(object) {
            Ok(relayed) => {
                tracing::info!(revision = relayed.revision, "handed on a new control document");
                news.send_replace(relayed);
            }
            Err(error) => warn_limited!(TROUBLE, "the role goes on with what it has: {error:#}"),
        }
    }

    /// The connection for the next request; a new one after trouble.
    fn fetch(&mut self) -> anyhow::Result<Fetch> {
        match self.fetch.take() {
            Some(fetch) => Ok(fetch),
            None => Ok(Fetch::new(&endpoint(&self.control)?)?),
        }
    }

    /// Without a resourceVersion the API server answers with the newest state there is, not with a cache.
    async fn get(&mut self) -> anyhow::Result<ConfigMap> {
        let path = format!("{}/{}", collection(&self.control)?, self.control.config_map);
        let mut fetch = self.fetch()?;
        let got = fetch.json(Some(&path)).await;
        let got = got.with_context(|| format!("ConfigMap {}", self.control.config_map))?;
        self.fetch = Some(fetch);
        Ok(got)
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

/// Where the pod's own namespace has its objects.
fn collection(control: &Control) -> anyhow::Result<String> {
    let namespace = control.service_account.join("namespace");
    let namespace = std::fs::read_to_string(&namespace)
        .with_context(|| format!("{}: no service account is mounted here", namespace.display()))?;
    Ok(format!("/api/v1/namespaces/{}/configmaps", namespace.trim()))
}

/// The API server, and the pod's own credentials for it.
fn endpoint(control: &Control) -> anyhow::Result<Endpoint> {
    let account = &control.service_account;
    let url = match &control.api_server {
        Some(url) => url.clone(),
        None => api_server(|name| std::env::var(name).ok())?,
    };
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
