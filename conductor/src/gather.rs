//! Fetches what the parts say about themselves, again and again, and keeps the last word of each, also of the dead.

mod poll;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::Fault;
use floodmark_http::client::{Endpoint, Fetch, FetchError};
use ledger::{GeneratorAccount, Seen, SlotTable, StoreReport};
use measure::HistogramSet;
use protocol::{CpuUse, GeneratorReport, GeneratorState, WorkerReport, path};
use telemetry::Clock;

use crate::engine::Departed;
use crate::rejected::rejected;
use crate::state::Published;
#[cfg(feature = "fuzzing")]
pub(crate) use poll::cpu_use;

/// How far the instant of an end may be told too early.
const NOTICED_NS: u64 = 1_000_000_000;
/// One answer is small; a peer that needs longer is stopped or starved.
const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_ANSWER: usize = 64 << 20;

/// One life of a worker: the last account it gave before it ended, or its newest.
#[derive(Debug, Clone)]
pub(crate) struct WorkerLife {
    pub(crate) report: WorkerReport,
    pub(crate) histograms: Option<HistogramSet>,
    /// When its first account had come, and when its last one was asked for: Unix nanoseconds.
    pub(crate) first_seen: u64,
    pub(crate) last_asked: u64,
}

impl WorkerLife {
    fn new(report: WorkerReport, first_seen: u64, last_asked: u64) -> Self {
        Self { report, histograms: None, first_seen, last_asked }
    }

    /// Samples that it had taken and not passed on, by its last account: what it lost if it ended then.
    fn held(&self) -> u64 {
        let account = &self.report.account;
        let given_up = account.dropped.get("shutdown").copied().unwrap_or_default();
        let unknown = if self.report.closed { account.ambiguous } else { 0 };
        account.buffered.saturating_add(given_up).saturating_add(unknown)
    }
}

/// A generator's last words.
#[derive(Debug, Clone, Default)]
pub(crate) struct GeneratorLife {
    pub(crate) report: Option<GeneratorReport>,
    /// When that came.
    pub(crate) heard: Option<Instant>,
    pub(crate) histograms: Option<HistogramSet>,
    pub(crate) slots: Option<SlotTable>,
}

impl GeneratorLife {
    pub(crate) fn state(&self) -> Option<&GeneratorState> {
        self.report.as_ref().map(|report| &report.state)
    }
}

struct Peer {
    base: String,
    fetch: Fetch,
}

impl Peer {
    fn new(base: &str) -> Result<Self, FetchError> {
        Self::of(&Endpoint::new(base))
    }

    fn of(endpoint: &Endpoint) -> Result<Self, FetchError> {
        let endpoint = endpoint.clone().with_timeout(TIMEOUT).with_max_answer(MAX_ANSWER);
        Ok(Self { base: endpoint.url.clone(), fetch: Fetch::new(&endpoint)? })
    }

    async fn ready(&mut self) -> Result<(), String> {
        match self.fetch.bytes(Some(path::READYZ)).await {
            Ok(_) => Ok(()),
            Err(FetchError::Status { text, .. }) => Err(text.trim().to_owned()),
            Err(error) => Err(format!("{}: {error}", self.base)),
        }
    }
}

/// All parts.
pub(crate) struct Gatherer {
    /// What workers tell of another run is not heard: their lives until then are none of this one's.
    run: String,
    /// Workers are told there that their last account was taken.
    published: Arc<Published>,
    generators: Vec<Peer>,
    workers: Vec<Peer>,
    receivers: Vec<Peer>,
    /// What each receiver used, by its own metrics; `None` until it told.
    pub(crate) receiver_cpu: Vec<Option<CpuUse>>,
    /// The lives of the receivers that were ready for the run.
    pub(crate) stores: Vec<String>,
    started: Instant,
    pub(crate) generator_lives: Vec<GeneratorLife>,
    /// By ordinal and incarnation.
    pub(crate) worker_lives: BTreeMap<(u32, String), WorkerLife>,
    /// The incarnation that answered last, by ordinal.
    current: Vec<Option<String>>,
    /// Workers that were there at the start; what is said of later ones comes from the ownership map.
    first: usize,
    /// Workers of the map that holds, as far as is known: those beyond have drained.
    active: usize,
}

impl Gatherer {
    pub(crate) fn new(
        published: Arc<Published>,
        run: &str,
        generators: &[String],
        workers: &[String],
        receivers: &[Endpoint],
    ) -> Result<Self, FetchError> {
        Ok(Self {
            run: run.to_owned(),
            published,
            generators: generators.iter().map(|base| Peer::new(base)).collect::<Result<_, _>>()?,
            workers: workers.iter().map(|base| Peer::new(base)).collect::<Result<_, _>>()?,
            receivers: receivers.iter().map(Peer::of).collect::<Result<_, _>>()?,
            receiver_cpu: vec![None; receivers.len()],
            stores: Vec::new(),
            started: Instant::now(),
            generator_lives: vec![GeneratorLife::default(); generators.len()],
            worker_lives: BTreeMap::new(),
            current: vec![None; workers.len()],
            first: workers.len(),
            active: workers.len(),
        })
    }

    /// Why the first receiver or worker that is not ready for this run is not.
    pub(crate) async fn targets_ready(&mut self) -> Result<(), String> {
        for (ordinal, receiver) in self.receivers.iter_mut().enumerate() {
            receiver.ready().await.map_err(|why| format!("receiver {ordinal}: {why}"))?;
        }
        // A sink may be resharded while parts come up.
        for (ordinal, worker) in self.workers.iter_mut().enumerate().take(self.active) {
            worker.ready().await.map_err(|why| format!("sink-worker {ordinal}: {why}"))?;
            // Of an earlier run its account would begin with that one's samples.
            match worker.fetch.json::<WorkerReport>(Some(path::ACCOUNT)).await {
                Ok(report) if report.run.as_deref() == Some(&*self.run) => {}
                Ok(_) => return Err(format!("sink-worker {ordinal} has not been told of this run yet")),
                Err(error) => return Err(format!("sink-worker {ordinal}: {error}")),
            }
        }
        self.stores.clear();
        for (ordinal, receiver) in self.receivers.iter_mut().enumerate() {
            let store = receiver.fetch.json::<StoreReport>(Some(path::STORE)).await;
            self.stores.push(store.map_err(|error| format!("receiver {ordinal}: {error}"))?.incarnation);
        }
        Ok(())
    }

    /// Base addresses of the workers that are known, by ordinal, and how many of them the map counts on.
    pub(crate) fn map(&self) -> (Vec<String>, u32) {
        (self.workers.iter().map(|peer| peer.base.clone()).collect(), self.active as u32)
    }

    /// What workers said last that the sink has no place for any more.
    pub(crate) fn take_departed(&mut self, departed: Vec<Departed>) {
        for Departed { ordinal, report, histograms } in departed {
            if report.run.as_deref() != Some(&*self.run) {
                continue;
            }
            let key = (ordinal, report.account.incarnation.clone());
            let now = self.clock().unix_ns();
            let life = self.worker_lives.entry(key).or_insert_with(|| WorkerLife::new(report.clone(), now, now));
            (life.report, life.histograms, life.last_asked) = (report, histograms, now);
        }
    }

    /// Workers seen so far, those that are gone included.
    pub(crate) fn workers_seen(&self) -> u32 {
        self.workers.len() as u32
    }

    /// By which it tells when it asked.
    pub(crate) fn clock(&self) -> &Clock {
        self.published.clock()
    }

    /// Seconds since the run began to be prepared.
    pub(crate) fn age(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// The final report of one generator, all of it; `Err` names what did not come.
    pub(crate) async fn take_generator(&mut self, index: usize) -> Result<(), FetchError> {
        let (peer, life) = (&mut self.generators[index], &mut self.generator_lives[index]);
        let report = peer.fetch.json::<GeneratorReport>(Some(path::ACCOUNT)).await?;
        life.histograms = Some(peer.fetch.json(Some(path::HISTOGRAMS)).await?);
        life.slots = Some(peer.fetch.json(Some(path::SLOTS)).await?);
        life.report = Some(report);
        Ok(())
    }

    /// Samples that living workers still hold; `Err` is the first that did not answer.
    pub(crate) fn buffered(&self) -> Result<u64, u32> {
        self.holding().try_fold(0u64, |sum, (ordinal, held)| Ok(sum + held.ok_or(ordinal)?))
    }

    /// What each worker of the map still holds; `None` from one that did not answer.
    pub(crate) fn holding(&self) -> impl Iterator<Item = (u32, Option<u64>)> {
        (0..).zip(self.current.iter().take(self.active)).map(|(ordinal, incarnation)| {
            let life = incarnation.clone().and_then(|incarnation| self.worker_lives.get(&(ordinal, incarnation)));
            (ordinal, life.map(|life| life.report.account.buffered))
        })
    }

    /// What the life of a worker said last that ended at an instant, or from then on until `gone`: Unix nanoseconds. None when no
    /// life is known that can have been the one.
    pub(crate) fn last_words(&self, worker: u32, ended: u64, gone: u64) -> Option<Seen> {
        let lives = self.worker_lives.iter().filter(|((ordinal, _), _)| *ordinal == worker).map(|(_, life)| life);
        // Who still answered later is another: an end may be noticed late.
        let mortal =
            lives.filter(|life| life.first_seen <= ended && life.last_asked <= gone.saturating_add(NOTICED_NS));
        let life = mortal.max_by_key(|life| life.first_seen)?;
        Some(Seen { at_unix_ns: life.last_asked, held: life.held() })
    }

    /// Why a worker can never go on, if one cannot.
    pub(crate) fn fatal_worker(&self) -> Option<String> {
        self.current.iter().enumerate().find_map(|(ordinal, incarnation)| {
            let life = self.worker_lives.get(&(ordinal as u32, incarnation.clone()?))?;
            life.report.fatal.as_ref().map(|why| format!("sink-worker {ordinal}: {why}"))
        })
    }

    /// The workers' last retryable trouble, for the live view and for reasons.
    pub(crate) fn worker_trouble(&self) -> Option<String> {
        self.worker_lives.iter().rev().find_map(|((ordinal, _), life)| {
            life.report.last_error.as_ref().map(|error| format!("sink-worker {ordinal}: {error}"))
        })
    }

    /// The last trouble that anybody had with the target, in words.
    pub(crate) fn trouble(&self) -> Option<String> {
        let mut reports = self.generator_lives.iter().filter_map(|life| life.report.as_ref());
        self.worker_trouble().or_else(|| reports.find_map(|report| report.last_error.clone()))
    }

    pub(crate) fn account(&self) -> GeneratorAccount {
        let mut sum = GeneratorAccount::default();
        for report in self.generator_lives.iter().filter_map(|life| life.report.as_ref()) {
            sum.merge(&report.account);
        }
        sum
    }

    /// Samples given up on the way: by workers, by generators that were too late to send at all, and, as far as is known, those
    /// that the backend refused although they were not sent to be refused.
    pub(crate) fn drops_by_reason(&self, faults: &[Fault], complete: bool) -> BTreeMap<String, u64> {
        let accounts = || self.worker_lives.values().map(|life| &life.report.account);
        let mut sum: BTreeMap<String, u64> = BTreeMap::new();
        for (reason, samples) in accounts().flat_map(|account| &account.dropped) {
            *sum.entry(reason.clone()).or_default() += samples;
        }
        for (reason, samples) in self.account().skipped {
            *sum.entry(format!("skipped_{reason}")).or_default() += samples;
        }
        let heard = self.generator_lives.iter().filter_map(|life| Some(&life.report.as_ref()?.faults));
        sum.extend(rejected(faults, accounts(), heard, complete).map(|samples| ("rejected".to_owned(), samples)));
        sum.retain(|_, samples| *samples > 0);
        sum
    }

    pub(crate) fn failed_generator(&self) -> Option<String> {
        self.generator_lives.iter().enumerate().find_map(|(index, life)| match life.state() {
            Some(GeneratorState::Failed(why)) => Some(format!("generator {index}: {why}")),
            _ => None,
        })
    }

    /// One that was told to end by somebody else.
    pub(crate) fn stopped_generator(&self) -> Option<String> {
        self.generator_lives.iter().enumerate().find_map(|(index, life)| match life.state() {
            Some(GeneratorState::Stopped(why)) => Some(format!("generator {index}: {why}")),
            _ => None,
        })
    }

    /// Whether every generator is in a state that satisfies the condition.
    pub(crate) fn all_generators(&self, condition: impl Fn(&GeneratorState) -> bool) -> bool {
        self.generator_lives.iter().all(|life| life.state().is_some_and(&condition))
    }

    /// Whether each has closed its account, or has said nothing for so long that it will not.
    pub(crate) fn accounts_closed(&self, silence: Duration) -> bool {
        let silent = |life: &GeneratorLife| life.heard.is_none_or(|heard| heard.elapsed() > silence);
        self.generator_lives.iter().all(|life| life.state().is_some_and(GeneratorState::is_final) || silent(life))
    }

    /// What the first generator that is not ready waits for.
    pub(crate) fn waiting_for(&self) -> Option<String> {
        self.generator_lives.iter().enumerate().find_map(|(index, life)| match life.state() {
            None => Some(format!("generator {index} has not answered yet")),
            Some(GeneratorState::Preparing(what)) => Some(format!("generator {index}: {what}")),
            _ => None,
        })
    }
}

#[cfg(test)]
#[path = "gather_tests.rs"]
mod tests;
