//! Peers for the tests: real sockets on loopback, in any state of manners.
#![allow(dead_code, clippy::unused_async, reason = "each test binary uses a part; a handler is asynchronous")]

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use floodmark_http::client::{Connection, Endpoint};
use floodmark_http::server::{self, BasicAuth, Handler, Limits, Served, ServerTls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Nothing here takes as long, unless it hangs.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Gives each accepted socket and its number to `script`, one after the other.
pub(crate) async fn raw_server<F, Fut>(script: F) -> SocketAddr
where
    F: Fn(usize, TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (socket, _) = listener.accept().await.unwrap();
            script(number, socket).await;
        }
    });
    address
}

/// Reads one request with a body of known length; false when the peer closed.
pub(crate) async fn read_request(socket: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
            let length =
                head.split("content-length: ").nth(1).map_or(0, |t| t.lines().next().unwrap().trim().parse().unwrap());
            if seen.len() >= end + 4 + length {
                return true;
            }
        }
        match socket.read(&mut chunk).await {
            Ok(n) if n > 0 => seen.extend_from_slice(&chunk[..n]),
            _ => return false,
        }
    }
}

pub(crate) async fn answer(socket: &mut TcpStream, bytes: &[u8]) {
    // The peer may have gone: its business.
    let _ = socket.write_all(bytes).await;
}

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::new(format!("http://{address}/api/v1/write")).with_timeout(SOON)
}

pub(crate) fn connection(address: SocketAddr) -> Connection {
    Connection::new(&endpoint(address)).unwrap()
}

/// A server of ours.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Served>,
}

impl Server {
    pub(crate) fn start<H: Handler>(handler: H, limits: Limits) -> Self {
        Self::start_with(handler, limits, None, None)
    }

    pub(crate) fn start_with<H: Handler>(
        handler: H,
        limits: Limits,
        tls: Option<ServerTls>,
        basic: Option<BasicAuth>,
    ) -> Self {
        let listener = server::bind(any_port()).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(server::serve(listener, Arc::new(handler), limits, tls, basic, async {
            let _ = stopped.await;
        }));
        Self { address, stop, ended }
    }

    pub(crate) async fn stop(self) -> Served {
        let _ = self.stop.send(());
        tokio::time::timeout(SOON, self.ended).await.unwrap().unwrap()
    }
}

/// Everything until the peer closes or resets.
pub(crate) async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut chunk = [0; 4096];
    tokio::time::timeout(SOON, async {
        while let Ok(n @ 1..) = socket.read(&mut chunk).await {
            all.extend_from_slice(&chunk[..n]);
        }
    })
    .await
    .expect("the peer neither closed nor reset");
    String::from_utf8(all).unwrap()
}

/// What was asked, as text.
pub(crate) async fn echo(
    request: floodmark_http::Request<Bytes>,
    _peer: SocketAddr,
) -> floodmark_http::Response<Bytes> {
    let text = format!("{} {} {} bytes", request.method(), request.uri(), request.body().len());
    floodmark_http::Response::new(Bytes::from(text))
}

/// The head of an answer, and maybe the beginning of its body.
pub(crate) async fn read_to_end_of_head(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut chunk = [0; 512];
    tokio::time::timeout(SOON, async {
        while !all.windows(4).any(|w| w == b"\r\n\r\n") {
            match socket.read(&mut chunk).await {
                Ok(n @ 1..) => all.extend_from_slice(&chunk[..n]),
                _ => break,
            }
        }
    })
    .await
    .expect("no answer");
    String::from_utf8_lossy(&all).into_owned()
}
