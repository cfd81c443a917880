//! One accepted connection, from its TLS handshake to its end.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::exchange::answer;
use super::phase::{Phase, Watch, Watched};
use super::{Context, Handler, Limits};
use crate::stream::Stream;

/// Most of a connection's read and write buffer, and so of a head. No more than that, since connections that are idle keep it, and
/// there may be 1024 of them.
const BUFFER: usize = 128 << 10;

/// How long a refused peer may go on sending before the socket is closed under it.
const LINGER: Duration = Duration::from_secs(2);

enum End {
    /// hyper is done with it.
    Finished,
    /// A fault or a limit ends it.
    Closed,
}

pub(super) async fn run<H: Handler>(
    tcp: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    context: Arc<Context<H>>,
    mut stopped: Receiver<bool>,
) {
    let limits = &context.limits;
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let stream = match acceptor {
        None => Stream::Plain(tcp),
        Some(acceptor) => tokio::select! {
            _ = stopped.wait_for(|&stop| stop) => return,
            accepted = timeout(limits.header_timeout, acceptor.accept(tcp)) => match accepted {
                Ok(Ok(tls)) => Stream::Tls(Box::new(tls.into())),
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "TLS handshake failed");
                    return;
                }
                Err(_) => return,
            },
        },
    };
    let watch = Watch::new();
    let service = service_fn({
        let (context, watch) = (Arc::clone(&context), Arc::clone(&watch));
        move |request| answer(Arc::clone(&context), Arc::clone(&watch), peer, request)
    });
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_headers(limits.max_headers)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Watched { stream, watch: Arc::clone(&watch) }), service);

    let mut stop = pin!(async move {
        // An error means that the server itself is gone: a stop too.
        let _ = stopped.wait_for(|&stop| stop).await;
    });
    let mut stopping = false;
    let tick = tick(limits);
    let mut timer = pin!(sleep(tick));
    let end = poll_fn(|cx| {
        loop {
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                if let Err(error) = result {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                return Poll::Ready(End::Finished);
            }
            if watch.must_close() {
                return Poll::Ready(End::Closed);
            }
            while timer.as_mut().poll(cx).is_ready() {
                if watch.expired(limits) {
                    return Poll::Ready(End::Closed);
                }
                timer.as_mut().reset(Instant::now() + tick);
            }
            if stopping || stop.as_mut().poll(cx).is_pending() {
                if stopping && watch.is(Phase::Hanging) {
                    return Poll::Ready(End::Closed);
                }
                return Poll::Pending;
            }
            stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
    })
    .await;

    let mut stream = connection.into_parts().io.into_inner().stream;
    if watch.wants_reset() {
        let _ = stream.tcp().set_zero_linger();
        return;
    }
    if let Some(raw) = watch.take_raw() {
        let _ = timeout(limits.body_timeout, async {
            stream.write_all(&raw).await?;
            stream.shutdown().await
        })
        .await;
    } else if matches!(end, End::Finished) && watch.wants_linger() {
        let _ = timeout(LINGER, drain(&mut stream)).await;
    }
}

/// Reads until the peer closes, so that its kernel does not throw the answer away on a reset.
async fn drain(stream: &mut Stream) {
    let mut sink = vec![0; 16 << 10];
    while stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
}

/// How often limits are looked at: they end a connection at most a quarter of the shortest (or a second) late.
fn tick(limits: &Limits) -> Duration {
    let shortest = limits.header_timeout.min(limits.body_timeout).min(limits.idle_timeout);
    (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
}
