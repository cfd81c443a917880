//! The loop around the role: start, break, start again, pass signals on, end with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ownership::{ChaosAction, ChaosEntry};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::chaos::{self, Next};
use crate::process::{Child, Processes, Signals, describe, same};
use crate::relay::{Relay, Relayed};
use crate::state::{Record, unix_ms};
use crate::{Control, Options};

/// First pause before a killed process is started again; it doubles up to [`LONGEST_BACKOFF`], as with `floodmark run`.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A process that ran this long starts over with the first pause.
const SETTLED: Duration = Duration::from_mins(1);
/// The clock may be set: the timeline is looked at again after this at the latest.
const LOOK: Duration = Duration::from_millis(500);
/// How long the role may take to answer again after a kill.
const BACK: Duration = Duration::from_mins(1);

pub(crate) struct Supervisor {
    options: Options,
    processes: Processes,
    signals: Signals,
    record: Arc<Record>,
    backoff: Duration,
    /// Somebody asked for the end: nothing is started or broken any more.
    ending: bool,
}

/// The object that is followed for as long as a process obeys it.
struct Followed {
    latest: watch::Receiver<Relayed>,
    task: JoinHandle<()>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a process goes through.
#[derive(Default)]
struct Blows {
    killed: bool,
    /// Entries after which it is not back yet.
    open: Vec<u64>,
    /// When it goes on, and after which entries.
    paused: Option<(Instant, Vec<u64>)>,
}

impl Supervisor {
    pub(crate) fn new(options: Options, processes: Processes, signals: Signals, record: Arc<Record>) -> Self {
        Self { options, processes, signals, record, backoff: FIRST_BACKOFF, ending: false }
    }

    /// The exit status that the container should have.
    pub(crate) async fn run(mut self) -> anyhow::Result<u8> {
        let mut open: Vec<u64> = Vec::new();
        loop {
            let followed = match self.options.control.clone() {
                None => None,
                Some(control) => match self.follow(&control).await? {
                    Some(followed) => Some(followed),
                    None => return Ok(0),
                },
            };
            let child = self.processes.start(&self.options.role).context("cannot start the role")?;
            self.record.started(child.pid());
            let started = Instant::now();
            if !open.is_empty() {
                tokio::spawn(tell_back(Arc::clone(&self.record), self.options.port, std::mem::take(&mut open)));
            }
            let (status, blows) = self.attend(&child, followed.as_ref()).await;
            self.record.gone();
            drop(followed);
            if self.ending {
                return Ok(same(status));
            }
            if !blows.killed {
                let how = describe(status);
                tracing::warn!(how, "the role ended by itself");
                self.record.ended(&how);
                return Ok(same(status));
            }
            open = blows.open;
            if started.elapsed() > SETTLED {
                self.backoff = FIRST_BACKOFF;
            }
            let wait = self.backoff;
            self.backoff = (wait * 2).min(LONGEST_BACKOFF);
            tokio::select! {
                () = sleep(wait) => {}
                _ = self.signals.next() => return Ok(0),
            }
        }
    }

    /// Reads the object afresh and goes on following it; `None` when the end was asked for first.
    async fn follow(&mut self, control: &Control) -> anyhow::Result<Option<Followed>> {
        let into = self.options.folder.as_deref().context("a control document needs a folder to be written to")?;
        let mut relay = Relay::new(control, into);
        let first = tokio::select! {
            first = relay.fresh() => first,
            _ = self.signals.next() => return Ok(None),
        };
        self.record.relayed(&first.revision);
        tracing::info!(revision = first.revision, "read the control document");
        let (news, latest) = watch::channel(first);
        Ok(Some(Followed { latest, task: tokio::spawn(relay.follow(news)) }))
    }

    /// Until the process ends.
    async fn attend(&mut self, child: &Child, followed: Option<&Followed>) -> (ExitStatus, Blows) {
        let mut latest = followed.map(|followed| followed.latest.clone());
        let mut blows = Blows::default();
        loop {
            let resume = blows.paused.as_ref().map(|(at, _)| *at);
            let wait = self.strike_due(child, latest.as_mut(), &mut blows);
            tokio::select! {
                status = child.ended() => {
                    blows.open.extend(blows.paused.take().into_iter().flat_map(|(_, ids)| ids));
                    return (status, blows);
                }
                signal = self.signals.next() => {
                    self.ending = true;
                    tell(child, signal);
                    if blows.paused.take().is_some() {
                        tell(child, Signal::CONT);
                    }
                }
                () = sleep_until(resume.unwrap_or_else(Instant::now)), if resume.is_some() => {
                    if let Some((_, ids)) = blows.paused.take() {
                        tell(child, Signal::CONT);
                        self.record.back(&ids);
                    }
                }
                () = sleep(wait) => {}
                () = changed(latest.as_mut()) => {}
            }
        }
    }

    /// Carries out what is due; says when to look again.
    fn strike_due(
        &mut self,
        child: &Child,
        latest: Option<&mut watch::Receiver<Relayed>>,
        blows: &mut Blows,
    ) -> Duration {
        let Some(latest) = latest else { return LOOK };
        let relayed = latest.borrow_and_update().clone();
        self.record.relayed(&relayed.revision);
        let Some(ordinal) = self.options.ordinal else { return LOOK };
        // A killed process is gone in a moment; what is due meanwhile falls on the next one.
        while !self.ending && !blows.killed {
            let done = |id| self.record.is_done(id);
            match chaos::next(&relayed.chaos, ordinal, done, self.record.first_start(), unix_ms()) {
                Next::Strike(entry) => self.strike(child, entry, blows),
                Next::Wait(ms) => return LOOK.min(Duration::from_millis(ms)),
                Next::Nothing => break,
            }
        }
        LOOK
    }

    fn strike(&self, child: &Child, entry: &ChaosEntry, blows: &mut Blows) {
        tracing::info!(id = entry.id, action = ?entry.action, "chaos");
        self.record.executed(entry.id);
        match entry.action {
            ChaosAction::Kill => {
                tell(child, Signal::KILL);
                blows.killed = true;
                blows.open.push(entry.id);
            }
            ChaosAction::Pause { for_ms } => {
                tell(child, Signal::STOP);
                let until = Instant::now() + Duration::from_millis(for_ms);
                // Stopped once more, it goes on when both are over.
                let (at, ids) = blows.paused.get_or_insert((until, Vec::new()));
                *at = (*at).max(until);
                ids.push(entry.id);
            }
            // `chaos::next` gives no other.
            ChaosAction::Terminate | ChaosAction::Restart => {}
        }
    }
}

fn tell(child: &Child, signal: Signal) {
    if let Err(error) = child.signal(signal) {
        tracing::warn!(%error, ?signal, "the signal was not delivered");
    }
}

async fn changed(latest: Option<&mut watch::Receiver<Relayed>>) {
    if let Some(latest) = latest
        && latest.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Notes when the role answers again, or runs if it has no port.
async fn tell_back(record: Arc<Record>, port: Option<u16>, ids: Vec<u64>) {
    let deadline = Instant::now() + BACK;
    if let Some(port) = port {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        while !answers(address).await {
            if Instant::now() > deadline {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
    record.back(&ids);
}

async fn answers(address: SocketAddr) -> bool {
    // A port that nobody listens on can be connected to itself.
    TcpStream::connect(address).await.is_ok_and(|stream| stream.local_addr().ok() != stream.peer_addr().ok())
}
