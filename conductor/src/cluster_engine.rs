//! The engine as a conductor in a process of its own sees it: what supervisors tell, and a file that the engine writes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::{ChaosAction, ChaosStep};
use floodmark_http::client::{Endpoint, Fetch};
use protocol::{End, EngineReport, Executed, SupervisorReport, path};
use telemetry::Stop;
use tokio::task::JoinSet;

use crate::engine::{Engine, ExecutedChaos, UnaskedEnd};
use crate::state::Published;
use protocol::Supervisors;

const LOOK: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(1);
const MAX_REPORT: usize = 4 << 20;
/// Largest file of the engine; annotations, where it comes from, hold 256 KiB.
const MAX_FILE: usize = 1 << 20;
/// Clocks of machines differ.
const CLOCKS_MS: u64 = 1_000;
/// A pod may have been heard of last so long before the step that replaced it: one look failed, and the next came too late.
const UNHEARD_MS: u64 = 2 * LOOK.as_millis() as u64 + TIMEOUT.as_millis() as u64 + CLOCKS_MS;
/// A pod that is told to go answers until it is empty, and no longer than its drain and so much more: grace, and a slow cluster.
const GONE: Duration = Duration::from_secs(40);
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
    /// How long a pod of a worker may still answer after it was told to go.
    leaves_ms: u64,
    /// By ordinal; those of workers that came later are learnt from the sink's map.
    workers: Mutex<Vec<Part>>,
    receivers: Vec<Part>,
    /// Workers that the map counts on: those beyond may come and go.
    active: AtomicU32,
    file: Mutex<EngineReport>,
}

/// A part's supervisor.
#[derive(Debug, Clone)]
struct Part {
    /// Base address.
    base: String,
    seen: Arc<Mutex<Seen>>,
}

impl Part {
    fn new(base: &str) -> Self {
        Self { base: base.to_owned(), seen: Arc::default() }
    }
}

impl ClusterEngine {
    pub(crate) fn new(
        published: Arc<Published>,
        chaos: Vec<ChaosStep>,
        drain_timeout: Duration,
        supervisors: &Supervisors,
    ) -> Arc<Self> {
        let parts = |addresses: &[String]| addresses.iter().map(|base| Part::new(base)).collect();
        Arc::new(Self {
            since: unix_ms(),
            published,
            chaos,
            leaves_ms: u64::try_from(drain_timeout.saturating_add(GONE).as_millis()).unwrap_or(u64::MAX),
            workers: Mutex::new(parts(&supervisors.workers)),
            receivers: parts(&supervisors.receivers),
            active: AtomicU32::new(u32::MAX),
            file: Mutex::default(),
        })
    }

    /// Looks at everything until the tasks are dropped. `stop` is asked for when the engine ends the run.
    pub(crate) fn look(self: &Arc<Self>, file: Option<PathBuf>, stop: Stop) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for part in &self.receivers {
            tasks.spawn(ask(part.clone(), || true));
        }
        let engine = Arc::clone(self);
        tasks.spawn(async move {
            let mut asked = JoinSet::new();
            loop {
                let known = lock(&engine.workers).clone();
                for (ordinal, part) in (0..).zip(known).skip(asked.len()) {
                    let engine = Arc::clone(&engine);
                    asked.spawn(ask(part, move || ordinal < engine.active.load(Ordering::Relaxed)));
                }
                tokio::time::sleep(LOOK).await;
            }
        });
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
        tasks
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
            let Some(step) = self.chaos.get(done.index as usize) else { return false };
            let latest = done.executed_at.saturating_add(self.leaves_ms);
            let (ours, latest) = match step.action {
                // What becomes of its successor is none of its doing.
                ChaosAction::Terminate | ChaosAction::Restart => {
                    let back = done.back_at.map_or(latest, |at| at.saturating_add(CLOCKS_MS));
                    (step.sink_worker == Some(ordinal), back)
                }
                ChaosAction::Scale => (step.replicas.is_some_and(|left| ordinal >= left), latest),
                // The pod stays.
                ChaosAction::Kill | ChaosAction::Pause => return false,
            };
            ours && (done.executed_at.saturating_sub(UNHEARD_MS)..=latest).contains(&at)
        })
    }

    /// Ends of a part since the run began, but for replacements that are asked for.
    fn ends(&self, part: &Part, ordinal: u32, asked: impl Fn(u64) -> bool) -> Vec<UnaskedEnd> {
        let seen = lock(&part.seen);
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
        for worker in lock(&self.workers).iter() {
            for done in lock(&worker.seen).executed.values() {
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
        let workers = lock(&self.workers);
        let workers = (0..).zip(workers.iter());
        workers.flat_map(|(ordinal, part)| self.ends(part, ordinal, |at| self.explained(ordinal, at))).collect()
    }

    fn lost_stores(&self) -> Vec<String> {
        // The timeline is about workers: nothing in it explains a receiver's end.
        let ends = (0..).zip(&self.receivers).flat_map(|(ordinal, part)| self.ends(part, ordinal, |_| false));
        ends.map(|end| format!("the receiver ended unexpectedly ({})", end.how)).collect()
    }

    fn met(&self, workers: &[String], active: u32) {
        self.active.store(active, Ordering::Relaxed);
        let mut known = lock(&self.workers);
        let Some(first) = known.first().map(|part| part.base.clone()) else { return };
        for worker in workers.iter().skip(known.len()) {
            let Some(base) = beside(worker, &first) else { return };
            known.push(Part::new(&base));
        }
    }

    fn stop_reason(&self) -> Option<String> {
        lock(&self.file).stop.clone()
    }

    fn patience(&self) -> Duration {
        let by_supervisors = |step: &ChaosStep| matches!(step.action, ChaosAction::Kill | ChaosAction::Pause);
        if self.chaos.iter().all(by_supervisors) { SUPERVISORS_TELL } else { ENGINE_TELLS }
    }
}

/// Asks a supervisor for ever. One that is not counted on is taken for another each time: its pod may be replaced.
async fn ask(part: Part, counted_on: impl Fn() -> bool) {
    let endpoint = Endpoint::new(&part.base).with_timeout(TIMEOUT).with_max_answer(MAX_REPORT);
    let mut fetch = match Fetch::new(&endpoint) {
        Ok(fetch) => fetch,
        Err(error) => {
            tracing::warn!(base = part.base, %error, "a supervisor cannot be asked");
            return;
        }
    };
    loop {
        let answer = fetch.json::<SupervisorReport>(Some(path::SUPERVISOR)).await;
        match answer {
            Ok(report) => lock(&part.seen).take(report, unix_ms()),
            Err(error) => tracing::debug!(base = part.base, %error, "a supervisor did not answer"),
        }
        if !counted_on() {
            lock(&part.seen).pod = None;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The supervisor of a worker: all listen at the same port.
fn beside(worker: &str, supervisor: &str) -> Option<String> {
    let (host, _) = worker.trim_end_matches('/').rsplit_once(':')?;
    let (_, port) = supervisor.trim_end_matches('/').rsplit_once(':')?;
    Some(format!("{host}:{port}"))
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
#[path = "cluster_engine_tests.rs"]
mod tests;
