//! Whether the node of a pod is lost, as far as the pod's own status tells.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

/// A pod that is still there so long after its grace has a kubelet that does not answer, or a finalizer.
const OVERDUE: Duration = Duration::from_secs(30);

/// A pod whose kubelet is not heard of, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It was told to go.
    Overdue(String),
    /// Nobody has given it up yet.
    Unheard(String),
}

pub(super) fn lost(pod: &Pod, now: Timestamp) -> Option<Gone> {
    // The grace is in it.
    let deadline = pod.metadata.deletion_timestamp.as_ref().map(|by| by.0);
    if deadline.is_some_and(|by| Duration::try_from(now.duration_since(by)).is_ok_and(|late| late >= OVERDUE)) {
        return Some(Gone::Overdue(words(pod, "it was told to go and is still there")));
    }
    unheard(pod).then(|| Gone::Unheard(words(pod, "its node is not heard of")))
}

/// The node controller takes readiness from the pod, not from its containers, whose state only the kubelet knows.
fn unheard(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    let unready = status.conditions.iter().flatten().any(|told| {
        let kubelets = matches!(told.reason.as_deref(), Some("ContainersNotReady" | "ReadinessGatesNotReady"));
        told.type_ == "Ready" && told.status == "False" && !kubelets
    });
    unready && !containers.is_empty() && containers.iter().all(|container| container.ready)
}

/// What the cluster says of it, if it says anything, and the node.
fn words(pod: &Pod, seen: &str) -> String {
    let status = pod.status.as_ref();
    let said = status.into_iter().flat_map(|status| [status.reason.as_deref(), status.message.as_deref()]);
    let mut words: Vec<&str> = said.flatten().filter(|said| !said.is_empty()).collect();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).map(|name| format!("node {name}"));
    words.extend(node.as_deref());
    words.insert(0, seen);
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(deletion: Option<&str>, status: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "a-sink-1", "deletionTimestamp": deletion},
            "spec": {"nodeName": "n1", "containers": []},
            "status": status,
        }))
        .unwrap()
    }

    fn status(pod: &str, container: bool, reason: Option<&str>) -> Value {
        json!({
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": pod, "reason": reason}],
            "containerStatuses": [{"name": "sink-worker", "image": "i", "imageID": "", "ready": container, "restartCount": 0}],
        })
    }

    #[test]
    fn a_pod_whose_node_is_lost_is_told_from_one_that_is_unready_or_on_its_way() {
        let overdue = |words: &str| Some(Gone::Overdue(words.to_owned()));
        let unheard = |words: &str| Some(Gone::Unheard(words.to_owned()));
        let mut said = status("False", true, None);
        said["reason"] = json!("NodeLost");
        said["message"] = json!("Node n1 is unresponsive");
        let late = "it was told to go and is still there: node n1";
        let by = Some("2026-01-01T00:00:10Z");
        let rows = [
            ("ready", None, status("True", true, None), None),
            ("unready", None, status("False", false, Some("ContainersNotReady")), None),
            ("a gate", None, status("False", true, Some("ReadinessGatesNotReady")), None),
            ("no kubelet yet", None, json!({"conditions": [{"type": "Ready", "status": "False"}]}), None),
            ("the node controller's", None, status("False", true, None), unheard("its node is not heard of: node n1")),
            (
                "with the cluster's words",
                None,
                said,
                unheard("its node is not heard of: NodeLost: Node n1 is unresponsive: node n1"),
            ),
            ("on its way", Some("2026-01-01T00:00:11Z"), status("False", false, None), None),
            ("overdue", by, status("False", false, None), overdue(late)),
            ("overdue, and unheard", by, status("False", true, None), overdue(late)),
        ];
        let now = "2026-01-01T00:00:40Z".parse().unwrap();
        for (name, deletion, status, gone) in rows {
            assert_eq!(lost(&pod(deletion, &status), now), gone, "{name}");
        }
    }
}
