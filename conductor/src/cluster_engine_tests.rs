//! Tests of `cluster_engine`.

use std::net::SocketAddr;

use bytes::Bytes;
use floodmark_http::Request;
use floodmark_http::server::{self, Limits, json};
use protocol::RunPlan;

use super::*;

const T0: u64 = 1_700_000_000_123_456_789;
const DRAIN: Duration = Duration::from_mins(2);

fn step(action: ChaosAction, worker: u32) -> ChaosStep {
    let mut step: ChaosStep =
        serde_json::from_value(serde_json::json!({"at": "1s", "action": "Kill", "sinkWorker": worker})).unwrap();
    step.action = action;
    step
}

fn plan() -> RunPlan {
    serde_json::from_value(serde_json::json!({
        "run": "r", "seed": 1, "workload": [], "stages": [], "faults": [], "profile": "Strict", "generators": 1,
        "samplesPerRequest": 1, "connections": 1, "overload": {}, "target": {"sink": {"workers": []}},
    }))
    .unwrap()
}

fn engine(chaos: Vec<ChaosStep>) -> Arc<ClusterEngine> {
    let published = Arc::new(Published::default());
    published.prepare(&plan().run);
    published.publish(plan(), Vec::new());
    published.start(T0);
    let two = Supervisors { workers: vec![String::new(); 2], receivers: vec![String::new()] };
    ClusterEngine::new(published, chaos, DRAIN, &two)
}

fn take(engine: &ClusterEngine, ordinal: usize, report: SupervisorReport, now: u64) {
    lock(&lock(&engine.workers)[ordinal].seen).take(report, now);
}

fn report(pod: &str) -> SupervisorReport {
    SupervisorReport { pod: pod.to_owned(), ..SupervisorReport::default() }
}

#[test]
fn only_what_was_carried_out_in_this_run_counts_even_when_the_pod_is_gone() {
    let engine = engine(vec![step(ChaosAction::Kill, 1), step(ChaosAction::Terminate, 0)]);
    let id = T0 / 1_000_000 * 1000;
    let executed = |id, back_at| Executed { id, executed_at: 5, back_at };
    let first = SupervisorReport { executed: vec![executed(id, None), executed(id - 1, None)], ..report("a") };
    take(&engine, 1, first, 10);
    assert_eq!(engine.executed_chaos(), [ExecutedChaos { index: 0, executed_at: 5, back_at: None }]);
    let later = SupervisorReport { executed: vec![executed(id, Some(7))], ..report("a") };
    take(&engine, 1, later, 11);
    take(&engine, 1, report("b"), 12);
    engine.told(EngineReport {
        executed: vec![ExecutedChaos { index: 1, executed_at: 9, back_at: None }],
        ..EngineReport::default()
    });
    let all: Vec<_> = engine.executed_chaos().iter().map(|done| (done.index, done.back_at)).collect();
    assert_eq!(all, [(0, Some(7)), (1, None)]);
    assert_eq!(engine.patience(), ENGINE_TELLS);
}

#[test]
fn ends_count_from_the_start_of_the_run_once_each_unless_the_timeline_explains_them() {
    let engine = engine(vec![step(ChaosAction::Restart, 0)]);
    let end = |at, how: &str| End { at, how: how.to_owned() };
    let ends = vec![end(engine.since - 1, "exit status 1"), end(engine.since + 1, "killed by signal 9")];
    let told = SupervisorReport { ends, ..report("a") };
    for ordinal in [0, 1] {
        take(&engine, ordinal, told.clone(), engine.since + 2);
        take(&engine, ordinal, told.clone(), engine.since + 3);
    }
    lock(&engine.receivers[0].seen).take(report("r"), engine.since + 3);
    assert_eq!(engine.unasked_ends().len(), 2);
    assert!(engine.lost_stores().is_empty());

    take(&engine, 0, report("b"), engine.since + 900);
    take(&engine, 1, report("b"), engine.since + 900);
    lock(&engine.receivers[0].seen).take(report("s"), engine.since + 900);
    engine.told(EngineReport {
        seq: 4,
        executed: vec![ExecutedChaos { index: 0, executed_at: engine.since + 50, back_at: None }],
        ..EngineReport::default()
    });
    let replaced: Vec<_> = engine.unasked_ends().into_iter().filter(|end| end.how.contains("replaced")).collect();
    assert_eq!(replaced.len(), 1, "worker 0 was asked to restart: {replaced:?}");
    assert_eq!((replaced[0].ordinal, replaced[0].at), (1, engine.since + 3));
    assert_eq!(engine.lost_stores().len(), 1);
}

#[test]
fn a_step_explains_the_pods_that_it_ends_while_they_may_take_to_go() {
    use ChaosAction::{Kill, Restart, Terminate};
    let scale = ChaosStep { sink_worker: None, replicas: Some(1), ..step(ChaosAction::Scale, 0) };
    let of_worker = |action| step(action, 1);
    let at: u64 = 1_000_000;
    let rows = [
        ("whom a scale keeps", scale.clone(), 0, at + 1, None, false),
        ("whom a scale takes away", scale, 1, at + 1, None, true),
        ("a flush that takes as long as it may", of_worker(Terminate), 1, at + 130_000, None, true),
        ("one that takes longer", of_worker(Restart), 1, at + 160_001, None, false),
        ("another worker", of_worker(Restart), 0, at + 1, None, false),
        ("a look that failed", of_worker(Restart), 1, at - 4_000, None, true),
        ("a pod that was gone before", of_worker(Restart), 1, at - 4_001, None, false),
        ("a pod before its successor", of_worker(Terminate), 1, at + 9_000, Some(at + 9_000), true),
        ("the successor", of_worker(Terminate), 1, at + 20_000, Some(at + 9_000), false),
        ("its pod stays", of_worker(Kill), 1, at + 1, None, false),
    ];
    for (name, step, ordinal, last, back_at, explained) in rows {
        let engine = engine(vec![step]);
        let executed = vec![ExecutedChaos { index: 0, executed_at: at, back_at }];
        engine.told(EngineReport { seq: 1, executed, ..EngineReport::default() });
        assert_eq!(engine.explained(ordinal, last), explained, "{name}");
    }
}

#[test]
fn a_container_that_was_started_again_in_its_pod_is_an_end_like_any_other() {
    let engine = engine(Vec::new());
    let (began, last, again) = (engine.since - 5000, engine.since + 10, engine.since + 2000);
    let first = SupervisorReport { since: began, ..report("r") };
    let how = "the container was started again".to_owned();
    let told = SupervisorReport { since: again, ends: vec![End { at: again, how: how.clone() }], ..report("r") };
    let forgot = SupervisorReport { since: again, ..report("r") };
    let workers = lock(&engine.workers).clone();
    for (part, second) in [(&engine.receivers[0], &told), (&workers[0], &told), (&workers[1], &forgot)] {
        lock(&part.seen).take(first.clone(), last);
        lock(&part.seen).take(second.clone(), again + 1);
        lock(&part.seen).take(second.clone(), again + 1001);
    }
    assert_eq!(engine.lost_stores(), [format!("the receiver ended unexpectedly ({how})")]);
    let ends = engine.unasked_ends();
    assert_eq!(ends[0], UnaskedEnd { ordinal: 0, at: last, how }, "it lived until then at least");
    assert_eq!((ends.len(), ends[1].ordinal, ends[1].at), (2, 1, last));
}

/// A supervisor that says what it is told to say.
async fn supervisor(address: &str, says: &Arc<Mutex<SupervisorReport>>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let (bound, says) = (listener.local_addr().unwrap(), Arc::clone(says));
    let handler = Arc::new(move |_: Request<Bytes>, _: SocketAddr| {
        let answer = json(&*lock(&says));
        async move { answer }
    });
    tokio::spawn(server::serve(listener, handler, Limits::default(), None, None, std::future::pending()));
    bound
}

#[tokio::test(flavor = "multi_thread")]
async fn supervisors_of_workers_that_came_later_are_asked_while_they_are_counted_on() {
    let (first, later) = (Arc::new(Mutex::new(report("a"))), Arc::new(Mutex::new(report("b"))));
    let port = supervisor("127.0.0.1:0", &first).await.port();
    supervisor(&format!("127.0.0.2:{port}"), &later).await;
    let one = Supervisors { workers: vec![format!("http://127.0.0.1:{port}")], receivers: Vec::new() };
    let published = Arc::new(Published::default());
    published.prepare(&plan().run);
    published.publish(plan(), Vec::new());
    published.start(T0);
    let engine = ClusterEngine::new(published, vec![step(ChaosAction::Kill, 1)], DRAIN, &one);
    let looking = engine.look(None, Stop::new());
    let workers = ["http://127.0.0.1:9400".to_owned(), "http://127.0.0.2:9400".to_owned()];
    let pod = || lock(&engine.workers).get(1).and_then(|part| lock(&part.seen).pod.clone());
    let until = async |what: &str, met: &dyn Fn() -> bool| {
        let limit = tokio::time::Instant::now() + Duration::from_secs(20);
        while !met() {
            assert!(tokio::time::Instant::now() < limit, "{what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    engine.met(&workers, 2);
    until("it is asked", &|| pod().as_deref() == Some("b")).await;

    lock(&later).executed.push(Executed { id: T0 / 1_000_000 * 1000, executed_at: 5, back_at: None });
    until("the kill is told", &|| engine.executed_chaos().len() == 1).await;
    engine.met(&workers, 1);
    until("it may go", &|| pod().is_none()).await;
    lock(&later).pod = "c".to_owned();
    let heard = || lock(&engine.workers).get(1).map(|part| lock(&part.seen).answered_at);
    for _ in 0..2 {
        // The first answer may be on its way since before.
        let before = heard();
        until("it is asked again", &|| heard() != before).await;
    }
    engine.met(&workers, 2);
    until("it is back", &|| pod().as_deref() == Some("c")).await;
    assert_eq!(engine.unasked_ends(), [], "nobody counted on it");
    lock(&later).pod = "d".to_owned();
    until("it is replaced", &|| pod().as_deref() == Some("d")).await;
    assert_eq!(engine.unasked_ends().iter().map(|end| end.ordinal).collect::<Vec<_>>(), [1]);
    drop(looking);
}

#[test]
fn an_older_report_of_the_engine_changes_nothing() {
    let engine = engine(Vec::new());
    engine.told(EngineReport { seq: 2, stop: Some("aborted".to_owned()), ..EngineReport::default() });
    engine.told(EngineReport { seq: 1, ..EngineReport::default() });
    assert_eq!(engine.stop_reason().as_deref(), Some("aborted"));
}
