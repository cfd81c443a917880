//! A child ends when its parent does, however the parent ended.
//!
//! The child holds the reading end of a pipe whose writing end only the parent has: the kernel closes it with the parent, even after
//! SIGKILL. The kernel's own parent-death signal is no substitute, since it follows the *thread* that forked.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::process::Stdio;

use rustix::pipe::{PipeFlags, pipe_with};

/// Exit status of a process whose parent is gone: inconclusive, since nobody is left to judge.
pub const EXIT_ORPHANED: i32 = 3;

/// The parent's end: as long as it lives, the child does. Dropping it ends the child.
///
/// A child that is stopped (SIGSTOP) ends only once it is continued.
#[derive(Debug)]
pub struct Lifeline {
    _writing_end: OwnedFd,
}

impl Lifeline {
    /// Makes a pipe; the second part is the child's standard input (`Command::stdin`, of std or tokio).
    ///
    /// Both ends are close-on-exec from birth, and only the child's standard input is a copy that is not: no sibling, whenever it is
    /// forked, can inherit the writing end and so keep the pipe open.
    pub fn new() -> io::Result<(Self, Stdio)> {
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok((Self { _writing_end: writing }, Stdio::from(reading)))
    }
}

/// Child side: ends this process with [`EXIT_ORPHANED`] when the pipe at descriptor `fd` closes (0 with [`Lifeline`]).
///
/// Returns at once; a thread of its own waits. An error when `fd` is no pipe: a terminal or `/dev/null` says nothing about a parent.
pub fn end_when_closed(fd: i32) -> io::Result<()> {
    when_closed(fd, || std::process::exit(EXIT_ORPHANED))
}

/// [`end_when_closed`] with another end than `exit`, run on the waiting thread.
pub fn when_closed(fd: i32, end: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // Opened anew rather than adopted: the number is the caller's, and only the caller knows who else uses it.
    let path = format!("/proc/self/fd/{fd}");
    if !std::fs::metadata(&path)?.file_type().is_fifo() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("descriptor {fd} is no pipe: was this process started by its parent?"),
        ));
    }
    let mut pipe = File::open(path)?;
    std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
        let mut byte = [0; 64];
        // Nobody writes; whatever comes is ignored until the end comes.
        loop {
            match pipe.read(&mut byte) {
                Ok(0) => break,
                Err(e) if e.kind() != io::ErrorKind::Interrupted => break,
                Ok(_) | Err(_) => {}
            }
        }
        end();
    })?;
    Ok(())
}
