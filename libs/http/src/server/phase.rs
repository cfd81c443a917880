//! Where a connection stands, seen from its socket, and how long it may stand there.
//!
//! hyper's own header timeout also runs while a kept connection is idle, which would close it under a slow sender; here idle time and
//! head time are two limits, and the time a peer takes to accept its answer is a third.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Held, Limits};
use crate::stream::Stream;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Between two requests.
    Idle,
    /// A request's head has begun (or the connection is fresh).
    Head,
    /// The body comes in (its limit answers 408), or the handler works.
    Busy,
    /// A fault: nothing will be answered.
    Hanging,
    /// The handler is done, the peer takes the answer.
    Answering,
}

/// One connection's state. Only its own task touches it; the atomics are there to be `Send`, not to synchronise.
pub(super) struct Watch {
    born: Instant,
    phase: AtomicU8,
    since_ms: AtomicU64,
    /// All of the answer was handed to hyper.
    answered: AtomicBool,
    /// Close once what was handed to hyper is on the wire.
    close_when_flushed: AtomicBool,
    /// Close now.
    close: AtomicBool,
    /// The peer may still be sending: take its bytes for a moment, or the reset would overtake the answer.
    linger: AtomicBool,
    raw: Mutex<Option<Bytes>>,
    reset: AtomicBool,
    /// Room of an answer that is on its way, and whether there is one.
    holds: AtomicBool,
    held: Mutex<Option<Held>>,
}

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            phase: AtomicU8::new(Phase::Head as u8),
            since_ms: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            close_when_flushed: AtomicBool::new(false),
            close: AtomicBool::new(false),
            linger: AtomicBool::new(false),
            raw: Mutex::new(None),
            reset: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            held: Mutex::new(None),
        })
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.since_ms.store(self.born.elapsed().as_millis() as u64, Relaxed);
        if phase == Phase::Answering {
            self.answered.store(false, Relaxed);
        }
    }

    pub(super) fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    pub(super) fn expired(&self, limits: &Limits) -> bool {
        let limit = if self.is(Phase::Idle) {
            limits.idle_timeout
        } else if self.is(Phase::Head) {
            limits.header_timeout
        } else if self.is(Phase::Answering) {
            limits.body_timeout
        } else {
            return false;
        };
        self.born.elapsed() > Duration::from_millis(self.since_ms.load(Relaxed)) + limit
    }

    pub(super) fn answer_handed_over(&self) {
        self.answered.store(true, Relaxed);
    }

    pub(super) fn close_now(&self) {
        self.close.store(true, Relaxed);
    }

    pub(super) fn close_when_flushed(&self) {
        self.close_when_flushed.store(true, Relaxed);
    }

    pub(super) fn must_close(&self) -> bool {
        self.close.load(Relaxed)
    }

    pub(super) fn reset(&self) {
        self.reset.store(true, Relaxed);
        self.close_now();
    }

    pub(super) fn wants_reset(&self) -> bool {
        self.reset.load(Relaxed)
    }

    pub(super) fn linger(&self) {
        self.linger.store(true, Relaxed);
    }

    pub(super) fn wants_linger(&self) -> bool {
        self.linger.load(Relaxed)
    }

    pub(super) fn send_raw(&self, bytes: Bytes) {
        *self.raw.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
        self.close_now();
    }

    pub(super) fn take_raw(&self) -> Option<Bytes> {
        self.raw.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps the room of an answer until the peer has taken it, or is gone.
    pub(super) fn hold(&self, held: Held) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        self.holds.store(true, Relaxed);
    }

    fn flushed(&self) {
        if self.close_when_flushed.load(Relaxed) {
            self.close_now();
        }
        if self.answered.load(Relaxed) && self.is(Phase::Answering) {
            self.enter(Phase::Idle);
            if self.holds.swap(false, Relaxed) {
                *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        }
    }
}

/// A socket that tells its [`Watch`] what happens on it.
pub(super) struct Watched {
    pub(super) stream: Stream,
    pub(super) watch: Arc<Watch>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() && buf.filled().len() > before && self.watch.is(Phase::Idle) {
            self.watch.enter(Phase::Head);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(polled, Poll::Ready(Ok(()))) {
            // hyper flushes only what it has written out entirely.
            self.watch.flushed();
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
