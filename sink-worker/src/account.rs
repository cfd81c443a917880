//! Where every sample went in one life of the worker, how long it took, and what the metrics say of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ledger::{Repeat, WorkerAccount};
use measure::{CodecError, DropRecorder, HistogramSet, Recorder, names};

use crate::lane::{DropNote, Effects, How, Nanos};
use crate::metrics::{Metrics, raise};

/// Name of the histogram of the backend's answers: sent → answered, once an attempt.
pub(crate) const BACKEND_SERVICE: &str = "backend_service";
/// Stalls remembered.
const MAX_STALLS: usize = 1000;

/// Moves samples out of the buffer into their outcome.
pub(crate) fn count(account: &mut WorkerAccount, how: &How, samples: u64) {
    account.buffered = account.buffered.saturating_sub(samples);
    match how {
        How::Delivered => account.delivered += samples,
        How::Rejected(reason) => *account.rejected.entry(reason.to_string()).or_default() += samples,
        How::Dropped(reason) => *account.dropped.entry((*reason).to_owned()).or_default() += samples,
        How::Ambiguous => account.ambiguous += samples,
    }
}

/// Time for people who account: one clock that never goes back, one that the world agrees on, and the run's zero.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    start_unix: u64,
    /// The run's t0 in Unix nanoseconds; 0 while unknown.
    t0: AtomicU64,
}

impl Clock {
    /// Starts now.
    pub(crate) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            start: Instant::now(),
            start_unix: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            t0: AtomicU64::new(0),
        }
    }

    /// Since the start.
    pub(crate) fn now(&self) -> Nanos {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// That moment as an [`Instant`].
    pub(crate) fn at(&self, nanos: Nanos) -> Instant {
        self.start + Duration::from_nanos(nanos)
    }

    /// Unix nanoseconds of a moment.
    pub(crate) fn unix(&self, nanos: Nanos) -> u64 {
        self.start_unix.saturating_add(nanos)
    }

    /// Sets the zero of the histograms' intervals; 0 forgets it.
    pub(crate) fn set_t0(&self, unix: u64) {
        self.t0.store(unix, Relaxed);
    }

    /// Since the run's zero; since the start while there is none.
    pub(crate) fn run(&self, nanos: Nanos) -> Nanos {
        match self.t0.load(Relaxed) {
            0 => nanos,
            t0 => self.unix(nanos).saturating_sub(t0),
        }
    }
}

/// The books of the worker.
#[derive(Debug)]
pub(crate) struct Books {
    inner: Mutex<Inner>,
    metrics: Metrics,
}

/// What is in them.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Whose books these are.
    pub(crate) run: Option<String>,
    /// By outcome.
    pub(crate) account: WorkerAccount,
    /// Why nothing will be sent any more.
    pub(crate) fatal: Option<String>,
    /// Why the backend has not been reached yet.
    pub(crate) unreachable: Option<String>,
    /// Last trouble that will be tried again.
    pub(crate) last_error: Option<String>,
    /// Unix milliseconds.
    pub(crate) stalls: Vec<u64>,
    drops: DropRecorder,
    delivery: Recorder,
    service: Recorder,
}

impl Books {
    /// Empty.
    pub(crate) fn new(incarnation: &str, metrics: Metrics) -> Self {
        let account = WorkerAccount { incarnation: incarnation.to_owned(), ..WorkerAccount::default() };
        let inner = Inner {
            run: None,
            account,
            fatal: None,
            unreachable: None,
            last_error: None,
            stalls: Vec::new(),
            drops: DropRecorder::new(),
            delivery: Recorder::new(),
            service: Recorder::new(),
        };
        Self { inner: Mutex::new(inner), metrics }
    }

    /// New books for another run. What the worker still holds is taken over: it is delivered, or not, in this run. True when they
    /// are new; the same run, or none, goes on with those that there are.
    pub(crate) fn begin(&self, run: Option<&str>) -> bool {
        let mut inner = self.open();
        let Some(run) = run.filter(|run| inner.run.as_deref() != Some(*run)) else { return false };
        let buffered = inner.account.buffered;
        *inner = Inner {
            run: Some(run.to_owned()),
            account: WorkerAccount {
                incarnation: std::mem::take(&mut inner.account.incarnation),
                accepted: buffered,
                buffered,
                ..WorkerAccount::default()
            },
            fatal: inner.fatal.take(),
            unreachable: inner.unreachable.take(),
            last_error: None,
            stalls: Vec::new(),
            drops: DropRecorder::new(),
            delivery: Recorder::new(),
            service: Recorder::new(),
        };
        true
    }

    /// The books, open. A panic elsewhere does not close them.
    pub(crate) fn open(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The metrics kept beside them.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Samples were taken in.
    pub(crate) fn accepted(&self, samples: u64) {
        let mut inner = self.open();
        inner.account.accepted += samples;
        inner.account.buffered += samples;
        self.metrics.pending.set(inner.account.buffered as f64);
    }

    /// One attempt was answered, or not: `censored` when only the timeout ended it.
    pub(crate) fn attempt(&self, at_run: Nanos, took: Nanos, censored: bool, samples: u64, retry: bool) {
        let mut inner = self.open();
        inner.account.requests += 1;
        inner.account.retries += u64::from(retry);
        if censored {
            inner.service.record_censored_ns(at_run, took);
        } else {
            inner.service.record_ns(at_run, took);
        }
        drop(inner);
        self.metrics.sent.add(samples);
        self.metrics.duration.observe(took as f64 / 1e9);
    }

    /// An answer changed where samples are.
    pub(crate) fn settle(&self, clock: &Clock, now: Nanos, effects: &Effects) {
        let mut inner = self.open();
        for (how, samples) in &effects.settled {
            count(&mut inner.account, how, *samples);
            self.metrics.outcome(how, *samples);
        }
        self.metrics.retried.add(effects.again);
        inner.account.faults += effects.faults;
        inner.account.revoked += effects.revoked;
        let now_us = clock.unix(now) / 1000;
        for &(intended, samples) in &effects.delivered {
            if let Some(intended) = intended {
                let took = now_us.saturating_sub(intended).saturating_mul(1000);
                inner.delivery.record_n_ns(clock.run(now), took, samples);
            }
        }
        raise(&self.metrics.highest_sent, effects.newest);
        if let Some(DropNote { reason, samples, .. }) = &effects.note {
            inner.drops.record(reason, *samples);
        }
        if let Some(why) = &effects.halted {
            inner.fatal.get_or_insert_with(|| why.clone());
        }
        self.metrics.pending.set(inner.account.buffered as f64);
    }

    /// Samples are sent again that the backend may have.
    pub(crate) fn repeated(&self, repeat: Repeat) {
        self.open().account.repeats.add(repeat);
    }

    /// Samples that are left at the end.
    pub(crate) fn abandon(&self, unsent: u64, ambiguous: u64) {
        let mut inner = self.open();
        if unsent > 0 {
            count(&mut inner.account, &How::Dropped("shutdown"), unsent);
            inner.drops.record("shutdown", unsent);
            self.metrics.outcome(&How::Dropped("shutdown"), unsent);
        }
        if ambiguous > 0 {
            count(&mut inner.account, &How::Ambiguous, ambiguous);
            self.metrics.outcome(&How::Ambiguous, ambiguous);
        }
        self.metrics.pending.set(inner.account.buffered as f64);
    }

    /// Trouble that will be tried again.
    pub(crate) fn trouble(&self, why: String) {
        self.open().last_error = Some(why);
    }

    /// The backend was looked for at the start, and not found for this reason; none: it was reached.
    pub(crate) fn looked_for_backend(&self, unreachable: Option<String>) {
        self.open().unreachable = unreachable;
    }

    /// The process was stopped or starved.
    pub(crate) fn stall(&self, unix_ms: u64) {
        let mut inner = self.open();
        if inner.stalls.len() < MAX_STALLS {
            inner.stalls.push(unix_ms);
        }
    }

    /// For `/histograms`.
    pub(crate) fn histograms(&self) -> Result<HistogramSet, CodecError> {
        let (delivery, service, drops) = {
            let inner = self.open();
            (inner.delivery.snapshot()?, inner.service.snapshot()?, inner.drops.clone())
        };
        let mut set = HistogramSet::default();
        set.insert(names::DELIVERY, &delivery)?;
        set.insert(BACKEND_SERVICE, &service)?;
        set.set_drops(&drops)?;
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_begins_with_what_is_still_held() {
        let books = Books::new("life", Metrics::new(&telemetry::Registry::new()));
        books.accepted(10);
        books.looked_for_backend(Some("refused".to_owned()));
        assert!(!books.begin(None));
        assert!(books.begin(Some("a")));
        books.accepted(5);
        let effects = Effects { settled: vec![(How::Delivered, 12)], ..Effects::default() };
        books.settle(&Clock::new(), 0, &effects);
        assert!(!books.begin(Some("a")), "the same run");
        assert!(!books.begin(None), "the run is over, its account stays");
        let of = |books: &Books| {
            let inner = books.open();
            inner.account.balance().unwrap();
            (inner.run.clone(), inner.account.accepted, inner.account.delivered, inner.account.buffered)
        };
        assert_eq!(of(&books), (Some("a".to_owned()), 15, 12, 3));
        assert!(books.begin(Some("b")));
        assert_eq!(of(&books), (Some("b".to_owned()), 3, 0, 3));
        let inner = books.open();
        assert_eq!(inner.account.incarnation, "life");
        assert_eq!(inner.unreachable.as_deref(), Some("refused"), "of the worker, not of a run");
    }
}
