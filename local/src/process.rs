//! Child processes that never outlive this one.
//!
//! Two ties, since either alone has a hole. The child's stdin is a pipe held open here: it closes however this process
//! ends, and the child leaves on reading its end; a *stopped* child cannot read, so the kernel also kills it when the
//! thread that started it ends. That thread is `Spawner`'s own and lives as long as the process.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal};
use tokio::sync::{oneshot, watch};

/// What to start: this program with other arguments.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) arguments: Vec<OsString>,
    /// Standard output and error of the child go to the end of this file.
    pub(crate) log: PathBuf,
}

/// A started child. Dropping it does not end the child: call [`Child::kill`].
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    exit: watch::Receiver<Option<ExitStatus>>,
    // Held open for as long as the child may run.
    _stdin: std::process::ChildStdin,
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal unless the child has ended and was reaped: its number may belong to somebody else by then.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.exit.borrow().is_some() {
            return Ok(());
        }
        rustix::process::kill_process(self.pid, signal).map_err(io::Error::from)
    }

    pub(crate) fn kill(&self) -> io::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Waits for the end of the child. Cancel-safe.
    pub(crate) async fn ended(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await.ok().and_then(|status| *status);
        status.unwrap_or_else(|| ExitStatus::from_raw(0))
    }

    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        *self.exit.borrow()
    }
}

type Request = (Program, oneshot::Sender<io::Result<Child>>);

/// Starts children from one thread that lives as long as the process.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    requests: mpsc::Sender<Request>,
}

impl Spawner {
    /// `environment` is what the children get besides their parent's.
    pub(crate) fn start(environment: Vec<(&'static str, String)>) -> io::Result<Self> {
        let executable = std::env::current_exe()?;
        let (requests, queue) = mpsc::channel::<Request>();
        thread::Builder::new().name("spawner".into()).spawn(move || {
            while let Ok((program, answer)) = queue.recv() {
                // A caller that no longer waits drops the child's stdin with the answer, which ends the child.
                let _ = answer.send(spawn(&executable, &program, &environment));
            }
            // The senders are gone only when the run is over; stay, since this thread's end kills the children.
            loop {
                thread::park();
            }
        })?;
        Ok(Self { requests })
    }

    pub(crate) async fn spawn(&self, program: Program) -> io::Result<Child> {
        let (answer, child) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes has ended");
        self.requests.send((program, answer)).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}

fn spawn(executable: &Path, program: &Program, environment: &[(&str, String)]) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(&program.log)?;
    let mut command = Command::new(executable);
    command
        .args(&program.arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C on the terminal is for this process alone: it ends the children in order.
        .process_group(0);
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only two system calls run, both async-signal-safe, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have ended before the line above.
            if rustix::process::getppid() == Some(parent) { Ok(()) } else { Err(io::Error::from_raw_os_error(3)) }
        });
    }
    let mut child = command.spawn()?;
    let Some(stdin) = child.stdin.take() else {
        return Err(io::Error::other("the child has no standard input"));
    };
    let pid = Pid::from_child(&child);
    let (ended, exit) = watch::channel(None);
    thread::Builder::new().name(format!("wait-{}", child.id())).stack_size(64 * 1024).spawn(move || {
        let status = child.wait().unwrap_or_else(|_| ExitStatus::from_raw(0));
        let _ = ended.send(Some(status));
    })?;
    Ok(Child { pid, exit, _stdin: stdin })
}

/// An exit in words: `exit status 3`, `killed by signal 9`.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended without a status".into(),
    }
}

/// What a child said last, shortened; empty when it said nothing. A role's error comes after its name.
pub(crate) fn last_line(log: &Path) -> String {
    const TAIL: u64 = 4096;
    const LONGEST: usize = 400;
    let read = || {
        let mut file = File::open(log)?;
        let end = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(end.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let error = lines.clone().find_map(|line| line.strip_prefix("floodmark: "));
    error.or_else(|| lines.next()).unwrap_or_default().chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_the_error_or_else_the_last_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert_eq!(last_line(&log), "");
        std::fs::write(&log, "x\n".repeat(9000) + "INFO ready\n\n").unwrap();
        assert_eq!(last_line(&log), "INFO ready");
        std::fs::write(&log, "INFO ready\nfloodmark: no such key\nWARN late\n").unwrap();
        assert_eq!(last_line(&log), "no such key");
    }
}
