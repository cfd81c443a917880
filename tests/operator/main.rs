//! The operator against a real kube-apiserver and etcd, without a node: its pods are played by `puppet`.
//!
//! One server for all scenarios; each has a namespace of its own.

// Helpers are not inside `#[test]` functions, where these are allowed by configuration.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub, reason = "tests end by panics")]

mod api;
mod apiserver;
mod by_hand;
mod cleanup;
mod crash;
mod documents;
mod dump;
mod failover;
mod forbidden;
#[path = "../guardian.rs"]
mod guardian;
mod life;
mod manifests;
mod parts;
mod process;
mod proxy;
mod puppet;
mod refused;
mod rights;
mod scarce;
#[path = "../shared.rs"]
mod shared;
mod throttle;
mod waits;
mod world;

use shared::{root, skip};
