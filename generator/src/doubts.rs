//! Which good samples may not be stored: what a fault that follows upon one of them is answered says nothing then.

use std::collections::BTreeMap;

/// Due times of good requests that were not acknowledged, each from its first to its last sample.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Doubts {
    /// First to last, apart from each other.
    spans: BTreeMap<u64, u64>,
}

impl Doubts {
    /// The samples due from `from` to `to` may not be stored.
    pub(crate) fn add(&mut self, mut from: u64, mut to: u64) {
        while let Some((&first, &last)) = self.spans.range(..=to).next_back().filter(|(_, last)| **last >= from) {
            self.spans.remove(&first);
            (from, to) = (from.min(first), to.max(last));
        }
        self.spans.insert(from, to);
    }

    /// The same of all of these.
    pub(crate) fn join(&mut self, others: &Self) {
        others.spans.iter().for_each(|(from, to)| self.add(*from, *to));
    }

    /// Nothing that was due before is asked for any more.
    pub(crate) fn forget(&mut self, before: u64) {
        while let Some(oldest) = self.spans.first_entry().filter(|oldest| *oldest.get() < before) {
            oldest.remove();
        }
    }

    /// Whether the sample due then may not be stored.
    pub(crate) fn cover(&self, due: u64) -> bool {
        self.spans.range(..=due).next_back().is_some_and(|(_, to)| due <= *to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_added_is_in_doubt_however_much_that_is() {
        let mut doubts = Doubts::default();
        // As lanes of an earlier map left them: in no order.
        for at in (0..500u64).map(|n| n * 7919 % 500) {
            doubts.add(at * 10, at * 10 + 4);
        }
        let covered = |doubts: &Doubts| (0..6000).filter(|due| doubts.cover(*due)).collect::<Vec<_>>();
        assert_eq!(covered(&doubts), (0..5000).filter(|due| due % 10 <= 4).collect::<Vec<_>>());
        doubts.forget(4903);
        assert_eq!(covered(&doubts), (4900..5000).filter(|due| due % 10 <= 4).collect::<Vec<_>>());
        doubts.add(4902, 4993);
        assert_eq!(covered(&doubts), (4900..=4994).collect::<Vec<_>>());
    }

    #[test]
    fn overlapping_spans_become_one() {
        let (mut one, mut other) = (Doubts::default(), Doubts::default());
        for (from, to) in [(10, 20), (30, 40), (15, 35), (50, 60)] {
            one.add(from, to);
        }
        for (from, to) in [(50, 60), (10, 40)] {
            other.add(from, to);
        }
        assert_eq!(one, other);
        one.join(&other);
        assert_eq!(one, other);
    }
}
