//! A finished test: gives its targets back, and leaves by and by what its document says.

use std::time::Duration;

use api::LoadTestStatus;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use super::load_test::owns;
use super::{Context, claims};
use crate::build::meta::Owner;
use crate::build::names;
use crate::cluster::Built;
use crate::error::{Error, What};
use crate::kinds::Test;
use crate::status::conditions::find;

/// What is left to do, soonest first; none: nothing.
pub(super) async fn finished(
    context: &Context,
    test: &Test,
    owner: &Owner,
    status: &LoadTestStatus,
) -> Result<Option<Duration>, Error> {
    claims::release(context, test).await?;
    let completed = status.completion_time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
    let over = completed.is_none_or(|completed| left(completed, test, Timestamp::now()).is_none());
    let name = &test.name;
    remove::<PodDisruptionBudget>(context, owner, &names::run(name)).await?;
    if over || !keeps_generators(test, status) {
        remove::<Job>(context, owner, &names::generator(name)).await?;
        remove::<Service>(context, owner, &names::generator(name)).await?;
    }
    if over {
        remove::<Job>(context, owner, &names::conductor(name)).await?;
        remove::<Service>(context, owner, &names::conductor(name)).await?;
        remove::<ConfigMap>(context, owner, &names::plan(name)).await?;
        return Ok(None);
    }
    Ok(completed.and_then(|completed| left(completed, test, Timestamp::now())))
}

/// How long the artifacts stay yet.
fn left(completed: Timestamp, test: &Test, now: Timestamp) -> Option<Duration> {
    let end = completed.checked_add(test.spec.results.ttl_after_finished.0).ok()?;
    Duration::try_from(end.duration_since(now)).ok().filter(|left| !left.is_zero())
}

/// The generators' logs tell why a test failed; generators whose conductor is lost would go on for ever.
fn keeps_generators(test: &Test, status: &LoadTestStatus) -> bool {
    let completed = find(&status.conditions, "Finished").is_some_and(|finished| finished.reason == "Completed");
    completed && status.verdict.as_deref() != Some("Passed") && test.spec.results.keep_on_failure
}

/// Ends a child of ours; one of somebody else stays.
async fn remove<K: Built>(context: &Context, owner: &Owner, name: &str) -> Result<(), Error> {
    let what = || format!("{} {name}", K::kind(&()));
    let live: Option<K> = context.cluster.get(&owner.namespace, name).await.what(what)?;
    let Some(live) = live.filter(|live| owns(owner, live.meta()) && live.meta().deletion_timestamp.is_none()) else {
        return Ok(());
    };
    context.cluster.delete::<K>(&owner.namespace, name, live.meta().uid.as_deref()).await.what(what)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::parse;

    fn test(results: &serde_json::Value) -> Test {
        let object = json!({
            "apiVersion": "floodmark.dev/v1alpha1", "kind": "LoadTest", "metadata": {"name": "t"},
            "spec": {"target": {"sinkRef": {"name": "s"}}, "results": results,
                     "workload": [{"name": "a", "targets": 1, "seriesPerTarget": 1}], "stages": [{"for": "1s"}]},
        });
        parse(&serde_json::from_value(object).unwrap()).unwrap()
    }

    #[test]
    fn artifacts_stay_for_their_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let test = test(&json!({"ttlAfterFinished": "60s"}));
        assert_eq!(left(at(100), &test, at(130)), Some(Duration::from_secs(30)));
        assert_eq!(left(at(100), &test, at(160)), None);
        assert_eq!(left(at(100), &test, at(900)), None);
    }

    #[test]
    fn generators_stay_only_where_their_logs_tell_something() {
        let status = |verdict: &str, reason: &str| -> LoadTestStatus {
            serde_json::from_value(json!({"verdict": verdict, "conditions": [
                {"type": "Finished", "status": "True", "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
            .unwrap()
        };
        let keep = test(&json!({}));
        assert!(keeps_generators(&keep, &status("Failed", "Completed")));
        assert!(keeps_generators(&keep, &status("Inconclusive", "Completed")));
        assert!(!keeps_generators(&keep, &status("Passed", "Completed")));
        assert!(!keeps_generators(&keep, &status("Inconclusive", "ConductorLost")));
        assert!(!keeps_generators(&test(&json!({"keepOnFailure": false})), &status("Failed", "Completed")));
    }
}
