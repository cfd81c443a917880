//! What the ledger says of runs whose every sample is known.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::type_complexity,
    reason = "tests end by panics"
)]

mod accounts;
mod common;
mod early_end;
mod kills;
mod moves;
mod settlement;
mod slots;
mod store;
mod unjudged;
mod verdicts;
