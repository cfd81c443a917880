//! The same 5xx again and again to a request that is faulty on purpose: its verdict, or an outage?
//!
//! It is the verdict only if the target took a good request meanwhile: one that left after the first of these answers and
//! was answered 2xx before the last attempt left. Where a lane has no such evidence, the request is put behind the lane's
//! next good one, which brings it. That never waits for another lane, so lanes that are all at faults cannot block each other.

/// The same answer so often may be the verdict.
const PATIENCE: u32 = 5;
/// Without any evidence the same answer so often, for so long, ends the request: nobody knows what it means.
const MOST: u32 = 20;
const LONGEST_NS: u64 = 5_000_000_000;
/// A sink-worker's word for a fault that its backend answers 5xx without evidence that it is alive.
const UNDECIDED: u16 = 504;

/// What to make of the answers so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ruling {
    /// Send it again.
    Again,
    /// The target is alive and refuses it.
    Refused,
    /// It may be the verdict, but nothing shows that the target is alive.
    Undecided,
    /// Nothing will come to light any more.
    Unknown,
}

/// The same 5xx in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Streak {
    pub(crate) status: u16,
    times: u32,
    /// When the first one came.
    since: u64,
}

impl Streak {
    /// An answer came (0: none), at `at`. Words for "away" say nothing of a request, except a sink-worker's own.
    pub(crate) fn answered(&mut self, status: u16, at: u64, sink: bool) {
        let telling = matches!(status, 500 | 501 | 505..=599) || (sink && status == UNDECIDED);
        if !telling {
            *self = Self::default();
        } else if status == self.status {
            self.times += 1;
        } else {
            *self = Self { status, times: 1, since: at };
        }
    }

    /// `good` is when the latest good request left that was acknowledged before this attempt left.
    pub(crate) fn rule(&self, at: u64, good: u64) -> Ruling {
        // The worker repeated it before it said so.
        let patience = if self.status == UNDECIDED { 1 } else { PATIENCE };
        if self.times == 0 || self.times < patience {
            Ruling::Again
        } else if good > self.since {
            Ruling::Refused
        } else if self.times >= MOST && at.saturating_sub(self.since) >= LONGEST_NS {
            Ruling::Unknown
        } else {
            Ruling::Undecided
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streak(statuses: &[u16], sink: bool) -> Streak {
        let mut streak = Streak::default();
        for (at, status) in (10..).zip(statuses) {
            streak.answered(*status, at, sink);
        }
        streak
    }

    #[test]
    fn a_refusal_needs_the_same_answers_and_a_good_request_since_the_first() {
        let five = streak(&[503, 500, 500, 500, 500, 500], false);
        assert_eq!(five.rule(16, 11), Ruling::Undecided, "left before the first failure");
        assert_eq!(five.rule(16, 12), Ruling::Refused);
        for few in [&[500, 500, 500, 500][..], &[500, 500, 500, 501, 500, 500], &[500, 500, 500, 500, 503, 500], &[]] {
            assert_eq!(streak(few, false).rule(100, 99), Ruling::Again, "{few:?}");
        }
        for away in [502, 503, 504, 429, 0] {
            assert_eq!(streak(&[away; 30], false).rule(u64::MAX, 99), Ruling::Again, "{away}");
        }
    }

    #[test]
    fn without_evidence_it_ends_as_unknown_and_not_soon() {
        let many = streak(&[500; 20], false);
        assert_eq!(many.rule(LONGEST_NS + 9, 0), Ruling::Undecided);
        assert_eq!(many.rule(LONGEST_NS + 10, 0), Ruling::Unknown);
        assert_eq!(streak(&[500; 19], false).rule(LONGEST_NS * 2, 0), Ruling::Undecided);
    }

    #[test]
    fn a_workers_word_counts_at_once() {
        assert_eq!(streak(&[504], true).rule(11, 0), Ruling::Undecided);
        assert_eq!(streak(&[504, 504], true).rule(12, 11), Ruling::Refused);
    }
}
