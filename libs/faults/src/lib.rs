//! The fault catalogue as data, and the seeded draw of the faults a generator injects.
//!
//! Knows every entry of the catalogue (data, protocol, transport, receiver's answers, pods), what the specification and each
//! profile answer to it, which sample of a run a fault replaces, the bytes that makes, and back from stored bytes to the fault.
//! Refuses to know how a request is sent, what was answered, and what becomes of an account: the draw is a pure function of
//! (faults, seed, series, k), so generators, receivers and the ledger each compute it for themselves.

mod break_bytes;
pub mod catalogue;
mod delay;
mod literal;
mod plan;

pub use break_bytes::{cut_compressed, cut_message};
pub use catalogue::{Class, Entry, Expect, Verdict, available, breaks_its_series, catalogue, expect, keeps_good};
pub use plan::{
    FAULT_LABEL, FaultError, FaultIndex, FaultPlan, FaultScratch, Materialised, needs_good_before, travels_alone,
};
