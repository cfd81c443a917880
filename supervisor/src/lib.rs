//! Process 1 of a pod: starts one role, reaps, forwards signals, and breaks it when the control document says so.
//!
//! Knows: one child process, and one object of the Kubernetes API, which it hands to the role as files.
//! Refuses to know: what the role does, and everything else in the cluster.
//! A process that ends unasked ends the container with the same status: restarts, and the words for them, are the kubelet's.
//! `chaos` is pure; `process`, `relay` and `serve` bring it to the kernel and the network; `attend` is the loop around them.

mod attend;
mod chaos;
mod process;
mod relay;
mod serve;
mod state;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use floodmark_http::server;
use telemetry::Stop;

use crate::attend::Supervisor;
use crate::process::{Processes, Signals};
use crate::state::Record;

/// How a role is supervised.
#[derive(Clone, Debug)]
pub struct Options {
    /// The role and its arguments: this very program is started with them.
    pub role: Vec<OsString>,
    /// Where the supervisor itself is asked.
    pub listen: SocketAddr,
    /// Port on loopback at which the role answers once it runs again after a kill; without it, running is enough.
    pub port: Option<u16>,
    /// Which entries of the chaos timeline are meant; without it, none.
    pub ordinal: Option<u32>,
    /// Identity of the pod; without it, one is made up and kept in `folder`.
    pub pod: Option<String>,
    /// Where the supervisor's record, and the documents for the role, are kept: survives the container, not the pod.
    pub folder: Option<PathBuf>,
    /// The object whose documents the role obeys.
    pub control: Option<Control>,
}

/// A `ConfigMap` with the keys `control.json` and, for sinks, `plan.json`.
#[derive(Clone, Debug)]
pub struct Control {
    /// Its name, in the pod's own namespace.
    pub config_map: String,
    /// Base URL of the API server; left out, as the environment of a pod has it.
    pub api_server: Option<String>,
    /// The folder of a service account: `namespace`, `token`, `ca.crt`.
    pub service_account: PathBuf,
}

/// Runs the role until it ends; gives the exit status that the container should have. Takes over this process' signals and reaps
/// all its children, so it has to be the process' only business. Needs a multi-threaded tokio runtime.
pub fn run(options: Options) -> telemetry::Running<anyhow::Result<u8>> {
    Box::pin(supervise(options))
}

async fn supervise(options: Options) -> anyhow::Result<u8> {
    // First of all: as process 1, a signal without a handler is lost.
    let signals = Signals::catch().context("cannot catch signals")?;
    let listener = server::bind(options.listen)?;
    let record = Arc::new(Record::open(options.folder.as_deref(), options.pod.clone())?);
    let stop = Stop::new();
    let server = tokio::spawn(serve::serve(listener, Arc::clone(&record), stop.clone()));
    let processes = Processes::new().context("cannot watch child processes")?;
    let status = Supervisor::new(options, processes, signals, record).run().await;
    stop.request();
    let _ = server.await;
    status
}
