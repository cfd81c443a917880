//! Child processes as process 1 has them: started here, reaped whoever left them behind, signalled only while they are ours.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::watch;

/// This very program, even if its file was replaced meanwhile.
const PROGRAM: &str = "/proc/self/exe";
/// Tells a role that nobody but the conductor fetches what it says last.
const SUPERVISED: &str = "FLOODMARK_SUPERVISED";

type Table = HashMap<Pid, watch::Sender<Option<ExitStatus>>>;

/// All children of this process. Its lock is held while one is started, signalled or reaped, so that nobody touches a number that
/// belongs to another process by then.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    table: Arc<Mutex<Table>>,
    started: mpsc::Sender<()>,
}

impl Processes {
    /// With a thread that reaps.
    pub(crate) fn new() -> io::Result<Self> {
        let table = Arc::new(Mutex::new(Table::new()));
        let (started, queue) = mpsc::channel();
        let reaped = Arc::clone(&table);
        std::thread::Builder::new().name("reaper".to_owned()).spawn(move || reap(&reaped, &queue))?;
        Ok(Self { table, started })
    }

    /// Starts this program with other arguments, in a process group of its own: Ctrl-C on a terminal is forwarded, not doubled.
    pub(crate) fn start(&self, arguments: &[OsString]) -> io::Result<Child> {
        let mut table = lock(&self.table);
        let child =
            Command::new(PROGRAM).arg0("floodmark").args(arguments).env(SUPERVISED, "true").process_group(0).spawn()?;
        let pid = Pid::from_child(&child);
        let (ended, exit) = watch::channel(None);
        table.insert(pid, ended);
        drop(table);
        // The reaper lives as long as the process.
        let _ = self.started.send(());
        Ok(Child { pid, exit, table: Arc::clone(&self.table) })
    }
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    exit: watch::Receiver<Option<ExitStatus>>,
    table: Arc<Mutex<Table>>,
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal unless the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let table = lock(&self.table);
        if table.contains_key(&self.pid) { Ok(rustix::process::kill_process(self.pid, signal)?) } else { Ok(()) }
    }

    /// Waits for its end. Cancel-safe.
    pub(crate) async fn ended(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        status.unwrap_or_else(|| ExitStatus::from_raw(0))
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reap(table: &Mutex<Table>, started: &mpsc::Receiver<()>) {
    loop {
        match rustix::process::waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Ok(_) => {
                let mut table = lock(table);
                // Nothing, when a start that failed was waited for by whoever tried it.
                if let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG)
                    && let Some(ended) = table.remove(&pid)
                {
                    ended.send_replace(Some(ExitStatus::from_raw(status.as_raw())));
                }
            }
            Err(rustix::io::Errno::CHILD) => {
                if started.recv().is_err() {
                    return;
                }
            }
            Err(_) => {}
        }
    }
}

/// The signals that end a pod, a container or a terminal.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hangup: unix::Signal,
    quit: unix::Signal,
}

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hangup: unix::signal(SignalKind::hangup())?,
            quit: unix::signal(SignalKind::quit())?,
        })
    }

    /// The next one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.hangup.recv() => Signal::HUP,
            _ = self.quit.recv() => Signal::QUIT,
        }
    }
}

/// An end in words: `exit status 3`, `killed by signal 9`.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended without a status".to_owned(),
    }
}

/// The exit status that tells the same of this process, as shells have it.
pub(crate) fn same(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
