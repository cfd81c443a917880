//! The parts as a cluster runs them, without a cluster: supervisors, a conductor of its own, documents by the Kubernetes API.

use std::time::Duration;

use floodmark_http::client::Endpoint;
use protocol::{ConductorPlan, ReceiverControl, RolePlan, SinkWorkerPlan, Supervisors, Target};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::support::api_server::ApiServer;
use super::support::plan::plan;
use super::support::pod::{Api, Pod, Spec, start};
use super::support::run::number;
use super::support::{free_port, http, wait_until};

const LIMIT: Duration = Duration::from_secs(60);

/// A document, as the type that is expected.
macro_rules! of {
    ($($json:tt)+) => {
        serde_json::from_value(json!($($json)+)).expect("a document")
    };
}

/// A sink of two workers before a strict receiver, each part in a pod.
struct House {
    api: ApiServer,
    receiver: Pod,
    workers: Vec<Pod>,
    plan: SinkWorkerPlan,
}

impl House {
    fn start() -> Self {
        let api = ApiServer::start();
        let addresses: Vec<String> = (0..3).map(|_| format!("127.0.0.1:{}", free_port())).collect();
        let sink: api::RemoteWriteSinkSpec =
            of!({"replicas": 2, "lanes": 2, "backend": {"receiverRef": {"name": "store"}}});
        let plan = plan(sink, &addresses[2]);
        let role = ["receiver", "--control", "{into}/control.json"];
        let control: Option<(&dyn Api, &str)> = Some((&api, "store-control"));
        let receiver = start(Spec { control, address: Some(addresses[2].clone()), ..Spec::default() }, &role);
        let worker = |ordinal: usize| {
            let role = ["sink-worker", "--plan", "{into}/plan.json", "--control", "{into}/control.json"];
            let environment = [("FLOODMARK_ORDINAL", &*ordinal.to_string())];
            let control: Option<(&dyn Api, &str)> = Some((&api, "sink-control"));
            let address = Some(addresses[ordinal].clone());
            start(Spec { control, environment: &environment, address, ..Spec::default() }, &role)
        };
        let workers = vec![worker(0), worker(1)];
        let house = Self { api, receiver, workers, plan };
        house.publish(None, &json!([]));
        house
    }

    /// Writes both control documents; gives the revision of the sink's.
    fn publish(&self, run: Option<&Run>, chaos: &Value) -> u64 {
        self.publish_map(run, chaos, &json!({"epoch": 1, "phase": "Stable", "from": 2, "to": 2}))
    }

    fn publish_map(&self, run: Option<&Run>, chaos: &Value, map: &Value) -> u64 {
        let receiver = ReceiverControl {
            spec: of!({"profile": "Strict"}),
            conductor: run.map(|run| run.conductor.base()),
            tls: None,
            basic_auth: None,
        };
        self.api.put("store-control", &[("control.json", &json!(receiver))]);
        let mut control = json!({
            "sinkUid": "u-1", "epoch": map["epoch"], "phase": map["phase"], "from": map["from"], "to": map["to"], "lanes": 2,
            "addresses": self.workers.iter().map(|worker| worker.address.clone()).collect::<Vec<_>>(),
            "chaos": chaos,
        });
        if let Some(run) = run {
            control["run"] = json!({"id": run.id, "uid": "t-1", "loadTest": "test", "conductor": run.conductor.base()});
        }
        self.api.put("sink-control", &[("control.json", &control), ("plan.json", &json!(self.plan))])
    }
}

/// A conductor and a generator, each in a pod.
struct Run {
    id: &'static str,
    conductor: Pod,
    generator: Pod,
}

impl Run {
    fn start(id: &'static str, house: &House, chaos: &Value) -> Self {
        let test: api::LoadTestSpec = of!({
            "target": {"sinkRef": {"name": "sink"}}, "seed": 7, "deadline": "90s", "chaos": chaos,
            "workload": [{"name": "app", "targets": 20, "seriesPerTarget": 100, "scrapeInterval": "1s", "metrics": 20}],
            "stages": [{"for": "6s"}],
        });
        let generator = format!("127.0.0.1:{}", free_port());
        let workers: Vec<String> = house.workers.iter().map(Pod::base).collect();
        let plan = ConductorPlan {
            name: "test".to_owned(),
            run: id.to_owned(),
            document: String::new(),
            command: String::new(),
            test,
            profile: Some(api::Profile::Strict),
            target: Target::Sink { workers: workers.clone() },
            target_text: "sink sink".to_owned(),
            ack_policy: Some(api::AckPolicy::Delivered),
            lanes: 2,
            batch_samples: 2000,
            generators: vec![format!("http://{generator}")],
            workers,
            receivers: vec![Endpoint::new(house.receiver.base()).with_max_answer(64 << 20)],
            read_back: None,
            ready_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(5),
        };
        let supervisors = Supervisors {
            workers: house.workers.iter().map(Pod::supervisor).collect(),
            receivers: vec![house.receiver.supervisor()],
        };
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        let text = json!(RolePlan { plan, supervisors }).to_string();
        std::fs::write(folder.path().join("plan.json"), text).expect("the plan");
        let role = [
            "conductor",
            "--plan",
            "{into}/plan.json",
            "--engine",
            "{into}/engine.json",
            "--results",
            "{into}/results",
        ];
        let conductor = start(Spec { folder: Some(folder), ..Spec::default() }, &role);
        let environment = [("JOB_COMPLETION_INDEX", "0")];
        let spec = Spec { environment: &environment, address: Some(generator), ..Spec::default() };
        let generator = start(spec, &["generator", "--conductor", &conductor.base()]);
        Self { id, conductor, generator }
    }

    fn progress(&self) -> Value {
        self.conductor.get("/progress").unwrap_or_default()
    }

    fn t0_ms(&self) -> u64 {
        let t0 = || self.conductor.get("/chaos").and_then(|chaos| chaos["t0"].as_u64());
        wait_until("the schedule begins", LIMIT, || t0().is_some());
        t0().expect("t0") / 1_000_000
    }

    fn verdict(&self) -> Value {
        wait_until("there is a verdict", LIMIT, || self.progress()["verdict"].is_string());
        self.progress()
    }
}

#[test]
fn runs_in_pods_pass_with_a_kill_by_control_document_and_each_has_its_own_account() {
    let house = House::start();
    for worker in &house.workers {
        worker.wait_for_role();
    }
    let run = Run::start("0000aaaa", &house, &json!([{"at": "2s", "action": "Kill", "sinkWorker": 1}]));
    wait_until("the conductor waits for the workers to be told", LIMIT, || {
        run.progress()["waitingFor"].as_str().is_some_and(|what| what.contains("has not been told of this run"))
    });
    house.publish(Some(&run), &json!([]));
    let t0 = run.t0_ms();
    let chaos = json!([{"id": t0 * 1000, "atUnixMs": t0 + 2000, "ordinal": 1, "action": "Kill"}]);
    let revision = house.publish(Some(&run), &chaos);

    let end = run.verdict();
    assert_eq!((&end["verdict"], &end["phase"]), (&json!("Passed"), &json!("Finished")), "{end}");
    let summary = run.conductor.get("/summary").expect("a summary");
    assert_eq!(number(&summary, "/samples/stored"), 12_000, "{summary}");
    let executed = summary["chaos"][0]["executedAt"].as_f64().expect("carried out");
    assert!((2.0..4.0).contains(&executed), "{}", summary["chaos"]);
    assert!(summary["chaos"][0]["backAfter"].as_f64() >= Some(1.0), "{}", summary["chaos"]);
    assert_eq!(number(&summary, "/workers/1/incarnations"), 2);

    let told = house.workers[1].report().expect("a report");
    assert_eq!(told["executed"].as_array().map(Vec::len), Some(1), "at most once: {told}");
    assert_eq!((&told["ends"], &told["revision"]), (&json!([]), &json!(revision.to_string())));
    assert_eq!(house.workers[0].report().expect("a report")["executed"], json!([]));
    results(&run);

    // The generator leaves once its report was taken; the conductor stays until it is told.
    let Run { conductor, generator, .. } = run;
    assert_eq!(generator.ended().0.code(), Some(0));
    conductor.signal(Signal::TERM);
    assert_eq!(conductor.ended().0.code(), Some(0));

    let again = Run::start("0000bbbb", &house, &json!([]));
    house.publish(Some(&again), &chaos);
    let end = again.verdict();
    assert_eq!(end["verdict"], "Passed", "{end}");
    let summary = again.conductor.get("/summary").expect("a summary");
    let accepted = number(&summary, "/workers/0/accepted") + number(&summary, "/workers/1/accepted");
    assert_eq!((accepted, number(&summary, "/samples/stored")), (12_000, 12_000), "{summary}");
    assert_eq!(house.workers[1].report().expect("a report")["executed"].as_array().map(Vec::len), Some(1));
}

/// The artifacts over HTTP are those on the disk, and nothing else is.
fn results(run: &Run) {
    let list = run.conductor.get("/results").expect("a list");
    let list = list.as_array().expect("files");
    for name in ["summary.json", "report.html", "junit.xml", "response.hlog"] {
        let file = list.iter().find(|file| file["name"] == name).unwrap_or_else(|| panic!("{name} is not in {list:?}"));
        let (status, body) = http::get(&run.conductor.address, &format!("/results/{name}")).expect("an answer");
        assert_eq!((status, Some(body.len() as u64)), (200, file["bytes"].as_u64()), "{name}");
        assert_eq!(body, std::fs::read(run.conductor.folder().join("results").join(name)).expect("the file"));
    }
    for path in ["/results/../plan.json", "/results/..%2Fplan.json", "/results/plan.json", "/results/", "/resultsx"] {
        let (status, _) = http::get(&run.conductor.address, path).expect("an answer");
        assert_eq!(status, 404, "{path}");
    }
    let size = |max: &str| http::get(&run.conductor.address, &format!("/summary?max={max}")).expect("an answer");
    let (status, body) = size("6000");
    assert!(status == 200 && body.len() <= 6000, "{status}: {} bytes", body.len());
    assert_eq!((size("10").0, size("x").0), (413, 400));
}

#[test]
fn a_conductor_ends_early_when_its_engine_or_a_signal_says_so() {
    let house = House::start();
    let run = Run::start("0000cccc", &house, &json!([]));
    house.publish(Some(&run), &json!([]));
    run.t0_ms();
    let report = json!({"seq": 3, "stop": "the test was aborted: spec.abort is true"});
    std::fs::write(run.conductor.folder().join("engine.json"), report.to_string()).expect("the engine's file");
    let end = run.verdict();
    assert_eq!(
        (&end["verdict"], &end["phase"], &end["engineSeq"]),
        (&json!("Inconclusive"), &json!("Aborted"), &json!(3))
    );
    assert!(end["reasons"].to_string().contains("spec.abort is true"), "{end}");
    drop(run);

    let run = Run::start("0000dddd", &house, &json!([]));
    house.publish(Some(&run), &json!([]));
    run.t0_ms();
    run.conductor.signal(Signal::TERM);
    let (status, folder) = run.conductor.ended();
    assert_eq!(status.code(), Some(130));
    let summary = std::fs::read_to_string(folder.path().join("results/summary.json")).expect("a partial report");
    assert!(summary.contains("\"interrupted\": true"), "{summary}");
}

#[test]
fn the_account_of_a_worker_that_was_scaled_in_is_whole() {
    let mut house = House::start();
    let run = Run::start("0000ffff", &house, &json!([]));
    house.publish(Some(&run), &json!([]));
    run.t0_ms();
    wait_until("something is sent", LIMIT, || run.progress()["acknowledged"].as_u64() > Some(2000));
    house.publish_map(Some(&run), &json!([]), &json!({"epoch": 1, "phase": "Draining", "from": 2, "to": 1}));
    let drained = |worker: &Pod| worker.get("/account").is_some_and(|account| account["drained"] == 1);
    wait_until("both have drained", LIMIT, || house.workers.iter().all(drained));
    house.publish_map(Some(&run), &json!([]), &json!({"epoch": 2, "phase": "Stable", "from": 1, "to": 1}));
    let leaving = house.workers.remove(1);
    let accepted = leaving.get("/account").expect("an account")["account"]["accepted"].as_u64().expect("samples");
    leaving.signal(Signal::TERM);
    assert_eq!(leaving.ended().0.code(), Some(0));

    let end = run.verdict();
    assert_eq!(end["verdict"], "Passed", "{end}");
    let summary = run.conductor.get("/summary").expect("a summary");
    assert!(accepted > 0);
    assert_eq!(number(&summary, "/workers/1/accepted"), accepted, "{summary}");
    assert_eq!(number(&summary, "/workers/0/accepted") + accepted, 12_000, "{summary}");
}

#[test]
fn a_receiver_whose_container_was_started_again_proves_nothing() {
    let mut house = House::start();
    let run = Run::start("0000eeee", &house, &json!([]));
    house.publish(Some(&run), &json!([]));
    run.t0_ms();
    wait_until("something is stored", LIMIT, || run.progress()["acknowledged"].as_u64() > Some(0));
    // All at once, as when memory runs out: the role ends with its supervisor.
    let (address, role) = (house.receiver.address.clone(), house.receiver.role().expect("the role"));
    house.receiver.signal(Signal::KILL);
    kill_process(role, Signal::KILL).expect("SIGKILL");
    wait_until("it is gone", LIMIT, || http::get(&address, "/healthz").is_err());
    let control: Option<(&dyn Api, &str)> = Some((&house.api, "store-control"));
    let next = || Spec { control, address: Some(address.clone()), ..Spec::default() };
    house.receiver = start(next(), &["receiver", "--control", "{into}/control.json"]);

    // Its supervisor listens elsewhere now: only the store itself can tell.
    let end = run.verdict();
    assert_eq!(end["verdict"], "Inconclusive", "{end}");
    let why = "what was stored is gone, so nothing is proven: receiver 0 was started again since the run began";
    assert!(end["reasons"].to_string().contains(why), "{end}");
}

#[test]
fn a_role_that_ends_by_itself_ends_the_container_with_its_own_status_and_is_remembered() {
    let environment = [("POD_UID", "pod-1")];
    let spec = |folder| Spec { environment: &environment, folder, ..Spec::default() };
    let pod = start(spec(None), &["receiver", "--control", "{into}/nothing.json"]);
    let (status, folder) = pod.ended();
    assert_eq!(status.code(), Some(2), "as the role");

    let pod = start(spec(Some(folder)), &["receiver"]);
    pod.wait_for_role();
    let told = pod.report().expect("a report");
    assert_eq!((&told["pod"], &told["ends"][0]["how"]), (&json!("pod-1"), &json!("exit status 2")), "{told}");
    assert_eq!(told["child"]["pid"].as_i64(), pod.role().map(|pid| i64::from(pid.as_raw_nonzero().get())));
    kill_process(pod.role().expect("the role"), Signal::KILL).expect("SIGKILL");
    let (status, folder) = pod.ended();
    assert_eq!(status.code(), Some(137), "128 and the signal, as a container that was killed");

    let pod = start(spec(Some(folder)), &["receiver"]);
    pod.wait_for_role();
    let later = pod.report().expect("a report");
    assert_eq!(later["firstStart"], told["firstStart"], "the same pod");
    assert_eq!(later["ends"][1]["how"], "killed by signal 9", "{later}");
    pod.signal(Signal::TERM);
    assert_eq!(pod.ended().0.code(), Some(0), "passed on, and ended in order");
}

#[test]
fn a_pause_stops_the_role_but_not_its_supervisor() {
    let api = ApiServer::start();
    let now = || std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis() as u64;
    let control = |chaos: Value| {
        let mut control =
            json!(ReceiverControl { spec: of!({"profile": "Strict"}), conductor: None, tls: None, basic_auth: None });
        control["chaos"] = chaos;
        control
    };
    let environment = [("FLOODMARK_ORDINAL", "0")];
    let spec = Spec { control: Some((&api, "c")), environment: &environment, ..Spec::default() };
    let pod = start(spec, &["receiver", "--control", "{into}/control.json"]);
    wait_until("the supervisor answers", LIMIT, || pod.report().is_some());
    assert!(pod.role().is_none(), "no document, no role");
    let past = json!({"id": 1, "atUnixMs": now() - 600_000, "ordinal": 0, "action": "Kill"});
    api.put("c", &[("control.json", &control(json!([past])))]);
    pod.wait_for_role();
    let pid = pod.role().expect("the role");
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).expect("it lives");
        stat.rsplit_once(") ").map(|(_, rest)| rest.chars().next().expect("a state"))
    };

    let chaos = json!([past, {"id": 2, "atUnixMs": now(), "ordinal": 0, "action": "Pause", "forMs": 1500}]);
    api.put("c", &[("control.json", &control(chaos))]);
    wait_until("it is stopped", LIMIT, || state() == Some('T'));
    assert!(pod.report().is_some(), "the supervisor answers");
    wait_until("it goes on", LIMIT, || state() != Some('T'));
    let told = pod.report().expect("a report");
    let executed = told["executed"].as_array().expect("a list");
    assert_eq!(executed.len(), 1, "not what was due before the pod was: {told}");
    let length = executed[0]["backAt"].as_u64().expect("back") - executed[0]["executedAt"].as_u64().expect("done");
    assert!((1500..3000).contains(&length), "{told}");

    // A stopped role is passed the signal too.
    let chaos = json!([{"id": 3, "atUnixMs": now(), "ordinal": 0, "action": "Pause", "forMs": 60_000}]);
    api.put("c", &[("control.json", &control(chaos))]);
    wait_until("it is stopped", LIMIT, || state() == Some('T'));
    pod.signal(Signal::TERM);
    assert_eq!(pod.ended().0.code(), Some(0));
}
