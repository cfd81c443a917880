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
        let shared = Arc::clone(&shared);
        async move { answer(&request, shared).await }
    });
    let limits = Limits { max_body: 64 << 10, max_connections: 64, ..Limits::default() };
    server::serve(listener, handler, limits, None, None, stop.wait()).await;
}

async fn answer(request: &Request<Bytes>, shared: Arc<Shared>) -> Response<Bytes> {
    if let Some(response) = shared.ops.handle(request) {
        return response;
    }
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "a generator is only read: use GET");
    }
    let document: fn(&Shared) -> Response<Bytes> = match request.uri().path() {
        path::ACCOUNT => |shared| json(&shared.report()),
        path::HISTOGRAMS => |shared| match shared.histograms() {
            Ok(set) => json(&set),
            Err(error) => internal(&error),
        },
        path::SLOTS => |shared| json(&shared.slots()),
        _ => {
            return text(
                StatusCode::NOT_FOUND,
                "a generator serves /account, /histograms, /slots, /metrics, /healthz and /readyz",
            );
        }
    };
    // After a long run they take milliseconds to write, which no lane has to spare.
    tokio::task::spawn_blocking(move || document(&shared)).await.unwrap_or_else(|error| internal(&error))
}

fn internal(error: &dyn std::error::Error) -> Response<Bytes> {
    text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
}
