//! What sink-workers say is wrong, which no status of a pod tells.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use protocol::WorkerReport;

use super::pods::{Reason, Trouble, index, part, unready_for};

/// A backend may come up beside its sink: it is looked for so long before anybody is told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Workers that are not ready because they do not reach their backend.
pub(crate) fn unreachable(pods: &[Pod], reports: &BTreeMap<u32, WorkerReport>, now: Timestamp) -> Vec<Trouble> {
    let waiting = pods.iter().filter(|pod| unready_for(pod, PATIENCE, now));
    let trouble = |pod: &Pod| {
        let words = reports.get(&index(pod)?)?.unreachable.clone()?;
        Some(Trouble { part: part(pod), reason: Reason::BackendUnreachable, words, terminal: false })
    };
    waiting.filter_map(trouble).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOBODY: &str = "the backend does not answer: http://nobody:9400: dns";

    fn pod(ordinal: u32, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app.kubernetes.io/component": "sink-worker", "apps.kubernetes.io/pod-index": ordinal.to_string()},
            },
            "status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap()
    }

    fn report(ordinal: u32, unreachable: Option<&str>) -> (u32, WorkerReport) {
        let report = json!({
            "ordinal": ordinal, "epoch": 1, "account": {}, "unreachable": unreachable, "stalls": [], "cpu": {},
        });
        (ordinal, serde_json::from_value(report).unwrap())
    }

    #[test]
    fn a_backend_that_is_not_reached_is_told_in_the_words_of_those_who_look_for_it() {
        let begun: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let texts = |pods: &[Pod], reports: &BTreeMap<u32, WorkerReport>, seconds: u64| -> Vec<String> {
            let found = unreachable(pods, reports, begun + Duration::from_secs(seconds));
            assert!(found.iter().all(|trouble| trouble.reason.as_str() == "BackendUnreachable" && !trouble.terminal));
            found.iter().map(Trouble::text).collect()
        };
        let pods = [pod(0, "True"), pod(1, "False"), pod(2, "False"), pod(3, "False")];
        let reports = BTreeMap::from([report(0, Some("old")), report(1, Some(NOBODY)), report(2, None)]);
        assert_eq!(texts(&pods, &reports, 10), [format!("sink-worker 1: {NOBODY}")]);
        assert_eq!(texts(&pods, &reports, 9), [""; 0], "both may still come up");
        let mut leaving = pod(1, "False");
        leaving.metadata.deletion_timestamp.clone_from(&leaving.metadata.creation_timestamp);
        assert_eq!(texts(&[leaving], &reports, 10), [""; 0], "nothing is wanted of it any more");
    }
}
