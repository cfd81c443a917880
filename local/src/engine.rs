//! What the conductor asks its engine.

use std::sync::{Arc, Mutex, PoisonError};

use conductor::{Engine, ExecutedChaos, UnaskedEnd};

use crate::chaos::ChaosLog;
use crate::parts::{Part, Role};

pub(crate) struct LocalEngine {
    pub(crate) parts: Arc<Vec<Part>>,
    pub(crate) log: ChaosLog,
}

impl Engine for LocalEngine {
    fn executed_chaos(&self) -> Vec<ExecutedChaos> {
        let log = Mutex::lock(&self.log).unwrap_or_else(PoisonError::into_inner);
        let mut executed = log.clone();
        executed.sort_by_key(|entry| entry.index);
        executed
    }

    fn lost_parts(&self) -> Vec<String> {
        self.parts.iter().filter_map(Part::loss).collect()
    }

    fn unasked_ends(&self) -> Vec<UnaskedEnd> {
        let workers = self.parts.iter().filter(|part| part.role == Role::SinkWorker);
        let ends = workers.flat_map(|part| {
            let ordinal = part.ordinal;
            part.state().unasked.into_iter().map(move |(at, how)| UnaskedEnd { ordinal, at, how })
        });
        ends.collect()
    }

    fn lost_stores(&self) -> Vec<String> {
        let receivers = self.parts.iter().filter(|part| part.role == Role::Receiver);
        let ends = receivers.flat_map(|part| part.state().unasked.into_iter().map(|(_, how)| how));
        ends.map(|how| format!("the receiver ended unexpectedly ({how}); its log is in the results")).collect()
    }
}
