//! The conductor's HTTP side: documents to fetch, nothing to command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use floodmark_http::server::{self, Limits, json, text};
use floodmark_http::{HeaderValue, Method, Request, Response, StatusCode, header};
use protocol::path;
use serde::Serialize;
use telemetry::{Ops, Stop};

use crate::artifacts;
use crate::state::{Published, Results};

const PATHS: &str =
    "the conductor serves /plan, /phase, /chaos, /progress, /summary, /results, /metrics, /healthz and /readyz";

/// Files and summaries may be large, and anybody may ask: one is read at a time, and the server bounds what is on its way.
static READING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(1);

/// Serves until `stop`.
pub(crate) async fn serve(listener: tokio::net::TcpListener, published: Arc<Published>, ops: Ops, stop: Stop) {
    let handler = Arc::new(move |request: Request<Bytes>, _peer: SocketAddr| {
        let (published, ops) = (Arc::clone(&published), ops.clone());
        async move { answer(&request, &published, &ops).await }
    });
    let limits = Limits { max_body: 64 << 10, ..Limits::default() };
    server::serve(listener, handler, limits, None, None, stop.wait()).await;
}

async fn answer(request: &Request<Bytes>, published: &Published, ops: &Ops) -> Response<Bytes> {
    if let Some(response) = ops.handle(request) {
        return response;
    }
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "the conductor is only read: use GET");
    }
    let large = |path: &str| path == path::SUMMARY || path.starts_with(path::RESULTS);
    // It is never closed.
    let _alone = if large(request.uri().path()) { READING.acquire().await.ok() } else { None };
    match request.uri().path() {
        path::PLAN => published_json(published.plan().as_ref()),
        path::PHASE => published_json(published.phase().as_ref()),
        path::CHAOS => json(&published.chaos()),
        path::PROGRESS => published_json(published.progress_doc().as_ref()),
        path::SUMMARY => match published.results() {
            Some(results) => summary(&results, request.uri().query().unwrap_or_default()),
            None => unfinished(),
        },
        other => match (other.strip_prefix(path::RESULTS), published.results()) {
            (Some(""), Some(results)) => listing(results.folder).await,
            (Some(name), Some(results)) if name.starts_with('/') => file(results.folder, name[1..].to_owned()).await,
            (Some(name), None) if name.is_empty() || name.starts_with('/') => unfinished(),
            _ => text(StatusCode::NOT_FOUND, PATHS),
        },
    }
}

/// 503 while there is no document yet.
fn published_json<T: Serialize>(document: Option<&T>) -> Response<Bytes> {
    document.map_or_else(|| text(StatusCode::SERVICE_UNAVAILABLE, "no run has been planned yet: ask again"), json)
}

fn unfinished() -> Response<Bytes> {
    text(StatusCode::SERVICE_UNAVAILABLE, "the run is not over yet: ask again")
}

/// `?max=BYTES`: with less in it, or 413 when the figures alone are larger.
fn summary(results: &Results, query: &str) -> Response<Bytes> {
    let max = match query.split('&').find_map(|pair| pair.strip_prefix("max=")).map(str::parse) {
        None => usize::MAX,
        Some(Ok(max)) => max,
        Some(Err(_)) => return text(StatusCode::BAD_REQUEST, "max is no number of bytes"),
    };
    match results.summary.capped(max) {
        Ok(Some(body)) => with_type(body.into(), "application/json"),
        Ok(None) => text(StatusCode::PAYLOAD_TOO_LARGE, "the summary does not fit into max bytes: raise it"),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn listing(folder: PathBuf) -> Response<Bytes> {
    match tokio::task::spawn_blocking(move || artifacts::list(&folder)).await {
        Ok(Ok(files)) => json(&files),
        Ok(Err(error)) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Names are taken from the listing only: no path leads out of the folder.
async fn file(folder: PathBuf, name: String) -> Response<Bytes> {
    let read = move || {
        let files = artifacts::list(&folder)?;
        match files.iter().find(|file| file.name == name) {
            Some(file) => std::fs::read(folder.join(&file.name)).map(|content| Some((content, kind(&file.name)))),
            None => Ok(None),
        }
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some((content, kind)))) => with_type(content.into(), kind),
        Ok(Ok(None)) => text(StatusCode::NOT_FOUND, "no such file: GET /results lists them"),
        Ok(Err(error)) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("json") => "application/json",
        Some("html") => "text/html; charset=utf-8",
        Some("xml") => "application/xml",
        _ => "text/plain; charset=utf-8",
    }
}

fn with_type(body: Bytes, kind: &'static str) -> Response<Bytes> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
