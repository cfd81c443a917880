//! One `floodmark run`: every test of the documents, one after the other, or a sink that serves until it is stopped.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::{LoadTestSpec, Object};
use conductor::{
    Conductor, ConductorPlan, Engine, ExecutedChaos, Outcome, Progress, ReadBackKind, ReadBackPlan, SharedEngine,
    UnaskedEnd,
};
use protocol::Target;
use telemetry::Stop;
use thiserror::Error;

use crate::chaos::{ChaosLog, carry_out};
use crate::endpoint::Resolver;
use crate::layout::{Builder, Folders, Layout};
use crate::parts::{Part, PartSpec, Role};
use crate::ports::Ports;
use crate::process::Spawner;
use crate::secrets::{SecretError, Secrets};
use crate::serve::serve;

/// How long parts and target may take to be ready, unless the test's deadline is earlier.
const READY: Duration = Duration::from_mins(1);
/// How long a part may take to leave after the verdict: what it still holds can change nothing any more.
pub(crate) const JUDGED: Duration = Duration::from_secs(3);

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
    /// `--resolve HOST=ADDR`.
    pub resolve: BTreeMap<String, String>,
    /// Address of sink-worker 0; the others take the ports after it.
    pub listen: Option<SocketAddr>,
}

/// Why nothing could be run. A run that began always ends in an [`Outcome`].
#[derive(Debug, Error)]
pub enum RunError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("cannot write {}: {}", .0.display(), .1)]
    Write(PathBuf, #[source] io::Error),
    #[error("cannot start the parts of the run: {0}")]
    Start(#[source] io::Error),
    #[error("{0}")]
    Fatal(String),
    #[error("cannot start the conductor: {0}")]
    Conductor(#[source] anyhow::Error),
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
        results: &'a std::path::Path,
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
pub async fn run(
    options: Options,
    stop: Stop,
    tell: Arc<dyn Fn(Event<'_>) + Send + Sync>,
) -> Result<Vec<Outcome>, RunError> {
    let spawner = Spawner::start().map_err(RunError::Start)?;
    if options.bundle.load_tests.is_empty() {
        serve(&options, &spawner, &stop, &*tell).await?;
        return Ok(Vec::new());
    }
    let several = options.bundle.load_tests.len() > 1;
    let mut outcomes = Vec::new();
    for (index, test) in options.bundle.load_tests.iter().enumerate() {
        if stop.is_requested() {
            let names: Vec<&str> = options.bundle.load_tests[index..].iter().map(|test| test.name.as_str()).collect();
            tell(Event::Trouble(&format!("interrupted, so not run: {}", names.join(", "))));
            break;
        }
        let results = if several { options.results.join(&test.name) } else { options.results.clone() };
        outcomes.push(Box::pin(run_test(&options, test, results, &spawner, &stop, &tell)).await?);
    }
    Ok(outcomes)
}

/// Makes the folders of a run; fails early where results could not be written at its end.
pub(crate) fn folders(results: &std::path::Path) -> Result<(Folders, tempfile::TempDir), RunError> {
    let logs = results.join("logs");
    std::fs::create_dir_all(&logs).map_err(|error| RunError::Write(logs.clone(), error))?;
    // What an earlier run left must not be taken for this one's; files that no run writes stay.
    let ours = |name: &str| {
        matches!(name, "summary.json" | "report.html" | "junit.xml")
            || [".hlog", ".hgrm", ".log"].iter().any(|ending| name.ends_with(ending))
    };
    for folder in [results, &logs] {
        for old in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if old.file_name().to_str().is_some_and(ours) {
                let _ = std::fs::remove_file(old.path());
            }
        }
    }
    let probe = results.join(".writable");
    std::fs::write(&probe, b"floodmark").map_err(|error| RunError::Write(results.to_path_buf(), error))?;
    let _ = std::fs::remove_file(&probe);
    let control = tempfile::Builder::new().prefix("floodmark-").tempdir().map_err(RunError::Start)?;
    Ok((Folders { control: control.path().to_path_buf(), logs }, control))
}

pub(crate) async fn start_all(spawner: &Spawner, specs: Vec<PartSpec>, parts: &mut Vec<Part>) -> Result<(), RunError> {
    for spec in specs {
        parts.push(Part::start(spawner, spec).await.map_err(RunError::Start)?);
    }
    Ok(())
}

/// `grace` bounds what each part may ask for.
pub(crate) async fn end_all(parts: Vec<Part>, grace: Duration) {
    // Generators first, then workers, then what they send to; those of one role together.
    let mut by_role: [Vec<Part>; 3] = Default::default();
    for part in parts {
        by_role[match part.role {
            Role::Generator => 0,
            Role::SinkWorker => 1,
            Role::Receiver => 2,
        }]
        .push(part);
    }
    for parts in by_role {
        let mut ends = tokio::task::JoinSet::new();
        for part in parts {
            ends.spawn(part.end(grace));
        }
        while ends.join_next().await.is_some() {}
    }
}

async fn run_test(
    options: &Options,
    test: &Object<LoadTestSpec>,
    results: PathBuf,
    spawner: &Spawner,
    stop: &Stop,
    tell: &Arc<dyn Fn(Event<'_>) + Send + Sync>,
) -> Result<Outcome, RunError> {
    let (folders, _control) = folders(&results)?;
    let resolver = Resolver { secrets: options.secrets.clone(), hosts: options.resolve.clone() };
    let conductor_stop = Stop::new();
    let conductor = Conductor::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), conductor_stop.clone())
        .map_err(RunError::Conductor)?;
    let base = format!("http://{}", conductor.address());
    let mut ports = Ports::new();
    let mut builder = Builder {
        resolver: &resolver,
        folders: &folders,
        ports: &mut ports,
        conductor: Some(base.clone()),
        listen: options.listen,
    };
    let (layout, plan) = lay_out(options, test, &mut builder, &base)?;
    tell(Event::Begins { name: &test.name, run: &plan.run, conductor: conductor.address() });

    let mut parts = Vec::new();
    let Layout { receivers, workers, generators, .. } = layout;
    for specs in [receivers, workers, generators] {
        if let Err(error) = start_all(spawner, specs, &mut parts).await {
            end_all(parts, JUDGED).await;
            return Err(error);
        }
    }
    let parts = Arc::new(parts);
    let log: ChaosLog = Arc::default();
    let engine: SharedEngine = Arc::new(LocalEngine { parts: Arc::clone(&parts), log: Arc::clone(&log) });
    let chaos = tokio::spawn(carry_out(base, Arc::clone(&parts), log));
    let progress = {
        let tell = Arc::clone(tell);
        move |progress: Progress| tell(Event::Progress(progress))
    };
    let outcome = Box::pin(conductor.run(plan, Arc::clone(&engine), stop.clone(), &progress, &results)).await;
    chaos.abort();
    let _ = chaos.await;
    drop(engine);
    // Generators leave when the conductor tells them that their report was taken, so it goes last.
    if let Some(parts) = Arc::into_inner(parts) {
        end_all(parts, JUDGED).await;
    }
    conductor_stop.request();
    tell(Event::Finished { test, outcome: &outcome, results: &results });
    Ok(outcome)
}

fn lay_out(
    options: &Options,
    test: &Object<LoadTestSpec>,
    builder: &mut Builder<'_>,
    conductor: &str,
) -> Result<(Layout, ConductorPlan), RunError> {
    let mut layout = Layout::default();
    let spec = &test.spec;
    let target = &spec.target;
    let missing = |kind: &str, name: &str| {
        RunError::Usage(format!(
            "{}: {kind} {name:?} is not in the documents: add it to the files after `run`",
            test.name
        ))
    };
    let sink = match &target.sink_ref {
        None => None,
        Some(reference) => Some(
            options.bundle.sink(&test.namespace, &reference.name).ok_or_else(|| missing("sinkRef", &reference.name))?,
        ),
    };
    let receiver_name = sink
        .and_then(|sink| sink.spec.backend.receiver_ref.as_ref())
        .or(target.receiver_ref.as_ref())
        .or_else(|| target.endpoint.as_ref().and_then(|endpoint| endpoint.receiver_ref.as_ref()))
        .map(|reference| reference.name.clone());
    let mut profile = api::Profile::Strict;
    if let Some(name) = &receiver_name {
        let receiver = options.bundle.receiver(&test.namespace, name).ok_or_else(|| missing("receiverRef", name))?;
        profile = receiver.spec.profile;
        builder.receiver(&mut layout, receiver)?;
    }
    let (plan_target, target_text, ack_policy, lanes, drain) = if let Some(sink) = sink {
        let plan_target = builder.sink(&mut layout, sink)?;
        let behind = receiver_name.as_deref().or(sink.spec.backend.url.as_deref()).unwrap_or("?");
        let text =
            format!("sink {} ({} workers × {} lanes) → {behind}", sink.name, sink.spec.replicas, sink.spec.lanes);
        (plan_target, text, Some(sink.spec.ack_policy), sink.spec.lanes, sink.spec.drain_timeout.0)
    } else {
        let url = receiver_name.as_deref().and_then(|name| layout.write_url(name));
        let endpoint = target.endpoint.clone().unwrap_or_default();
        let mut endpoint = builder.resolver.endpoint(&endpoint, url.as_deref(), "spec.target.endpoint")?;
        if target.receiver_ref.is_some() {
            // Our own child on loopback: what its document demands is known here.
            if let Some(store) = layout.stores.first() {
                endpoint.tls = store.tls.clone();
                endpoint.basic_auth.clone_from(&store.basic_auth);
            }
        }
        let text = receiver_name.map_or_else(|| endpoint.url.clone(), |name| format!("receiver {name}"));
        (Target::Endpoint { endpoint: Box::new(endpoint) }, text, None, 0, Duration::ZERO)
    };
    let read_back = match &spec.read_back {
        None => None,
        Some(read_back) => Some(self::read_back(builder.resolver, read_back)?),
    };
    if let (Some(plan), true) = (&read_back, layout.receivers.is_empty()) {
        // Refined by the conductor, which asks the server for its version.
        profile = match plan.kind {
            ReadBackKind::Prometheus => api::Profile::Prometheus3,
            ReadBackKind::VictoriaMetrics => api::Profile::VictoriaMetrics,
        };
    }
    builder.generators(&mut layout, spec.generator.parallelism, conductor)?;
    let plan = ConductorPlan {
        name: test.name.clone(),
        run: run_id(),
        document: options.document.clone(),
        command: options.command.clone(),
        test: spec.clone(),
        profile,
        target: plan_target,
        target_text,
        ack_policy,
        lanes,
        batch_samples: sink.map_or(0, |sink| sink.spec.batching.max_samples.0.try_into().unwrap_or(u32::MAX)),
        generators: Layout::addresses(&layout.generators),
        workers: Layout::addresses(&layout.workers),
        receivers: layout.stores.clone(),
        read_back,
        ready_timeout: READY,
        drain_timeout: drain,
    };
    Ok((layout, plan))
}

fn read_back(resolver: &Resolver, read_back: &api::ReadBack) -> Result<ReadBackPlan, RunError> {
    let (kind, endpoint, field) = match (&read_back.prometheus, &read_back.victoria_metrics) {
        (Some(endpoint), _) => (ReadBackKind::Prometheus, endpoint, "spec.readBack.prometheus"),
        (None, Some(endpoint)) => (ReadBackKind::VictoriaMetrics, endpoint, "spec.readBack.victoriaMetrics"),
        (None, None) => return Err(RunError::Usage("spec.readBack names no server".into())),
    };
    Ok(ReadBackPlan { kind, endpoint: resolver.endpoint(endpoint, None, field)? })
}

/// Eight hexadecimal digits: the label `floodmark_run`.
fn run_id() -> String {
    telemetry::cpu::incarnation().chars().cycle().take(4).chain(format!("{:04x}", run_number()).chars()).collect()
}

/// Differs between the tests of one process and, with the incarnation, between processes.
fn run_number() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    (now >> 4) as u16 ^ NEXT.fetch_add(1, Ordering::Relaxed)
}

struct LocalEngine {
    parts: Arc<Vec<Part>>,
    log: ChaosLog,
}

impl Engine for LocalEngine {
    fn executed_chaos(&self) -> Vec<ExecutedChaos> {
        let log = Mutex::lock(&self.log).unwrap_or_else(PoisonError::into_inner);
        let mut executed = log.clone();
        executed.sort_by_key(|entry| entry.index);
        executed
    }

    fn lost_parts(&self) -> Vec<String> {
        let over = self.parts.iter().filter_map(|part| {
            let state = part.state();
            state.over.then(|| {
                let how = state.unasked.last().map_or("ended", |(_, how)| how.as_str());
                format!("{} {}: {how}; its log is in the results", part.role.as_str(), part.ordinal)
            })
        });
        over.collect()
    }

    fn unasked_ends(&self) -> Vec<UnaskedEnd> {
        let workers = self.parts.iter().filter(|part| part.role == Role::SinkWorker);
        let ends = workers.flat_map(|part| {
            let ordinal = part.ordinal;
            part.state().unasked.into_iter().map(move |(at, how)| UnaskedEnd { ordinal, at, how })
        });
        ends.collect()
    }

    fn lost_stores(&self) -> Vec<String> {
        let receivers = self.parts.iter().filter(|part| part.role == Role::Receiver);
        let ends = receivers.flat_map(|part| part.state().unasked.into_iter().map(|(_, how)| how));
        ends.map(|how| format!("the receiver ended unexpectedly ({how}); its log is in the results")).collect()
    }
}
