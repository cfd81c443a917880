//! What a pod's own status says is wrong with it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::node::{self, Gone};

/// Longest excerpt of a container's last words, in characters.
const MAX_WORDS: usize = 600;
/// A trouble that may pass by itself is given up after it.
const PATIENCE: Duration = Duration::from_secs(120);
/// An unready pod is looked at more closely after it.
const SETTLING: Duration = Duration::from_secs(2);
/// Restarts after which a container that ends again and again is said to loop.
const LOOP: i32 = 3;
/// After a run of so long the kubelet's back-off begins anew: earlier restarts do not count.
const SETTLED: Duration = Duration::from_mins(10);

/// Why a part does not work: the reason of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Unschedulable,
    ImagePullFailed,
    SecretNotFound,
    QuotaExceeded,
    PodForbidden,
    ContainerConfigError,
    OomKilled,
    CrashLoop,
    Restarted,
    PodLost,
}

impl Reason {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unschedulable => "Unschedulable",
            Self::ImagePullFailed => "ImagePullFailed",
            Self::SecretNotFound => "SecretNotFound",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::PodForbidden => "PodForbidden",
            Self::ContainerConfigError => "ContainerConfigError",
            Self::OomKilled => "OOMKilled",
            Self::CrashLoop => "CrashLoop",
            Self::Restarted => "Restarted",
            Self::PodLost => "PodLost",
        }
    }
}

/// Something that keeps a part from its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// `sink-worker 1`.
    pub(crate) part: String,
    pub(crate) reason: Reason,
    /// The cluster's own.
    pub(crate) words: String,
    /// Whether there is no point in waiting any longer.
    pub(crate) terminal: bool,
}

impl Trouble {
    /// `sink-worker 1: 0/1 nodes are available`.
    pub(crate) fn text(&self) -> String {
        format!("{}: {}", self.part, self.words)
    }
}

/// `sink-worker 1`, as the pod's labels say.
pub(crate) fn part(pod: &Pod) -> String {
    let label = |name: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(name));
    let role = label("app.kubernetes.io/component").map_or("pod", String::as_str);
    let index = label("apps.kubernetes.io/pod-index").or_else(|| label("batch.kubernetes.io/job-completion-index"));
    match index {
        Some(index) => format!("{role} {index}"),
        None => role.to_owned(),
    }
}

/// The ordinal or index that its labels say.
pub(crate) fn index(pod: &Pod) -> Option<u32> {
    let labels = pod.metadata.labels.as_ref()?;
    let names = ["apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index"];
    names.iter().find_map(|name| labels.get(*name))?.parse().ok()
}

/// Kubelet's word, of a pod that nobody has asked to leave.
pub(crate) fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

pub(crate) fn address(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.pod_ip.as_deref().filter(|ip| !ip.is_empty())
}

/// Ours, which has the name of its component: others may have been put beside it.
fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let ours = pod.metadata.labels.as_ref()?.get("app.kubernetes.io/component")?;
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|container| container.name == *ours)
}

fn age(since: Option<&Time>, now: Timestamp) -> Duration {
    since.and_then(|since| Duration::try_from(now.duration_since(since.0)).ok()).unwrap_or_default()
}

/// What is wrong with the pod; none when nothing is, or nothing that its status tells.
pub(crate) fn trouble(pod: &Pod, now: Timestamp) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let say = |reason, words: String, terminal| Some(Trouble { part: part(pod), reason, words, terminal });
    // A set makes its pods again; nobody makes those of a run again.
    let once = pod.spec.as_ref().is_some_and(|spec| spec.restart_policy.as_deref() == Some("Never"));
    match node::lost(pod, now) {
        Some(Gone::Overdue(words)) => return say(Reason::PodLost, words, once),
        // It may come back.
        Some(Gone::Unheard(words)) => return say(Reason::PodLost, words, false),
        None if pod.metadata.deletion_timestamp.is_some() => return None,
        None => {}
    }
    if let Some(unscheduled) = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    }) {
        return say(Reason::Unschedulable, unscheduled.message.clone().unwrap_or_default(), false);
    }
    if let Some(words) = lost(pod) {
        return say(Reason::PodLost, words, once);
    }
    if let Some(container) = container(pod) {
        if let Some(waiting) = container.state.as_ref().and_then(|state| state.waiting.as_ref()) {
            let words = waiting.message.clone().unwrap_or_default();
            let late = age(unready_since(pod), now) >= PATIENCE;
            match waiting.reason.as_deref().unwrap_or_default() {
                "InvalidImageName" => return say(Reason::ImagePullFailed, words, true),
                reason @ ("ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "RegistryUnavailable") => {
                    return say(Reason::ImagePullFailed, format!("{reason}: {words}"), late);
                }
                reason @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => {
                    return say(Reason::ContainerConfigError, format!("{reason}: {words}"), late);
                }
                _ => {}
            }
        }
        if let Some(ended) = ended(container) {
            let words = last_words(ended);
            let oom = ended.reason.as_deref() == Some("OOMKilled");
            let looping = container.restart_count >= LOOP && lasted(ended) < SETTLED;
            // A container that ended and works again is no trouble of today, unless it just came back.
            let runs = container.state.as_ref().is_some_and(|state| state.running.is_some());
            let over = runs && age(ended.finished_at.as_ref(), now) > Duration::from_secs(60);
            if !over {
                match (ended.exit_code, oom) {
                    (0, false) => {}
                    (_, true) => return say(Reason::OomKilled, words, looping),
                    (_, false) if looping => return say(Reason::CrashLoop, words, true),
                    (_, false) => return say(Reason::Restarted, words, false),
                }
            }
        }
    }
    None
}

/// Since when the pod has not been ready, or since it was made.
fn unready_since(pod: &Pod) -> Option<&Time> {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let unready = conditions.into_iter().flatten().find(|told| told.type_ == "Ready" && told.status == "False");
    unready.and_then(|told| told.last_transition_time.as_ref()).or(pod.metadata.creation_timestamp.as_ref())
}

/// Why a pod has ended for good: whoever ended it first, then its container. None for one that goes on, or ran out of memory.
fn lost(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref().filter(|_| phase(pod) == "Failed")?;
    let ended = container(pod).and_then(ended);
    let disrupted = status.conditions.iter().flatten().find(|told| told.type_ == "DisruptionTarget");
    let said = [status.reason.as_deref(), status.message.as_deref()];
    let mut words: Vec<String> =
        said.into_iter().flatten().filter(|said| !said.is_empty()).map(str::to_owned).collect();
    if words.is_empty() {
        words.extend(disrupted.and_then(|told| told.message.clone()));
    }
    if words.is_empty() && ended.is_some_and(|ended| ended.reason.as_deref() == Some("OOMKilled")) {
        return None;
    }
    words.extend(ended.map(last_words));
    Some(if words.is_empty() { "the pod failed".to_owned() } else { words.join(": ") })
}

/// How the container ended last, if it ever did.
fn ended(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let terminated = |state: Option<&'_ ContainerState>| state.and_then(|state| state.terminated.as_ref()).is_some();
    let state = if terminated(container.state.as_ref()) { &container.state } else { &container.last_state };
    state.as_ref()?.terminated.as_ref()
}

/// How long the container had run.
fn lasted(ended: &ContainerStateTerminated) -> Duration {
    ended.finished_at.as_ref().map_or(Duration::ZERO, |finished| age(ended.started_at.as_ref(), finished.0))
}

/// `OOMKilled, exit 137: <what its log complained of last>`.
fn last_words(ended: &ContainerStateTerminated) -> String {
    let mut words = match ended.reason.as_deref() {
        Some(reason) if !reason.is_empty() => format!("{reason}, exit {}", ended.exit_code),
        _ => format!("exit {}", ended.exit_code),
    };
    let said = ended.message.as_deref().unwrap_or_default();
    let said = said.lines().filter_map(plain).collect::<Vec<_>>().join("; ");
    if !said.is_empty() {
        let skip = said.chars().count().saturating_sub(MAX_WORDS);
        words = format!("{words}: {}", said.chars().skip(skip).collect::<String>());
    }
    words
}

/// A line of a log without its wrapping; none for one that complains of nothing. The first line may have lost its beginning.
fn plain(line: &str) -> Option<String> {
    let line = line.trim();
    let Ok(entry) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line) else {
        return (!line.is_empty() && !line.ends_with('}')).then(|| line.to_owned());
    };
    if matches!(entry.get("level").and_then(serde_json::Value::as_str), Some("INFO" | "DEBUG" | "TRACE")) {
        return None;
    }
    let fields = ["message", "error", "why", "how"].iter().filter_map(|name| entry.get(*name)?.as_str());
    let text = fields.collect::<Vec<_>>().join(": ");
    Some(if text.is_empty() { line.to_owned() } else { text })
}

/// Whether the pod was placed and its container is still not made: only events tell why.
pub(crate) fn waits_for_volumes(pod: &Pod, now: Timestamp) -> bool {
    let creating = container(pod)
        .and_then(|container| container.state.as_ref()?.waiting.as_ref())
        .is_some_and(|waiting| matches!(waiting.reason.as_deref(), Some("ContainerCreating" | "PodInitializing")));
    creating && age(pod.metadata.creation_timestamp.as_ref(), now) >= SETTLING
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {
                "name": "a-sink-1",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"app.kubernetes.io/component": "sink-worker", "apps.kubernetes.io/pod-index": "1"},
            },
            "status": status,
        }))
        .unwrap()
    }

    fn at(second: i64) -> Timestamp {
        "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(second.unsigned_abs())
    }

    fn container(state: &Value, last: &Value, restarts: i32) -> Value {
        json!({"phase": "Running", "containerStatuses": [{
            "name": "sink-worker", "image": "i", "imageID": "", "ready": false, "restartCount": restarts, "state": state, "lastState": last,
        }]})
    }

    #[test]
    fn containers_that_somebody_put_beside_ours_are_of_no_concern() {
        let waiting = json!({"waiting": {"reason": "InvalidImageName", "message": "bad"}});
        let mut status = container(&json!({"running": {}}), &json!({}), 0);
        let mut beside = container(&waiting, &json!({}), 0)["containerStatuses"][0].clone();
        beside["name"] = json!("a-proxy");
        status["containerStatuses"].as_array_mut().unwrap().insert(0, beside);
        assert_eq!(trouble(&pod(&status), at(9)), None);
        status["containerStatuses"][1]["state"] = waiting;
        assert_eq!(trouble(&pod(&status), at(9)).unwrap().reason, Reason::ImagePullFailed);
    }

    #[test]
    fn each_trouble_is_told_in_the_clusters_words() {
        let unschedulable = json!({"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }]});
        let pull = container(
            &json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"nope\""}}),
            &json!({}),
            0,
        );
        let name = container(&json!({"waiting": {"reason": "InvalidImageName", "message": "bad"}}), &json!({}), 0);
        let oom = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled", "message": "last line", "finishedAt": "2026-01-01T00:00:05Z"}});
        let crash = |second: i64| {
            let message = "cannot use its plan";
            json!({"terminated": {"exitCode": 2, "reason": "Error", "message": message, "startedAt": at(0), "finishedAt": at(second)}})
        };
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}});
        let backing = "sink-worker 1: ImagePullBackOff: Back-off pulling image \"nope\"";
        let killed = "sink-worker 1: OOMKilled, exit 137: last line";
        let crashed = "sink-worker 1: Error, exit 2: cannot use its plan";
        let cases = [
            (unschedulable, 1, "Unschedulable", "sink-worker 1: 0/1 nodes are available: 1 Insufficient cpu.", false),
            (pull.clone(), 1, "ImagePullFailed", backing, false),
            (pull, 121, "ImagePullFailed", backing, true),
            (name, 1, "ImagePullFailed", "sink-worker 1: bad", true),
            (container(&waiting, &oom, 1), 9, "OOMKilled", killed, false),
            (container(&waiting, &oom, 3), 9, "OOMKilled", killed, true),
            (container(&waiting, &crash(5), 1), 9, "Restarted", crashed, false),
            (container(&waiting, &crash(5), 3), 9, "CrashLoop", crashed, true),
            // The other restarts are of long ago.
            (container(&waiting, &crash(600), 4), 609, "Restarted", crashed, false),
            (container(&waiting, &crash(599), 4), 609, "CrashLoop", crashed, true),
        ];
        for (status, second, reason, text, terminal) in cases {
            let found = trouble(&pod(&status), at(second)).unwrap();
            assert_eq!((found.reason.as_str(), found.text().as_str(), found.terminal), (reason, text, terminal));
        }
    }

    #[test]
    fn a_pod_that_is_lost_tells_who_ended_it_and_its_last_words() {
        let killed = json!({"terminated": {"exitCode": 137, "reason": "Error", "message": "listening"}});
        let with = |edit: Value| {
            let mut status = container(&killed, &json!({}), 0);
            status["phase"] = json!("Failed");
            status.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
            status
        };
        let disrupted = json!([{"type": "DisruptionTarget", "status": "True", "message": "the node was drained"}]);
        for (status, words) in [
            (
                with(json!({"reason": "Evicted", "message": "low on memory"})),
                "Evicted: low on memory: Error, exit 137: listening",
            ),
            (with(json!({"conditions": disrupted})), "the node was drained: Error, exit 137: listening"),
            (with(json!({})), "Error, exit 137: listening"),
            (json!({"phase": "Failed"}), "the pod failed"),
        ] {
            let mut pod = pod(&status);
            let found = trouble(&pod, at(9)).unwrap();
            assert_eq!(
                (found.reason, found.words.as_str(), found.terminal),
                (Reason::PodLost, words, false),
                "it is made again"
            );
            pod.spec = Some(serde_json::from_value(json!({"restartPolicy": "Never", "containers": []})).unwrap());
            assert!(trouble(&pod, at(9)).unwrap().terminal, "{words}");
        }
    }

    #[test]
    fn last_words_are_what_a_log_complained_of() {
        let log = [
            r#"08:00Z","level":"INFO","message":"listening"}"#,
            r#"{"timestamp":"08:01Z","level":"INFO","message":"read the control document"}"#,
            "floodmark: caFile ca.crt: holds no certificate",
            r#"{"timestamp":"08:02Z","level":"WARN","message":"the role ended by itself","how":"exit status 2"}"#,
        ];
        let ended = ContainerStateTerminated { exit_code: 2, message: Some(log.join("\n")), ..Default::default() };
        let words = "exit 2: floodmark: caFile ca.crt: holds no certificate; the role ended by itself: exit status 2";
        assert_eq!(last_words(&ended), words);
    }

    #[test]
    fn a_pod_that_came_back_long_ago_is_no_trouble() {
        let crash = json!({"terminated": {"exitCode": 2, "reason": "Error", "finishedAt": "2026-01-01T00:00:05Z"}});
        let mut status = container(&json!({"running": {}}), &crash, 1);
        status["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        assert_eq!(trouble(&pod(&status), at(20)).unwrap().reason, Reason::Restarted);
        assert_eq!(trouble(&pod(&status), at(100)), None);
        // What it once went through does not count when its role is killed by a test.
        let unready = container(&json!({"running": {}}), &crash, 3);
        assert_eq!(trouble(&pod(&unready), at(100)), None);
        let mut pull = container(&json!({"waiting": {"reason": "ErrImagePull", "message": "none"}}), &json!({}), 0);
        pull["conditions"] =
            json!([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T01:00:00Z"}]);
        assert!(!trouble(&pod(&pull), at(3_610)).unwrap().terminal, "an old pod is waited for, too");
        assert!(trouble(&pod(&pull), at(3_730)).unwrap().terminal);
        let creating = container(&json!({"waiting": {"reason": "ContainerCreating"}}), &json!({}), 0);
        assert!(!waits_for_volumes(&pod(&creating), at(1)) && waits_for_volumes(&pod(&creating), at(3)));
    }
}
