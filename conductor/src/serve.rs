//! The conductor's HTTP side: documents to fetch, nothing to command.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use floodmark_http::server::{self, Limits, json, text};
use floodmark_http::{Method, Request, Response, StatusCode};
use protocol::path;
use serde::Serialize;
use telemetry::{Ops, Stop};

use crate::state::Published;

/// Serves until `stop`.
pub(crate) async fn serve(listener: tokio::net::TcpListener, published: Arc<Published>, ops: Ops, stop: Stop) {
    let handler = Arc::new(move |request: Request<Bytes>, _peer: SocketAddr| {
        let answer = answer(&request, &published, &ops);
        async move { answer }
    });
    let limits = Limits { max_body: 64 << 10, ..Limits::default() };
    server::serve(listener, handler, limits, None, None, stop.wait()).await;
}

fn answer(request: &Request<Bytes>, published: &Published, ops: &Ops) -> Response<Bytes> {
    if let Some(response) = ops.handle(request) {
        return response;
    }
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "the conductor is only read: use GET");
    }
    match request.uri().path() {
        path::PLAN => published_json(published.plan().as_ref()),
        path::PHASE => published_json(published.phase().as_ref()),
        path::CHAOS => json(&published.chaos()),
        _ => text(StatusCode::NOT_FOUND, "the conductor serves /plan, /phase, /chaos, /metrics, /healthz and /readyz"),
    }
}

/// 503 while there is no document yet.
fn published_json<T: Serialize>(document: Option<&T>) -> Response<Bytes> {
    document.map_or_else(|| text(StatusCode::SERVICE_UNAVAILABLE, "no run has been planned yet: ask again"), json)
}
