//! The gate: what is taken in, all or nothing, and what a repeated request joins. Pure; time is passed in.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::admit::Map;
use crate::idempotency::{Parts, RequestId, Seen, Sequences};
use crate::lane::{Nanos, Part, Payload};

/// What the sender of a part, and whoever repeats it, waits for.
pub(crate) trait Ticket: Clone {
    /// A part nobody settled yet.
    fn issue() -> Self;
    /// Whether a repeat is served by it: it is in progress, or all of it was delivered.
    fn serves(&self) -> bool;
    /// Whether it is in progress.
    fn open(&self) -> bool;
    /// Whether it ended without an outcome, so that a repeat is a new request.
    fn undecided(&self) -> bool;
}

/// How a part is known again.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// By the generator's own number.
    Request(RequestId),
    /// By its bytes.
    Bytes(u128),
}

/// A lane's share of a request, before it is taken in.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state")]
pub(crate) struct Offer {
    /// Lane in this worker.
    pub(crate) lane: u16,
    /// How it is known again.
    pub(crate) key: Key,
    /// What is sent, one after the other.
    pub(crate) slices: VecDeque<Payload>,
    /// Never merged with others.
    pub(crate) alone: bool,
    /// No slice holds a series twice.
    pub(crate) once: bool,
    /// Holds faults on purpose.
    pub(crate) fault: bool,
    /// Its sender does not wait for the backend.
    pub(crate) promised: bool,
    /// Microseconds since the Unix epoch.
    pub(crate) intended_us: Option<u64>,
    /// Newest timestamp in it, milliseconds.
    pub(crate) newest: i64,
    /// Bytes that its slices occupy.
    pub(crate) bytes: u64,
}

/// What a part occupies besides its slices, at most: itself, the ticket, its places in lane and tables. Counted, so that a million
/// parts of a sample each do not take a gigabyte beside the buffer.
const PART: u64 = 1024;

/// What a lane takes over.
#[derive(Debug)]
pub(crate) struct Admitted<T> {
    /// Lane in this worker.
    pub(crate) lane: u16,
    /// For the lane.
    pub(crate) part: Part,
    /// To be given back to [`Gate::finished`].
    pub(crate) bytes: u64,
    /// To be settled.
    pub(crate) ticket: T,
}

/// Why nothing of a request was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// For now, with the reason.
    Closed(String),
    /// Another map holds.
    Epoch(u64),
    /// The buffer is full.
    Full,
    /// It will never fit into the buffer.
    TooLarge,
    /// A newer request of its lane was taken before.
    Older,
    /// So many requests are remembered that this one could not be known again.
    Unmemorable,
}

/// The part of the buffer above which it is crowded.
const CROWDED: u64 = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate<T> {
    closed: Option<String>,
    map: Arc<Map>,
    max_samples: u64,
    max_bytes: u64,
    samples: u64,
    bytes: u64,
    open_parts: u64,
    next: u64,
    sequences: Sequences<T>,
    parts: Parts<T>,
}

impl<T: Ticket> Gate<T> {
    /// An open gate with nothing behind it.
    pub(crate) fn new(map: Arc<Map>, max_samples: u64, max_bytes: u64) -> Self {
        Self {
            closed: None,
            map,
            max_samples,
            max_bytes,
            samples: 0,
            bytes: 0,
            open_parts: 0,
            next: 0,
            sequences: Sequences::default(),
            parts: Parts::default(),
        }
    }

    /// Takes nothing from now on.
    pub(crate) fn close(&mut self, why: &str) {
        self.closed = Some(why.to_owned());
    }

    /// Takes again, by this map.
    pub(crate) fn open(&mut self, map: Arc<Map>) {
        if map.ownership.epoch != self.map.ownership.epoch {
            // A request that names another map is not taken, known or not.
            self.begin();
        }
        self.closed = None;
        self.map = map;
    }

    /// A run begins: the generators of an earlier one are gone.
    pub(crate) fn begin(&mut self) {
        self.sequences.forget(T::open);
    }

    /// Whether what is held is more than a small part of the buffer.
    pub(crate) fn is_crowded(&self) -> bool {
        self.bytes > self.max_bytes / CROWDED
    }

    /// Why nothing is taken.
    pub(crate) fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// The map that holds.
    pub(crate) fn map(&self) -> Arc<Map> {
        self.map.clone()
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.open_parts == 0
    }

    /// Samples and bytes held.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (u64, u64) {
        (self.samples, self.bytes)
    }

    /// Takes the offers in, all or none. The tickets are of all offers, in order; what is admitted are the new ones.
    pub(crate) fn admit(
        &mut self,
        epoch: u64,
        offers: Vec<Offer>,
        now: Nanos,
    ) -> Result<(Vec<T>, Vec<Admitted<T>>), Refused> {
        if let Some(why) = &self.closed {
            return Err(Refused::Closed(why.clone()));
        }
        if epoch != self.map.ownership.epoch {
            return Err(Refused::Epoch(self.map.ownership.epoch));
        }
        let mut known = Vec::with_capacity(offers.len());
        let (mut samples, mut bytes, mut parts) = (0, 0, 0);
        for offer in &offers {
            let ticket = match &offer.key {
                Key::Request(id) => match self.sequences.look(id, epoch, now) {
                    Seen::New if self.sequences.has_room(id, now, T::open) => None,
                    Seen::New => return Err(Refused::Unmemorable),
                    Seen::Again(ticket) => Some(ticket).filter(|ticket| !ticket.undecided()),
                    Seen::Older => return Err(Refused::Older),
                },
                Key::Bytes(key) => self.parts.look(*key, now, T::open).filter(T::serves),
            };
            if ticket.is_none() {
                samples += offer.slices.iter().map(Payload::samples).sum::<u64>();
                bytes += offer.bytes;
                parts += 1;
            }
            known.push(ticket);
        }
        if samples > self.max_samples || bytes > self.max_bytes {
            return Err(Refused::TooLarge);
        }
        // One that fits finds room when nothing else is held.
        let occupied = self.bytes + bytes + PART * parts;
        let full = parts > 0 && self.open_parts > 0 && occupied > self.max_bytes;
        if full || self.samples + samples > self.max_samples {
            return Err(Refused::Full);
        }
        self.samples += samples;
        self.bytes = occupied;
        let mut tickets = Vec::with_capacity(offers.len());
        let mut admitted = Vec::new();
        for (offer, known) in offers.into_iter().zip(known) {
            if let Some(ticket) = known {
                tickets.push(ticket);
                continue;
            }
            let ticket = T::issue();
            let bytes = offer.bytes + PART;
            match offer.key {
                Key::Request(id) => self.sequences.remember(id, epoch, ticket.clone(), now),
                Key::Bytes(key) => self.parts.remember(key, ticket.clone(), now, T::open),
            }
            self.next += 1;
            self.open_parts += 1;
            let part = Part {
                id: self.next,
                arrived: now,
                alone: offer.alone || offer.slices.len() != 1,
                slices: offer.slices,
                once: offer.once,
                fault: offer.fault,
                promised: offer.promised,
                intended_us: offer.intended_us,
                newest: offer.newest,
            };
            tickets.push(ticket.clone());
            admitted.push(Admitted { lane: offer.lane, part, bytes, ticket });
        }
        Ok((tickets, admitted))
    }

    /// Samples left a lane.
    pub(crate) fn settled(&mut self, samples: u64) {
        self.samples = self.samples.saturating_sub(samples);
    }

    /// A part left a lane.
    pub(crate) fn finished(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.open_parts = self.open_parts.saturating_sub(1);
    }
}
