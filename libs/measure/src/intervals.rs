//! The closed intervals of one distribution: serialised, sorted, bounded in number.

use std::collections::BTreeMap;
use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::bounds::{self, MAX_INTERVALS};
use crate::codec::CodecError;
use crate::plain::Plain;

/// One interval, decoded: two significant digits, microseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    /// First second, counted from the run's start.
    pub start: u64,
    /// Length in seconds: 1, or a larger power of two where a long run was condensed.
    pub seconds: u64,
    /// What was recorded in it.
    pub histogram: Histogram<u64>,
}

/// Seconds a run may count: anything later is counted into the last one.
const MAX_SECOND: u64 = (1 << 40) - 1;

#[derive(Debug, Clone, PartialEq)]
struct Closed {
    seconds: u64,
    plain: Arc<Plain>,
}

/// Dyadic intervals: `start` is a multiple of `seconds`, a power of two; so two of them are disjoint or one holds the other,
/// and intervals of different lengths can be merged without splitting a count.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Intervals {
    closed: BTreeMap<u64, Closed>,
    /// Where the condensing goes on, and to what length.
    next: u64,
    length: u64,
}

impl Intervals {
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.closed.len()
    }

    /// `(start, seconds, V2 form)` in order of time.
    pub(crate) fn iter_plain(&self) -> impl Iterator<Item = (u64, u64, &Arc<Plain>)> {
        self.closed.iter().map(|(start, c)| (*start, c.seconds, &c.plain))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<Interval, CodecError>> + '_ {
        self.iter_plain()
            .map(|(start, seconds, plain)| plain.histogram().map(|histogram| Interval { start, seconds, histogram }))
    }

    /// Adds what was recorded in one second.
    pub(crate) fn add(&mut self, second: u64, h: &Histogram<u64>) -> Result<(), CodecError> {
        if h.is_empty() {
            return Ok(());
        }
        self.insert(second.min(MAX_SECOND), 1, Plain::of(h)?)
    }

    /// Adds an interval of another distribution; bytes and place are checked by the caller's codec and here.
    pub(crate) fn insert(&mut self, start: u64, seconds: u64, plain: Arc<Plain>) -> Result<(), CodecError> {
        if !seconds.is_power_of_two() || !start.is_multiple_of(seconds) || seconds > MAX_SECOND || start > MAX_SECOND {
            return Err(CodecError::Corrupt);
        }
        self.place(start, seconds, plain)?;
        while self.closed.len() > MAX_INTERVALS {
            self.condense()?;
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), CodecError> {
        for (start, seconds, plain) in other.iter_plain() {
            self.insert(start, seconds, Arc::clone(plain))?;
        }
        Ok(())
    }

    fn place(&mut self, start: u64, seconds: u64, plain: Arc<Plain>) -> Result<(), CodecError> {
        let holder = self
            .closed
            .range(..=start)
            .next_back()
            .filter(|(at, c)| *at + c.seconds > start && c.seconds >= seconds)
            .map(|(at, _)| *at);
        if let Some(holder) = holder {
            if let Some(closed) = self.closed.get_mut(&holder) {
                closed.plain = sum(&closed.plain, &plain)?;
            }
            return Ok(());
        }
        let mut plain = plain;
        let held: Vec<u64> = self.closed.range(start..start + seconds).map(|(at, _)| *at).collect();
        for at in held {
            if let Some(closed) = self.closed.remove(&at) {
                plain = sum(&plain, &closed.plain)?;
            }
        }
        self.closed.insert(start, Closed { seconds, plain });
        Ok(())
    }

    /// Doubles the length of intervals from the oldest on until one less is left: little work for each one that closes.
    fn condense(&mut self) -> Result<(), CodecError> {
        let before = self.closed.len();
        while self.closed.len() == before {
            self.length = self.length.max(2);
            let Some((start, seconds)) = self.closed.range(self.next..).next().map(|(at, c)| (*at, c.seconds)) else {
                self.next = 0;
                self.length = self.length.saturating_mul(2);
                continue;
            };
            let wide = start - start % self.length;
            self.next = wide + self.length;
            if seconds < self.length {
                let empty = Plain::of(&bounds::interval())?;
                self.place(wide, self.length, empty)?;
            }
        }
        Ok(())
    }
}

fn sum(a: &Plain, b: &Plain) -> Result<Arc<Plain>, CodecError> {
    let mut h = a.histogram()?;
    h.add(b.histogram()?).map_err(|_| CodecError::Corrupt)?;
    Plain::of(&h)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    fn one(value: u64) -> Histogram<u64> {
        let mut h = bounds::interval();
        h.record(value).unwrap();
        h
    }

    #[test]
    fn a_day_stays_bounded_and_loses_nothing() {
        let mut all = Intervals::default();
        let day = 86_400;
        for second in 0..day {
            all.add(second, &one(1 + second)).unwrap();
            assert!(all.len() <= MAX_INTERVALS);
        }
        let mut end = 0;
        let mut count = 0;
        for interval in all.iter() {
            let interval = interval.unwrap();
            assert!(interval.start >= end, "disjoint and in order");
            end = interval.start + interval.seconds;
            count += interval.histogram.len();
            assert!(interval.seconds <= 128);
        }
        assert_eq!(count, day);
        assert!(all.len() > MAX_INTERVALS / 4);
    }

    #[test]
    fn different_lengths_merge_both_ways() {
        let mut fine = Intervals::default();
        for second in 4..8 {
            fine.add(second, &one(second)).unwrap();
        }
        let mut coarse = Intervals::default();
        coarse.insert(4, 4, Plain::of(&one(99)).unwrap()).unwrap();
        let mut a = fine.clone();
        a.merge(&coarse).unwrap();
        coarse.merge(&fine).unwrap();
        for merged in [a, coarse] {
            let all: Vec<_> = merged.iter().map(Result::unwrap).collect();
            assert_eq!(all.len(), 1);
            assert_eq!((all[0].start, all[0].seconds, all[0].histogram.len()), (4, 4, 5));
        }
    }

    /// What is served again and again is deflated once, by whichever copy; what changes is deflated anew.
    #[test]
    fn copies_share_the_text_of_what_is_closed() {
        let mut all = Intervals::default();
        let text = |of: &Intervals| of.iter_plain().map(|(.., plain)| plain.text().unwrap().to_owned()).collect();
        let places = |of: &Intervals| of.iter_plain().map(|(.., plain)| plain.text().unwrap().as_ptr()).collect();
        for second in 0..3 {
            all.add(second, &one(second)).unwrap();
        }
        let first: Vec<_> = places(&all.clone());
        all.add(3, &one(3)).unwrap();
        let second: Vec<_> = places(&all.clone());
        assert_eq!(first, second[..3]);
        let before: Vec<String> = text(&all);
        all.add(1, &one(77)).unwrap();
        let after: Vec<String> = text(&all);
        assert_eq!((&before[2..], &before[0]), (&after[2..], &after[0]));
        assert_eq!(codec::from_text(&after[1]).unwrap().len(), 2);
    }

    #[test]
    fn a_crooked_place_is_refused() {
        let plain = Plain::of(&one(1)).unwrap();
        for (start, seconds) in [(1, 2), (0, 3), (0, 0), (u64::MAX, 1), (0, 1 << 63)] {
            assert_eq!(Intervals::default().insert(start, seconds, plain.clone()), Err(CodecError::Corrupt));
        }
    }
}
