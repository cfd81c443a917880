//! Fewer nodes than pods.

use serde_json::json;

use crate::api::condition;
use crate::documents::targets;
use crate::process::Operator;
use crate::proxy::{ACCOUNT, Proxy};
use crate::world::{scenario, until};

/// Those who have no process own series by the first map all the same, and never say that they have drained.
#[test]
fn a_sink_is_scaled_away_from_workers_that_no_node_takes() {
    const NAME: &str = "scarce";
    scenario("a_sink_is_scaled_away_from_workers_that_no_node_takes", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        world.puppet.stage(NAME).room.set(3).unwrap();
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(NAME), &[]);
        api.create(NAME, &targets(5)).await;
        until("three of five work", || async {
            let sink = api.get(NAME, "remotewritesinks", "sink").await?;
            let told = condition(&sink, "Ready")? == ("False", "Unschedulable");
            (told && sink["status"]["readyReplicas"] == 3).then_some(())
        })
        .await;
        api.merge(NAME, "remotewritesinks", "sink", &json!({"spec": {"replicas": 3}})).await;
        // The drain timeout is longer than this waits.
        let sink = until("the three own everything", || async {
            let sink = api.get(NAME, "remotewritesinks", "sink").await?;
            (condition(&sink, "Ready")?.0 == "True" && sink["status"]["ownership"]["toReplicas"] == 3).then_some(sink)
        })
        .await;
        assert_eq!(sink["status"]["ownership"]["epoch"], 2, "no drain was given up: {sink:#}");
        until("the others are gone", || async { (api.list(NAME, "pods").await.len() == 4).then_some(()) }).await;
    });
}
