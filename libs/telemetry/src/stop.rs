//! One handle that says when to end.

use std::future::Future;

/// Why to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// SIGINT: the user's Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// Asked for by code.
    Asked,
}

/// A stop that many parts wait for. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Stop {}

impl Stop {
    /// Triggered by code only.
    pub fn new() -> Self {
        Self {}
    }
    /// Triggered by SIGTERM, SIGINT and code; a second SIGINT ends the process at once with 130. Needs a tokio runtime.
    pub fn on_signals() -> std::io::Result<Self> {
        todo!()
    }
    /// Triggers it; only the first cause counts.
    pub fn request(&self) {}
    pub fn cause(&self) -> Option<Cause> {
        todo!()
    }
    pub fn is_requested(&self) -> bool {
        todo!()
    }
    /// Completes once it was triggered; holds no borrow, so that it can go into tasks and servers.
    pub fn requested(&self) -> impl Future<Output = Cause> + Send + 'static + use<> {
        async { todo!() }
    }
    /// The same without the cause: what `floodmark_http::server::serve` takes.
    pub fn wait(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        async { todo!() }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}
