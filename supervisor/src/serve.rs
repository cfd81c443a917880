//! What the supervisor answers: the role's own port says nothing while the role is stopped or dead.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use floodmark_http::server::{self, Limits, json, text};
use floodmark_http::{Method, Request, StatusCode};
use protocol::path;
use telemetry::{Ops, Registry, Stop};

use crate::state::Record;

/// Serves until `stop`.
pub(crate) async fn serve(listener: tokio::net::TcpListener, record: Arc<Record>, stop: Stop) {
    let ops = Ops::new(Registry::new());
    register(ops.registry(), &record);
    ops.set_ready();
    let handler = Arc::new(move |request: Request<Bytes>, _peer: SocketAddr| {
        let answer = ops.handle(&request).unwrap_or_else(|| match (request.uri().path(), request.method()) {
            (path::SUPERVISOR, &Method::GET) => json(&record.report()),
            (path::SUPERVISOR, _) => text(StatusCode::METHOD_NOT_ALLOWED, "the supervisor is only read: use GET\n"),
            _ => text(StatusCode::NOT_FOUND, "the supervisor serves /supervisor, /metrics, /healthz and /readyz\n"),
        });
        async move { answer }
    });
    let limits = Limits { max_body: 4 << 10, max_connections: 64, ..Limits::default() };
    server::serve(listener, handler, limits, None, None, stop.wait()).await;
}

fn register(registry: &Registry, record: &Arc<Record>) {
    let up = Arc::clone(record);
    registry.gauge_fn("floodmark_supervisor_role_up", "1 while the role's process runs, else 0.", &[], move || {
        f64::from(u8::from(up.report().child.is_some()))
    });
    let chaos = Arc::clone(record);
    registry.counter_fn(
        "floodmark_supervisor_chaos_total",
        "Entries of the chaos timeline carried out in this pod.",
        &[],
        move || chaos.report().executed.len() as f64,
    );
    let ends = Arc::clone(record);
    registry.counter_fn(
        "floodmark_supervisor_unasked_ends_total",
        "Ends of the role's process that nobody asked for, in this pod.",
        &[],
        move || ends.report().ends.len() as f64,
    );
}
