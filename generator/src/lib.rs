//! The generator: sends the samples of a workload when they are due, open loop, and accounts for every one of them.
//!
//! Knows the conductor's plan and phase, the target's lanes, when a request leaves, what its answer means to it, and keeps
//! accounts, latencies and checksums. Refuses to know whether the run passed, what a store holds, who starts it, and any
//! memory of the past: the next request of a lane is computed, and only the exceptions are remembered.
//! One task a lane, one request in flight in each; per sample only arithmetic on borrowed bytes.

mod build;
mod clock;
mod conduct;
mod deliver;
mod doubts;
mod epoch;
mod follow;
mod handover;
mod lane;
mod lane_faults;
mod meaning;
mod metrics;
mod outcome;
mod pack;
mod parcel;
mod poison;
mod prepare;
mod recorded;
mod report;
mod send;
mod serve;
mod shared;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::GeneratorState;
use telemetry::{Ops, Stop};

use crate::conduct::Conductor;
use crate::shared::Shared;

/// What a generator is told when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// Base address of the conductor, `http://host:port`.
    pub conductor: String,
    /// Which of the run's generators this is, from 0.
    pub index: u32,
    /// Where `/account`, `/histograms`, `/slots` and the operational paths are served. Port 0 takes a free one.
    pub listen: SocketAddr,
}

/// How a generator ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Its report was taken.
    Taken,
    /// It ended without anybody taking its report: the run is inconclusive.
    NotTaken,
    /// It was told to end by a signal.
    Interrupted,
}

impl ExitStatus {
    /// The process' exit status.
    pub fn code(self) -> u8 {
        match self {
            Self::Taken => 0,
            Self::NotTaken => 3,
            Self::Interrupted => 130,
        }
    }
}

/// How long a finished report waits to be taken once the run is over without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same once somebody asked this process to end.
const HURRY: Duration = Duration::from_secs(2);

/// Runs one generator to its end. Errors: the address cannot be listened on (a [`floodmark_http::server::BindError`] inside),
/// or the conductor cannot be reached or hands out a plan that makes no sense. Needs a multi-threaded tokio runtime.
pub fn run(options: Options, stop: Stop) -> telemetry::Running<anyhow::Result<ExitStatus>> {
    Box::pin(generate(options, stop))
}

async fn generate(options: Options, stop: Stop) -> anyhow::Result<ExitStatus> {
    let listener = floodmark_http::server::bind(options.listen)?;
    let ops = Ops::default();
    let shared = Arc::new(Shared::new(options.index, ops.clone()));
    let closing = Stop::new();
    let server = tokio::spawn(serve::serve(listener, Arc::clone(&shared), closing.clone()));
    let status = drive(&options, &shared, &stop).await;
    closing.request();
    // Ends within the server's own grace period.
    let _ = server.await;
    status
}

async fn drive(options: &Options, shared: &Arc<Shared>, stop: &Stop) -> anyhow::Result<ExitStatus> {
    let mut conductor = Conductor::new(&options.conductor)?;
    let prepared = tokio::select! {
        prepared = prepare::prepare(&mut conductor, shared) => prepared,
        _ = stop.requested() => return Ok(ExitStatus::Interrupted),
    };
    let (prepared, epoch) = match prepared {
        Ok((prepared, epoch)) => (Arc::new(prepared), Arc::new(epoch)),
        Err(error) => {
            let text = format!("{error:#}");
            tracing::error!(error = text, "cannot prepare");
            shared.set_state(GeneratorState::Failed(text));
            return leave(&mut conductor, shared, stop).await;
        }
    };
    shared.enter(&epoch, Vec::new());
    shared.set_state(GeneratorState::Ready);
    shared.ops.set_ready();
    let t0 = tokio::select! {
        t0 = conductor.wait_for_t0() => t0,
        _ = stop.requested() => return Ok(ExitStatus::Interrupted),
    };
    let Some(t0) = t0? else {
        // Aborted before it began.
        shared.set_state(GeneratorState::Done);
        return leave(&mut conductor, shared, stop).await;
    };
    let clock = shared.start(t0);
    send::send(&mut conductor, &prepared, shared, epoch, stop, clock).await;
    leave(&mut conductor, shared, stop).await
}

/// Serves the final report until it was taken.
async fn leave(conductor: &mut Conductor, shared: &Arc<Shared>, stop: &Stop) -> anyhow::Result<ExitStatus> {
    let taken = tokio::select! {
        taken = conductor.wait_until_taken(shared.index, PATIENCE) => taken,
        _ = stop.requested() => {
            // The conductor may still come for the report within its own grace.
            let late = tokio::time::timeout(HURRY, conductor.wait_until_taken(shared.index, PATIENCE)).await;
            if late.unwrap_or(false) { return Ok(ExitStatus::Taken) }
            return Ok(ExitStatus::Interrupted);
        }
    };
    Ok(if taken { ExitStatus::Taken } else { ExitStatus::NotTaken })
}
