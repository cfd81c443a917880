//! What the engine is asked.

use std::sync::Arc;
use std::time::Duration;

pub use protocol::{ExecutedChaos, UnaskedEnd};

/// What the engine knows and the conductor asks: the chaos carried out, processes that were lost without being asked.
pub trait Engine: Send + Sync {
    fn executed_chaos(&self) -> Vec<ExecutedChaos>;
    /// A part that will not come back, in words (`generator 0: exit status 101`).
    fn lost_parts(&self) -> Vec<String>;
    /// Ends of sink-workers that nobody asked for.
    fn unasked_ends(&self) -> Vec<UnaskedEnd>;
    /// Ends of our own receivers, which keep what they store in memory, in words.
    fn lost_stores(&self) -> Vec<String>;
    /// What workers said last that were ended because the sink has fewer now.
    fn departed(&self) -> Vec<Departed> {
        Vec::new()
    }
    /// The sink's workers by now, base addresses by ordinal; the map counts on the first `active` of them.
    fn met(&self, _workers: &[String], _active: u32) {}
    /// Why the run was ended before its time, in words, if the engine ended it.
    fn stop_reason(&self) -> Option<String> {
        None
    }
    /// How long after the schedule's end it may still tell of chaos that was due.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

/// The last words of a drained sink-worker: its account is final.
#[derive(Debug, Clone)]
pub struct Departed {
    pub ordinal: u32,
    pub report: protocol::WorkerReport,
    pub histograms: Option<measure::HistogramSet>,
}

/// Shared by the conductor and its engine.
pub type SharedEngine = Arc<dyn Engine>;
