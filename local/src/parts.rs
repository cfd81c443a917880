//! Keeps child processes running, restarts them as a kubelet would, and breaks them when asked.

use std::net::SocketAddr;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conductor::UnaskedEnd;
use rustix::process::Signal;
use telemetry::Clock;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use crate::process::{Child, Program, Spawner, describe, last_line};

/// First pause before a lost process is started again; it doubles up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A process that ran this long starts over with the first pause.
const SETTLED: Duration = Duration::from_mins(1);

/// Exit status of a role that cannot use what it was told: starting it again changes nothing.
const REFUSED: i32 = 2;

/// Set once the schedule has begun. A part that ends before was never of use: it is not started again, and the run ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Begun {
    set: Arc<AtomicBool>,
    clock: Clock,
}

impl Begun {
    /// Of a run that goes by this clock.
    pub(crate) fn new(clock: &Clock) -> Self {
        Self { set: Arc::default(), clock: clock.clone() }
    }

    pub(crate) fn set(&self) {
        self.set.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.set.load(Ordering::Relaxed)
    }

    /// By the run's clock.
    pub(crate) fn unix_ms(&self) -> u64 {
        self.clock.unix_ms()
    }
}

/// What a child process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Receiver,
    SinkWorker,
    Generator,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Receiver => "receiver",
            Self::SinkWorker => "sink-worker",
            Self::Generator => "generator",
        }
    }
}

/// What to run and how to treat its end.
#[derive(Debug, Clone)]
pub(crate) struct PartSpec {
    pub(crate) role: Role,
    pub(crate) ordinal: u32,
    pub(crate) program: Program,
    pub(crate) address: SocketAddr,
    /// A lost generator is not started again: what it had sent is not known any more.
    pub(crate) restart: bool,
    /// How long a SIGTERM may take before it becomes a SIGKILL.
    pub(crate) grace: Duration,
}

/// Something done to a process on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// SIGKILL, back after the backoff.
    Kill,
    /// SIGSTOP, and SIGCONT after this long.
    Pause(Duration),
    /// SIGTERM, and a new process as soon as the old one has ended.
    Terminate,
}

/// When a blow fell and when the process was running again, Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlowTimes {
    pub(crate) struck: u64,
    pub(crate) back: Option<u64>,
}

/// Told twice: when the blow fell, and when the process was running again.
type Order = (Blow, mpsc::UnboundedSender<BlowTimes>);

/// A running part under supervision.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) role: Role,
    pub(crate) ordinal: u32,
    pub(crate) address: SocketAddr,
    orders: mpsc::Sender<Order>,
    /// Set once, to the grace of its end.
    stop: watch::Sender<Option<Duration>>,
    state: Arc<Mutex<PartState>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct PartState {
    pub(crate) pid: Option<u32>,
    /// Ends that nobody ordered: Unix milliseconds and how, newest last (the first hundred and the last).
    pub(crate) unasked: Vec<(u64, String)>,
    /// True when it has ended and will not be started again.
    pub(crate) over: bool,
    pub(crate) last_exit: Option<i32>,
    /// The last line of its log at an end that nobody ordered.
    pub(crate) last_words: String,
}

impl Part {
    pub(crate) fn state(&self) -> PartState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How it was lost, in words, if it was.
    pub(crate) fn loss(&self) -> Option<String> {
        let state = self.state();
        let how = state.unasked.last().map_or("cannot be started again", |(_, how)| how.as_str());
        let words = if state.last_words.is_empty() { String::new() } else { format!(": {}", state.last_words) };
        (state.over && !self.left_in_order(&state))
            .then(|| format!("{} {}: {how}{words}; its log is in the results", self.role.as_str(), self.ordinal))
    }

    /// Why it could not use what it was told, if that is how it ended.
    pub(crate) fn refusal(&self) -> Option<String> {
        let state = self.state();
        (state.over && state.last_exit == Some(REFUSED)).then(|| {
            format!("{} {} cannot use its configuration: {}", self.role.as_str(), self.ordinal, state.last_words)
        })
    }

    fn left_in_order(&self, state: &PartState) -> bool {
        leaves_by_itself(self.role, state.last_exit)
    }

    /// Strikes the process as soon as it runs. The receiver is told when the blow fell, and again when the process is back.
    pub(crate) async fn strike(&self, blow: Blow) -> Option<mpsc::UnboundedReceiver<BlowTimes>> {
        let (done, times) = mpsc::unbounded_channel();
        self.orders.send((blow, done)).await.ok()?;
        Some(times)
    }

    /// SIGTERM, then SIGKILL after the grace period (at most the part's own); returns when the process is gone.
    pub(crate) async fn end(&self, grace: Duration) {
        let _ = self.stop.send(Some(grace));
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }

    /// Ends that nobody ordered.
    pub(crate) fn unasked_ends(&self) -> Vec<UnaskedEnd> {
        let ordinal = self.ordinal;
        self.state().unasked.into_iter().map(|(at, how)| UnaskedEnd { ordinal, at, how }).collect()
    }

    pub(crate) async fn start(spawner: &Spawner, spec: PartSpec, begun: Begun) -> std::io::Result<Self> {
        let child = spawner.spawn(spec.program.clone()).await?;
        let (orders, inbox) = mpsc::channel(16);
        let (stop, stopped) = watch::channel(None);
        let state = Arc::new(Mutex::new(PartState { pid: Some(child.pid()), ..PartState::default() }));
        let (role, ordinal, address) = (spec.role, spec.ordinal, spec.address);
        let supervisor =
            Supervisor { spec, spawner: spawner.clone(), state: Arc::clone(&state), backoff: FIRST_BACKOFF, begun };
        let task = Mutex::new(Some(tokio::spawn(supervisor.run(child, inbox, stopped))));
        Ok(Self { role, ordinal, address, orders, stop, state, task })
    }
}

struct Supervisor {
    spec: PartSpec,
    spawner: Spawner,
    state: Arc<Mutex<PartState>>,
    backoff: Duration,
    begun: Begun,
}

/// A generator ends in order once its report was taken.
fn leaves_by_itself(role: Role, exit: Option<i32>) -> bool {
    role == Role::Generator && exit == Some(0)
}

/// What a process is being put through.
struct Pending {
    blow: Blow,
    struck: u64,
    done: mpsc::UnboundedSender<BlowTimes>,
}

impl Pending {
    fn fell(&self) {
        let _ = self.done.send(BlowTimes { struck: self.struck, back: None });
    }

    fn finish(self, back: Option<u64>) {
        let _ = self.done.send(BlowTimes { struck: self.struck, back });
    }
}

enum Next {
    Ended(ExitStatus),
    Order(Order),
    Resume,
    Stop,
}

impl Supervisor {
    async fn run(
        mut self,
        first: Child,
        mut inbox: mpsc::Receiver<Order>,
        mut stop: watch::Receiver<Option<Duration>>,
    ) {
        let mut child = first;
        loop {
            let started = Instant::now();
            let Some((status, pending)) = self.watch(&child, &mut inbox, &mut stop).await else {
                let grace = stop.borrow().unwrap_or_default();
                self.end(&child, grace.min(self.spec.grace)).await;
                break;
            };
            let asked = pending.is_some();
            self.record_end(status, asked);
            let hopeless = !self.spec.restart || !self.begun.is_set() || status.code() == Some(REFUSED);
            if !asked && hopeless {
                break;
            }
            if started.elapsed() > SETTLED {
                self.backoff = FIRST_BACKOFF;
            }
            // A terminated pod is replaced at once; a killed or crashed process waits.
            if !matches!(&pending, Some(Pending { blow: Blow::Terminate, .. })) {
                let wait = self.backoff;
                self.backoff = (wait * 2).min(LONGEST_BACKOFF);
                tokio::select! {
                    () = sleep(wait) => {}
                    _ = stop.wait_for(Option::is_some) => break,
                }
            }
            match self.spawner.spawn(self.spec.program.clone()).await {
                Ok(next) => child = next,
                Err(error) => {
                    warn!(role = self.spec.role.as_str(), ordinal = self.spec.ordinal, %error, "cannot start it again");
                    break;
                }
            }
            self.with_state(|state| state.pid = Some(child.pid()));
            if let Some(pending) = pending {
                let (address, begun) = (self.spec.address, self.begun.clone());
                tokio::spawn(async move { pending.finish(accepts_connections(address, &begun).await) });
            }
        }
        self.with_state(|state| state.over = true);
    }

    /// Until the process ends (with the blow that ended it, if any), or `None` when all is to stop.
    async fn watch(
        &self,
        child: &Child,
        inbox: &mut mpsc::Receiver<Order>,
        stop: &mut watch::Receiver<Option<Duration>>,
    ) -> Option<(ExitStatus, Option<Pending>)> {
        let mut pending: Option<Pending> = None;
        let mut resume: Option<(Instant, Pending)> = None;
        let mut escalate: Option<Instant> = None;
        loop {
            let wake = resume.as_ref().map(|(at, _)| *at).or(escalate);
            let next = tokio::select! {
                status = child.ended() => Next::Ended(status),
                Some(order) = inbox.recv() => Next::Order(order),
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Next::Resume,
                _ = stop.wait_for(Option::is_some) => Next::Stop,
            };
            match next {
                Next::Ended(status) => return Some((status, pending)),
                Next::Stop => {
                    if resume.is_some() {
                        let _ = child.signal(Signal::CONT);
                    }
                    return None;
                }
                Next::Order((blow, done)) => {
                    let struck = Pending { blow, struck: self.begun.unix_ms(), done };
                    info!(role = self.spec.role.as_str(), ordinal = self.spec.ordinal, ?blow, "chaos");
                    let sent = match blow {
                        Blow::Kill => child.kill(),
                        Blow::Terminate => child.signal(Signal::TERM),
                        Blow::Pause(_) => child.signal(Signal::STOP),
                    };
                    match sent {
                        Ok(()) => struck.fell(),
                        Err(error) => warn!(%error, "the signal was not delivered"),
                    }
                    match blow {
                        Blow::Pause(length) => resume = Some((Instant::now() + length, struck)),
                        Blow::Kill => pending = Some(struck),
                        Blow::Terminate => {
                            escalate = Some(Instant::now() + self.spec.grace);
                            pending = Some(struck);
                        }
                    }
                }
                Next::Resume => {
                    if let Some((_, paused)) = resume.take() {
                        let _ = child.signal(Signal::CONT);
                        paused.finish(Some(self.begun.unix_ms()));
                    } else if escalate.take().is_some() {
                        let _ = child.kill();
                    }
                }
            }
        }
    }

    async fn end(&self, child: &Child, grace: Duration) {
        let _ = child.signal(Signal::TERM);
        let _ = child.signal(Signal::CONT);
        if timeout(grace, child.ended()).await.is_err() {
            info!(role = self.spec.role.as_str(), ordinal = self.spec.ordinal, "did not leave in time, killed");
            let _ = child.kill();
            child.ended().await;
        }
        let status = child.exit_status();
        self.with_state(|state| {
            state.pid = None;
            state.last_exit = status.and_then(|status| status.code());
        });
    }

    fn record_end(&self, status: ExitStatus, asked: bool) {
        let text = describe(status);
        let asked = asked || leaves_by_itself(self.spec.role, status.code());
        let last_words = if asked { String::new() } else { last_line(&self.spec.program.log) };
        if !asked {
            warn!(role = self.spec.role.as_str(), ordinal = self.spec.ordinal, status = text, log = %self.spec.program.log.display(), "ended unexpectedly");
        }
        let now = self.begun.unix_ms();
        self.with_state(|state| {
            state.pid = None;
            state.last_exit = status.code();
            if !asked {
                state.unasked.truncate(100);
                state.unasked.push((now, text));
                state.last_words = last_words;
            }
        });
    }

    fn with_state(&self, change: impl FnOnce(&mut PartState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Waits, up to a minute, until something listens at the address again.
async fn accepts_connections(address: SocketAddr, begun: &Begun) -> Option<u64> {
    let deadline = Instant::now() + Duration::from_mins(1);
    while Instant::now() < deadline {
        if tokio::net::TcpStream::connect(address).await.is_ok() {
            return Some(begun.unix_ms());
        }
        sleep(Duration::from_millis(10)).await;
    }
    None
}
