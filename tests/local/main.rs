//! Whole runs on loopback: the real command, its real child processes, real servers, real kills.
//!
//! What a test needs and does not find, it skips with a line that `hack/test` collects.

// Helpers of tests may panic: that is how a test fails.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::format_collect,
    unreachable_pub,
    reason = "tests end by panics; shared pieces are public to all of them"
)]

mod backends;
mod commands;
mod embedded;
mod examples;
mod hlog;
mod lifecycle;
mod memory;
mod page;
mod parts;
mod reshard;
#[path = "../shared.rs"]
mod shared;
mod supervise;
mod support;
mod third_party;
