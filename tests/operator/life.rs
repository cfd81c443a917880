//! One operator for all namespaces, as the base manifests start it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::api::condition;
use crate::process::Operator;
use crate::proxy::{ACCOUNT, Proxy};
use crate::world::{World, alone, until};

const QUEUED: &str = "apiVersion: floodmark.dev/v1alpha1
kind: LoadTest
metadata: {name: NAME}
spec:
  target: {receiverRef: {name: store}}
  workload: [{name: a, targets: 1, seriesPerTarget: 10}]
  stages: [{for: 1s}]
";

#[test]
fn one_operator_looks_after_all_namespaces() {
    alone("one_operator_looks_after_all_namespaces", |world| async move {
        let proxy = Proxy::start(world.api.0.clone(), ACCOUNT).await;
        proxy.arm(None);
        let listen = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let arguments = ["--lease", "floodmark-system/all", "--listen", &listen.to_string()];
        let mut operator = Operator::start(&proxy, None, &arguments);
        life(world).await;
        queue(world).await;
        settled(world, &proxy, listen).await;
        assert!(operator.stop(), "{}", crate::process::log(&proxy));
        let lease = crate::api::path("floodmark-system", "leases", "all");
        let lease = world.api.send(http::Method::GET, &lease, "application/json", "").await.unwrap();
        assert_eq!(lease["spec"]["holderIdentity"].as_str().unwrap_or_default(), "", "it gives the lease back");
    });
}

/// The very document that runs locally, from nothing to its verdict.
async fn life(world: &World) {
    let (api, name) = (&world.api, "life");
    api.namespace(name).await;
    let stage = world.puppet.stage(name);
    let text = std::fs::read_to_string(crate::root().join("examples/quickstart.yaml")).unwrap();
    api.create(name, &text).await;
    let done = until("quickstart is finished", || async {
        api.get(name, "loadtests", "quickstart")
            .await
            .filter(|lt| condition(lt, "Finished").is_some_and(|c| c.0 == "True"))
    })
    .await;
    assert_eq!(condition(&done, "Passed"), Some(("True", "Passed")), "{done:#}");
    let status = &done["status"];
    assert_eq!((status["phase"].as_str(), status["verdict"].as_str()), (Some("Finished"), Some("Passed")));
    assert_eq!(status["samples"]["acknowledged"], 7);
    assert!(stage.asked.load(Ordering::SeqCst) >= 4, "the conductor was asked while it ran");
    until("the targets are given back", || async {
        let control = api.control(name, "sink-sink-control").await?;
        let receiver = api.control(name, "store-receiver-control").await?;
        (control.get("run").is_none() && receiver["conductor"].is_null()).then_some(())
    })
    .await;
    let summary = api.get(name, "configmaps", "quickstart-summary").await.unwrap();
    assert!(summary["data"]["summary.json"].as_str().unwrap().contains("\"verdict\""));
}

/// One running test a target; the other waits, says so, and comes next.
async fn queue(world: &World) {
    let (api, name) = (&world.api, "queue");
    api.namespace(name).await;
    let stage = world.puppet.stage(name);
    stage.unready.store(true, Ordering::SeqCst);
    let store = "apiVersion: floodmark.dev/v1alpha1\nkind: RemoteWriteReceiver\nmetadata: {name: store}\nspec: {}\n";
    api.create(name, store).await;
    api.create(name, &QUEUED.replace("NAME", "first")).await;
    until("the first has the target", || api.get(name, "jobs", "first-conductor")).await;
    api.create(name, &QUEUED.replace("NAME", "second")).await;
    until("the second waits", || async {
        let second = api.get(name, "loadtests", "second").await?;
        (condition(&second, "TargetBusy")? == ("True", "TargetBusy")).then_some(())
    })
    .await;
    assert!(api.get(name, "jobs", "second-conductor").await.is_none());
    // Deleted while it runs: its target is free again without anybody's finalizer.
    api.delete(name, "loadtests", "first").await;
    stage.unready.store(false, Ordering::SeqCst);
    until("the second is finished", || async {
        let second = api.get(name, "loadtests", "second").await?;
        (condition(&second, "Finished")?.0 == "True").then_some(())
    })
    .await;
}

/// A hundred looks at each settled object cause no write.
async fn settled(world: &World, proxy: &Proxy, listen: SocketAddr) {
    until("nothing is written any more", || async {
        let last = proxy.writes().last().map(|write| write.at);
        last.is_some_and(|at| at.elapsed() > Duration::from_secs(8)).then_some(())
    })
    .await;
    let (writes, events) = (proxy.writes().len(), proxy.events());
    let url = format!("http://{listen}/metrics");
    let objects = [
        ("RemoteWriteSink", "remotewritesinks", "sink"),
        ("RemoteWriteReceiver", "remotewritereceivers", "store"),
        ("LoadTest", "loadtests", "quickstart"),
    ];
    let looks = async || -> [f64; 3] {
        let text = floodmark_http::client::get_bytes(&url, 1 << 20, Duration::from_secs(5)).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        objects.map(|(kind, ..)| {
            let count = format!("floodmark_operator_reconciles_total{{kind=\"{kind}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&count)?.parse().ok()).unwrap()
        })
    };
    let more = |now: [f64; 3], than: [f64; 3], by: f64| (0..3).all(|kind| now[kind] >= than[kind] + by);
    let before = looks().await;
    let mut seen = before;
    let mut round = 0;
    while round < 100 || !more(seen, before, 100.0) {
        let note = serde_json::json!({"metadata": {"annotations": {"note": round.to_string()}}});
        for (_, plural, name) in objects {
            world.api.merge("life", plural, name, &note).await;
        }
        // Changes in quick succession share a look: the next round waits for the looks of this one.
        let last = seen;
        let each = || async { Some(looks().await).filter(|now| more(*now, last, 1.0)) };
        seen = until("each change is looked at", each).await;
        round += 1;
    }
    let more: Vec<String> = proxy.writes().iter().skip(writes).map(|write| write.key.what.clone()).collect();
    assert_eq!(more, Vec::<String>::new(), "a settled object was written");
    assert_eq!(proxy.events(), events, "and nothing was told of it");
}
