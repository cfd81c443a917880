//! What all tests share: documents, runs of the command, servers, waiting with a deadline.

pub mod api_server;
pub mod copier;
pub mod documents;
pub mod http;
pub mod plan;
pub mod pod;
pub mod role;
pub mod run;
pub mod servers;
pub mod stranger;

use std::time::{Duration, Instant};

/// Polls until the condition holds; panics with `what` when the deadline passes.
pub fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A port that was free a moment ago, below the range from which the kernel takes ports for outgoing connections.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 10_000 + (std::process::id() % 6_000) as u16;
    for _ in 0..1_000 {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port above {base}");
}
