//! The documents that a generator serves, put together when they are asked for.

use ledger::SlotTable;
use measure::{CodecError, HistogramSet};
use protocol::{CpuUse, GeneratorReport};
use telemetry::cpu;

use crate::shared::Shared;

impl Shared {
    /// `GET /account`.
    pub(crate) fn report(&self) -> GeneratorReport {
        let state = self.state();
        let backlog_seconds = self.backlog_ns() as f64 / 1e9;
        let (replicas, lanes) = self.current().map_or((0, 0), |e| (e.route.shape().0, e.plan.lanes()));
        let used = cpu::usage();
        let now = self.now();
        let books = self.books();
        let under_this = now.saturating_sub(books.epochs.last().map_or(0, |epoch| epoch.from_ns));
        let wall = books.lane_ns as f64 + under_this as f64 * f64::from(lanes.max(1));
        let mut report = GeneratorReport {
            index: self.index,
            incarnation: cpu::incarnation().to_owned(),
            state,
            replicas,
            lanes,
            account: books.account.clone(),
            requests: books.requests,
            attempts: books.attempts,
            failed_attempts: books.failed_attempts,
            retries: books.retries,
            stages: books.stages.clone(),
            faults: books.faults.clone(),
            epochs: books.epochs.clone(),
            exceptions: books.exceptions(),
            exceptions_truncated: books.truncated,
            lanes_busy_share: if wall > 0.0 { (books.busy_ns as f64 / wall).min(1.0) } else { 0.0 },
            late_requests: books.late_requests,
            lag_ns: books.lag_ns,
            backlog_seconds,
            last_error: books.last_error.clone(),
            cpu: CpuUse {
                cpu_seconds: used.total.as_secs_f64(),
                run_queue_seconds: used.run_queue_wait.as_secs_f64(),
                wall_seconds: self.started.elapsed().as_secs_f64(),
                rss_bytes: used.rss_bytes,
            },
        };
        drop(books);
        // Beside the books: every lane waits for them.
        report.exceptions.sort_by_key(|e| (e.epoch, e.lane, e.from_request, e.fault));
        report
    }

    /// `GET /histograms`.
    pub(crate) fn histograms(&self) -> Result<HistogramSet, CodecError> {
        let recorded = self.books().recorded.clone();
        recorded.encode()
    }

    /// `GET /slots`.
    pub(crate) fn slots(&self) -> SlotTable {
        self.books().slots.clone()
    }
}
