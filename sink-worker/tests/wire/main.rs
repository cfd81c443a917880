//! The worker over real sockets. Rows are those of the scenario matrix in the reference of the sink to match.

// Helpers are not inside `#[test]` functions, where these are allowed by configuration.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, reason = "tests end by panics")]

mod answers;
mod bounds;
mod cost;
mod doubt;
mod drain;
mod harness;
mod prometheus;
mod requests;
#[path = "../../../tests/skip.rs"]
mod skip;
