//! `floodmark wait lt/NAME`: until the verdict stands.

use std::path::Path;
use std::time::{Duration, Instant};

use api::{ConditionStatus, LoadTestStatus};
use report::Verdict;
use serde::Deserialize;

use super::{Reference, Remote};
use crate::status::conditions::find;

const EVERY: Duration = Duration::from_secs(1);

/// What a test came to.
#[derive(Debug, Clone)]
pub struct Ended {
    pub verdict: Verdict,
    pub reasons: Vec<String>,
}

/// Waits until the test is finished; `tell` gets a line whenever something changed.
///
/// A test that is not finished within `limit` is inconclusive. Fails when there is no such test, or no more, and when the API server
/// refuses to tell; one that does not answer is waited for.
pub async fn wait(
    reference: &Reference,
    kubeconfig: Option<&Path>,
    limit: Duration,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Ended> {
    let remote = Remote::connect(reference, kubeconfig).await?;
    let begun = Instant::now();
    let mut last = String::new();
    loop {
        match remote.get().await {
            Ok(None) => return Err(remote.missing()),
            Ok(Some(object)) => {
                let status = object.data.get("status").and_then(|status| LoadTestStatus::deserialize(status).ok());
                let status = status.unwrap_or_default();
                if let Some(ended) = ended(&status) {
                    return Ok(ended);
                }
                let now = line(&status);
                if now != last {
                    tell(&now);
                    last = now;
                }
            }
            Err(fail) => {
                let now = match remote.refused(fail) {
                    Ok(refused) => return Err(refused),
                    Err(outage) => outage.to_string(),
                };
                if now != last {
                    tell(&now);
                    last = now;
                }
            }
        }
        if begun.elapsed() >= limit {
            let reason = format!("not finished within {} s: {last}", limit.as_secs());
            return Ok(Ended { verdict: Verdict::Inconclusive, reasons: vec![reason] });
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn ended(status: &LoadTestStatus) -> Option<Ended> {
    let finished = find(&status.conditions, "Finished").filter(|c| c.status == ConditionStatus::True)?;
    let verdict = match status.verdict.as_deref() {
        Some("Passed") => Verdict::Passed,
        Some("Failed") => Verdict::Failed,
        _ => Verdict::Inconclusive,
    };
    let mut reasons = status.reasons.clone();
    if reasons.is_empty() {
        reasons.push(format!("{}: {}", finished.reason, finished.message));
    }
    Some(Ended { verdict, reasons })
}

/// `Preparing: Unschedulable: sink-worker 0: 0/1 nodes are available`.
fn line(status: &LoadTestStatus) -> String {
    let mut line = status.phase.clone().unwrap_or_else(|| "waiting for the operator".to_owned());
    if let Some(condition) = find(&status.conditions, "Finished") {
        if condition.reason != line {
            line = format!("{line}: {}", condition.reason);
        }
        if !condition.message.is_empty() {
            line = format!("{line}: {}", condition.message);
        }
    }
    if let Some(stage) = status.stage {
        line = format!("{line}, stage {stage}");
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use floodmark_http::server::{self, Limits};
    use serde_json::json;

    use super::*;

    /// Waits on an API server that answers this, a status object; gives the error and how often it was asked.
    async fn told(code: u16, reason: &str, times: usize) -> (Option<String>, usize) {
        let listener = server::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "words"});
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let answer = Arc::new(move |_, _| {
            counted.fetch_add(1, SeqCst);
            let mut response = server::json(&body);
            *response.status_mut() = code.try_into().unwrap();
            async move { response }
        });
        tokio::spawn(server::serve(listener, answer, Limits::default(), None, None, std::future::pending()));
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let text = json!({
            "current-context": "c", "users": [{"name": "u", "user": {"token": "t"}}],
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        });
        std::fs::write(kubeconfig.path(), text.to_string()).unwrap();
        let limit = EVERY * u32::try_from(times).unwrap();
        let reference = Reference { name: "a".to_owned(), namespace: None };
        let end = wait(&reference, Some(kubeconfig.path()), limit, |_| {}).await;
        (end.err().map(|error| error.to_string()), asked.load(SeqCst))
    }

    #[tokio::test]
    async fn a_refusal_ends_the_wait_and_an_outage_does_not() {
        let (error, asked) = told(401, "Unauthorized", 30).await;
        assert!(error.as_deref().is_some_and(|error| error.contains("--kubeconfig")), "{error:?}");
        assert_eq!(asked, 1);
        let (error, asked) = told(403, "Forbidden", 30).await;
        let error = error.unwrap_or_default();
        assert!(error.contains("LoadTest a in namespace team") && error.contains("words"), "{error}");
        assert_eq!(asked, 1);
        let (error, asked) = told(503, "ServiceUnavailable", 1).await;
        assert_eq!((error, asked), (None, 2));
    }

    fn status(phase: &str, finished: &str, verdict: Option<&str>) -> LoadTestStatus {
        LoadTestStatus::deserialize(json!({
            "phase": phase, "verdict": verdict,
            "conditions": [{"type": "Finished", "status": finished, "reason": "Unschedulable", "message": "no node",
                            "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        }))
        .unwrap()
    }

    #[test]
    fn only_a_finished_test_has_ended() {
        assert!(ended(&status("Running", "False", None)).is_none());
        assert_eq!(line(&status("Preparing", "False", None)), "Preparing: Unschedulable: no node");
        let end = ended(&status("Finished", "True", None)).unwrap();
        assert_eq!((end.verdict, end.reasons), (Verdict::Inconclusive, vec!["Unschedulable: no node".to_owned()]));
        assert_eq!(ended(&status("Finished", "True", Some("Passed"))).unwrap().verdict, Verdict::Passed);
        assert_eq!(line(&LoadTestStatus::default()), "waiting for the operator");
    }
}
