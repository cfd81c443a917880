//! What keeps a test from beginning, and what does not.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::{Value, json};

use crate::api::{Api, condition, path};
use crate::documents::{targets, test};
use crate::process::{Operator, log};
use crate::proxy::{ACCOUNT, Proxy};
use crate::world::{scenario, until};

/// The test once its `Finished` condition says this.
async fn told(api: &Api, namespace: &str, name: &str, status: &str, reason: &str) -> Value {
    until(&format!("{name} is {reason}"), || async {
        let test = api.get(namespace, "loadtests", name).await?;
        let told = condition(&test, "Finished")?;
        // Ended otherwise, it stays so.
        assert!(told.0 == status || told.0 != "True", "{name} is not {reason}: {test:#}");
        (told == (status, reason)).then_some(test)
    })
    .await
}

fn message(test: &Value) -> String {
    let all = test["status"]["conditions"].as_array().unwrap();
    let finished = all.iter().find(|condition| condition["type"] == "Finished").unwrap();
    finished["message"].as_str().unwrap_or_default().to_owned()
}

async fn is_free(api: &Api, namespace: &str) -> Option<()> {
    let (sink, store) =
        (api.control(namespace, "sink-sink-control").await?, api.control(namespace, "store-receiver-control").await?);
    (sink.get("run").is_none() && store["conductor"].is_null()).then_some(())
}

/// Workers read their plan once: a run may not begin on those of the spec before, while its report quotes the present one.
#[test]
fn a_test_begins_once_the_pods_are_of_the_spec_that_it_quotes() {
    const NAME: &str = "rollout";
    scenario("a_test_begins_once_the_pods_are_of_the_spec_that_it_quotes", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        let stage = world.puppet.stage(NAME);
        stage.endless.store(true, Ordering::SeqCst);
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(2)).await;
        api.create(NAME, &test("first", "")).await;
        told(api, NAME, "first", "False", "Running").await;
        until("the run's receiver may not be evicted", || async {
            let budget = api.get(NAME, "poddisruptionbudgets", "store-receiver").await?;
            (budget["spec"]["maxUnavailable"] == 0).then_some(())
        })
        .await;
        // Both change under the run, and wait for its end; so does a second test.
        api.merge(NAME, "remotewritesinks", "sink", &json!({"spec": {"batching": {"maxSamples": 777}}})).await;
        let store = json!({"spec": {"maxSeries": 5000, "pod": {"labels": {"changed": "yes"}}}});
        api.merge(NAME, "remotewritereceivers", "store", &store).await;
        for (plural, name) in [("remotewritesinks", "sink"), ("remotewritereceivers", "store")] {
            until("the change waits for the run", || async {
                (condition(&api.get(NAME, plural, name).await?, "Progressing")?.1 == "HeldByRun").then_some(())
            })
            .await;
        }
        api.create(NAME, &test("second", "")).await;
        told(api, NAME, "second", "False", "TargetBusy").await;
        for (kind, row) in [("lt", ["second", "Pending", "TargetBusy"]), ("rws", ["sink", "Stable", "Ready"])] {
            let table = world.server.kubectl(&["-n", NAME, "get", kind], "");
            let shown =
                table.lines().any(|line| row.iter().all(|cell| line.split_whitespace().any(|word| word == *cell)));
            assert!(shown, "{row:?}:\n{table}");
        }
        stage.slow.store(true, Ordering::SeqCst);
        stage.endless.store(false, Ordering::SeqCst);
        told(api, NAME, "first", "True", "Completed").await;
        let waits = told(api, NAME, "second", "False", "TargetNotReady").await;
        assert!(message(&waits).contains("rolling out"), "{waits:#}");
        until("the targets are free", || is_free(api, NAME)).await;
        assert!(api.get(NAME, "configmaps", "second-plan").await.is_none(), "not begun");
        // A roll-out that comes to no end is waited for as long as the test may take.
        api.create(NAME, &test("hasty", "  deadline: 3s\n")).await;
        let ended = told(api, NAME, "hasty", "True", "DeadlineExceeded").await;
        assert!(message(&ended).contains("rolling out"), "{ended:#}");
        assert_eq!(condition(&ended, "TargetBusy"), Some(("False", "Ended")));
        stage.endless.store(true, Ordering::SeqCst);
        stage.asked.store(0, Ordering::SeqCst);
        stage.slow.store(false, Ordering::SeqCst);
        let plan = until("the second begins", || api.get(NAME, "configmaps", "second-plan")).await;
        // What it found when it began.
        for (set, pods) in [("sink-sink", 2), ("store-receiver", 1)] {
            let set = api.get(NAME, "statefulsets", set).await.unwrap();
            let status = &set["status"];
            assert_eq!(status["updatedReplicas"], pods, "{status}");
            assert_eq!(status["currentRevision"], status["updateRevision"], "{status}");
        }
        let quoted = plan["data"]["plan.json"].as_str().unwrap();
        let map = api.get(NAME, "configmaps", "sink-sink-control").await.unwrap();
        let workers = map["data"]["plan.json"].as_str().unwrap();
        assert!(quoted.contains("777") && workers.contains("777"), "{workers}");
        assert_eq!(api.get(NAME, "pods", "store-receiver-0").await.unwrap()["metadata"]["labels"]["changed"], "yes");
        stage.endless.store(false, Ordering::SeqCst);
        told(api, NAME, "second", "True", "Completed").await;
        until("nobody's receiver may be evicted", || async {
            let budget = api.get(NAME, "poddisruptionbudgets", "store-receiver").await?;
            (budget["spec"]["maxUnavailable"] == 1).then_some(())
        })
        .await;
    });
}

/// Its targets are others' again after its deadline, which counts from when it took them.
#[test]
fn what_is_in_the_way_of_the_plan_ends_a_test_by_its_deadline() {
    const NAME: &str = "hindered";
    scenario("what_is_in_the_way_of_the_plan_ends_a_test_by_its_deadline", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        world.puppet.stage(NAME);
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let mut operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(2)).await;
        let foreign = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken-plan"}}).to_string();
        api.send(Method::POST, &path(NAME, "configmaps", ""), "application/json", &foreign).await.unwrap();
        api.create(NAME, &test("taken", "  deadline: 12s\n")).await;
        let held = told(api, NAME, "taken", "False", "NameTaken").await;
        assert_eq!(condition(&held, "TargetBusy"), Some(("False", "Held")));
        // An operator that knows nothing but what is written goes on counting.
        operator.kill();
        let _another = Operator::start(&proxy, Some(NAME), &[]);
        let ended = told(api, NAME, "taken", "True", "DeadlineExceeded").await;
        assert!(message(&ended).contains("taken-plan"), "{ended:#}");
        assert_eq!(condition(&ended, "Passed"), Some(("Unknown", "DeadlineExceeded")));
        until("the targets are free", || is_free(api, NAME)).await;
        // No pod can be made of it: it takes nothing at all.
        let revision = async || {
            api.get(NAME, "configmaps", "sink-sink-control").await.unwrap()["metadata"]["resourceVersion"].clone()
        };
        let before = revision().await;
        api.create(NAME, &test("wrong", "  generator: {pod: {affinity: {nodeAffinity: 3}}}\n")).await;
        let ended = told(api, NAME, "wrong", "True", "InvalidSpec").await;
        assert!(message(&ended).starts_with("spec.generator.pod.affinity.nodeAffinity"), "{ended:#}");
        assert_eq!(revision().await, before, "nobody wrote what a claim writes");
        api.create(NAME, &test("next", "")).await;
        tokio::select! {
            _ = told(api, NAME, "next", "True", "Completed") => {}
            () = tokio::time::sleep(std::time::Duration::from_secs(60)) => panic!("{}", log(&proxy)),
        }
    });
}

/// A held test has nothing, and those that cannot begin for other reasons are in nobody's way.
#[test]
fn a_suspended_test_begins_when_it_is_let_go() {
    const NAME: &str = "suspended";
    scenario("a_suspended_test_begins_when_it_is_let_go", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        world.puppet.stage(NAME);
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(2)).await;
        api.create(NAME, &test("held", "  suspend: true\n")).await;
        told(api, NAME, "held", "False", "Suspended").await;
        let unresolved = "  chaos: [{at: 100ms, action: Kill, sinkWorker: 9}]\n";
        api.create(NAME, &test("unresolved", unresolved)).await;
        told(api, NAME, "unresolved", "False", "ReferencesUnresolved").await;
        // Younger than both.
        api.create(NAME, &test("young", "")).await;
        told(api, NAME, "young", "True", "Completed").await;
        until("the targets are free", || is_free(api, NAME)).await;
        for name in ["held", "unresolved"] {
            let label = json!(name);
            let of = |object: &Value| object["metadata"]["labels"]["floodmark.dev/load-test"] == label;
            let children: Vec<Value> = api.everything(NAME).await.into_iter().filter(of).collect();
            assert!(children.is_empty(), "{children:#?}");
        }
        api.merge(NAME, "loadtests", "held", &json!({"spec": {"suspend": false}})).await;
        let done = told(api, NAME, "held", "True", "Completed").await;
        assert_eq!(condition(&done, "Passed"), Some(("True", "Passed")), "{done:#}");
    });
}

/// Up to its first phase a test may be given another target, and what it took by then is others' again.
#[test]
fn a_target_that_a_test_does_not_want_any_more_is_free() {
    const NAME: &str = "edited";
    scenario("a_target_that_a_test_does_not_want_any_more_is_free", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        let stage = world.puppet.stage(NAME);
        stage.endless.store(true, Ordering::SeqCst);
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        let targets = targets(2);
        let (_, sink) = targets.split_once("\n---\n").unwrap();
        api.create(NAME, &format!("{targets}---\n{}", sink.replace("name: sink}", "name: other}"))).await;
        for sink in ["sink", "other"] {
            until("its workers are ready", || async {
                (condition(&api.get(NAME, "remotewritesinks", sink).await?, "Ready")?.0 == "True").then_some(())
            })
            .await;
        }
        api.create(NAME, &test("edited", "  suspend: true\n")).await;
        told(api, NAME, "edited", "False", "Suspended").await;
        // The next phase is told some seconds after this one, and until then the API server takes another spec.
        api.merge(NAME, "loadtests", "edited", &json!({"spec": {"suspend": false}})).await;
        let holder = async |sink: &str| {
            let control = api.control(NAME, &format!("{sink}-sink-control")).await?;
            control["run"]["loadTest"].as_str().map(str::to_owned)
        };
        until("the sink is taken", || holder("sink")).await;
        api.merge(NAME, "loadtests", "edited", &json!({"spec": {"target": {"sinkRef": {"name": "other"}}}})).await;
        told(api, NAME, "edited", "False", "Running").await;
        assert_eq!(holder("other").await.as_deref(), Some("edited"));
        assert_eq!(holder("sink").await, None);
        stage.endless.store(false, Ordering::SeqCst);
        told(api, NAME, "edited", "True", "Completed").await;
    });
}
