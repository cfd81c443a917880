//! Two operators, one lease: when the one that works is killed, the other goes on.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::api::{condition, path};
use crate::process::{Operator, log};
use crate::proxy::{ACCOUNT, Proxy, made_twice};
use crate::world::{scenario, until};

const NAME: &str = "failover";
const LIMIT: Duration = Duration::from_secs(20);
const SINK: &str = "apiVersion: floodmark.dev/v1alpha1
kind: RemoteWriteSink
metadata: {name: sink}
spec: {replicas: 2, backend: {url: \"http://backend/write\"}}
";

#[test]
fn a_leader_that_is_killed_is_replaced_in_twenty_seconds_and_nothing_is_made_twice() {
    scenario("a_leader_that_is_killed_is_replaced", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        world.puppet.stage(NAME);
        let mut both = Vec::new();
        for identity in ["a", "b"] {
            let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
            proxy.arm(None);
            let arguments = ["--lease", "floodmark-system/failover", "--identity", identity];
            both.push((identity, Operator::start(&proxy, Some(NAME), &arguments), proxy));
        }
        api.create(NAME, SINK).await;
        until("the sink is ready", || async {
            let sink = api.get(NAME, "remotewritesinks", "sink").await?;
            (condition(&sink, "Ready")?.0 == "True").then_some(())
        })
        .await;
        let holder = async || {
            let at = path("floodmark-system", "leases", "failover");
            let lease = api.send(http::Method::GET, &at, "application/json", "").await.unwrap();
            lease["spec"]["holderIdentity"].as_str().unwrap().to_owned()
        };
        let leader = holder().await;
        let at = both.iter().position(|(identity, ..)| *identity == leader).unwrap();
        assert!(both[1 - at].2.writes().is_empty(), "the one that does not lead writes nothing");
        let children = async || {
            let objects = api.everything(NAME).await;
            let named = objects.iter().filter(|object| object["kind"] != "Pod");
            named
                .map(|o| (o["kind"].to_string() + &o["metadata"]["name"].to_string(), o["metadata"]["uid"].clone()))
                .collect::<Vec<_>>()
        };
        let before = children().await;
        // In the middle of its work.
        api.merge(NAME, "remotewritesinks", "sink", &json!({"spec": {"replicas": 4}})).await;
        until("it has begun", || async { (!both[at].2.writes().is_empty()).then_some(()) }).await;
        both[at].1.kill();
        let killed = Instant::now();
        let other = &both[1 - at].2;
        until("the other goes on", || async {
            assert!(killed.elapsed() < LIMIT, "{:?}\n{}", killed.elapsed(), log(other));
            let control = api.control(NAME, "sink-sink-control").await?;
            let set = api.get(NAME, "statefulsets", "sink-sink").await?;
            (control["to"] == 4
                && control["phase"] == "Stable"
                && set["spec"]["replicas"] == 4
                && !other.writes().is_empty())
            .then_some(())
        })
        .await;
        eprintln!("the other operator was through {:?} after the kill", killed.elapsed());
        assert_ne!(holder().await, leader);
        assert_eq!(children().await, before, "no object is another than before");
        let writes = [both[0].2.writes(), both[1].2.writes()].concat();
        assert_eq!(made_twice(&writes), Vec::<String>::new());
    });
}
