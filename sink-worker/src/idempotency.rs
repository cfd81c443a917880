//! What was asked before: a repeated request joins the first one or gets its outcome. Pure; `T` is what a repeat joins.

use std::collections::{HashMap, VecDeque};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::lane::Nanos;

/// Longest time that an outcome is remembered after somebody asked for it.
const MAX_AGE: Nanos = 600_000_000_000;
/// Requests of generators remembered, about 1 KiB each with their outcome. A run has a generator's lane for each connection, of
/// which a worker takes 1024, and each holds one good request and a few faults.
const MAX_REQUESTS: usize = 16_384;
/// Parts of third parties remembered that have their outcome, about 1 KiB each. Those still on their way are bounded by the buffer.
const MAX_PARTS: usize = 65_536;
/// Requests of one sequence remembered: the good one and one a fault.
const MAX_FAULTS: usize = 64;
/// How often the requests are searched for old ones while there is no room.
const SWEEP: Nanos = 1_000_000_000;
/// Longest `floodmark-request`, and `floodmark-fault`, looked at.
const MAX_HEADER: usize = 256;

/// The header `floodmark-request`: `generator/incarnation/lane/sequence`. Names are kept as hashes: what a stranger invents is no
/// longer than what a generator is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId {
    /// Which life of which generator.
    pub(crate) sender: u128,
    /// Lane of the whole target.
    pub(crate) lane: u32,
    /// Grows by lane.
    pub(crate) sequence: u64,
    /// The fault it carries: a request of its own beside the good one.
    pub(crate) fault: Option<u64>,
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
        let sender = text.get(..=generator.len() + incarnation.len())?;
        whole.then(|| Self {
            sender: xxh3_128(sender.as_bytes()),
            lane,
            sequence,
            fault: fault.map(|fault| xxh3_64(fault.as_bytes())),
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
    epoch: u64,
    sequence: u64,
    /// Good request and faults of one sequence.
    requests: Vec<(Option<u64>, T)>,
    at: Nanos,
}

/// The newest request of every generator's lane.
///
/// One is forgotten when its lane sends the next one, when another map holds or another run begins, and when nobody asked for
/// [`MAX_AGE`]; never to make room for another: its sender might repeat it, and it would be taken twice. Who comes when there is
/// no room has to wait.
#[derive(Debug)]
pub(crate) struct Sequences<T> {
    last: HashMap<(u128, u32), Last<T>>,
    /// Of all lanes.
    requests: usize,
    swept: Nanos,
}

impl<T> Default for Sequences<T> {
    fn default() -> Self {
        Self { last: HashMap::new(), requests: 0, swept: 0 }
    }
}

impl<T: Clone> Sequences<T> {
    /// Whether this request was taken before in this epoch. Asking keeps it alive.
    pub(crate) fn look(&mut self, id: &RequestId, epoch: u64, now: Nanos) -> Seen<T> {
        let known = self.last.get_mut(&(id.sender, id.lane));
        let Some(last) = known.filter(|last| last.epoch == epoch) else {
            return Seen::New;
        };
        last.at = now;
        if id.sequence < last.sequence {
            return Seen::Older;
        }
        let same = |known: &&(Option<u64>, T)| id.sequence == last.sequence && known.0 == id.fault;
        match last.requests.iter().find(same) {
            Some((_, ticket)) => Seen::Again(ticket.clone()),
            None => Seen::New,
        }
    }

    /// Whether a new request can be remembered, once what is old was forgotten. `open`: its outcome is not known yet.
    pub(crate) fn has_room(&mut self, id: &RequestId, now: Nanos, open: impl Fn(&T) -> bool) -> bool {
        if let Some(last) = self.last.get(&(id.sender, id.lane)) {
            // It takes the place of the one before it, or of itself, or is one more of its sequence.
            if id.sequence != last.sequence || last.requests.iter().any(|known| known.0 == id.fault) {
                return true;
            }
            if last.requests.len() >= MAX_FAULTS {
                return false;
            }
        }
        if self.requests >= MAX_REQUESTS && now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            self.keep(|last| now.saturating_sub(last.at) < MAX_AGE || last.requests.iter().any(|known| open(&known.1)));
        }
        self.requests < MAX_REQUESTS
    }

    /// Forgets what has its outcome: the senders are gone.
    pub(crate) fn forget(&mut self, open: impl Fn(&T) -> bool) {
        self.keep(|last| last.requests.iter().any(|known| open(&known.1)));
    }

    fn keep(&mut self, wanted: impl Fn(&Last<T>) -> bool) {
        self.last.retain(|_, last| wanted(last));
        self.requests = self.last.values().map(|last| last.requests.len()).sum();
    }

    /// Remembers a request that was taken.
    pub(crate) fn remember(&mut self, id: RequestId, epoch: u64, ticket: T, now: Nanos) {
        let last = self.last.entry((id.sender, id.lane)).or_insert_with(|| Last {
            epoch,
            sequence: id.sequence,
            requests: Vec::new(),
            at: now,
        });
        let before = last.requests.len();
        if last.epoch != epoch || last.sequence != id.sequence {
            last.requests.clear();
        }
        // One that ended without an outcome comes again.
        last.requests.retain(|known| known.0 != id.fault);
        (last.epoch, last.sequence, last.at) = (epoch, id.sequence, now);
        last.requests.push((id.fault, ticket));
        self.requests = self.requests - before + last.requests.len();
    }
}

/// Parts of third parties' requests by the hash of their bytes, the oldest forgotten first; never one that is on its way.
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
        self.remember(key, ticket.clone(), now, open);
        Some(ticket)
    }

    /// Remembers a part, in place of what was known of it. `open`: its outcome is not known yet.
    pub(crate) fn remember(&mut self, key: u128, ticket: T, now: Nanos, open: impl Fn(&T) -> bool) {
        // However many there are that stay, a few looks for each that comes find those that can go.
        let mut kept = 0;
        while kept < 2
            && let Some(&(oldest, at)) = self.order.front()
            && (self.order.len() >= MAX_PARTS || now.saturating_sub(at) >= MAX_AGE)
        {
            self.order.pop_front();
            match self.known.get(&oldest).filter(|known| known.1 == at) {
                Some((ticket, _)) if open(ticket) => {
                    self.order.push_back((oldest, at));
                    kept += 1;
                }
                Some(_) => drop(self.known.remove(&oldest)),
                None => {}
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

    fn done<T>(_: &T) -> bool {
        false
    }

    #[test]
    fn only_the_newest_of_a_lane_is_joined() {
        let mut known = Sequences::default();
        known.remember(id("g/a/3/7", None), 1, "good", 0);
        known.remember(id("g/a/3/7", Some("OutOfOrder")), 1, "fault", 0);
        let mut look = |text, fault, epoch| known.look(&id(text, fault), epoch, 0);
        assert_eq!(look("g/a/3/7", None, 1), Seen::Again("good"));
        assert_eq!(look("g/a/3/7", Some("OutOfOrder"), 1), Seen::Again("fault"));
        assert_eq!(look("g/a/3/7", Some("Other"), 1), Seen::New);
        assert_eq!(look("g/a/3/6", None, 1), Seen::Older);
        assert_eq!(look("g/a/3/8", None, 1), Seen::New);
        assert_eq!(look("g/b/3/7", None, 1), Seen::New, "another life");
        assert_eq!(look("g/a/3/7", None, 2), Seen::New, "another map");
        assert_eq!(look("g/a/4/7", None, 1), Seen::New);
        known.remember(id("g/a/3/8", None), 1, "next", 0);
        assert_eq!(known.look(&id("g/a/3/7", None), 1, 0), Seen::Older);
        assert_eq!(known.requests, 1);
    }

    #[test]
    fn crooked_headers_are_nobody() {
        for text in ["", "g", "g/a/1", "g/a/1/2/3", "g/a/x/2", "g/a/1/-2", "/a/1/2", "g//1/2"] {
            assert_eq!(RequestId::parse(text, None), None, "{text}");
        }
        assert_eq!(RequestId::parse(&format!("{}/a/1/2", "g".repeat(300)), None), None);
        assert_ne!(id("ga/b/1/2", None).sender, id("g/ab/1/2", None).sender);
    }

    #[test]
    fn invented_senders_make_nobody_forgotten() {
        let mut known = Sequences::default();
        let own = id("0/life/3/7", None);
        known.remember(own, 1, 'g', 0);
        let invented = |i: usize| id(&format!("g{i}/x/{i}/1"), None);
        for i in 1..MAX_REQUESTS {
            assert!(known.has_room(&invented(i), 1, done));
            known.remember(invented(i), 1, 'x', 1);
        }
        let one_more = invented(MAX_REQUESTS);
        assert!(!known.has_room(&one_more, 2 * SWEEP, done));
        assert!(!known.has_room(&id("g1/x/1/1", Some("Fault")), 2 * SWEEP, done), "faults count as well");
        assert!(known.has_room(&id("0/life/3/8", None), 2 * SWEEP, done), "its lane goes on");
        assert_eq!(known.look(&own, 1, 2 * SWEEP), Seen::Again('g'));
        // Old ones make room, but for those that were asked for since and those that have no outcome.
        known.look(&own, 1, MAX_AGE);
        known.remember(id("g5/x/5/1", None), 1, 'o', 2);
        assert!(known.has_room(&one_more, MAX_AGE + 5, |ticket| *ticket == 'o'));
        assert_eq!(known.look(&own, 1, MAX_AGE + 5), Seen::Again('g'));
        assert_eq!((known.last.len(), known.requests), (2, 2));
        known.forget(|ticket| *ticket == 'o');
        assert_eq!((known.last.len(), known.requests), (1, 1));
    }

    #[test]
    fn a_sequence_has_no_more_faults_than_there_are() {
        let mut known = Sequences::default();
        for i in 0..MAX_FAULTS {
            let fault = id("g/a/0/1", Some(&i.to_string()));
            assert!(known.has_room(&fault, 0, done));
            known.remember(fault, 1, i, 0);
        }
        assert!(!known.has_room(&id("g/a/0/1", Some("one more")), 0, done));
        assert!(known.has_room(&id("g/a/0/1", Some("0")), 0, done), "it comes again");
        assert_eq!(known.look(&id("g/a/0/1", Some("0")), 1, 0), Seen::Again(0));
    }

    #[test]
    fn parts_are_forgotten_by_age_and_number_and_not_on_their_way() {
        let mut parts = Parts::default();
        parts.remember(1, 'a', 0, done);
        assert_eq!(parts.look(1, MAX_AGE - 1, done), Some('a'));
        assert_eq!(parts.look(1, 2 * MAX_AGE - 2, done), Some('a'), "kept alive");
        assert_eq!(parts.look(1, 4 * MAX_AGE, done), None);
        assert_eq!(parts.look(1, 4 * MAX_AGE, |_| true), Some('a'), "still on its way");
        let mut parts = Parts::default();
        let open = |ticket: &char| *ticket == 'o';
        parts.remember(1, 'b', 5, open);
        parts.remember(2, 'o', 5, open);
        for key in 0..2 * MAX_PARTS as u128 {
            parts.remember(key + 10, 'c', 7, open);
        }
        assert!(parts.known.len() <= MAX_PARTS);
        assert_eq!(parts.look(1, 8, open), None);
        assert_eq!(parts.look(2, 8, open), Some('o'));
        parts.remember(3, 'd', 2 * MAX_AGE, open);
        assert_eq!(parts.known.len(), 2);
        assert!(parts.order.len() < 5);
    }

    #[test]
    fn many_parts_on_their_way_do_not_grow_the_rest() {
        let mut parts = Parts::default();
        let open = |ticket: &char| *ticket == 'o';
        let ways = MAX_PARTS as u128 * 2;
        for key in 0..ways {
            parts.remember(key, 'o', 0, open);
        }
        for key in ways..3 * ways {
            parts.remember(key, 'c', 1, open);
        }
        assert!(parts.known.len() as u128 <= ways + 2 * MAX_PARTS as u128, "{}", parts.known.len());
        assert_eq!(parts.look(0, 2, open), Some('o'));
    }
}
