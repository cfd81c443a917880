//! `/healthz`, `/readyz` and `/metrics` of the operator.

use std::net::SocketAddr;
use std::sync::Arc;

use floodmark_http::server;
use http::{Request, Response, StatusCode};
use telemetry::{Ops, Stop};

/// Serves until the stop.
pub(crate) async fn serve(listen: SocketAddr, ops: Ops, stop: Stop) -> anyhow::Result<()> {
    let listener = server::bind(listen)?;
    let handler = move |request: Request<bytes::Bytes>, _: SocketAddr| {
        let response = ops.handle(&request).unwrap_or_else(|| {
            let mut response = Response::new(bytes::Bytes::from_static(b"not found\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        });
        async move { response }
    };
    let limits = server::Limits { max_body: 4 << 10, max_connections: 64, ..server::Limits::default() };
    server::serve(listener, Arc::new(handler), limits, None, None, stop.wait()).await;
    Ok(())
}
