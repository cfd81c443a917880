//! What an answer says of the samples it answers: taken, refused, or nobody knows.

use floodmark_http::client::{Response, TransportError};
use protocol::header as ours;

use crate::deliver::Delivered;
use crate::parcel::{Contents, Parcel};
use crate::poison::{Ruling, Streak};

/// A worker's answer to faults that were neither taken nor refused: it forgets them.
pub(crate) const UNDECIDED: u16 = 504;

/// An attempt that the target may have taken.
#[derive(Clone, Copy)]
pub(crate) struct Taken {
    /// The map that it named.
    pub(crate) epoch: u64,
    /// A worker knows a repeat of it by its number, and does not pass it on: while it lives, and under the same map.
    pub(crate) known_again: bool,
}

impl Taken {
    /// Whether the next attempt, which names this map, is a new one to the target.
    pub(crate) fn comes_twice(self, named: u64) -> bool {
        !self.known_again || named != self.epoch
    }
}

/// Whether the target may have taken what it answered so. It throttles (429) and redirects without looking inside, and a sink
/// names its map in a refusal of all of it.
pub(crate) fn maybe_taken(answer: &Result<Response, TransportError>, sink: bool) -> bool {
    match answer {
        Ok(response) if sink && response.status == 503 => response.header(ours::EPOCH).is_none(),
        Ok(response) => response.status >= 500,
        Err(error) => error.maybe_processed(),
    }
}

/// What became of a request whose lane cannot go on.
pub(crate) fn given_up(maybe_taken: bool, status: u16) -> Delivered {
    if maybe_taken { Delivered::Unresolved } else { Delivered::Refused(status) }
}

/// A fault that the target cannot digest would stop the lane for ever.
pub(crate) fn ruling(parcel: &Parcel<'_>, streak: &Streak, at: u64, good: u64) -> Option<Delivered> {
    let Contents::Fault { before, may_wait, .. } = parcel.contents else { return None };
    match streak.rule(at, good) {
        Ruling::Refused => Some(Delivered::Refused(streak.status)),
        Ruling::Undecided if may_wait && before.is_none() => Some(Delivered::Undecided(*streak)),
        Ruling::Again | Ruling::Undecided => None,
        Ruling::Unknown => Some(Delivered::Unresolved),
    }
}
