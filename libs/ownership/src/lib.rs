//! Knows who may send which series: slots, owners, epochs, the control document of a sink, and how N workers become M.
//! Refuses to know how a document is stored or watched, what time it is, what a process is, and how samples travel.
//! Everything is a pure function of its arguments; both engines and every worker come to the same answer.
//! A slot has one owner in an epoch, and no epoch starts before the previous one has nothing left to send.
//! A control document is foreign input: it is validated before use, and an older one never replaces a newer one.

mod document;
pub mod drive;
mod map;
pub mod reshard;

pub use document::{Address, ChaosAction, ChaosEntry, ControlDocument, DocumentError, MAX_EPOCH, Phase, RunRef};
pub use map::{By, MAX_REPLICAS, OwnershipMap, jump_hash, key_hash, owner};
