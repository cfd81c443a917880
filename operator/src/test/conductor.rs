//! What the conductor says, asked at its pod's address: it may run where its name does not resolve.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use floodmark_http::client::{FetchError, get_bytes, get_json};
use protocol::{ChaosTimeline, ProgressDoc, path};
use report::Summary;

/// One answer of a conductor that has time.
const SOON: Duration = Duration::from_secs(1);
/// The summary is made once and may take longer.
const SUMMARY: Duration = Duration::from_secs(5);
const MAX_DOCUMENT: usize = 1 << 20;
/// Of the summary that is kept in a `ConfigMap`, which may hold one MiB in all.
pub(crate) const MAX_SUMMARY: usize = 900_000;

/// The base address of a pod.
pub(crate) fn base(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("http://[{ip}]:{port}") } else { format!("http://{ip}:{port}") }
}

pub(crate) async fn progress(base: &str) -> Result<ProgressDoc, FetchError> {
    get_json(&format!("{base}{}", path::PROGRESS), MAX_DOCUMENT, SOON).await
}

pub(crate) async fn chaos(base: &str) -> Result<ChaosTimeline, FetchError> {
    get_json(&format!("{base}{}", path::CHAOS), MAX_DOCUMENT, SOON).await
}

/// The summary and its text, without what does not fit.
pub(crate) async fn summary(base: &str) -> anyhow::Result<(Summary, String)> {
    let url = format!("{base}{}?max={MAX_SUMMARY}", path::SUMMARY);
    let bytes = get_bytes(&url, MAX_SUMMARY + 1, SUMMARY).await?;
    let text = String::from_utf8(bytes.to_vec())?;
    Ok((Summary::from_json(&text)?, text))
}

/// Since when conductors have not answered, by the pod's identity.
#[derive(Debug, Default)]
pub(crate) struct Silence(Mutex<HashMap<String, Instant>>);

impl Silence {
    /// For how long this one has been silent, this time included.
    pub(crate) fn another(&self, pod: &str) -> Duration {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.entry(pod.to_owned()).or_insert_with(Instant::now).elapsed()
    }

    pub(crate) fn broken(&self, pod: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(pod);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families() {
        assert_eq!(base("10.0.0.1", 9400), "http://10.0.0.1:9400");
        assert_eq!(base("fd00::1", 9400), "http://[fd00::1]:9400");
    }
}
