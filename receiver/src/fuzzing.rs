//! What `fuzz/` calls of this crate's parsers.

use floodmark_http::HeaderMap;
use ledger::{SeriesSeen, Store, StoreReport};

use crate::control::{self, Policy};
use crate::tables::{Rules, Tables};
use crate::write::{self, Need, Part, Scratch, Undecoded};

/// Whether the headers are those of a request that is looked into.
pub fn takes(headers: &HeaderMap) -> bool {
    write::check_headers(headers).is_ok()
}

/// Why a receiver would not work with this control document.
pub fn refuses(control: &protocol::ReceiverControl) -> Option<String> {
    control::policy(control).err().map(|error| error.to_string())
}

/// The tables of a receiver of the Strict profile.
pub struct Receiver {
    tables: Tables,
    scratch: Scratch,
}

impl Receiver {
    /// One that knows its run.
    pub fn new(store: Store) -> Self {
        let mut tables = Tables::new();
        tables.begin(store);
        Self { tables, scratch: Scratch::default() }
    }

    /// Takes a body: how many samples were in it, and the status. The error is the status of one that is none.
    pub fn write(&mut self, body: &[u8], now_ms: i64) -> Result<(usize, u16), u16> {
        let need = Need::of(body, true).map_err(|refused| refused.0)?;
        let decoded = self.scratch.decode(body, need).map_err(|why| match why {
            Undecoded::Refused(refused) => refused.0,
            // No status: nothing may need more.
            Undecoded::Dense => 0,
        })?;
        let policy = Policy { max_series: u64::MAX, ..Policy::default() };
        let rules = Rules { policy: &policy, now_ms, part: Part::Whole, refuse_one: false };
        Ok((decoded.samples.len(), self.tables.take(decoded.plain, decoded.samples, &rules).status()))
    }

    /// What `/store` answers.
    pub fn report(&self) -> StoreReport {
        self.tables.report()
    }

    /// What `/store/series` answers.
    pub fn seen_in(&self, slots: &[u16]) -> Vec<SeriesSeen> {
        self.tables.seen_in(slots)
    }
}
