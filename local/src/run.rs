//! One `floodmark run`: every test of the documents, one after the other, or a sink that serves until it is stopped.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::{LoadTestSpec, Object};
use conductor::{Conductor, Outcome, SharedEngine};
use protocol::Progress;
use telemetry::Stop;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::chaos::{ChaosLog, carry_out};
use crate::endpoint::Resolver;
use crate::engine::LocalEngine;
use crate::fleet::{Fleet, end_judged, start_all};
use crate::folders::{self, Folders};
use crate::hosts::Hosts;
use crate::layout::{Builder, Layout};
use crate::parts::Begun;
use crate::plan::lay_out;
use crate::ports::Ports;
use crate::process::Spawner;
use crate::scale::Scaler;
use crate::secrets::{SecretError, Secrets};
use crate::serve::serve;

/// What `floodmark run` was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    pub bundle: api::Bundle,
    /// The documents as YAML, and the command that runs them: only for the reports.
    pub document: String,
    pub command: String,
    /// Folder for reports and logs.
    pub results: PathBuf,
    pub secrets: Secrets,
    pub resolve: Hosts,
    /// Address of sink-worker 0; the others take the ports after it.
    pub listen: Option<SocketAddr>,
    /// Environment of the parts besides the caller's: how they log.
    pub environment: Vec<(&'static str, String)>,
}

impl Options {
    pub(crate) fn resolver(&self) -> Resolver {
        Resolver { secrets: self.secrets.clone(), hosts: self.resolve.clone() }
    }

    /// Whether any sink-worker is started.
    fn has_workers(&self) -> bool {
        let api::Bundle { sinks, load_tests, .. } = &self.bundle;
        let served = load_tests.is_empty() && !sinks.is_empty();
        served || load_tests.iter().any(|test| test.spec.target.sink_ref.is_some())
    }

    /// Tells of arguments that no document asks for, most likely mistyped. Called once everything was laid out.
    pub(crate) fn tell_unused(&self, tell: &(dyn Fn(Event<'_>) + Send + Sync)) {
        let listen = self.listen.filter(|_| !self.has_workers()).map(|address| format!("--listen {address}"));
        for argument in self.secrets.unused().into_iter().chain(self.resolve.unused()).chain(listen) {
            tell(Event::Trouble(&format!("warning: {argument} is not used: nothing that is run asks for it")));
        }
    }
}

/// Why nothing could be run. A run that began always ends in an [`Outcome`].
#[derive(Debug, Error)]
pub enum RunError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("cannot write {}: {}; name another folder for the results with -o DIR", .0.display(), .1)]
    Write(PathBuf, io::Error),
    #[error("cannot start the parts of the run: {0}")]
    Start(io::Error),
    #[error("{0}")]
    Fatal(String),
    #[error("cannot start the conductor: {0:#}")]
    Conductor(anyhow::Error),
}

/// What is told while it goes on.
pub enum Event<'a> {
    /// A test begins.
    Begins {
        name: &'a str,
        run: &'a str,
        conductor: SocketAddr,
    },
    Progress(Progress),
    /// A test is over and its results are written.
    Finished {
        test: &'a Object<LoadTestSpec>,
        outcome: &'a Outcome,
        results: &'a Path,
    },
    /// A test that was not begun, because of what befell an earlier one.
    NotRun {
        test: &'a str,
        why: &'a str,
    },
    /// Something that the user has to know, in words.
    Trouble(&'a str),
    /// No test: a sink (or receiver) serves here until it is stopped.
    Serving {
        sink: &'a str,
        addresses: &'a [String],
    },
}

/// Runs everything; the outcomes are in the order of the tests.
pub fn run(
    options: Options,
    stop: Stop,
    tell: Arc<dyn Fn(Event<'_>) + Send + Sync>,
) -> telemetry::Running<Result<Vec<Outcome>, RunError>> {
    Box::pin(run_all(options, stop, tell))
}

async fn run_all(
    options: Options,
    stop: Stop,
    tell: Arc<dyn Fn(Event<'_>) + Send + Sync>,
) -> Result<Vec<Outcome>, RunError> {
    let spawner = Spawner::start(options.environment.clone()).map_err(RunError::Start)?;
    let tests = &options.bundle.load_tests;
    if tests.is_empty() {
        serve(&options, &spawner, &stop, &*tell).await?;
        return Ok(Vec::new());
    }
    let lock = folders::lock(&options.results)?;
    check(&options)?;
    options.tell_unused(&*tell);
    let several = tests.len() > 1;
    // A single test claims the same folder for itself.
    let _lock = several.then_some(lock);
    let mut outcomes = Vec::new();
    for (done, test) in tests.iter().enumerate() {
        if stop.is_requested() {
            tell_not_run(tests, done, "interrupted", &*tell);
            break;
        }
        let results = if several { options.results.join(test.name_among(tests)) } else { options.results.clone() };
        match Box::pin(run_test(&options, test, results, &spawner, &stop, &tell)).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => {
                tell_not_run(tests, done + 1, &format!("{} could not be run", test.name_among(tests)), &*tell);
                return Err(error);
            }
        }
    }
    Ok(outcomes)
}

fn tell_not_run(tests: &[Object<LoadTestSpec>], from: usize, why: &str, tell: &(dyn Fn(Event<'_>) + Send + Sync)) {
    for test in &tests[from..] {
        tell(Event::NotRun { test: &test.name_among(tests), why });
    }
}

/// Lays all tests out once, so that a mistake in the last one is found before the first one runs.
fn check(options: &Options) -> Result<(), RunError> {
    let control = folders::control(&options.results)?;
    let folders = Folders { control: control.path().to_path_buf(), logs: PathBuf::new() };
    let resolver = options.resolver();
    for test in &options.bundle.load_tests {
        let mut builder = Builder {
            bundle: &options.bundle,
            resolver: &resolver,
            folders: &folders,
            ports: &mut Ports::new(),
            run: None,
            listen: options.listen,
        };
        lay_out(options, test, &mut builder, "")?;
    }
    Ok(())
}

async fn run_test(
    options: &Options,
    test: &Object<LoadTestSpec>,
    results: PathBuf,
    spawner: &Spawner,
    stop: &Stop,
    tell: &Arc<dyn Fn(Event<'_>) + Send + Sync>,
) -> Result<Outcome, RunError> {
    let deadline = Instant::now() + test.spec.effective_deadline();
    let claim = folders::claim(&results)?;
    let resolver = options.resolver();
    let conductor_stop = Stop::new();
    let conductor = Conductor::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), conductor_stop.clone())
        .map_err(RunError::Conductor)?;
    let base = format!("http://{}", conductor.address());
    let mut ports = Ports::new();
    let (bundle, listen) = (&options.bundle, options.listen);
    let mut builder =
        Builder { bundle, resolver: &resolver, folders: &claim.folders, ports: &mut ports, run: None, listen };
    let (layout, plan) = lay_out(options, test, &mut builder, &base)?;
    tell(Event::Begins { name: &plan.name, run: &plan.run, conductor: conductor.address() });

    let begun = Begun::new(conductor.clock());
    let mut parts = Vec::new();
    let Layout { receivers, workers, generators, sink, .. } = layout;
    for specs in [receivers, workers, generators] {
        if let Err(error) = start_all(spawner, specs, &begun, &mut parts).await {
            end_judged(parts.into_iter().map(Box::new).collect(), deadline).await;
            return Err(error);
        }
    }
    let fleet = Arc::new(Fleet::new(parts));
    let log = ChaosLog::default();
    let engine: SharedEngine = Arc::new(LocalEngine { fleet: Arc::clone(&fleet), log: Arc::clone(&log) });
    let (orders, inbox) = mpsc::unbounded_channel();
    let scaler = sink.map(|sink| {
        let (fleet, log, spawner, begun) = (Arc::clone(&fleet), Arc::clone(&log), spawner.clone(), begun.clone());
        tokio::spawn(Scaler { sink, fleet, spawner, begun, log }.run(inbox))
    });
    let chaos = tokio::spawn(carry_out(base, Arc::clone(&fleet), orders, log, begun.clone()));
    let progress = {
        let tell = Arc::clone(tell);
        move |progress: Progress| tell(Event::Progress(progress))
    };
    let outcome = Box::pin(conductor.run(plan, Arc::clone(&engine), stop.clone(), &progress, &results)).await;
    for task in std::iter::once(chaos).chain(scaler) {
        task.abort();
        let _ = task.await;
    }
    drop(engine);
    let refused = if begun.is_set() { None } else { fleet.all().iter().find_map(|part| part.refusal()) };
    // Generators leave when the conductor tells them that their report was taken, so it goes last.
    end_judged(fleet.all(), deadline).await;
    conductor_stop.request();
    if let Some(why) = refused {
        return Err(RunError::Usage(why));
    }
    tell(Event::Finished { test, outcome: &outcome, results: &results });
    Ok(outcome)
}
