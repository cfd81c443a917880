//! One request and its answer over one open socket, driven by the caller's own task: no task and no wake-up between.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::error::Kind;
use crate::stream::Stream;

/// Bytes of an answer's head, and of one read of its body.
const READ_BUFFER: usize = 64 << 10;

/// A connection that is not ready within it still writes a request that was answered early: a new one is cheaper than the wait.
const READY: Duration = Duration::from_millis(100);

/// An open connection.
pub(super) struct Live {
    sender: http1::SendRequest<Full<Bytes>>,
    wire: http1::Connection<TokioIo<Stream>, Full<Bytes>>,
    /// The wire's future has completed and must not be polled again.
    ended: bool,
    /// The request was handed over: the peer may have seen a part of it.
    pub(super) sent: bool,
    /// The status, once the answer's head is there.
    pub(super) status: Option<u16>,
}

/// Why there is no whole answer.
pub(super) enum Failed {
    /// The connection was found closed before anything of the request was written.
    NotSent,
    Sent(Kind, String),
}

/// Why no more lines are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    Ended,
    Enough,
    TooLong,
}

impl Live {
    pub(super) async fn new(stream: Stream) -> Result<Self, hyper::Error> {
        let (sender, wire) = http1::Builder::new().max_buf_size(READ_BUFFER).handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, wire, ended: false, sent: false, status: None })
    }

    /// Lets hyper read and write. Its own error, if any, was given to the request or the body in flight.
    fn poll_wire(&mut self, cx: &mut Context<'_>) {
        if !self.ended && Pin::new(&mut self.wire).poll(cx).is_ready() {
            self.ended = true;
        }
    }

    /// Sends, and reads the head of the answer.
    pub(super) async fn head(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(http::response::Parts, Incoming), Failed> {
        self.sent = false;
        self.status = None;
        // Polling the idle wire first finds a connection that the peer closed meanwhile, while repeating is still free.
        let ready = poll_fn(|cx| {
            self.poll_wire(cx);
            if self.ended { Poll::Ready(false) } else { self.sender.poll_ready(cx).map(|ready| ready.is_ok()) }
        });
        if !timeout(READY, ready).await.unwrap_or(false) {
            return Err(Failed::NotSent);
        }

        self.sent = true;
        let mut sending = pin!(self.sender.try_send_request(request));
        let (wire, ended) = (&mut self.wire, &mut self.ended);
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(outcome) = sending.as_mut().poll(cx) {
                return Poll::Ready(Some(outcome));
            }
            if !*ended && Pin::new(&mut *wire).poll(cx).is_ready() {
                *ended = true;
            }
            match sending.as_mut().poll(cx) {
                Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                Poll::Pending if *ended => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        let response = match outcome {
            Some(Ok(response)) => response,
            None => return Err(Failed::Sent(Kind::Closed, "closed before an answer".to_owned())),
            Some(Err(mut error)) => {
                if error.take_message().is_some() {
                    self.sent = false;
                    return Err(Failed::NotSent);
                }
                return Err(classify(error.error(), Kind::Closed));
            }
        };

        let (head, body) = response.into_parts();
        self.status = Some(head.status.as_u16());
        Ok((head, body))
    }

    /// False once the connection is of no more use.
    pub(super) fn is_open(&self) -> bool {
        !self.ended
    }

    /// The next bytes of the body; `None` at its end.
    async fn data(&mut self, incoming: &mut Incoming) -> Result<Option<Bytes>, Failed> {
        loop {
            let frame = poll_fn(|cx| {
                if let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) {
                    return Poll::Ready(Some(frame));
                }
                self.poll_wire(cx);
                match Pin::new(&mut *incoming).poll_frame(cx) {
                    Poll::Ready(frame) => Poll::Ready(Some(frame)),
                    Poll::Pending if self.ended => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
            match frame {
                Some(Some(frame)) => match frame.map_err(|e| classify(&e, Kind::Truncated))?.into_data() {
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
                Some(None) => return Ok(None),
                None => return Err(Failed::Sent(Kind::Truncated, "the connection ended inside the body".to_owned())),
            }
        }
    }

    /// The whole body, at most `max` bytes of it; true when there was more.
    pub(super) async fn body(&mut self, mut incoming: Incoming, max: usize) -> Result<(Bytes, bool), Failed> {
        // Most answers are one frame or none, and are kept without a copy.
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(mut data) = self.data(&mut incoming).await? {
            let room = max.saturating_sub(first.len() + rest.len());
            let cut = data.len() > room;
            data.truncate(room);
            if first.is_empty() {
                first = data;
            } else {
                rest.extend_from_slice(&data);
            }
            if cut {
                return Ok((joined(first, &rest), true));
            }
        }
        Ok((joined(first, &rest), false))
    }

    /// Hands on the body line by line, without what ends a line, until `take` has enough.
    pub(super) async fn lines(
        &mut self,
        mut incoming: Incoming,
        idle: Duration,
        max: usize,
        mut take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Lines, Failed> {
        let mut begun = BytesMut::new();
        loop {
            let silent = |_| Failed::Sent(Kind::Timeout, format!("nothing came for {idle:?}"));
            let Some(data) = timeout(idle, self.data(&mut incoming)).await.map_err(silent)?? else {
                let enough = !begun.is_empty() && take(&begun).is_break();
                return Ok(if enough { Lines::Enough } else { Lines::Ended });
            };
            let mut parts = data.split(|byte| *byte == b'\n').peekable();
            while let Some(part) = parts.next() {
                if begun.len() + part.len() > max {
                    return Ok(Lines::TooLong);
                }
                begun.extend_from_slice(part);
                // What follows the last line break is the beginning of a line.
                if parts.peek().is_some() && take(&begun.split()).is_break() {
                    return Ok(Lines::Enough);
                }
            }
        }
    }
}

fn joined(first: Bytes, rest: &BytesMut) -> Bytes {
    if rest.is_empty() {
        return first;
    }
    let mut all = BytesMut::with_capacity(first.len() + rest.len());
    all.extend_from_slice(&first);
    all.extend_from_slice(rest);
    all.freeze()
}

/// Names a hyper error; `ended` is the kind for a peer that just went away at this stage.
fn classify(error: &hyper::Error, ended: Kind) -> Failed {
    let text = chain(error);
    if ended == Kind::Truncated {
        return Failed::Sent(Kind::Truncated, text);
    }
    if error.is_parse() {
        return Failed::Sent(Kind::Protocol, text);
    }
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(cause) = source {
        if cause.is::<rustls::Error>() {
            return Failed::Sent(Kind::Tls, text);
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            // `io::Error::source` skips the error it wraps.
            if io.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>) {
                return Failed::Sent(Kind::Tls, text);
            }
            let kind = match io.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                    Kind::Reset
                }
                _ => ended,
            };
            return Failed::Sent(kind, text);
        }
        source = cause.source();
    }
    Failed::Sent(ended, text)
}

fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
