//! What the conductor asks its engine.

use std::sync::{Arc, Mutex, PoisonError};

use conductor::{Departed, Engine, ExecutedChaos, UnaskedEnd};

use crate::chaos::ChaosLog;
use crate::fleet::Fleet;
use crate::parts::Role;

pub(crate) struct LocalEngine {
    pub(crate) fleet: Arc<Fleet>,
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
        self.fleet.all().iter().filter_map(|part| part.loss()).collect()
    }

    fn unasked_ends(&self) -> Vec<UnaskedEnd> {
        self.fleet.unasked_ends()
    }

    fn departed(&self) -> Vec<Departed> {
        self.fleet.departed()
    }

    fn lost_stores(&self) -> Vec<String> {
        let parts = self.fleet.all();
        let receivers = parts.iter().filter(|part| part.role == Role::Receiver);
        let ends = receivers.flat_map(|part| part.state().unasked.into_iter().map(|(_, how)| how));
        ends.map(|how| format!("the receiver ended unexpectedly ({how}); its log is in the results")).collect()
    }
}
