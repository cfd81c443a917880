//! Accounts by outcome: each hop says where every sample went that it saw.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Repeats;

/// Why samples were not delivered: a short `snake_case` word such as `status_400` or `backlog`. Few different ones, they become metric labels.
pub type Reason = String;

/// A hop whose outcomes do not add up to what it saw.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{hop} saw {saw} samples but accounts for {accounted}: this is a defect of the {hop}, its figures prove nothing"
)]
pub struct Imbalance {
    pub hop: &'static str,
    pub saw: u64,
    pub accounted: u64,
}

/// A generator's samples, good and faulty: `generated = acknowledged + refused + skipped + unresolved`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GeneratorAccount {
    /// Samples that fell due, sent or not.
    pub generated: u64,
    /// Samples in requests answered 2xx.
    pub acknowledged: u64,
    /// Samples in requests refused for good, by reason.
    pub refused: BTreeMap<Reason, u64>,
    /// Samples never sent, by reason.
    pub skipped: BTreeMap<Reason, u64>,
    /// Samples whose last answer was lost or still out at the end.
    pub unresolved: u64,
    /// Not part of the balance: samples that were sent again after an attempt that may have got through.
    pub repeats: Repeats,
}

impl GeneratorAccount {
    /// Whether every generated sample has an outcome.
    pub fn balance(&self) -> Result<(), Imbalance> {
        let parts = [self.acknowledged, sum(&self.refused), sum(&self.skipped), self.unresolved];
        balance("generator", self.generated, &parts)
    }

    /// Adds another generator's account; what was sent again stays each one's own, since lanes are numbered by each.
    pub fn merge(&mut self, other: &Self) {
        self.generated = self.generated.saturating_add(other.generated);
        self.acknowledged = self.acknowledged.saturating_add(other.acknowledged);
        add_all(&mut self.refused, &other.refused);
        add_all(&mut self.skipped, &other.skipped);
        self.unresolved = self.unresolved.saturating_add(other.unresolved);
    }
}

/// A worker's samples during one life: `accepted = delivered + rejected + dropped + ambiguous + buffered`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkerAccount {
    /// Names one life of the process; a restarted worker starts a new account.
    pub incarnation: String,
    /// Samples admitted.
    pub accepted: u64,
    /// Samples in batches that the backend answered 2xx.
    pub delivered: u64,
    /// Samples that the backend refused for good, by reason.
    pub rejected: BTreeMap<Reason, u64>,
    /// Samples given up, by reason.
    pub dropped: BTreeMap<Reason, u64>,
    /// Samples of batches of which nobody can say what the backend kept.
    pub ambiguous: u64,
    /// Samples still held.
    pub buffered: u64,
    /// Not part of the balance: requests sent to the backend, each attempt counted.
    pub requests: u64,
    /// Not part of the balance: attempts after the first of a batch.
    pub retries: u64,
    /// Not part of the balance: samples that were sent again after an attempt that may have got through.
    pub repeats: Repeats,
    /// Of the rejected: those in requests of injected faults alone.
    pub faults: u64,
    /// Of the rejected and dropped: those that the backend did not take though their sender had been told that the worker did.
    /// What a worker still held when it was told to end is not among them.
    pub revoked: u64,
}

impl WorkerAccount {
    /// Whether every accepted sample has an outcome.
    pub fn balance(&self) -> Result<(), Imbalance> {
        let parts = [self.delivered, sum(&self.rejected), sum(&self.dropped), self.ambiguous, self.buffered];
        balance("sink-worker", self.accepted, &parts)
    }

    /// Adds another life's or worker's account; the incarnation and what was sent again stay this one's.
    pub fn merge(&mut self, other: &Self) {
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.delivered = self.delivered.saturating_add(other.delivered);
        add_all(&mut self.rejected, &other.rejected);
        add_all(&mut self.dropped, &other.dropped);
        self.ambiguous = self.ambiguous.saturating_add(other.ambiguous);
        self.buffered = self.buffered.saturating_add(other.buffered);
        self.requests = self.requests.saturating_add(other.requests);
        self.retries = self.retries.saturating_add(other.retries);
        self.faults = self.faults.saturating_add(other.faults);
        self.revoked = self.revoked.saturating_add(other.revoked);
    }
}

fn sum(by_reason: &BTreeMap<Reason, u64>) -> u64 {
    by_reason.values().fold(0, |total, &count| total.saturating_add(count))
}

fn add_all(into: &mut BTreeMap<Reason, u64>, from: &BTreeMap<Reason, u64>) {
    for (reason, &count) in from {
        let total = into.entry(reason.clone()).or_default();
        *total = total.saturating_add(count);
    }
}

fn balance(hop: &'static str, saw: u64, parts: &[u64]) -> Result<(), Imbalance> {
    let accounted = parts.iter().fold(0_u64, |total, &part| total.saturating_add(part));
    if saw == accounted { Ok(()) } else { Err(Imbalance { hop, saw, accounted }) }
}
