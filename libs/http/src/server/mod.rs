//! The server side: a bounded HTTP/1.1 server for small numbers of busy peers.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, request};
use thiserror::Error;
use tokio::net::TcpListener;

pub use crate::tls::{ServerFiles, ServerTls, TlsError};

/// Bounds on what peers may cost. Every one of them ends something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body; 413 above. Default 16 MiB.
    pub max_body: usize,
    /// Connections open at a time; one more is answered 503 and closed. Default 1024.
    pub max_connections: usize,
    /// From the first byte of a request's head to its end; the TLS handshake too. Default 10 s.
    pub header_timeout: Duration,
    /// From the end of the head to the end of the body (408), and again for the peer to take the answer. Default 30 s.
    pub body_timeout: Duration,
    /// An idle keep-alive connection is closed after it. Default 5 min, above the 90 s of Go's clients, so that they close first.
    pub idle_timeout: Duration,
    /// Headers of one request; 431 above. Default 64.
    pub max_headers: usize,
    /// After a stop: how long requests in flight may take before they are cut. Default 10 s.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: 16 << 20,
            max_connections: 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            max_headers: 64,
            grace: Duration::from_secs(10),
        }
    }
}

/// Put into a response's extensions to misbehave on purpose instead of answering properly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Abort {
    /// Closes the connection (FIN) without a byte of an answer.
    BeforeAnswer,
    /// Resets the connection (RST) without a byte of an answer.
    Reset,
    /// Sends the head with the body's full length and that many bytes of the body, then closes.
    MidBody(usize),
    /// Sends these bytes instead of an answer, HTTP or not, then closes.
    Raw(Bytes),
    /// Answers nothing and keeps the connection open until the peer or a stop ends it; it does not hold up a graceful stop.
    Hang,
}

/// Answers requests. Implemented by every `Fn(Request<Bytes>, SocketAddr) -> impl Future<Output = Response<Bytes>>`.
///
/// The future is dropped when the peer goes away before its answer, so work that must be finished belongs in a task of its own.
/// How long it takes is the handler's business: nothing here ends a handler but a stop's grace period.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request whose body is whole and within the limit.
    fn handle(&self, request: Request<Bytes>, peer: SocketAddr) -> impl Future<Output = Response<Bytes>> + Send;

    /// Looks at the head before the body is read; an answer given here refuses the request and its body is never kept.
    fn refuse(&self, _head: &request::Parts, _peer: SocketAddr) -> Option<Response<Bytes>> {
        None
    }
}

impl<F, Fut> Handler for F
where
    F: Fn(Request<Bytes>, SocketAddr) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response<Bytes>> + Send,
{
    fn handle(&self, request: Request<Bytes>, peer: SocketAddr) -> impl Future<Output = Response<Bytes>> + Send {
        self(request, peer)
    }
}

/// Who may ask. Compared in constant time.
#[derive(Clone)]
pub struct BasicAuth {
    expected: Vec<u8>,
    open: Vec<String>,
}

impl BasicAuth {
    /// Everything but `/healthz` and `/readyz` needs this user and password.
    pub fn new(_username: &str, _password: &str) -> Self {
        todo!()
    }

    /// The same with other paths that need no credentials.
    #[must_use]
    pub fn with_open_paths(mut self, paths: &[&str]) -> Self {
        self.open = paths.iter().map(|&p| p.to_owned()).collect();
        self
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {why}")]
pub struct BindError {
    /// The address asked for.
    pub address: SocketAddr,
    /// True when something else has the port: exit status 2 on the command line.
    pub in_use: bool,
    why: String,
}

/// What a server did, told when it has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused because there were too many.
    pub refused: u64,
    /// Connections cut because their request outlived the grace period.
    pub cut: u64,
}

/// Listens on `address` with `SO_REUSEADDR`, so that a restart does not wait for old connections. Needs a tokio runtime.
/// Port 0 takes a free one: ask the listener's `local_addr`.
pub fn bind(_address: SocketAddr) -> Result<TcpListener, BindError> {
    todo!()
}

/// Serves until `stop` completes, then lets requests in flight finish within `limits.grace`.
pub async fn serve<H: Handler>(
    _listener: TcpListener,
    _handler: Arc<H>,
    _limits: Limits,
    _tls: Option<ServerTls>,
    _basic: Option<BasicAuth>,
    _stop: impl Future<Output = ()> + Send,
) -> Served {
    todo!()
}
