//! What was asked before: a repeated request joins the first one or gets its outcome. Pure; `T` is what a repeat joins.

use std::collections::{HashMap, VecDeque};

use crate::lane::Nanos;

/// Longest time that an outcome is remembered.
const MAX_AGE: Nanos = 600_000_000_000;
/// Lanes of generators remembered.
const MAX_SEQUENCES: usize = 65_536;
/// Parts of third parties remembered. An entry takes about 300 bytes.
const MAX_PARTS: usize = 65_536;
/// Requests of one sequence remembered: the good one and one a fault.
const MAX_FAULTS: usize = 64;
/// Longest `floodmark-request`, and `floodmark-fault`, looked at.
const MAX_HEADER: usize = 256;

/// The header `floodmark-request`: `generator/incarnation/lane/sequence`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId {
    /// Which generator.
    pub(crate) generator: String,
    /// Which life of it.
    pub(crate) incarnation: String,
    /// Lane of the whole target.
    pub(crate) lane: u32,
    /// Grows by lane.
    pub(crate) sequence: u64,
    /// The fault it carries: a request of its own beside the good one.
    pub(crate) fault: Option<String>,
}

impl RequestId {
    /// Parses the header; `None` when it is not of that form.
    pub(crate) fn parse(text: &str, fault: Option<&str>) -> Option<Self> {
        if text.len() > MAX_HEADER || fault.is_some_and(|fault| fault.len() > MAX_HEADER) {
            return None;
        }
        let mut parts = text.split('/');
        let (generator, incarnation) = (parts.next()?, parts.next()?);
        let (lane, sequence) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let whole = parts.next().is_none() && !generator.is_empty() && !incarnation.is_empty();
        whole.then(|| Self {
            generator: generator.to_owned(),
            incarnation: incarnation.to_owned(),
            lane,
            sequence,
            fault: fault.map(str::to_owned),
        })
    }
}

/// Whether a request is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen<T> {
    /// No.
    New,
    /// It is the newest one of its lane.
    Again(T),
    /// A newer one was taken since: this one was overtaken on the way, its sender no longer waits for it.
    Older,
}

#[derive(Debug)]
struct Last<T> {
    incarnation: String,
    epoch: u64,
    sequence: u64,
    /// Good request and faults of one sequence.
    requests: Vec<(Option<String>, T)>,
    at: Nanos,
}

/// The newest request of every generator's lane.
#[derive(Debug)]
pub(crate) struct Sequences<T> {
    last: HashMap<(String, u32), Last<T>>,
}

impl<T> Default for Sequences<T> {
    fn default() -> Self {
        Self { last: HashMap::new() }
    }
}

impl<T: Clone> Sequences<T> {
    /// Whether this request was taken before in this epoch.
    pub(crate) fn look(&self, id: &RequestId, epoch: u64) -> Seen<T> {
        let known = self.last.get(&(id.generator.clone(), id.lane));
        let Some(last) = known.filter(|last| last.incarnation == id.incarnation && last.epoch == epoch) else {
            return Seen::New;
        };
        if id.sequence < last.sequence {
            return Seen::Older;
        }
        let same = |known: &&(Option<String>, T)| id.sequence == last.sequence && known.0 == id.fault;
        match last.requests.iter().find(same) {
            Some((_, ticket)) => Seen::Again(ticket.clone()),
            None => Seen::New,
        }
    }

    /// Remembers a request that was taken.
    pub(crate) fn remember(&mut self, id: RequestId, epoch: u64, ticket: T, now: Nanos) {
        if self.last.len() >= MAX_SEQUENCES {
            self.last.retain(|_, last| now.saturating_sub(last.at) < MAX_AGE);
        }
        if self.last.len() >= MAX_SEQUENCES {
            self.last.clear();
        }
        let last = self.last.entry((id.generator, id.lane)).or_insert_with(|| Last {
            incarnation: String::new(),
            epoch: 0,
            sequence: 0,
            requests: Vec::new(),
            at: now,
        });
        if last.incarnation != id.incarnation || last.epoch != epoch || last.sequence != id.sequence {
            last.requests.clear();
        }
        // One that ended without an outcome comes again.
        last.requests.retain(|known| known.0 != id.fault);
        (last.incarnation, last.epoch, last.sequence, last.at) = (id.incarnation, epoch, id.sequence, now);
        if last.requests.len() >= MAX_FAULTS {
            last.requests.remove(0);
        }
        last.requests.push((id.fault, ticket));
    }
}

/// Parts of third parties' requests by the hash of their bytes, the oldest forgotten first.
#[derive(Debug)]
pub(crate) struct Parts<T> {
    known: HashMap<u128, (T, Nanos)>,
    order: VecDeque<(u128, Nanos)>,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T: Clone> Parts<T> {
    /// What is known of a part. Asking keeps it alive: as long as its sender repeats it, it must not be taken for new.
    pub(crate) fn look(&mut self, key: u128, now: Nanos, open: impl Fn(&T) -> bool) -> Option<T> {
        let (ticket, at) = self.known.get(&key)?;
        if now.saturating_sub(*at) >= MAX_AGE && !open(ticket) {
            return None;
        }
        let ticket = ticket.clone();
        self.remember(key, ticket.clone(), now);
        Some(ticket)
    }

    /// Remembers a part, in place of what was known of it.
    pub(crate) fn remember(&mut self, key: u128, ticket: T, now: Nanos) {
        while let Some(&(oldest, at)) = self.order.front() {
            if self.order.len() < MAX_PARTS && now.saturating_sub(at) < MAX_AGE {
                break;
            }
            self.order.pop_front();
            if self.known.get(&oldest).is_some_and(|known| known.1 == at) {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(key, (ticket, now));
        self.order.push_back((key, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str, fault: Option<&str>) -> RequestId {
        RequestId::parse(text, fault).unwrap()
    }

    #[test]
    fn only_the_newest_of_a_lane_is_joined() {
        let mut known = Sequences::default();
        known.remember(id("g/a/3/7", None), 1, "good", 0);
        known.remember(id("g/a/3/7", Some("OutOfOrder")), 1, "fault", 0);
        assert_eq!(known.look(&id("g/a/3/7", None), 1), Seen::Again("good"));
        assert_eq!(known.look(&id("g/a/3/7", Some("OutOfOrder")), 1), Seen::Again("fault"));
        assert_eq!(known.look(&id("g/a/3/7", Some("Other")), 1), Seen::New);
        assert_eq!(known.look(&id("g/a/3/6", None), 1), Seen::Older);
        assert_eq!(known.look(&id("g/a/3/8", None), 1), Seen::New);
        assert_eq!(known.look(&id("g/b/3/7", None), 1), Seen::New, "another life");
        assert_eq!(known.look(&id("g/a/3/7", None), 2), Seen::New, "another map");
        assert_eq!(known.look(&id("g/a/4/7", None), 1), Seen::New);
        known.remember(id("g/a/3/8", None), 1, "next", 0);
        assert_eq!(known.look(&id("g/a/3/7", None), 1), Seen::Older);
    }

    #[test]
    fn crooked_headers_are_nobody() {
        for text in ["", "g", "g/a/1", "g/a/1/2/3", "g/a/x/2", "g/a/1/-2", "/a/1/2", "g//1/2"] {
            assert_eq!(RequestId::parse(text, None), None, "{text}");
        }
        assert_eq!(RequestId::parse(&format!("{}/a/1/2", "g".repeat(300)), None), None);
    }

    #[test]
    fn parts_are_forgotten_by_age_and_number() {
        let mut parts = Parts::default();
        let done = |_: &char| false;
        parts.remember(1, 'a', 0);
        assert_eq!(parts.look(1, MAX_AGE - 1, done), Some('a'));
        assert_eq!(parts.look(1, 2 * MAX_AGE - 2, done), Some('a'), "kept alive");
        assert_eq!(parts.look(1, 4 * MAX_AGE, done), None);
        assert_eq!(parts.look(1, 4 * MAX_AGE, |_| true), Some('a'), "still on its way");
        let mut parts = Parts::default();
        parts.remember(1, 'b', 5);
        for key in 0..2 * MAX_PARTS as u128 {
            parts.remember(key + 10, 'c', 7);
        }
        assert!(parts.known.len() <= MAX_PARTS);
        assert_eq!(parts.look(1, 8, done), None);
        parts.remember(3, 'd', MAX_AGE + 7);
        assert_eq!(parts.known.len(), 1);
    }
}
