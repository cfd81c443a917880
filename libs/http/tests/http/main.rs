//! Servers and clients against each other and against raw sockets, on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

mod client;
mod common;
mod heads;
mod lines;
mod room;
mod server;
mod tls;
