//! A receiver over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::type_complexity,
    reason = "tests end by panics"
)]

mod answers;
mod common;
mod run;
mod strict;
