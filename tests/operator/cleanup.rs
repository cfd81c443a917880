//! What goes when: with its owner, when a test has ended, when its time is over.

use std::sync::atomic::Ordering;

use serde_json::Value;

use crate::api::{Api, condition};
use crate::documents::{targets, test};
use crate::process::Operator;
use crate::proxy::{ACCOUNT, Proxy};
use crate::world::{scenario, until};

/// By kind and name.
fn names(objects: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    objects.iter().map(|object| format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))).collect()
}

/// Each has one owner that controls it: the object whose name its label has, or the set or job that its pod is of.
fn owned(objects: &[Value]) {
    for object in objects {
        let kind = object["kind"].as_str().unwrap();
        let labels = &object["metadata"]["labels"];
        let made_for = [
            ("floodmark.dev/sink", "RemoteWriteSink"),
            ("floodmark.dev/receiver", "RemoteWriteReceiver"),
            ("floodmark.dev/load-test", "LoadTest"),
        ];
        if made_for.iter().any(|(_, ours)| *ours == kind) {
            continue;
        }
        let name = format!("{kind}/{}", object["metadata"]["name"]);
        let owners = object["metadata"]["ownerReferences"].as_array().unwrap_or_else(|| panic!("{name}: nobody's"));
        assert_eq!((owners.len(), &owners[0]["controller"]), (1, &Value::Bool(true)), "{name}");
        let owner = objects.iter().find(|other| other["metadata"]["uid"] == owners[0]["uid"]);
        let owner = owner.unwrap_or_else(|| panic!("{name}: its owner is not there"));
        assert_eq!(owner["kind"], owners[0]["kind"], "{name}");
        if kind == "Pod" {
            assert!(matches!(owners[0]["kind"].as_str(), Some("StatefulSet" | "Job")), "{name}");
            continue;
        }
        let (label, ours) = made_for.iter().find(|(label, _)| labels[*label].is_string()).unwrap();
        assert_eq!((&owner["metadata"]["name"], owner["kind"].as_str()), (&labels[*label], Some(*ours)), "{name}");
    }
}

async fn finished(api: &Api, namespace: &str) -> Value {
    until("the test is finished", || async {
        let test = api.get(namespace, "loadtests", "test").await?;
        (condition(&test, "Finished")?.0 == "True").then_some(test)
    })
    .await
}

#[test]
fn everything_has_an_owner_and_goes_with_it() {
    const NAME: &str = "owners";
    scenario("everything_has_an_owner_and_goes_with_it", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        let stage = world.puppet.stage(NAME);
        stage.endless.store(true, Ordering::SeqCst);
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(2)).await;
        api.create(NAME, &test("test", "")).await;
        until("the test runs", || async {
            let test = api.get(NAME, "loadtests", "test").await?;
            (test["status"]["phase"] == "Running").then_some(())
        })
        .await;
        let while_it_runs = api.everything(NAME).await;
        owned(&while_it_runs);
        assert!(while_it_runs.len() > 20, "{:?}", names(&while_it_runs));
        stage.endless.store(false, Ordering::SeqCst);
        finished(api, NAME).await;
        until("the generators are gone, the conductor stays for its time", || async {
            let gone = api.get(NAME, "pods", "test-generator-0").await.is_none();
            (gone && api.get(NAME, "jobs", "test-conductor").await.is_some()).then_some(())
        })
        .await;
        owned(&api.everything(NAME).await);
        for (plural, name) in [("loadtests", "test"), ("remotewritesinks", "sink"), ("remotewritereceivers", "store")] {
            api.delete(NAME, plural, name).await;
        }
        until("nothing is left", || async { api.everything(NAME).await.is_empty().then_some(()) }).await;
    });
}

#[test]
fn a_failed_test_keeps_its_generators_until_its_time_is_over() {
    const NAME: &str = "failed";
    scenario("a_failed_test_keeps_its_generators_until_its_time_is_over", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        let stage = world.puppet.stage(NAME);
        stage.fails.store(true, Ordering::SeqCst);
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(2)).await;
        api.create(NAME, &test("test", "  results: {ttlAfterFinished: 12s}\n")).await;
        let test = finished(api, NAME).await;
        assert_eq!(condition(&test, "Passed"), Some(("False", "Failed")), "{test:#}");
        until("its disruption budget is gone", || async {
            api.get(NAME, "poddisruptionbudgets", "test-run").await.is_none().then_some(())
        })
        .await;
        assert!(api.get(NAME, "jobs", "test-generator").await.is_some(), "its generators' logs tell why");
        until("its time is over", || async {
            let jobs = api.list(NAME, "jobs").await;
            let plan = api.get(NAME, "configmaps", "test-plan").await;
            let service = api.get(NAME, "services", "test-conductor").await;
            (jobs.is_empty() && plan.is_none() && service.is_none()).then_some(())
        })
        .await;
        assert!(api.get(NAME, "configmaps", "test-summary").await.is_some(), "the summary stays with the test");
    });
}
