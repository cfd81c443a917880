//! The engine as a conductor in a process of its own sees it: what supervisors tell, and a file that the engine writes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::{ChaosAction, ChaosStep};
use floodmark_http::client::{Endpoint, Fetch};
use protocol::{End, EngineReport, Executed, SupervisorReport, path};
use telemetry::Stop;
use tokio::task::JoinSet;

use crate::plan::{Engine, ExecutedChaos, Supervisors, UnaskedEnd};
use crate::state::Published;

const LOOK: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(1);
const MAX_REPORT: usize = 4 << 20;
/// Largest file of the engine; annotations, where it comes from, hold 256 KiB.
const MAX_FILE: usize = 1 << 20;
/// How far apart a replaced pod and the step that explains it may be told.
const EXPLAINS_MS: u64 = 30_000;
/// A supervisor's word comes within a look or two; pods that come and go through the cluster's API take longer to be told of.
const SUPERVISORS_TELL: Duration = Duration::from_secs(5);
const ENGINE_TELLS: Duration = Duration::from_secs(90);

/// What was seen of one part's supervisor. Unix milliseconds.
#[derive(Debug, Default)]
struct Seen {
    pod: Option<String>,
    /// When the container that answered started.
    since: u64,
    answered_at: u64,
    executed: BTreeMap<u64, Executed>,
    /// As they were told, and when each came about.
    ends: BTreeMap<End, u64>,
    /// Last answers of pods that were replaced.
    replaced: Vec<u64>,
}

impl Seen {
    fn take(&mut self, report: SupervisorReport, now: u64) {
        let known = self.pod.as_ref().map(|pod| *pod == report.pod);
        if known == Some(false) {
            self.replaced.push(self.answered_at);
        }
        let again = known == Some(true) && self.since != report.since;
        let told = self.ends.len();
        for end in report.ends {
            // Nobody saw an end that the next container tells of: it came after the last answer.
            let at = if again && end.at == report.since { end.at.min(self.answered_at) } else { end.at };
            self.ends.entry(end).or_insert(at);
        }
        if again && self.ends.len() == told {
            let end = End { at: report.since, how: "its container was started again".to_owned() };
            self.ends.insert(end, self.answered_at);
        }
        self.pod = Some(report.pod);
        self.since = report.since;
        self.answered_at = now;
        self.executed.extend(report.executed.into_iter().map(|done| (done.id, done)));
    }
}

/// See the module.
pub(crate) struct ClusterEngine {
    /// Unix milliseconds: what ended before is nobody's business.
    since: u64,
    published: Arc<Published>,
    chaos: Vec<ChaosStep>,
    workers: Vec<Mutex<Seen>>,
    receivers: Vec<Mutex<Seen>>,
    file: Mutex<EngineReport>,
}

impl ClusterEngine {
    pub(crate) fn new(published: Arc<Published>, chaos: Vec<ChaosStep>, supervisors: &Supervisors) -> Arc<Self> {
        let seen = |addresses: &[String]| addresses.iter().map(|_| Mutex::default()).collect();
        Arc::new(Self {
            since: unix_ms(),
            published,
            chaos,
            workers: seen(&supervisors.workers),
            receivers: seen(&supervisors.receivers),
            file: Mutex::default(),
        })
    }

    /// Looks at everything until the tasks are dropped. `stop` is asked for when the engine ends the run.
    pub(crate) fn look(
        self: &Arc<Self>,
        supervisors: &Supervisors,
        file: Option<PathBuf>,
        stop: Stop,
    ) -> anyhow::Result<JoinSet<()>> {
        let mut tasks = JoinSet::new();
        for (addresses, receivers) in [(&supervisors.workers, false), (&supervisors.receivers, true)] {
            for (ordinal, base) in addresses.iter().enumerate() {
                let endpoint = Endpoint::new(base).with_timeout(TIMEOUT).with_max_answer(MAX_REPORT);
                let mut fetch = Fetch::new(&endpoint)?;
                let engine = Arc::clone(self);
                tasks.spawn(async move {
                    let parts = if receivers { &engine.receivers } else { &engine.workers };
                    loop {
                        match fetch.json::<SupervisorReport>(Some(path::SUPERVISOR)).await {
                            Ok(report) => lock(&parts[ordinal]).take(report, unix_ms()),
                            Err(error) => tracing::debug!(ordinal, %error, "a supervisor did not answer"),
                        }
                        tokio::time::sleep(LOOK).await;
                    }
                });
            }
        }
        if let Some(file) = file {
            let engine = Arc::clone(self);
            tasks.spawn(async move {
                loop {
                    if let Some(report) = read(&file).await {
                        engine.told(report);
                    }
                    if engine.stop_reason().is_some() {
                        stop.request();
                    }
                    tokio::time::sleep(LOOK).await;
                }
            });
        }
        Ok(tasks)
    }

    fn told(&self, report: EngineReport) {
        let mut known = lock(&self.file);
        if report.seq >= known.seq {
            self.published.engine_seq(report.seq);
            *known = report;
        }
    }

    /// Whether a worker's pod that was last heard of at `at` was replaced because the timeline says so.
    fn explained(&self, ordinal: u32, at: u64) -> bool {
        lock(&self.file).executed.iter().any(|done| {
            let step = self.chaos.get(done.index as usize);
            let ours = step.is_some_and(|step| step.action == ChaosAction::Scale || step.sink_worker == Some(ordinal));
            ours && done.executed_at.abs_diff(at) <= EXPLAINS_MS
        })
    }

    /// Ends of a part since the run began, but for replacements that are asked for.
    fn ends(&self, part: &Mutex<Seen>, ordinal: u32, asked: impl Fn(u64) -> bool) -> Vec<UnaskedEnd> {
        let seen = lock(part);
        let ended = seen.ends.iter().filter(|(end, _)| end.at >= self.since);
        let mut ends: Vec<_> = ended.map(|(end, at)| UnaskedEnd { ordinal, at: *at, how: end.how.clone() }).collect();
        let replaced = seen.replaced.iter().filter(|at| !asked(**at));
        ends.extend(replaced.map(|at| UnaskedEnd { ordinal, at: *at, how: "its pod was replaced".to_owned() }));
        ends
    }
}

impl Engine for ClusterEngine {
    fn executed_chaos(&self) -> Vec<ExecutedChaos> {
        let mut executed: BTreeMap<u32, ExecutedChaos> = BTreeMap::new();
        let t0 = self.published.phase().and_then(|phase| phase.t0);
        for worker in t0.iter().flat_map(|_| &self.workers) {
            for done in lock(worker).executed.values() {
                let Some(index) = t0.and_then(|t0| protocol::conductor::chaos_index(t0, done.id)) else { continue };
                executed.insert(index, ExecutedChaos { index, executed_at: done.executed_at, back_at: done.back_at });
            }
        }
        executed.extend(lock(&self.file).executed.iter().map(|done| (done.index, done.clone())));
        executed.into_values().collect()
    }

    fn lost_parts(&self) -> Vec<String> {
        lock(&self.file).lost.clone()
    }

    fn unasked_ends(&self) -> Vec<UnaskedEnd> {
        let workers = (0..).zip(&self.workers);
        workers.flat_map(|(ordinal, part)| self.ends(part, ordinal, |at| self.explained(ordinal, at))).collect()
    }

    fn lost_stores(&self) -> Vec<String> {
        // The timeline is about workers: nothing in it explains a receiver's end.
        let ends = (0..).zip(&self.receivers).flat_map(|(ordinal, part)| self.ends(part, ordinal, |_| false));
        ends.map(|end| format!("the receiver ended unexpectedly ({})", end.how)).collect()
    }

    fn stop_reason(&self) -> Option<String> {
        lock(&self.file).stop.clone()
    }

    fn patience(&self) -> Duration {
        let by_supervisors = |step: &ChaosStep| matches!(step.action, ChaosAction::Kill | ChaosAction::Pause);
        if self.chaos.iter().all(by_supervisors) { SUPERVISORS_TELL } else { ENGINE_TELLS }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file may be absent or empty until the engine has something to say.
async fn read(file: &PathBuf) -> Option<EngineReport> {
    let text = tokio::fs::read(file).await.ok().filter(|text| !text.is_empty() && text.len() <= MAX_FILE)?;
    match serde_json::from_slice(&text) {
        Ok(report) => Some(report),
        Err(error) => {
            tracing::warn!(%error, file = %file.display(), "the engine's report cannot be read");
            None
        }
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use protocol::RunPlan;

    use super::*;

    const T0: u64 = 1_700_000_000_123_456_789;

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
        published.publish(plan(), Vec::new());
        published.start(T0);
        let two = Supervisors { workers: vec![String::new(); 2], receivers: vec![String::new()] };
        ClusterEngine::new(published, chaos, &two)
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
        lock(&engine.workers[1]).take(first, 10);
        assert_eq!(engine.executed_chaos(), [ExecutedChaos { index: 0, executed_at: 5, back_at: None }]);
        let later = SupervisorReport { executed: vec![executed(id, Some(7))], ..report("a") };
        lock(&engine.workers[1]).take(later, 11);
        lock(&engine.workers[1]).take(report("b"), 12);
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
            lock(&engine.workers[ordinal]).take(told.clone(), engine.since + 2);
            lock(&engine.workers[ordinal]).take(told.clone(), engine.since + 3);
        }
        lock(&engine.receivers[0]).take(report("r"), engine.since + 3);
        assert_eq!(engine.unasked_ends().len(), 2);
        assert!(engine.lost_stores().is_empty());

        lock(&engine.workers[0]).take(report("b"), engine.since + 900);
        lock(&engine.workers[1]).take(report("b"), engine.since + 900);
        lock(&engine.receivers[0]).take(report("s"), engine.since + 900);
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
    fn a_container_that_was_started_again_in_its_pod_is_an_end_like_any_other() {
        let engine = engine(Vec::new());
        let (began, last, again) = (engine.since - 5000, engine.since + 10, engine.since + 2000);
        let first = SupervisorReport { since: began, ..report("r") };
        let how = "the container was started again".to_owned();
        let told = SupervisorReport { since: again, ends: vec![End { at: again, how: how.clone() }], ..report("r") };
        let forgot = SupervisorReport { since: again, ..report("r") };
        for (part, second) in
            [(&engine.receivers[0], &told), (&engine.workers[0], &told), (&engine.workers[1], &forgot)]
        {
            lock(part).take(first.clone(), last);
            lock(part).take(second.clone(), again + 1);
            lock(part).take(second.clone(), again + 1001);
        }
        assert_eq!(engine.lost_stores(), [format!("the receiver ended unexpectedly ({how})")]);
        let ends = engine.unasked_ends();
        assert_eq!(ends[0], UnaskedEnd { ordinal: 0, at: last, how }, "it lived until then at least");
        assert_eq!((ends.len(), ends[1].ordinal, ends[1].at), (2, 1, last));
    }

    #[test]
    fn an_older_report_of_the_engine_changes_nothing() {
        let engine = engine(Vec::new());
        engine.told(EngineReport { seq: 2, stop: Some("aborted".to_owned()), ..EngineReport::default() });
        engine.told(EngineReport { seq: 1, ..EngineReport::default() });
        assert_eq!(engine.stop_reason().as_deref(), Some("aborted"));
    }
}
