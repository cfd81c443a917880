//! What all parts of a worker share, and the tasks around it: lanes, the control document, the run's clock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use floodmark_http::client::{Connection, get_json};
use ownership::ControlDocument;
use protocol::{OwnershipDoc, PhaseDoc, RunPhase, SinkWorkerPlan};
use telemetry::ops::Ops;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::account::{Books, Clock};
use crate::admit::Map;
use crate::forward::{Forwarder, base_url};
use crate::gate::{Admitted, Gate};
use crate::lane::{Backoff, Lane, OnExhausted, OnRejected, Partial, Rules};
use crate::room::Rooms;
use crate::send::Driver;
use crate::ticket::Slip;

/// How often the control document is looked at.
pub(crate) const POLL: Duration = Duration::from_millis(100);
/// Between two attempts to reach the backend at the start.
const REACH_AGAIN: Duration = Duration::from_millis(250);
/// How long a conductor may take to fetch a worker's last account, and how often it is asked whether it has.
const LAST_WORDS: Duration = Duration::from_secs(5);
const TAKEN_YET: Duration = Duration::from_millis(50);
/// The longest that a request is held for its outcome: below the 30 s after which a Prometheus gives up.
pub(crate) const HOLD: Duration = Duration::from_secs(25);

struct Running {
    inbox: mpsc::UnboundedSender<Admitted<Slip>>,
    task: JoinHandle<()>,
}

/// See the module.
pub(crate) struct Shared {
    /// As given.
    pub(crate) plan: SinkWorkerPlan,
    /// As given.
    pub(crate) ordinal: u32,
    /// Time.
    pub(crate) clock: Clock,
    /// Where samples went.
    pub(crate) books: Books,
    /// `/metrics`, `/healthz`, `/readyz`.
    pub(crate) ops: Ops,
    /// To the other workers.
    pub(crate) forwarder: Forwarder,
    /// Memory for what is not in the buffer yet.
    pub(crate) rooms: Rooms,
    /// Name of this life.
    pub(crate) incarnation: String,
    /// Batches that all lanes had delivered.
    pub(crate) successes: AtomicU64,
    /// What lanes and batches obey.
    pub(crate) rules: Rules,
    /// It was told to end, and every sample has its outcome.
    pub(crate) closed: AtomicBool,
    gate: Mutex<Gate<Slip>>,
    lanes: Mutex<Vec<Running>>,
    control: Mutex<ControlDocument>,
    kill: watch::Sender<bool>,
}

impl Shared {
    /// A worker that obeys this document, with its lanes running.
    pub(crate) fn start(
        plan: SinkWorkerPlan,
        ordinal: u32,
        document: &ControlDocument,
        ops: Ops,
        incarnation: &str,
    ) -> anyhow::Result<Arc<Self>> {
        let rules = rules(&plan)?;
        let map = Arc::new(Map::new(document, ordinal));
        let gate = Gate::new(map, plan.buffer.max_samples.0, plan.buffer.max_bytes.0);
        let metrics = crate::metrics::Metrics::new(ops.registry());
        let shared = Arc::new(Self {
            books: Books::new(incarnation, metrics),
            clock: Clock::new(),
            forwarder: Forwarder::default(),
            rooms: Rooms::new(),
            incarnation: incarnation.to_owned(),
            gate: Mutex::new(gate),
            lanes: Mutex::new(Vec::new()),
            control: Mutex::new(document.clone()),
            kill: watch::channel(false).0,
            plan,
            ordinal,
            ops,
            rules,
            successes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        shared.lanes(document.lanes)?;
        shared.obey(document)?;
        Ok(shared)
    }

    /// The gate, for a moment without waiting.
    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate<Slip>> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is obeyed.
    pub(crate) fn document(&self) -> ControlDocument {
        self.control.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Hands parts to their lanes. Called with the gate held, so that a lane gets them in the order of admission.
    pub(crate) fn dispatch(&self, admitted: Vec<Admitted<Slip>>) {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for one in admitted {
            self.books.accepted(one.part.samples());
            if let Some(lane) = lanes.get(usize::from(one.lane)) {
                // A lane ends only when it is killed, and then nothing is admitted any more.
                let _ = lane.inbox.send(one);
            }
        }
    }

    /// Takes up a document. True when it holds from now on; false when what is buffered has to go first.
    pub(crate) fn obey(self: &Arc<Self>, document: &ControlDocument) -> anyhow::Result<bool> {
        let mut gate = self.gate();
        let epoch = gate.map().ownership.epoch;
        if self.stopped() {
            return Ok(true);
        }
        if !document.accepts() {
            gate.close("series move between workers; send it again in a moment");
        } else if document.epoch == epoch && *document.sink_uid == self.document().sink_uid {
            let map = gate.map();
            gate.open(map);
        } else if gate.is_empty() {
            self.lanes(document.lanes)?;
            gate.open(Arc::new(Map::new(document, self.ordinal)));
        } else {
            // A worker never holds samples of two maps: their order would depend on both.
            gate.close("what was taken under the old map goes first; send it again in a moment");
            return Ok(false);
        }
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = document.clone();
        if self.books.begin(document.run.as_ref().map(|run| run.id.as_str())) {
            self.clock.set_t0(0);
            gate.begin();
        }
        drop(gate);
        self.forwarder.keep(&document.addresses);
        Ok(true)
    }

    /// For `GET /ownership`: the map that holds.
    pub(crate) fn ownership(&self) -> OwnershipDoc {
        let document = self.document();
        let map = document.map();
        OwnershipDoc {
            sink_uid: document.sink_uid,
            epoch: map.epoch,
            replicas: map.replicas,
            lanes: map.lanes,
            by: Some(document.by),
            addresses: document.addresses.iter().map(|address| base_url(address)).collect(),
        }
    }

    /// Nothing will be sent any more until somebody changes something: keeps what there is, takes nothing.
    pub(crate) fn fatal(&self, why: &str) {
        self.gate().close(why);
        self.ops.set_not_ready(why);
        tracing::error!("halted, keeping what is buffered: {why}");
    }

    /// Takes nothing more and gives the lanes so long to empty the buffer. Samples left then are counted as dropped.
    pub(crate) async fn drain(&self, timeout: Duration) {
        self.gate().close("the worker stops");
        self.ops.set_not_ready("stopping");
        let end = tokio::time::Instant::now() + timeout;
        // Halted lanes never empty.
        while !self.gate().is_empty() && self.books.open().fatal.is_none() && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.kill.send_replace(true);
        let lanes = std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner));
        for lane in lanes {
            // A lane that panicked has nothing more to account for.
            let _ = lane.task.await;
        }
        self.closed.store(true, Relaxed);
    }

    /// The account is closed: gives the conductor of a run that goes on the time to fetch it.
    pub(crate) async fn tell_last(&self) {
        let Some(run) = self.document().run else { return };
        let url = base_url(&run.conductor) + protocol::path::PHASE;
        let wanted = |phase: &PhaseDoc| {
            phase.run == run.id
                && matches!(phase.phase, RunPhase::Running | RunPhase::Draining | RunPhase::Stopping)
                && !phase.departed.contains(&self.incarnation)
        };
        let fetched = async {
            while get_json::<PhaseDoc>(&url, 1 << 20, LAST_WORDS).await.is_ok_and(|phase| wanted(&phase)) {
                tokio::time::sleep(TAKEN_YET).await;
            }
        };
        if tokio::time::timeout(LAST_WORDS, fetched).await.is_err() {
            tracing::warn!("the conductor did not fetch the last account in time");
        }
    }

    fn stopped(&self) -> bool {
        *self.kill.borrow() || self.books.open().fatal.is_some()
    }

    fn lanes(self: &Arc<Self>, count: u16) -> anyhow::Result<()> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.truncate(usize::from(count));
        for index in lanes.len() as u64..u64::from(count) {
            let connection = Connection::new(&self.plan.backend).context("backend")?;
            let (inbox, outbox) = mpsc::unbounded_channel();
            let seed = xxhash_rust::xxh3::xxh3_64_with_seed(self.incarnation.as_bytes(), index) | 1;
            let lane = Lane::new(self.rules, seed);
            let (shared, kill) = (Arc::clone(self), self.kill.subscribe());
            let driver = Driver::new(shared, index as u32, lane, connection, outbox, kill);
            let task = tokio::spawn(driver.run());
            lanes.push(Running { inbox, task });
        }
        self.books.metrics().shards.set(f64::from(count));
        Ok(())
    }
}

/// What the plan means for a lane; what does not work yet is refused by name.
fn rules(plan: &SinkWorkerPlan) -> anyhow::Result<Rules> {
    anyhow::ensure!(plan.protocol == api::Protocol::V1, "backend.protocol: 2.0 is not available yet; use \"1.0\"");
    anyhow::ensure!(
        plan.ack_policy != api::AckPolicy::Durable,
        "ackPolicy: Durable is not available yet; use Delivered or Buffered"
    );
    anyhow::ensure!(plan.on_rejected.dead_letter.is_none(), "onRejected.deadLetter is not available yet; leave it out");
    anyhow::ensure!(plan.batching.max_samples.0 > 0, "batching.maxSamples: is 0; use at least 1");
    let retry = &plan.retry;
    anyhow::ensure!(!retry.initial_delay.is_zero(), "retry.initialDelay: is 0; use at least 1ms");
    anyhow::ensure!(retry.max_delay >= retry.initial_delay, "retry.maxDelay: is below initialDelay; raise it");
    anyhow::ensure!(retry.max_attempts != Some(0), "retry.maxAttempts: is 0; use at least 1 or leave it out");
    Ok(Rules {
        max_samples: plan.batching.max_samples.0,
        max_delay: plan.batching.max_delay.as_nanos(),
        once: plan.ack_policy != api::AckPolicy::Buffered,
        backoff: Backoff {
            initial: retry.initial_delay.as_nanos(),
            max: retry.max_delay.as_nanos(),
            max_retry_after: retry.max_retry_after.as_nanos(),
        },
        max_attempts: retry.max_attempts,
        on_exhausted: match retry.on_exhausted {
            api::OnExhausted::Fail => OnExhausted::Fail,
            api::OnExhausted::Discard => OnExhausted::Discard,
        },
        on_rejected: match plan.on_rejected.action {
            api::RejectedAction::Isolate => OnRejected::Isolate { max_extra: plan.on_rejected.max_extra_requests },
            api::RejectedAction::DropBatch => OnRejected::DropBatch,
            api::RejectedAction::Fail => OnRejected::Fail,
        },
        partial: match plan.partial_writes {
            api::PartialWrites::Atomic => Partial::Atomic,
            api::PartialWrites::KeepsGood => Partial::KeepsGood,
            api::PartialWrites::Unknown => Partial::Unknown,
        },
    })
}

/// Ready once the backend took a connection: nothing is sent, so it sees no request that is not a sender's.
pub(crate) async fn reach_backend(shared: Arc<Shared>) {
    loop {
        let reached = match Connection::new(&shared.plan.backend) {
            Ok(mut connection) => connection.connect().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match reached {
            Ok(()) => break,
            Err(why) => {
                let why = format!("the backend does not answer: {why}");
                shared.ops.set_not_ready(&why);
                shared.books.looked_for_backend(Some(why));
            }
        }
        tokio::time::sleep(REACH_AGAIN).await;
    }
    shared.books.looked_for_backend(None);
    // A stop or a fatal answer may have come first.
    if shared.gate().closed().is_none() {
        shared.ops.set_ready();
    }
}

/// Asks each run's conductor for t0 until there is one: it only aligns the histograms' intervals.
pub(crate) async fn learn_t0(shared: Arc<Shared>) {
    let mut known = None;
    loop {
        let run = shared.document().run.filter(|run| known.as_ref() != Some(&run.id));
        if let Some(run) = run {
            let url = base_url(&run.conductor) + protocol::path::PHASE;
            let phase = get_json::<PhaseDoc>(&url, 1 << 20, Duration::from_secs(2)).await;
            if let Ok(PhaseDoc { t0: Some(t0), run: told, .. }) = phase
                && told == run.id
            {
                shared.clock.set_t0(t0);
                known = Some(run.id);
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Notices when the process was stopped or starved for longer than a second.
pub(crate) async fn watch_stalls(shared: Arc<Shared>) {
    let mut last = shared.clock.now();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = shared.clock.now();
        if now - last > 1_100_000_000 {
            shared.books.stall(shared.clock.unix(now) / 1_000_000);
            tracing::warn!(seconds = (now - last) as f64 / 1e9, "the process did not run");
        }
        last = now;
    }
}
