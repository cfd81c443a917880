//! The operator against a real kube-apiserver and etcd, without a node: its pods are played by `puppet`.
//!
//! One server for all scenarios; each has a namespace of its own.

// Helpers are not inside `#[test]` functions, where these are allowed by configuration.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

mod api;
mod apiserver;
mod cleanup;
mod crash;
mod documents;
mod dump;
mod failover;
mod life;
mod manifests;
mod parts;
mod process;
mod proxy;
mod puppet;
mod refused;
mod rights;
mod throttle;
mod waits;
mod world;

use std::path::Path;

/// Says loudly that a test did not run; `hack/test` counts these lines.
fn skip(test: &str, why: &str) {
    use std::io::Write;
    eprintln!("SKIPPED: {test}: {why}");
    if let Some(path) = std::env::var_os("FLOODMARK_SKIPS")
        && let Ok(mut file) = std::fs::File::options().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{test}: {why}");
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
