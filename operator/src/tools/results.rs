//! `floodmark results lt/NAME`: the artifacts of a finished test, fetched through the API server from its conductor.

use std::path::{Path, PathBuf};

use anyhow::Context;
use api::{ConditionStatus, LoadTestStatus};
use k8s_openapi::api::core::v1::ConfigMap;
use serde::Deserialize;

use super::{Reference, Remote};
use crate::build::names;
use crate::cluster::Fail;
use crate::status::conditions::find;

/// One file; a report holds seconds of data, not samples.
const MAX_FILE: usize = 256 << 20;
const MAX_FILES: usize = 1000;

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub files: Vec<PathBuf>,
    /// Why only the summary could be had; mostly that the conductor's pod is gone.
    pub only_summary: Option<String>,
}

/// A file of the conductor's listing.
#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
}

/// Writes the artifacts into `folder`, which is made. The summary is left when everything else has passed its TTL.
pub async fn results(reference: &Reference, kubeconfig: Option<&Path>, folder: &Path) -> anyhow::Result<Fetched> {
    let remote = Remote::connect(reference, kubeconfig).await?;
    let object = remote.get().await.map_err(|fail| remote.refused(fail).unwrap_or_else(Into::into))?;
    let object = object.ok_or_else(|| remote.missing())?;
    let status = object.data.get("status").and_then(|status| LoadTestStatus::deserialize(status).ok());
    let status = status.unwrap_or_default();
    anyhow::ensure!(
        find(&status.conditions, "Finished").is_some_and(|condition| condition.status == ConditionStatus::True),
        "{} is {}, not finished: wait for it with floodmark wait lt/{}",
        remote.name,
        status.phase.as_deref().unwrap_or("Pending"),
        remote.name
    );
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    match listing(&remote).await {
        Ok(names) => {
            let mut files = Vec::with_capacity(names.len());
            for name in names {
                let bytes = remote.cluster.bytes(&path(&remote, &format!("/results/{name}")), MAX_FILE).await;
                let bytes = bytes.with_context(|| format!("cannot fetch {name}"))?;
                files.push(write(folder, &name, &bytes)?);
            }
            Ok(Fetched { files, only_summary: None })
        }
        Err(fail) => {
            let map: Option<ConfigMap> = remote.cluster.get(&remote.namespace, &names::summary(&remote.name)).await?;
            let summary = map.and_then(|map| map.data?.remove(names::SUMMARY_KEY)).with_context(|| {
                format!("the conductor's artifacts are gone ({fail}), and there is no summary of {}", remote.name)
            })?;
            let files = vec![write(folder, names::SUMMARY_KEY, summary.as_bytes())?];
            Ok(Fetched { files, only_summary: Some(fail.to_string()) })
        }
    }
}

async fn listing(remote: &Remote) -> Result<Vec<String>, Fail> {
    let bytes = remote.cluster.bytes(&path(remote, protocol::path::RESULTS), MAX_FILE).await?;
    let listed: Vec<Listed> = serde_json::from_slice(&bytes)
        .map_err(|error| Fail::Invalid(format!("the conductor's listing is not understood: {error}")))?;
    Ok(listed.into_iter().map(|file| file.name).filter(|name| is_plain(name)).take(MAX_FILES).collect())
}

/// By way of the API server, so that neither the pod's address nor its port has to be reachable from here.
fn path(remote: &Remote, path: &str) -> String {
    let (namespace, service, port) = (&remote.namespace, names::conductor(&remote.name), names::PORT);
    format!("/api/v1/namespaces/{namespace}/services/http:{service}:{port}/proxy{path}")
}

/// Relative, and inside: a listing may not write elsewhere.
fn is_plain(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    name.split('/').all(part)
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, bytes));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_stays_in_its_folder() {
        for name in ["report.html", "dead-letter/a.json", "response.hlog"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["../x", "/etc/passwd", "a/../b", "", "a//b", ".ssh/x", "a b", "a\\b", "x?y"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
