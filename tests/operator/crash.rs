//! An operator that is killed after any single write comes to the same end as one that is not.
//!
//! Each script runs once undisturbed, which gives its writes and its end. Then it runs again for each of these writes, twice: the write
//! is done and its answer lost, or it is not done; the operator is killed, and another one goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use http::Method;
use serde_json::{Value, json};

use crate::api::condition;
use crate::documents::{targets, test};
use crate::dump::{difference, dump};
use crate::process::{Operator, log};
use crate::proxy::{ACCOUNT, Cut, Key, Proxy, Write, made_twice};
use crate::puppet::Stage;
use crate::world::{World, scenario, until};

/// Cases at a time: most of a case is waiting for the turn of a status.
const BESIDE: usize = 14;
const LIMIT: Duration = Duration::from_secs(90);
/// Nothing is written any more: longer than a status may have to wait.
const QUIET: Duration = Duration::from_secs(8);

const TEST: &str = "apiVersion: floodmark.dev/v1alpha1
kind: LoadTest
metadata: {name: test}
spec:
  target: {sinkRef: {name: sink}}
  workload: [{name: a, targets: 2, seriesPerTarget: 10}]
  stages: [{for: 10s}]
  chaos:
    - {at: 1s, action: Kill, sinkWorker: 1}
    - {at: 2s, action: Terminate, sinkWorker: 0}
";

const CHAOS: &str = "  chaos: [{at: 100ms, action: Restart, sinkWorker: 1}, {at: 200ms, action: Scale, replicas: 5}]\n";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Script {
    Create,
    ScaleOut,
    ScaleIn,
    Run,
    /// A run that is waiting for its first sample goes on, and breaks what takes the cluster's API.
    Chaos,
    /// The same is told to end.
    Abort,
    /// The same goes on and leaves nothing but its summary.
    Leave,
    Delete,
}

impl Script {
    /// The test that runs before the script begins.
    fn before(self) -> Option<String> {
        match self {
            Self::Create | Self::ScaleOut | Self::ScaleIn | Self::Run => None,
            Self::Chaos => Some(test("test", CHAOS)),
            Self::Abort => Some(test("test", "")),
            Self::Leave => Some(test("test", "  results: {ttlAfterFinished: 5s}\n")),
            Self::Delete => Some(TEST.to_owned()),
        }
    }
}

const SCRIPTS: [Script; 8] = [
    Script::Create,
    Script::ScaleOut,
    Script::ScaleIn,
    Script::Run,
    Script::Chaos,
    Script::Abort,
    Script::Leave,
    Script::Delete,
];

type End = BTreeMap<String, String>;

/// One script in a namespace of its own.
struct Case {
    world: &'static World,
    script: Script,
    namespace: String,
    stage: Arc<Stage>,
    proxy: Proxy,
    operator: Operator,
}

impl Case {
    /// Up to where the script begins.
    async fn start(world: &'static World, script: Script, number: usize) -> Self {
        let namespace = format!("crash-{}-{number}", format!("{script:?}").to_lowercase());
        world.api.namespace(&namespace).await;
        let stage = world.puppet.stage(&namespace);
        stage.endless.store(script == Script::Delete, Ordering::SeqCst);
        stage.unready.store(matches!(script, Script::Chaos | Script::Abort | Script::Leave), Ordering::SeqCst);
        let proxy = Proxy::start(world.api.0.clone(), ACCOUNT).await;
        let operator = Operator::start(&proxy, Some(&namespace), &[]);
        let case = Self { world, script, namespace, stage, proxy, operator };
        if script != Script::Create {
            let replicas = if script == Script::ScaleIn { 5 } else { 3 };
            world.api.create(&case.namespace, &targets(replicas)).await;
            until("the targets are ready", || async {
                let sink = world.api.get(&case.namespace, "remotewritesinks", "sink").await?;
                let store = world.api.get(&case.namespace, "remotewritereceivers", "store").await?;
                (condition(&sink, "Ready")?.0 == "True" && condition(&store, "Ready")?.0 == "True").then_some(())
            })
            .await;
        }
        if let Some(test) = script.before() {
            world.api.create(&case.namespace, &test).await;
            until("the test runs", || case.begun()).await;
        }
        case
    }

    /// Nothing more is written of the test until its conductor says something else.
    async fn begun(&self) -> Option<()> {
        let (api, namespace) = (&self.world.api, &self.namespace);
        let phase = if self.script == Script::Delete { "Running" } else { "Preparing" };
        let test = api.get(namespace, "loadtests", "test").await?;
        let budget = api.get(namespace, "poddisruptionbudgets", "store-receiver").await?;
        for pod in ["test-conductor-0", "test-generator-0"] {
            api.get(namespace, "pods", pod).await?["status"]["podIP"].as_str()?;
        }
        (test["status"]["phase"] == phase && budget["spec"]["maxUnavailable"] == 0).then_some(())
    }

    /// What users do.
    async fn act(&self) {
        let (api, namespace) = (&self.world.api, &self.namespace);
        match self.script {
            Script::Create => api.create(namespace, &targets(3)).await,
            Script::ScaleOut => self.scale(5).await,
            Script::ScaleIn => self.scale(2).await,
            Script::Run => api.create(namespace, TEST).await,
            Script::Chaos | Script::Leave => self.stage.unready.store(false, Ordering::SeqCst),
            Script::Abort => {
                api.merge(namespace, "loadtests", "test", &json!({"spec": {"abort": true}})).await;
            }
            Script::Delete => api.delete(namespace, "loadtests", "test").await,
        }
    }

    async fn scale(&self, replicas: u32) {
        self.world
            .api
            .merge(&self.namespace, "remotewritesinks", "sink", &json!({"spec": {"replicas": replicas}}))
            .await;
    }

    async fn end(&self) -> End {
        dump(&self.namespace, &self.world.api.everything(&self.namespace).await)
    }

    /// The same by what the watches tell, which costs nobody anything.
    fn likely_end(&self) -> End {
        let seen = self.world.puppet.seen();
        let objects: Vec<Value> = crate::api::KINDS
            .iter()
            .flat_map(|(plural, _, kind)| {
                seen.of(&self.namespace, plural).into_iter().map(move |object| {
                    let mut object = serde_json::to_value(&*object).unwrap();
                    object["kind"] = json!(kind);
                    object
                })
            })
            .collect();
        dump(&self.namespace, &objects)
    }

    /// The end that users wait for.
    async fn done(&self) -> Option<()> {
        let (api, namespace) = (&self.world.api, &self.namespace);
        let ready = async |plural, name| {
            let object = api.get(namespace, plural, name).await?;
            (condition(&object, "Ready")?.0 == "True").then_some(object)
        };
        let sink = ready("remotewritesinks", "sink").await?;
        let owners = match self.script {
            Script::ScaleOut | Script::Chaos => 5,
            Script::ScaleIn => 2,
            Script::Create | Script::Run | Script::Abort | Script::Leave | Script::Delete => 3,
        };
        let ownership = &sink["status"]["ownership"];
        let there = ownership["phase"] == "Stable" && ownership["toReplicas"] == owners;
        ready("remotewritereceivers", "store").await?;
        let finished = async || {
            let test = api.get(namespace, "loadtests", "test").await?;
            Some(condition(&test, "Finished")?.0 == "True")
        };
        let gone = async || api.get(namespace, "jobs", "test-conductor").await.is_none();
        let tested = match self.script {
            Script::Create | Script::ScaleOut | Script::ScaleIn => true,
            Script::Run | Script::Chaos | Script::Abort => finished().await?,
            Script::Leave => finished().await? && gone().await,
            Script::Delete => gone().await,
        };
        let free = api.control(namespace, "sink-sink-control").await?.get("run").is_none();
        (there && tested && free).then_some(())
    }

    /// Whatever it made goes, so that those who watch all namespaces have less to do.
    async fn clear(self) {
        self.world.puppet.leave(&self.namespace);
        for kind in ["loadtests", "remotewritesinks", "remotewritereceivers"] {
            let all = crate::api::path(&self.namespace, kind, "");
            self.world.api.send(Method::DELETE, &all, "application/json", "").await.unwrap();
        }
    }
}

/// Nothing of a running test is made again once the test was deleted, however much of a pass was still to come.
fn made_after_delete(script: Script, writes: &[Write]) -> Vec<String> {
    let made = writes.iter().filter(|write| script == Script::Delete && write.status == 201);
    made.map(|write| format!("made after the delete: {}", write.key.what)).collect()
}

/// Undisturbed: what is written, and what is there in the end.
async fn reference(world: &'static World, script: Script) -> (Script, Vec<Key>, End) {
    let case = Case::start(world, script, 0).await;
    case.proxy.arm(None);
    case.act().await;
    until(&format!("{script:?} is done"), || case.done()).await;
    until("nothing more is written", || async {
        let last = case.proxy.writes().last().map(|write| write.at);
        last.is_none_or(|at| at.elapsed() > QUIET).then_some(())
    })
    .await;
    let writes = case.proxy.writes();
    assert_eq!(made_twice(&writes), Vec::<String>::new(), "{script:?}");
    assert_eq!(made_after_delete(script, &writes), Vec::<String>::new());
    let keys: Vec<Key> = writes.iter().filter(|write| write.status < 300).map(|write| write.key.clone()).collect();
    let end = case.end().await;
    case.clear().await;
    (script, keys, end)
}

/// Whether it came to the cut at all; an error says how another end was come to.
async fn disturbed(
    world: &'static World,
    script: Script,
    number: usize,
    key: &Key,
    cut: Cut,
    expected: &End,
) -> Result<bool, String> {
    let mut case = Case::start(world, script, number).await;
    case.proxy.arm(Some((key.clone(), cut)));
    case.act().await;
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    let mut was_cut = false;
    loop {
        tokio::select! {
            () = case.proxy.cut() => {
                was_cut = true;
                case.operator.kill();
                case.proxy.pass();
                case.operator = Operator::start(&case.proxy, Some(&case.namespace), &[]);
            }
            _ = ticks.tick() => {
                if case.likely_end() == *expected && case.end().await == *expected {
                    break;
                }
                if begun.elapsed() > LIMIT {
                    let differs = difference(expected, &case.end().await);
                    return Err(format!("{script:?}, {key:?}, {cut:?} (cut: {was_cut}):\n{differs}{}", log(&case.proxy)));
                }
            }
        }
    }
    let writes = case.proxy.writes();
    let mut twice = made_twice(&writes);
    twice.extend(made_after_delete(script, &writes));
    case.clear().await;
    if twice.is_empty() { Ok(was_cut) } else { Err(format!("{script:?}, {key:?}, {cut:?}: made twice: {twice:?}")) }
}

#[test]
fn killed_after_each_single_write_it_comes_to_the_same_end() {
    scenario("killed_after_each_single_write_it_comes_to_the_same_end", |world| async move {
        let begun = Instant::now();
        let references = futures_util::future::join_all(SCRIPTS.map(|script| reference(world, script))).await;
        let mut cases = Vec::new();
        for (script, keys, end) in &references {
            assert!(!keys.is_empty(), "{script:?} writes nothing");
            eprintln!("{script:?}: {} writes, {} objects in the end, {:?}", keys.len(), end.len(), begun.elapsed());
            for (number, key) in keys.iter().enumerate() {
                cases.push((*script, 2 * number + 1, key, Cut::LoseAnswer, end));
                cases.push((*script, 2 * number + 2, key, Cut::Refuse, end));
            }
        }
        let run = async |(script, number, key, cut, end)| {
            let result = disturbed(world, script, number, key, cut, end).await;
            if let Err(words) = &result {
                eprintln!("{words}");
            }
            (script, key, cut, result)
        };
        let results: Vec<_> = futures_util::stream::iter(cases).map(run).buffer_unordered(BESIDE).collect().await;
        let failures: Vec<&String> = results.iter().filter_map(|(.., result)| result.as_ref().err()).collect();
        assert!(failures.is_empty(), "{} of {} differ\n{failures:#?}", failures.len(), results.len());
        // How often a status is written, or a write refused, depends on who is faster; that each object is written does not.
        // Nor is it certain how much of a pass goes on while its object is deleted.
        let certain =
            results.iter().filter(|(script, key, ..)| *script != Script::Delete || key.what.starts_with("PUT"));
        let wanted: BTreeSet<_> = certain.map(|(script, key, cut, _)| (script, &key.what, *cut as u8)).collect();
        let hit = results.iter().filter(|(.., result)| *result == Ok(true));
        let hit: BTreeSet<_> = hit.map(|(script, key, cut, _)| (script, &key.what, *cut as u8)).collect();
        assert_eq!(wanted.difference(&hit).collect::<Vec<_>>(), Vec::<&(&Script, &String, u8)>::new(), "never cut");
        eprintln!(
            "{} cuts, {} of them made, {:?}",
            results.len(),
            results.iter().filter(|r| r.3 == Ok(true)).count(),
            begun.elapsed()
        );
    });
}
