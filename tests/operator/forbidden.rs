//! What the API server does not let be written, and what somebody else's objects are in the way of.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::api::{Api, condition, path};
use crate::documents::{targets, test};
use crate::process::Operator;
use crate::proxy::{ACCOUNT, Cut, Key, Proxy};
use crate::world::{scenario, until};

const JSON: &str = "application/json";

/// The object once its condition says this.
async fn told(api: &Api, namespace: &str, (plural, name): (&str, &str), which: &str, reason: &str) -> Value {
    until(&format!("{name} is {reason}"), || async {
        let object = api.get(namespace, plural, name).await?;
        (condition(&object, which)? == ("False", reason)).then_some(object)
    })
    .await
}

async fn completed(api: &Api, namespace: &str) {
    until("a test runs to its end", || async {
        (condition(&api.get(namespace, "loadtests", "test").await?, "Passed")?.0 == "True").then_some(())
    })
    .await;
}

fn map(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"theirs": "yes"}}).to_string()
}

async fn make_map(api: &Api, namespace: &str, name: &str) {
    api.send(Method::POST, &path(namespace, "configmaps", ""), JSON, &map(name)).await.unwrap();
}

/// Nothing of a target can be made without its control document.
#[test]
fn a_quota_on_control_documents_is_told_by_targets_and_tests() {
    const NAME: &str = "quota";
    scenario("a_quota_on_control_documents_is_told_by_targets_and_tests", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        world.puppet.stage(NAME);
        let none = json!({"count/configmaps": "0"});
        let quotas = format!("/api/v1/namespaces/{NAME}/resourcequotas");
        let few =
            json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": none}});
        api.send(Method::POST, &quotas, JSON, &few.to_string()).await.unwrap();
        // As its controller does.
        let counted = json!({"status": {"hard": none, "used": none}}).to_string();
        let status = format!("{quotas}/few/status");
        api.send(Method::PATCH, &status, "application/merge-patch+json", &counted).await.unwrap();
        let dry = format!("{}?dryRun=All", path(NAME, "configmaps", ""));
        until("the quota holds", || async { api.send(Method::POST, &dry, JSON, &map("any")).await.err() }).await;
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        let begun = Instant::now();
        api.create(NAME, &targets(2)).await;
        api.create(NAME, &test("test", "")).await;
        for target in [("remotewritesinks", "sink"), ("remotewritereceivers", "store")] {
            let object = told(api, NAME, target, "Ready", "QuotaExceeded").await;
            assert_eq!(condition(&object, "Degraded"), Some(("True", "QuotaExceeded")));
            assert!(object.to_string().contains("exceeded quota: few"), "{object:#}");
        }
        until("the test tells it, too", || async {
            let test = api.get(NAME, "loadtests", "test").await?;
            let waits = condition(&test, "Finished")? == ("False", "TargetNotReady");
            (waits && test.to_string().contains("exceeded quota: few")).then_some(())
        })
        .await;
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        api.send(Method::DELETE, &format!("{quotas}/few"), JSON, "").await.unwrap();
        completed(api, NAME).await;
    });
}

#[test]
fn maps_of_others_with_the_names_of_control_documents_are_told_and_left_alone() {
    const NAME: &str = "taken";
    scenario("maps_of_others_with_the_names_of_control_documents_are_told_and_left_alone", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        world.puppet.stage(NAME);
        let maps = ["sink-sink-control", "store-receiver-control"];
        for name in maps {
            make_map(api, NAME, name).await;
        }
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(2)).await;
        api.create(NAME, &test("test", "")).await;
        told(api, NAME, ("remotewritesinks", "sink"), "Ready", "NameTaken").await;
        told(api, NAME, ("remotewritereceivers", "store"), "Ready", "NameTaken").await;
        let waits = told(api, NAME, ("loadtests", "test"), "Finished", "TargetNotReady").await;
        assert!(waits.to_string().contains("remove that one"), "{waits:#}");
        for name in maps {
            assert_eq!(api.get(NAME, "configmaps", name).await.unwrap()["data"], json!({"theirs": "yes"}));
            api.delete(NAME, "configmaps", name).await;
        }
        completed(api, NAME).await;
    });
}

/// Kills are handed over by a write that somebody may refuse; what else is to be broken is, and the run can be ended all the same.
#[test]
fn a_policy_that_refuses_a_chaos_step_is_told_and_keeps_nobody_from_aborting() {
    const NAME: &str = "refused-chaos";
    const STEPS: &str = "  chaos: [{at: 100ms, action: Kill, sinkWorker: 1}, {at: 200ms, action: Terminate, sinkWorker: 1}, \
                         {at: 300ms, action: Restart, sinkWorker: 0}]\n";
    scenario("a_policy_that_refuses_a_chaos_step_is_told_and_keeps_nobody_from_aborting", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        world.puppet.stage(NAME).endless.store(true, Ordering::SeqCst);
        let policies = "/apis/admissionregistration.k8s.io/v1";
        let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": NAME}, "spec": {
                "matchConstraints": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAME}},
                    "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                                       "resources": ["configmaps"]},
                                      {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"],
                                       "resources": ["pods"]}]},
                "validations": [{"expression": "request.operation != 'DELETE' || request.name != 'sink-sink-1'",
                                 "message": "nor ended"},
                                {"expression": "request.operation == 'DELETE' || !object.metadata.name.endsWith('-control') || !object.data['control.json'].contains('Kill')",
                                 "message": "nobody is killed here"}]}});
        let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": NAME}, "spec": {"policyName": NAME, "validationActions": ["Deny"]}});
        for (plural, object) in
            [("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)]
        {
            api.send(Method::POST, &format!("{policies}/{plural}"), JSON, &object.to_string()).await.unwrap();
        }
        let dry = format!("{}?dryRun=All", path(NAME, "configmaps", ""));
        let kill = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a-control"}, "data": {"control.json": "Kill"}});
        until("the policy holds", || async { api.send(Method::POST, &dry, JSON, &kill.to_string()).await.err() }).await;
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(2)).await;
        api.create(NAME, &test("test", STEPS)).await;
        let refused = told(api, NAME, ("loadtests", "test"), "Finished", "Refused").await;
        assert_eq!(refused["status"]["phase"], "Running");
        assert!(refused.to_string().contains("nobody is killed here"), "{refused:#}");
        until("the conductor is told of the other step", || async {
            let pod = api.get(NAME, "pods", "test-conductor-0").await?;
            let told = pod["metadata"]["annotations"]["floodmark.dev/engine"].as_str()?;
            let executed = serde_json::from_str::<Value>(told).ok()?["executed"].clone();
            executed[0]["backAt"]
                .is_u64()
                .then(|| assert_eq!((&executed[0]["index"], &executed[1]), (&json!(2), &Value::Null)))
        })
        .await;
        api.merge(NAME, "loadtests", "test", &json!({"spec": {"abort": true}})).await;
        until("the conductor is told to stop", || async {
            let pod = api.get(NAME, "pods", "test-conductor-0").await?;
            let told = pod["metadata"]["annotations"]["floodmark.dev/engine"].as_str()?.contains("spec.abort");
            told.then_some(())
        })
        .await;
        // It would go on for ever.
        api.delete(NAME, "loadtests", "test").await;
        for plural in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
            api.send(Method::DELETE, &format!("{policies}/{plural}/{NAME}"), JSON, "").await.unwrap();
        }
    });
}

/// The API server takes no other spec from then on.
#[test]
fn a_test_has_left_pending_before_its_plan_is_made() {
    const NAME: &str = "frozen";
    scenario("a_test_has_left_pending_before_its_plan_is_made", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        world.puppet.stage(NAME);
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let mut operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(1)).await;
        for (plural, name) in [("remotewritesinks", "sink"), ("remotewritereceivers", "store")] {
            until("the target is ready", || async {
                (condition(&api.get(NAME, plural, name).await?, "Ready")?.0 == "True").then_some(())
            })
            .await;
        }
        let first = Key { what: "PATCH loadtests/test/status".to_owned(), nth: 1 };
        proxy.arm(Some((first, Cut::Refuse)));
        api.create(NAME, &test("test", "")).await;
        proxy.cut().await;
        operator.kill();
        assert!(api.get(NAME, "configmaps", "test-plan").await.is_none(), "its spec can still be edited");
        api.merge(NAME, "loadtests", "test", &json!({"spec": {"seed": 7}})).await;
        proxy.pass();
        let _next = Operator::start(&proxy, Some(NAME), &[]);
        completed(api, NAME).await;
        let plan = api.get(NAME, "configmaps", "test-plan").await.unwrap();
        assert!(plan["data"]["plan.json"].as_str().unwrap().contains("\"seed\": 7"), "{plan:#}");
    });
}

/// Held by way of the sink, which nobody can ask any more.
#[test]
fn a_test_that_cannot_go_on_before_its_plan_gives_the_receiver_back() {
    const NAME: &str = "planless";
    scenario("a_test_that_cannot_go_on_before_its_plan_gives_the_receiver_back", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        world.puppet.stage(NAME);
        make_map(api, NAME, "test-plan").await;
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(1)).await;
        api.create(NAME, &test("test", "")).await;
        told(api, NAME, ("loadtests", "test"), "Finished", "NameTaken").await;
        let holder = async || api.control(NAME, "store-receiver-control").await.map(|store| store["conductor"].clone());
        assert!(holder().await.unwrap().is_string());
        api.delete(NAME, "remotewritesinks", "sink").await;
        told(api, NAME, ("loadtests", "test"), "Finished", "ReferencesUnresolved").await;
        until("the receiver is free", || async { holder().await?.is_null().then_some(()) }).await;
    });
}
