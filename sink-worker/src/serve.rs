//! The worker's HTTP side: Remote-Write in, its own state out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use floodmark_http::server::{Handler, json, text};
use http::{Method, Request, Response, StatusCode, request};
use ownership::Phase;
use protocol::{CpuUse, WorkerReport, path};

use crate::worker::Shared;
use crate::write::{Reply, write};

/// Routes requests.
pub(crate) struct Service(pub(crate) Arc<Shared>);

impl Handler for Service {
    async fn handle(&self, request: Request<Bytes>, _peer: SocketAddr) -> Response<Bytes> {
        if let Some(response) = self.0.ops.handle(&request) {
            return response;
        }
        let get = request.method() == Method::GET || request.method() == Method::HEAD;
        match request.uri().path() {
            path::WRITE if request.method() == Method::POST => write(&self.0, request).await,
            path::OWNERSHIP if get => json(&self.0.ownership()),
            path::ACCOUNT if get => json(&report(&self.0)),
            path::HISTOGRAMS if get => match self.0.books.histograms() {
                Ok(set) => json(&set),
                Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            },
            path::WRITE | path::OWNERSHIP | path::ACCOUNT | path::HISTOGRAMS => {
                text(StatusCode::METHOD_NOT_ALLOWED, "not with this method\n")
            }
            _ => text(StatusCode::NOT_FOUND, "no such path\n"),
        }
    }

    fn refuse(&self, head: &request::Parts, _peer: SocketAddr) -> Option<Response<Bytes>> {
        if head.uri.path() != path::WRITE || head.method != Method::POST {
            return None;
        }
        let gate = self.0.gate();
        gate.closed().map(|why| {
            self.0.books.metrics().answered(503);
            Reply::none_taken(gate.map().ownership.epoch, why).response()
        })
    }

    fn crowded(&self) -> Response<Bytes> {
        self.0.books.metrics().answered(503);
        Reply::none_taken(self.0.gate().map().ownership.epoch, "too many bytes are in flight").response()
    }
}

/// What `/account` says.
pub(crate) fn report(shared: &Shared) -> WorkerReport {
    let usage = telemetry::cpu::usage();
    let document = shared.document();
    // The document is obeyed after the gate was closed: nothing is taken any more that this could miss.
    let drained = document.phase == Phase::Draining && shared.gate().is_empty();
    let inner = shared.books.open();
    WorkerReport {
        ordinal: shared.ordinal,
        epoch: document.epoch,
        drained: drained.then_some(document.epoch),
        run: inner.run.clone(),
        account: inner.account.clone(),
        closed: shared.closed.load(Relaxed),
        fatal: inner.fatal.clone(),
        unreachable: inner.unreachable.clone(),
        last_error: inner.last_error.clone(),
        stalls: inner.stalls.clone(),
        cpu: CpuUse {
            cpu_seconds: usage.total.as_secs_f64(),
            run_queue_seconds: usage.run_queue_wait.as_secs_f64(),
            wall_seconds: shared.clock.now() as f64 / 1e9,
            rss_bytes: usage.rss_bytes,
        },
    }
}
