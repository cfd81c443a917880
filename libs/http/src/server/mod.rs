//! The server side: a bounded HTTP/1.1 server for small numbers of busy peers.

mod answer;
mod auth;
mod connection;
mod document;
mod exchange;
mod phase;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, request};
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use self::auth::BasicAuth;
pub use self::document::{json, text};
pub use crate::room::{Held, PATIENCE, Room};
pub use crate::tls::{ServerFiles, ServerTls, TlsError};

/// Default of [`Limits::in_flight`].
pub const IN_FLIGHT: usize = 256 << 20;

/// Bounds on what peers may cost. Every one of them ends something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body; 413 above. Default 16 MiB.
    pub max_body: usize,
    /// Bytes of the bodies of all requests together that were not answered yet, and again of all answers that peers have not taken
    /// yet. A request waits [`PATIENCE`] for its share and is answered 503 then. Never less than `max_body`. Default 256 MiB.
    pub in_flight: usize,
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
            in_flight: IN_FLIGHT,
            max_connections: 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(5),
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
    /// Answers a request whose body is whole and within the limit. The body's share of [`Limits::in_flight`], a [`Held`], is in the
    /// request's extensions: whoever keeps the body without counting it keeps that too.
    fn handle(&self, request: Request<Bytes>, peer: SocketAddr) -> impl Future<Output = Response<Bytes>> + Send;

    /// Looks at the head before the body is read; an answer given here refuses the request and its body is never kept.
    fn refuse(&self, _head: &request::Parts, _peer: SocketAddr) -> Option<Response<Bytes>> {
        None
    }

    /// Answers a request for whose body no room came free in time: nothing of it was looked at.
    fn crowded(&self) -> Response<Bytes> {
        exchange::busy()
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
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error: io::Error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!(
                    "port {} is in use by another process; end it or choose another port (0 takes any free one)",
                    address.port()
                )
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("{} is no address of this machine; use 127.0.0.1 or 0.0.0.0", address.ip())
            }
            io::ErrorKind::PermissionDenied => {
                format!("port {} needs privileges; choose one from 1024 on", address.port())
            }
            _ => error.to_string(),
        };
        BindError { address, in_use: error.kind() == io::ErrorKind::AddrInUse, why }
    })
}

/// Connections that wait for `accept`; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 1024;

/// After a failed `accept` (no descriptors left, mostly), so that the loop does not spin until some are free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 21\r\n\r\ntoo many connections\n";

/// Serves until `stop` completes, then lets requests in flight finish within `limits.grace`, and ends.
///
/// Dropping the future cuts every connection.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    limits: Limits,
    tls: Option<ServerTls>,
    basic: Option<BasicAuth>,
    stop: impl Future<Output = ()> + Send,
) -> Served {
    let (stopping, stopped) = watch::channel(false);
    let acceptor = tls.map(|tls| TlsAcceptor::from(tls.config));
    let room = || Room::new(limits.in_flight.max(limits.max_body));
    let (bodies, answers) = (room(), room());
    let context = Arc::new(Context { handler, limits, basic, bodies, answers });
    let mut served = Served::default();
    let mut open = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(ended) = open.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if open.len() >= context.limits.max_connections {
            served.refused += 1;
            tracing::debug!(%peer, limit = context.limits.max_connections, "too many connections");
            if acceptor.is_none() {
                // Best effort: a fresh socket's buffer takes it at once, and the peer retries either way.
                let _ = tcp.try_write(TOO_MANY);
            }
            continue;
        }
        served.connections += 1;
        open.spawn(connection::run(tcp, peer, acceptor.clone(), Arc::clone(&context), stopped.clone()));
    }
    drop(listener);
    stopping.send_replace(true);
    let all_ended = async {
        while let Some(ended) = open.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(context.limits.grace, all_ended).await.is_err() {
        served.cut = open.len() as u64;
        open.shutdown().await;
    }
    served
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a request handler panicked; its connection was closed");
    }
}

/// What all connections of a server share.
struct Context<H> {
    handler: Arc<H>,
    limits: Limits,
    basic: Option<BasicAuth>,
    bodies: Room,
    answers: Room,
}
