//! One handle that says when to end.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Exit status of a process that a second Ctrl-C ends at once.
pub const EXIT_INTERRUPTED: i32 = 130;

/// Why to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// SIGINT: the user's Ctrl-C.
    Interrupt,
    /// SIGTERM, SIGHUP (the terminal is gone) or SIGQUIT.
    Terminate,
    /// Asked for by code.
    Asked,
}

/// A stop that many parts wait for. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Stop(Arc<watch::Sender<Option<Cause>>>);

impl Stop {
    /// Triggered by code only.
    pub fn new() -> Self {
        Self(Arc::new(watch::channel(None).0))
    }

    /// Triggered by SIGTERM, SIGHUP, SIGQUIT, SIGINT and code; a second SIGINT ends the process at once with [`EXIT_INTERRUPTED`],
    /// for the user who does not want to wait for the report. A SIGHUP that is ignored from the start (`nohup`) stays ignored.
    /// Needs a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let stop = Self::new();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut quit = signal(SignalKind::quit())?;
        let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
        let trigger = stop.clone();
        tokio::spawn(async move {
            let mut interrupts = 0;
            loop {
                let cause = tokio::select! {
                    Some(()) = interrupt.recv() => Cause::Interrupt,
                    Some(()) = terminate.recv() => Cause::Terminate,
                    Some(()) = quit.recv() => Cause::Terminate,
                    Some(()) = async { hangup.as_mut()?.recv().await } => Cause::Terminate,
                    else => return,
                };
                trigger.request_for(cause);
                interrupts += u32::from(cause == Cause::Interrupt);
                if interrupts >= 2 {
                    std::process::exit(EXIT_INTERRUPTED);
                }
            }
        });
        Ok(stop)
    }

    /// Triggers it; only the first cause counts.
    pub fn request(&self) {
        self.request_for(Cause::Asked);
    }

    fn request_for(&self, cause: Cause) {
        self.0.send_if_modified(|now| {
            let first = now.is_none();
            if first {
                *now = Some(cause);
            }
            first
        });
    }

    /// What triggered it, if anything did.
    pub fn cause(&self) -> Option<Cause> {
        *self.0.borrow()
    }

    /// Whether it was triggered.
    pub fn is_requested(&self) -> bool {
        self.cause().is_some()
    }

    /// Completes once it was triggered; holds no borrow, so that it can go into tasks and servers.
    pub fn requested(&self) -> impl Future<Output = Cause> + Send + 'static + use<> {
        // The sender must live on: with the last one gone, the wait would end without a cause.
        let (mut receiver, keep) = (self.0.subscribe(), Arc::clone(&self.0));
        async move {
            let cause = receiver.wait_for(Option::is_some).await.ok().and_then(|cause| *cause);
            drop(keep);
            cause.unwrap_or(Cause::Asked)
        }
    }

    /// The same without the cause: what `floodmark_http::server::serve` takes.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let requested = self.requested();
        async move {
            requested.await;
        }
    }
}

/// Whether whoever started this process asked that it survive its terminal.
pub fn ignores_hangup() -> bool {
    const BIT: u64 = 1 << (SignalKind::hangup().as_raw_value() - 1);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & BIT != 0)
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn every_clone_sees_the_first_cause() {
        let stop = Stop::new();
        let mut early = pin!(stop.requested());
        poll_fn(|cx| {
            assert!(early.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(!stop.is_requested());
        stop.clone().request();
        stop.request_for(Cause::Terminate);
        assert_eq!(early.await, Cause::Asked);
        assert_eq!(stop.requested().await, Cause::Asked);
        stop.wait().await;
    }

    #[tokio::test]
    async fn each_signal_that_asks_for_an_end_triggers_it() {
        use rustix::process::{Signal, getpid, kill_process};
        // Under nohup the second is not heard, and is not to be.
        let heard = |signal: &Signal| *signal != Signal::HUP || !ignores_hangup();
        for signal in [Signal::TERM, Signal::HUP, Signal::QUIT].into_iter().filter(heard) {
            let stop = Stop::on_signals().unwrap();
            kill_process(getpid(), signal).unwrap();
            assert_eq!(stop.requested().await, Cause::Terminate, "{signal:?}");
        }
    }
}
