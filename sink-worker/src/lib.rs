//! The sink-worker: takes Remote-Write, keeps each series in order, and gets it to one backend exactly as often as needed.
//! Knows which series are its own (the control document says so), what an answer means, and where every sample went.
//! Refuses to know Kubernetes, documents of users, who measures it, and what the samples mean.
//! `lane`, `admit`, `cut`, `gate` and `idempotency` are pure; `send`, `forward`, `write` and `serve` bring them to the network.
//! Rule: nothing is acknowledged before its policy is met, and nothing leaves the buffer without being counted once.

mod account;
mod admit;
mod control;
mod cut;
mod forward;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gate;
mod idempotency;
mod lane;
mod metrics;
mod room;
mod send;
mod serve;
mod ticket;
mod worker;
mod write;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use floodmark_http::server::{self, Limits};
use ledger::WorkerAccount;
use protocol::SinkWorkerPlan;
use telemetry::limit::Limiter;
use telemetry::metrics::Registry;
use telemetry::ops::Ops;
use telemetry::stop::Stop;
use telemetry::warn_limited;

/// Name of the histogram of the backend's answers: sent → answered, once an attempt.
pub const BACKEND_SERVICE: &str = account::BACKEND_SERVICE;

use control::Control;
use serve::Service;
use worker::Shared;

static CONTROL: Limiter = Limiter::new(1, Duration::from_secs(10));

/// How a worker is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// JSON of [`protocol::SinkWorkerPlan`]; read once.
    pub plan: PathBuf,
    /// JSON of [`ownership::ControlDocument`]; watched.
    pub control: PathBuf,
    /// Which worker of the sink this is.
    pub ordinal: u32,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether to give the run's conductor the time to fetch the last account; not when the engine itself takes it.
    pub tell_last: bool,
}

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why it could not go on (401, 403, 404, 415, a redirect, `onExhausted: Fail`, `onRejected: Fail`). The process then
    /// ends with a status other than zero. It does not end by itself: whoever started it watches `/account` or `/readyz`.
    pub fatal: Option<String>,
    /// Final, balanced, nothing buffered.
    pub account: WorkerAccount,
}

/// Runs until `stop`, then flushes within the plan's `drainTimeout`. Needs a multi-threaded tokio runtime.
pub async fn run(options: Options, stop: Stop) -> anyhow::Result<Outcome> {
    let listener = server::bind(options.listen)?;
    run_on(listener, options, stop).await
}

/// [`run`] on a listener that is bound already.
pub fn run_on(
    listener: tokio::net::TcpListener,
    options: Options,
    stop: Stop,
) -> telemetry::Running<anyhow::Result<Outcome>> {
    Box::pin(work(listener, options, stop))
}

async fn work(listener: tokio::net::TcpListener, options: Options, stop: Stop) -> anyhow::Result<Outcome> {
    let text = tokio::fs::read(&options.plan).await.with_context(|| format!("plan {}", options.plan.display()))?;
    let plan: SinkWorkerPlan =
        serde_json::from_slice(&text).with_context(|| format!("plan {}", options.plan.display()))?;
    let ops = Ops::new(Registry::new());
    ops.set_not_ready("waiting for the control document");
    let mut control = Control::new(&options.control);
    let Some(document) = first_document(&mut control, &stop).await else {
        return Ok(Outcome { fatal: None, account: WorkerAccount::default() });
    };
    let drain_timeout = plan.drain_timeout.0;
    let shared = Shared::start(plan, options.ordinal, &document, ops, telemetry::cpu::incarnation())?;
    tracing::info!(
        sink = %shared.plan.name,
        ordinal = options.ordinal,
        epoch = document.epoch,
        lanes = document.lanes,
        backend = %shared.plan.backend.url,
        "listening"
    );
    shared.ops.set_not_ready("looking for the backend");
    let tasks = [
        tokio::spawn(worker::reach_backend(Arc::clone(&shared))),
        tokio::spawn(watch_control(Arc::clone(&shared), control)),
        tokio::spawn(worker::learn_t0(Arc::clone(&shared))),
        tokio::spawn(worker::watch_stalls(Arc::clone(&shared))),
    ];
    // The server outlives the lanes: it goes on answering 503, and those who wait get their outcome.
    let server_stop = Stop::new();
    let buffer = usize::try_from(shared.plan.buffer.max_bytes.0).unwrap_or(usize::MAX);
    let limits = Limits {
        max_body: lane::MAX_DECODED,
        in_flight: buffer.min(server::IN_FLIGHT),
        grace: Duration::from_secs(2),
        ..Limits::default()
    };
    let service = Arc::new(Service(Arc::clone(&shared)));
    let server = tokio::spawn(server::serve(listener, service, limits, None, None, server_stop.wait()));
    stop.wait().await;
    shared.drain(drain_timeout).await;
    if options.tell_last {
        shared.tell_last().await;
    }
    for task in tasks {
        task.abort();
    }
    server_stop.request();
    server.await.context("server")?;
    let inner = shared.books.open();
    let outcome = Outcome { fatal: inner.fatal.clone(), account: inner.account.clone() };
    drop(inner);
    tracing::info!(delivered = outcome.account.delivered, dropped = ?outcome.account.dropped, "stopped");
    Ok(outcome)
}

/// The first valid document; `None` when the worker was stopped before there was one.
async fn first_document(control: &mut Control, stop: &Stop) -> Option<ownership::ControlDocument> {
    loop {
        match control.poll().await {
            Ok(Some(document)) => return Some(document.clone()),
            Ok(None) => {}
            Err(error) => warn_limited!(CONTROL, "waiting: {error}"),
        }
        tokio::select! {
            () = tokio::time::sleep(worker::POLL) => {}
            () = stop.wait() => return None,
        }
    }
}

async fn watch_control(shared: Arc<Shared>, mut control: Control) {
    let mut obeyed = true;
    loop {
        tokio::time::sleep(worker::POLL).await;
        let news = match control.poll().await {
            Ok(news) => news.is_some(),
            Err(error) => {
                warn_limited!(CONTROL, "not obeyed: {error}");
                false
            }
        };
        if let Some(document) = control.known()
            && (news || !obeyed)
        {
            obeyed = match shared.obey(document) {
                Ok(obeyed) => obeyed,
                Err(error) => {
                    warn_limited!(CONTROL, "not obeyed: {error:#}");
                    false
                }
            };
            if obeyed {
                tracing::info!(epoch = document.epoch, phase = ?document.phase, replicas = document.to, "obeying a new control document");
            }
        }
    }
}
