//! What a generator reports besides its acknowledged samples: ranges of requests with another outcome.

use serde::{Deserialize, Serialize};

/// What became of a request that was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Outcome {
    /// Answered for good with this status, which is not 2xx.
    Refused { status: u16 },
    /// Of these requests those that carry a fault among their good samples which has to be refused were refused with this status,
    /// and the others acknowledged. So what goes as planned needs one exception, however long it goes on.
    FaultsRefused { status: u16 },
    /// Never sent: too late, or the run ended.
    Skipped,
    /// The last answer was lost or had not come by the end.
    Unresolved,
}

/// Requests `from_request..=to_request` of one lane of one generator that were not acknowledged. Requests without an exception were.
/// `to_request` may be `u64::MAX`: all to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exception {
    /// Lane of the whole target, under the map that held.
    pub lane: u32,
    /// Which of the generator's maps that was, from 0: a sink may be resharded under way.
    #[serde(default, skip_serializing_if = "is_first")]
    pub epoch: u32,
    pub from_request: u64,
    /// Inclusive.
    pub to_request: u64,
    /// Index into the test's `faults`: the request of its own that carried this fault behind request `r`. None: request `r` itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<u32>,
    pub outcome: Outcome,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(epoch: &u32) -> bool {
    *epoch == 0
}

/// Appends an exception of the first map, growing the last one of the same lane, fault and outcome when `request` follows it.
/// Looks back a few entries only, so it is cheap and lists stay short in long outages.
pub fn push_exception(list: &mut Vec<Exception>, lane: u32, request: u64, fault: Option<u32>, outcome: Outcome) {
    const LOOK_BACK: usize = 64;
    let same = |e: &&mut Exception| e.lane == lane && e.epoch == 0 && e.fault == fault;
    if let Some(last) = list.iter_mut().rev().take(LOOK_BACK).find(same)
        && last.outcome == outcome
        && last.to_request.checked_add(1) == Some(request)
    {
        last.to_request = request;
        return;
    }
    list.push(Exception { lane, epoch: 0, from_request: request, to_request: request, fault, outcome });
}

/// What a generator heard about the samples of one fault of the test (same order as `faults`), by last answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultAccount {
    /// Samples sent at least once: `acknowledged + refused + indeterminate`.
    pub sent: u64,
    /// Answered 2xx.
    pub acknowledged: u64,
    /// Answered for good with anything else.
    pub refused: u64,
    /// Never answered, or the good predecessor that makes it a fault was not acknowledged: no verdict.
    pub indeterminate: u64,
    /// Of these, those that were refused for good and would have been refused clearly but for the predecessor.
    pub refused_in_doubt: u64,
}

impl FaultAccount {
    /// Adds another generator's account of the same fault.
    pub fn merge(&mut self, other: &Self) {
        self.sent = self.sent.saturating_add(other.sent);
        self.acknowledged = self.acknowledged.saturating_add(other.acknowledged);
        self.refused = self.refused.saturating_add(other.refused);
        self.indeterminate = self.indeterminate.saturating_add(other.indeterminate);
        self.refused_in_doubt = self.refused_in_doubt.saturating_add(other.refused_in_doubt);
    }
}
