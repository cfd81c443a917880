//! What only events tell: volumes that cannot be mounted, pods that cannot be made.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Pod};

use super::pods::{Reason, Trouble, part};
use crate::cluster::{Cluster, Fail};
use crate::hindrance::is_quota;

/// An owner that could not make its pods for so long is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// The warnings about an object.
pub(crate) async fn about(cluster: &Cluster, namespace: &str, uid: &str) -> Result<Vec<Event>, Fail> {
    if uid.is_empty() {
        return Ok(Vec::new());
    }
    let mut events: Vec<Event> =
        cluster.list_where(namespace, &format!("involvedObject.uid={uid},type=Warning")).await?;
    events.sort_by_key(seen);
    Ok(events)
}

fn seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    series.or(last).or_else(|| event.event_time.as_ref().map(|time| time.0))
}

fn first_seen(event: &Event) -> Option<Timestamp> {
    event.first_timestamp.as_ref().map(|time| time.0).or_else(|| event.event_time.as_ref().map(|time| time.0))
}

/// Why a pod's container is not made: the newest word of the kubelet.
pub(crate) fn of_pod(events: &[Event], pod: &Pod) -> Option<Trouble> {
    let event = events.iter().rev().find(|event| {
        matches!(event.reason.as_deref(), Some("FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox"))
    })?;
    let words = event.message.clone().unwrap_or_default();
    let mount = event.reason.as_deref() == Some("FailedMount");
    let missing = mount && (words.contains("not found") || words.contains("references non-existent"));
    let reason = if missing { Reason::SecretNotFound } else { Reason::ContainerConfigError };
    Some(Trouble { part: part(pod), reason, words, terminal: false })
}

/// Why an owner's pods are not made: the newest word of its controller, unless it has `made` one since.
pub(crate) fn of_owner(events: &[Event], part: &str, made: Option<Timestamp>, now: Timestamp) -> Option<Trouble> {
    let failed = |event: &&Event| event.reason.as_deref() == Some("FailedCreate") && seen(event) >= made;
    let event = events.iter().rev().find(failed)?;
    let words = event.message.clone().unwrap_or_default();
    let quota = is_quota(&words);
    let since = events.iter().filter(failed).filter_map(first_seen).min();
    let waited = since.and_then(|since| Duration::try_from(now.duration_since(since)).ok()).unwrap_or_default();
    Some(Trouble {
        part: part.to_owned(),
        reason: if quota { Reason::QuotaExceeded } else { Reason::PodForbidden },
        words,
        terminal: waited >= PATIENCE,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(reason: &str, message: &str) -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {}, "reason": reason, "message": message,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:30Z",
        }))
        .unwrap()
    }

    #[test]
    fn mounts_and_refused_pods_are_told_apart() {
        let pod = Pod::default();
        let mount = event("FailedMount", "MountVolume.SetUp failed for volume \"secret-a\" : secret \"a\" not found");
        let found = of_pod(&[event("Unhealthy", "x"), mount], &pod).unwrap();
        assert_eq!(found.reason, Reason::SecretNotFound);
        assert_eq!(of_pod(&[event("Unhealthy", "x")], &pod), None);
        let network = event("FailedCreatePodSandBox", "plugin type=\"bridge\" failed: link not found");
        assert_eq!(of_pod(&[network], &pod).unwrap().reason, Reason::ContainerConfigError);
        let now = |second| "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(second);
        let quota = event("FailedCreate", "pods \"a-0\" is forbidden: exceeded quota: q, requested: pods=1");
        let found = of_owner(std::slice::from_ref(&quota), "generator", None, now(10)).unwrap();
        assert_eq!((found.reason, found.terminal), (Reason::QuotaExceeded, false));
        assert!(of_owner(std::slice::from_ref(&quota), "generator", Some(now(30)), now(130)).unwrap().terminal);
        assert_eq!(of_owner(&[quota], "generator", Some(now(31)), now(130)), None, "it was over then");
        let limits =
            event("FailedCreate", "pods \"a-0\" is forbidden: failed quota: q: must specify limits.cpu for: c");
        assert_eq!(of_owner(&[limits], "conductor", None, now(1)).unwrap().reason, Reason::QuotaExceeded);
        let security = event("FailedCreate", "pods \"a-0\" is forbidden: violates PodSecurity \"restricted:latest\"");
        assert_eq!(of_owner(&[security], "generator", None, now(1)).unwrap().reason, Reason::PodForbidden);
    }
}
