//! What somebody does by hand to objects that are the operator's.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Method;
use serde_json::json;

use crate::api::{Api, condition, path};
use crate::documents::{targets, test};
use crate::process::Operator;
use crate::proxy::{ACCOUNT, Proxy};
use crate::puppet::Stage;
use crate::world::{World, scenario, until};

const CONTROL: &str = "sink-sink-control";

/// An operator for a namespace of its own, whose pods are played.
async fn begin(world: &World, namespace: &str) -> (Arc<Stage>, (Operator, Proxy)) {
    world.api.namespace(namespace).await;
    let stage = world.puppet.stage(namespace);
    let proxy = Proxy::start(world.api.0.clone(), ACCOUNT).await;
    let operator = Operator::start(&proxy, Some(namespace), &[]);
    (stage, (operator, proxy))
}

async fn stable(api: &Api, namespace: &str, replicas: u32) {
    until(&format!("{replicas} workers own the series"), || async {
        let sink = api.get(namespace, "remotewritesinks", "sink").await?;
        let told = &sink["status"]["ownership"];
        let owned = told["phase"] == "Stable" && told["toReplicas"] == replicas;
        (owned && condition(&sink, "Ready")?.0 == "True").then_some(())
    })
    .await;
}

/// Workers obey no older document than the one that they know.
#[test]
fn a_control_document_that_was_deleted_is_succeeded_and_one_that_is_garbled_is_told() {
    const NAME: &str = "control";
    scenario("a_control_document_that_was_deleted_is_succeeded", |world| async move {
        let api = &world.api;
        let (_, _parts) = begin(world, NAME).await;
        api.create(NAME, &targets(2)).await;
        stable(api, NAME, 2).await;
        api.merge(NAME, "remotewritesinks", "sink", &json!({"spec": {"replicas": 3}})).await;
        stable(api, NAME, 3).await;
        let before = api.control(NAME, CONTROL).await.unwrap();
        assert_eq!((before["epoch"].as_u64(), before["from"].as_u64()), (Some(2), Some(3)));
        api.delete(NAME, "configmaps", CONTROL).await;
        let after = until("it is made again", || api.control(NAME, CONTROL)).await;
        assert_eq!(after["epoch"], 3, "{after}");
        assert_eq!((&after["from"], &after["addresses"]), (&before["from"], &before["addresses"]));
        api.merge(NAME, "remotewritesinks", "sink", &json!({"spec": {"replicas": 4}})).await;
        stable(api, NAME, 4).await;
        api.merge(NAME, "configmaps", CONTROL, &json!({"data": {"control.json": "{"}})).await;
        let told = until("it is told", || async {
            let sink = api.get(NAME, "remotewritesinks", "sink").await?;
            (condition(&sink, "Ready")? == ("False", "Refused")).then_some(sink)
        })
        .await;
        assert!(told.to_string().contains("delete it"), "{told:#}");
        // A test that wants it waits for its deadline and no longer.
        api.create(NAME, &test("hasty", "  deadline: 5s\n")).await;
        let ended = until("the test gives up", || async {
            let test = api.get(NAME, "loadtests", "hasty").await?;
            (condition(&test, "Finished")? == ("True", "DeadlineExceeded")).then_some(test)
        })
        .await;
        assert!(ended.to_string().contains("is not understood"), "{ended:#}");
        api.delete(NAME, "configmaps", CONTROL).await;
        stable(api, NAME, 4).await;
        api.create(NAME, &test("test", "")).await;
        until("a test runs to its end", || async {
            (condition(&api.get(NAME, "loadtests", "test").await?, "Passed")?.0 == "True").then_some(())
        })
        .await;
    });
}

/// The run goes on and keeps others from its targets; what was edited at the same time changes nothing that workers obey.
#[test]
fn control_documents_that_are_deleted_under_a_run_are_made_again_for_it() {
    const NAME: &str = "control-run";
    scenario("control_documents_that_are_deleted_under_a_run_are_made_again_for_it", |world| async move {
        let api = &world.api;
        let (stage, _parts) = begin(world, NAME).await;
        stage.endless.store(true, Ordering::SeqCst);
        api.create(NAME, &targets(2)).await;
        stable(api, NAME, 2).await;
        api.create(NAME, &test("test", "")).await;
        until("samples flow", || async {
            api.get(NAME, "loadtests", "test").await?["status"]["startTime"].as_str().map(|_| ())
        })
        .await;
        let before = api.control(NAME, CONTROL).await.unwrap();
        assert_eq!(before["run"]["loadTest"], "test", "{before}");
        stage.mute.store(true, Ordering::SeqCst);
        api.merge(NAME, "remotewritesinks", "sink", &json!({"spec": {"lanes": 9}})).await;
        api.delete(NAME, "configmaps", CONTROL).await;
        until("it is said whom it waits for", || async {
            let sink = api.get(NAME, "remotewritesinks", "sink").await?;
            (condition(&sink, "Ready")? == ("False", "OwnershipUnknown")).then_some(())
        })
        .await;
        stage.mute.store(false, Ordering::SeqCst);
        let after = until("it is made again", || api.control(NAME, CONTROL)).await;
        assert_eq!((&after["epoch"], &after["lanes"]), (&json!(2), &before["lanes"]), "{after}");
        assert_eq!((&after["by"], &after["run"]), (&before["by"], &before["run"]));
        until("the edit is refused", || async {
            let sink = api.get(NAME, "remotewritesinks", "sink").await?;
            (condition(&sink, "Ready")? == ("False", "InvalidSpec")).then_some(())
        })
        .await;
        api.delete(NAME, "configmaps", "store-receiver-control").await;
        let store = until("the receiver's is made again", || api.control(NAME, "store-receiver-control")).await;
        assert_eq!(store["conductor"], before["run"]["conductor"], "{store}");
        // It would go on for ever.
        api.delete(NAME, "loadtests", "test").await;
    });
}

/// Nothing is accepted while it drains, so that no edit may stop its clock.
#[test]
fn a_drain_ends_in_time_whatever_is_edited_meanwhile() {
    const NAME: &str = "drain-edit";
    scenario("a_drain_ends_in_time_whatever_is_edited_meanwhile", |world| async move {
        let api = &world.api;
        let (stage, _parts) = begin(world, NAME).await;
        stage.stuck.store(true, Ordering::SeqCst);
        api.create(NAME, &targets(2)).await;
        api.merge(NAME, "remotewritesinks", "sink", &json!({"spec": {"drainTimeout": "4s"}})).await;
        stable(api, NAME, 2).await;
        api.merge(NAME, "remotewritesinks", "sink", &json!({"spec": {"replicas": 3}})).await;
        until("it drains", || async { (api.control(NAME, CONTROL).await?["phase"] == "Draining").then_some(()) }).await;
        api.merge(NAME, "remotewritesinks", "sink", &json!({"spec": {"lanes": 9}})).await;
        let sink = until("the old map goes on, and the edit is refused", || async {
            let sink = api.get(NAME, "remotewritesinks", "sink").await?;
            let told = condition(&sink, "Ready")? == ("False", "InvalidSpec");
            (told && sink["status"]["ownership"]["phase"] == "Stable").then_some(sink)
        })
        .await;
        assert_eq!(
            (&sink["status"]["ownership"]["epoch"], &sink["status"]["ownership"]["toReplicas"]),
            (&json!(2), &json!(2))
        );
    });
}

/// A second conductor would begin the run a second time.
#[test]
fn a_conductor_whose_job_is_deleted_ends_the_test() {
    const NAME: &str = "jobless";
    scenario("a_conductor_whose_job_is_deleted_ends_the_test", |world| async move {
        let api = &world.api;
        let (stage, _parts) = begin(world, NAME).await;
        stage.endless.store(true, Ordering::SeqCst);
        api.create(NAME, &targets(2)).await;
        api.create(NAME, &test("test", "")).await;
        until("samples flow", || async {
            api.get(NAME, "loadtests", "test").await?["status"]["startTime"].as_str().map(|_| ())
        })
        .await;
        // As kubectl does; the API alone would leave its pods.
        let background = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
        let job = path(NAME, "jobs", "test-conductor");
        api.send(Method::DELETE, &job, "application/json", &background.to_string()).await.unwrap();
        let ended = until("the test has ended", || async {
            let test = api.get(NAME, "loadtests", "test").await?;
            (condition(&test, "Finished")?.0 == "True").then_some(test)
        })
        .await;
        assert_eq!(condition(&ended, "Finished"), Some(("True", "ConductorLost")), "{ended:#}");
        until("nothing floods any more", || async {
            api.get(NAME, "jobs", "test-generator").await.is_none().then_some(())
        })
        .await;
        assert!(api.get(NAME, "jobs", "test-conductor").await.is_none(), "it is not made again");
    });
}

/// The next test waits for the target to be mended, not for one that is gone.
#[test]
fn a_test_that_is_gone_holds_no_target_that_has_become_invalid() {
    const NAME: &str = "invalid-held";
    scenario("a_test_that_is_gone_holds_no_target_that_has_become_invalid", |world| async move {
        let api = &world.api;
        let (stage, _parts) = begin(world, NAME).await;
        stage.endless.store(true, Ordering::SeqCst);
        api.create(NAME, &targets(2)).await;
        api.create(NAME, &test("test", "")).await;
        until("samples flow", || async {
            api.get(NAME, "loadtests", "test").await?["status"]["startTime"].as_str().map(|_| ())
        })
        .await;
        let both = [("remotewritesinks", "sink"), ("remotewritereceivers", "store")];
        for (plural, name) in both {
            api.merge(NAME, plural, name, &json!({"spec": {"pod": {"resources": {"limit": {"memory": "1Gi"}}}}})).await;
        }
        for (plural, name) in both {
            until("it is invalid", || async {
                let target = api.get(NAME, plural, name).await?;
                (condition(&target, "Ready")? == ("False", "InvalidSpec")).then_some(())
            })
            .await;
        }
        let held =
            async || Some((api.control(NAME, CONTROL).await?, api.control(NAME, "store-receiver-control").await?));
        let (sink, store) = held().await.unwrap();
        assert!(sink["run"].is_object() && store["conductor"].is_string(), "{sink} {store}");
        api.delete(NAME, "loadtests", "test").await;
        until("both are free", || async {
            let (sink, store) = held().await?;
            (sink["run"].is_null() && store["conductor"].is_null()).then_some(())
        })
        .await;
    });
}
