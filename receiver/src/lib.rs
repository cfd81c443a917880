//! The receiver: a Remote-Write endpoint that holds senders to every rule, remembers what arrived and answers badly on schedule.
//! Knows protocol 1.0 from the receiver's side, the rules of the Strict profile, the ledger's store and the R faults.
//! Learns the run (workload, faults, t0) from the conductor that its control document names; works alone without either.
//! Refuses to know who sends, what was acknowledged, verdicts on tests, and how it was started.
//! Per request: one decompression and one walk outside any lock, then one lock for the tables. Nothing allocates per sample.

mod answers;
mod control;
mod follow;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod metrics;
mod service;
mod state;
mod strict;
mod tables;
mod write;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use floodmark_http::server::{self, Limits};
use telemetry::{Ops, Registry, Stop};
use tokio::net::TcpListener;

pub use control::ControlError;

/// Largest body and largest decoded message: what Prometheus takes.
pub const MAX_BODY: usize = 32 << 20;

/// How a receiver is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The control document, a JSON file ([`protocol::ReceiverControl`]), watched while running. None: Strict, and every series is foreign.
    pub control: Option<PathBuf>,
    /// Which of the receivers this is; only for logs and metrics.
    pub ordinal: u32,
    /// Where to listen.
    pub listen: SocketAddr,
}

/// Listens and serves until `stop`.
pub async fn run(options: Options, stop: Stop) -> anyhow::Result<()> {
    let listener = server::bind(options.listen)?;
    serve(listener, options, stop).await
}

/// Serves on a listener that is open already; `options.listen` is not used.
pub fn serve(listener: TcpListener, options: Options, stop: Stop) -> telemetry::Running<anyhow::Result<()>> {
    Box::pin(receive(listener, options, stop))
}

async fn receive(listener: TcpListener, options: Options, stop: Stop) -> anyhow::Result<()> {
    let control = match &options.control {
        Some(path) => control::read(path)?.0,
        None => control::alone(),
    };
    let (tls, basic) = (control::tls(&control)?, control::basic_auth(&control)?);
    let policy = control::policy(&control)?;
    let ops = Ops::new(Registry::new());
    let state = Arc::new(state::State::new(policy, metrics::Metrics::new(ops.registry().clone(), options.ordinal)));
    if control.conductor.is_some() {
        state.run.send_replace(state::Run::Awaited);
    }
    let follow = tokio::spawn(follow::follow(Arc::clone(&state), options.control.clone(), control, stop.clone()));
    let address = listener.local_addr().context("the listener has no address")?;
    tracing::info!(%address, ordinal = options.ordinal, "receiver ready");
    ops.set_ready();
    let limits = Limits { max_body: MAX_BODY, ..Limits::default() };
    let service = Arc::new(service::Service::new(state, ops, stop.clone()));
    let served = server::serve(listener, service, limits, tls, basic, stop.wait()).await;
    tracing::info!(connections = served.connections, refused = served.refused, cut = served.cut, "receiver stopped");
    follow.abort();
    Ok(())
}
