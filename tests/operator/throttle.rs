//! One status patch in five seconds at most for each object, however fast what it tells changes, and whoever writes it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::documents::targets;
use crate::process::Operator;
use crate::proxy::{ACCOUNT, Proxy};
use crate::world::{scenario, until};

const NAME: &str = "throttle";
const TEXT: &str = "apiVersion: floodmark.dev/v1alpha1
kind: RemoteWriteReceiver
metadata: {name: store}
spec: {}
---
apiVersion: floodmark.dev/v1alpha1
kind: LoadTest
metadata: {name: test}
spec:
  target: {receiverRef: {name: store}}
  workload: [{name: a, targets: 1, seriesPerTarget: 10}]
  stages: [{for: 10m}]
";

/// When each status was written.
fn written(proxy: &Proxy) -> BTreeMap<String, Vec<Instant>> {
    let mut times: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for write in proxy.writes().into_iter().filter(|write| write.key.what.ends_with("/status")) {
        times.entry(write.key.what).or_default().push(write.at);
    }
    times
}

fn apart(proxy: &Proxy) {
    for (object, times) in written(proxy) {
        for pair in times.windows(2) {
            // As they are seen here, which is a little after they were sent.
            let between = pair[1] - pair[0];
            assert!(between > Duration::from_millis(4800), "{object}: {between:?}");
        }
    }
}

/// Its epoch and phase change several times within a second.
#[test]
fn a_sink_that_is_resharded_again_and_again_is_told_no_more_often() {
    const NAME: &str = "throttle-sink";
    scenario("a_sink_that_is_resharded_again_and_again_is_told_no_more_often", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        world.puppet.stage(NAME);
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        proxy.arm(None);
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(2)).await;
        let of_sink = || written(&proxy).get("PATCH remotewritesinks/sink/status").map_or(0, Vec::len);
        until("there is a map", || api.control(NAME, "sink-sink-control")).await;
        let mut epoch = 1;
        while of_sink() < 5 {
            let replicas = if epoch % 2 == 1 { 1 } else { 2 };
            api.merge(NAME, "remotewritesinks", "sink", &json!({"spec": {"replicas": replicas}})).await;
            epoch = until("another map holds", || async {
                let control = api.control(NAME, "sink-sink-control").await?;
                let now = control["epoch"].as_u64()?;
                (control["phase"] == "Stable" && now > epoch).then_some(now)
            })
            .await;
        }
        assert!(epoch > of_sink() as u64, "resharded up to epoch {epoch} only, and told {} times", of_sink());
        apart(&proxy);
    });
}

#[test]
fn a_status_is_written_once_in_five_seconds_at_most() {
    scenario("a_status_is_written_once_in_five_seconds_at_most", |world| async move {
        world.api.namespace(NAME).await;
        let stage = world.puppet.stage(NAME);
        stage.endless.store(true, Ordering::SeqCst);
        let proxy = Proxy::start(world.api.0.clone(), ACCOUNT).await;
        proxy.arm(None);
        let mut operator = Operator::start(&proxy, Some(NAME), &[]);
        world.api.create(NAME, TEXT).await;
        let of_test = || written(&proxy).get("PATCH loadtests/test/status").map_or(0, Vec::len);
        until("progress is told", || async { (of_test() >= 3).then_some(()) }).await;
        // The next one has no memory but what the API server keeps.
        operator.kill();
        let _next = Operator::start(&proxy, Some(NAME), &[]);
        until("progress is told by the next one", || async { (of_test() >= 6).then_some(()) }).await;
        let asked = stage.asked.load(Ordering::SeqCst);
        assert!(asked > 2 * of_test(), "progress was looked at {asked} times only, and told {} times", of_test());
        apart(&proxy);
        // It would go on for ever, and with it an operator of all namespaces.
        world.api.delete(NAME, "loadtests", "test").await;
    });
}
