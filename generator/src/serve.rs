//! The generator's HTTP side: documents to fetch, nothing to command.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use floodmark_http::server::{self, Limits, json, text};
use floodmark_http::{Method, Request, Response, StatusCode};
use protocol::path;
use telemetry::Stop;

use crate::shared::Shared;

/// Serves until `stop`.
pub(crate) async fn serve(listener: tokio::net::TcpListener, shared: Arc<Shared>, stop: Stop) {
    let handler = Arc::new(move |request: Request<Bytes>, _peer: SocketAddr| {
        let answer = answer(&request, &shared);
        async move { answer }
    });
    let limits = Limits { max_body: 64 << 10, max_connections: 64, ..Limits::default() };
    server::serve(listener, handler, limits, None, None, stop.wait()).await;
}

fn answer(request: &Request<Bytes>, shared: &Shared) -> Response<Bytes> {
    if let Some(response) = shared.ops.handle(request) {
        return response;
    }
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "a generator is only read: use GET");
    }
    match request.uri().path() {
        path::ACCOUNT => json(&shared.report()),
        path::HISTOGRAMS => match shared.histograms() {
            Ok(set) => json(&set),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        path::SLOTS => json(&shared.slots()),
        _ => text(
            StatusCode::NOT_FOUND,
            "a generator serves /account, /histograms, /slots, /metrics, /healthz and /readyz",
        ),
    }
}
