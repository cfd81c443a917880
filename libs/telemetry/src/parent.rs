//! A child ends when its parent does, however the parent ended.

use std::io;
use std::process::Stdio;

/// Exit status of a process whose parent is gone: inconclusive, since nobody is left to judge.
pub const EXIT_ORPHANED: i32 = 3;

/// The parent's end: as long as it lives, the child does. Dropping it ends the child.
pub struct Lifeline {}

impl Lifeline {
    /// Makes a pipe; the second part is the child's standard input (`Command::stdin`), so that only that child inherits it.
    pub fn new() -> io::Result<(Self, Stdio)> {
        todo!()
    }
}

/// Child side: ends this process with [`EXIT_ORPHANED`] when the pipe at descriptor `fd` closes (0 with [`Lifeline`]).
pub fn end_when_closed(_fd: i32) -> io::Result<()> {
    todo!()
}
