//! A finished test: gives its targets back, and leaves by and by what its document says.

use std::time::Duration;

use api::{LoadTestStatus, Results};
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
    // What cannot be given back keeps nothing else from going.
    let released = claims::release(context, test).await;
    let left = leave(context, owner, status, &test.spec.results).await?;
    released.map(|()| left)
}

/// Of a test whose spec is not understood: it keeps no generators; sinks and receivers forget by themselves that it held them.
pub(super) async fn unread(
    context: &Context,
    owner: &Owner,
    status: &LoadTestStatus,
) -> Result<Option<Duration>, Error> {
    // What cannot be given back keeps nothing else from going.
    let left = leave(context, owner, status, &Results { keep_on_failure: false, ..Results::default() }).await?;
    claims::give_back_endpoint(context, owner, &[]).await?;
    Ok(left)
}

/// Ends what is not needed any more; how long the rest stays.
async fn leave(
    context: &Context,
    owner: &Owner,
    status: &LoadTestStatus,
    results: &Results,
) -> Result<Option<Duration>, Error> {
    let left = left(status, results, Timestamp::now());
    let name = &owner.name;
    remove::<PodDisruptionBudget>(context, owner, &names::run(name)).await?;
    if left.is_none() || !keeps_generators(results, status) {
        remove::<Job>(context, owner, &names::generator(name)).await?;
        remove::<Service>(context, owner, &names::generator(name)).await?;
    }
    if left.is_none() {
        remove::<Job>(context, owner, &names::conductor(name)).await?;
        remove::<Service>(context, owner, &names::conductor(name)).await?;
        remove::<ConfigMap>(context, owner, &names::plan(name)).await?;
    }
    Ok(left)
}

/// How long the artifacts stay yet.
fn left(status: &LoadTestStatus, results: &Results, now: Timestamp) -> Option<Duration> {
    let completed = status.completion_time.as_deref()?.parse::<Timestamp>().ok()?;
    let end = completed.checked_add(results.ttl_after_finished.0).ok()?;
    Duration::try_from(end.duration_since(now)).ok().filter(|left| !left.is_zero())
}

/// The generators' logs tell why a test failed; generators whose conductor is lost would go on for ever.
fn keeps_generators(results: &Results, status: &LoadTestStatus) -> bool {
    let completed = find(&status.conditions, "Finished").is_some_and(|finished| finished.reason == "Completed");
    completed && status.verdict.as_deref() != Some("Passed") && results.keep_on_failure
}

/// Ends a child of ours; one of somebody else stays.
pub(super) async fn remove<K: Built>(context: &Context, owner: &Owner, name: &str) -> Result<(), Error> {
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

    fn results(fields: serde_json::Value) -> Results {
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn artifacts_stay_for_their_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let results = results(json!({"ttlAfterFinished": "60s"}));
        let status = LoadTestStatus { completion_time: Some("1970-01-01T00:01:40Z".to_owned()), ..Default::default() };
        assert_eq!(left(&status, &results, at(130)), Some(Duration::from_secs(30)));
        assert_eq!(left(&status, &results, at(160)), None);
        assert_eq!(left(&status, &results, at(900)), None);
        assert_eq!(left(&LoadTestStatus::default(), &results, at(0)), None);
    }

    #[test]
    fn generators_stay_only_where_their_logs_tell_something() {
        let status = |verdict: &str, reason: &str| -> LoadTestStatus {
            serde_json::from_value(json!({"verdict": verdict, "conditions": [
                {"type": "Finished", "status": "True", "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}))
            .unwrap()
        };
        let keep = Results::default();
        assert!(keeps_generators(&keep, &status("Failed", "Completed")));
        assert!(keeps_generators(&keep, &status("Inconclusive", "Completed")));
        assert!(!keeps_generators(&keep, &status("Passed", "Completed")));
        assert!(!keeps_generators(&keep, &status("Inconclusive", "ConductorLost")));
        assert!(!keeps_generators(&results(json!({"keepOnFailure": false})), &status("Failed", "Completed")));
    }
}
