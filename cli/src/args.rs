//! The command line: one subcommand a file below; roles are subcommands too, started by the engines.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const EXIT_CODES: &str = "\
Exit codes:
  0    passed
  1    failed: a threshold, a loss, an alteration, a wrong verdict of the target
  2    bad document or usage, a port in use
  3    inconclusive: the target was never up, the generator was the limit, a part was lost
  130  interrupted, whatever the verdict; the report is still written";

/// Floods a Prometheus Remote-Write endpoint with series that it can recompute, breaks things on purpose, and proves what arrived.
#[derive(Debug, Parser)]
#[command(name = "floodmark", version, max_term_width = 110, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// How log lines on standard error look, those of the parts that `run` starts too.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "FLOODMARK_LOG_FORMAT", hide_env_values = true)]
    pub(crate) log_format: LogFormat,
    /// What is logged: off, error, warn, info, debug, trace, or a filter such as `floodmark_sink_worker=debug`. Left out: what the
    /// environment's `FLOODMARK_LOG` says, else warn for `run` and info for its parts, which log to DIR/logs.
    #[arg(long, global = true, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the tests of the documents on this machine, with real processes on loopback.
    Run(Run),
    /// Check documents without running them.
    Validate(Validate),
    /// Print the custom resource definitions, or write them to a folder.
    Crds(Crds),
    /// List the fault catalogue: what can be injected, and what the specification and each backend answer.
    Faults(Faults),
    /// Make the report of a finished run anew from its results folder, and print its summary.
    Report(Report),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Role: send a test's samples by its schedule (started by `run`).
    Generator(Generator),
    /// Role: own series, order, batch and retry them towards a backend (started by `run`).
    SinkWorker(SinkWorker),
    /// Role: take Remote-Write, verify every sample, answer as told (started by `run`; also useful alone).
    Receiver(Receiver),
    /// Role: conduct one test and keep its results (started by the operator; `run` does it by itself).
    Conductor(Conductor),
    /// Process 1 of a pod: run a role, reap, pass signals on, kill and pause it on schedule (started by the operator).
    Supervise(Supervise),
    #[cfg(feature = "operator")]
    #[command(flatten)]
    Cluster(crate::cluster::Command),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floodmark run examples/quickstart.yaml
  floodmark run test.yaml -o results/nightly --secret mimir/password=/run/secrets/mimir
  floodmark run sink.yaml --listen 127.0.0.1:9400      # no LoadTest in it: the sink serves third-party senders until Ctrl-C

Exit codes: 0 passed, 1 failed, 2 bad document or usage, 3 inconclusive or without results, 130 interrupted (0 where the file holds no LoadTest).

Not available yet: protocol 2.0, sigv4, ackPolicy Durable (and storage), the dead letter, validation in the sink, ownership by Labels,
receiver profiles other than Strict, forwardTo, client certificates, readBack depths other than Full, pushgateway, and the faults
without * in `floodmark faults`. A document that asks for one is refused by name.")]
pub(crate) struct Run {
    /// YAML files, or - for standard input; each may hold several documents.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Folder for the report, the histograms and the logs; replaced if it holds an earlier run.
    #[arg(short, long, value_name = "DIR", default_value = "results")]
    pub(crate) output: PathBuf,
    /// A file that stands for a key of a Secret or `ConfigMap`: a regular file that is not empty. May be repeated.
    #[arg(long, value_name = "NAME/KEY=PATH")]
    pub(crate) secret: Vec<String>,
    /// An address that stands for a host name of the documents (`--resolve mimir.monitoring=127.0.0.1:9009`); may be repeated.
    #[arg(long, value_name = "HOST=ADDR")]
    pub(crate) resolve: Vec<String>,
    /// Where sink-worker 0 listens; worker 1 takes the next port, and so on. Left out: free ports on loopback.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Print only the verdict and its reasons.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// YAML files, or - for standard input; each may hold several documents. All are one bundle, as with `run`.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Take every file for itself: names may repeat in the others, and references stay inside a file.
    #[arg(long)]
    pub(crate) each: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Crds {
    /// Write one file a definition into this folder instead of printing them.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Faults {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The results folder of a run: it holds summary.json.
    #[arg(value_name = "DIR", default_value = "results")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Role {
    /// Address to serve on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// End when standard input closes: how a child process notices that its parent is gone.
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Started by an engine: `floodmark run` on one machine, a Job in a cluster. It fetches the run's plan and t0 from the conductor,
sends what is due, and leaves once its report was taken. It serves /account, /histograms, /slots, /metrics, /healthz and /readyz.

Exit codes: 0 its report was taken, 1 it could not go on, 3 nobody took the report, 130 ended by a signal.

Environment: FLOODMARK_LOG (as --log-level), FLOODMARK_LOG_FORMAT (as --log-format), JOB_COMPLETION_INDEX (as --index).")]
pub(crate) struct Generator {
    #[command(flatten)]
    pub(crate) role: Role,
    /// Base address of the conductor.
    #[arg(long, value_name = "URL")]
    pub(crate) conductor: String,
    /// Which of the test's generators this is, from 0.
    #[arg(long, env = "JOB_COMPLETION_INDEX", default_value_t = 0)]
    pub(crate) index: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Started by an engine: `floodmark run` on one machine, a StatefulSet in a cluster. The engine writes both JSON files: the plan (backend,
batching, retries; read once) and the control document (who owns which series; watched). Credentials and certificates are files that
the plan names. It serves Remote-Write at /api/v1/write, and /ownership, /account, /histograms, /metrics, /healthz and /readyz.

SIGTERM delivers what was acknowledged within the plan's drainTimeout.
Exit codes: 0 ended by a signal, 1 it could not go on, 2 it cannot use its plan, 3 its parent is gone.

Environment: FLOODMARK_LOG (as --log-level), FLOODMARK_LOG_FORMAT (as --log-format), FLOODMARK_ORDINAL (as --ordinal).")]
pub(crate) struct SinkWorker {
    #[command(flatten)]
    pub(crate) role: Role,
    /// The sink's plan, a JSON file.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: PathBuf,
    /// The sink's control document, a JSON file that is watched.
    #[arg(long, value_name = "FILE")]
    pub(crate) control: PathBuf,
    /// Which worker this is: it owns the series whose slot falls to this ordinal.
    #[arg(long, env = "FLOODMARK_ORDINAL")]
    pub(crate) ordinal: u32,
    /// Once asked to end, give the run's conductor five seconds to fetch the last account. A supervisor asks for it.
    #[arg(long, env = "FLOODMARK_SUPERVISED")]
    pub(crate) tell_last: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Started by an engine: `floodmark run` on one machine, a StatefulSet in a cluster. The engine writes the control document, a JSON file that
is watched: the receiver's spec, the files of its certificate and credentials, and the conductor that knows the run.
Alone, without --control, it takes Remote-Write of any sender:

  floodmark receiver --listen 127.0.0.1:9090      # then write to http://127.0.0.1:9090/api/v1/write

Exit codes: 0 ended by a signal, 1 it could not go on, 2 it cannot use its control document, 3 its parent is gone.

Environment: FLOODMARK_LOG (as --log-level), FLOODMARK_LOG_FORMAT (as --log-format), FLOODMARK_ORDINAL (as --ordinal).")]
pub(crate) struct Receiver {
    #[command(flatten)]
    pub(crate) role: Role,
    /// The receiver's control document, a JSON file. Left out: Strict, and every series is foreign.
    #[arg(long, value_name = "FILE")]
    pub(crate) control: Option<PathBuf>,
    /// Which receiver this is, from 0.
    #[arg(long, env = "FLOODMARK_ORDINAL", default_value_t = 0)]
    pub(crate) ordinal: u32,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Started by the operator, a Job a test. It reads its plan (JSON: the test, the addresses of all parts and of their supervisors), sets t0 when
all parts are ready, gathers the accounts, judges, writes the results, and goes on serving them until it is stopped. It holds no
credentials of the cluster: what the operator did and saw comes in the engine's file.
It serves /plan, /phase, /chaos, /progress, /summary (?max=BYTES), /results, /results/FILE, /metrics, /healthz and /readyz.

Exit codes: 0 stopped after the verdict, whatever it is, 1 it could not go on or write the results, 2 it cannot use its plan,
130 stopped before the verdict: the report is partial.

Environment: FLOODMARK_LOG (as --log-level), FLOODMARK_LOG_FORMAT (as --log-format).")]
pub(crate) struct Conductor {
    #[command(flatten)]
    pub(crate) role: Role,
    /// The run's plan, a JSON file.
    #[arg(long, value_name = "FILE")]
    pub(crate) plan: PathBuf,
    /// What the engine did and saw, a JSON file that is watched; it may come later.
    #[arg(long, value_name = "FILE")]
    pub(crate) engine: Option<PathBuf>,
    /// Folder for the report and the histograms.
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub(crate) results: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Started by the operator as process 1 of its pods. With --configmap it reads the keys control.json and plan.json of that ConfigMap afresh before
every start of the role, writes them as files for it, and hands on every change; no ConfigMap, no role. It kills and pauses the role when the
control document says so, at most once each, and starts it again after 1 s, doubling to 30 s. When the role ends by itself, so does
the supervisor, with the same exit code (128 + signal): the container is then restarted by the kubelet.
It serves /supervisor (what was done and seen), /metrics, /healthz and /readyz.

  floodmark supervise --configmap sink-control --into /run/floodmark --port 9400 -- sink-worker --listen 0.0.0.0:9400 \
    --plan /run/floodmark/plan.json --control /run/floodmark/control.json

Environment: FLOODMARK_LOG (as --log-level), FLOODMARK_LOG_FORMAT (as --log-format), FLOODMARK_ORDINAL (as --ordinal), POD_UID (as --pod),
KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT (without --api-server).")]
pub(crate) struct Supervise {
    /// Address to serve on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:9401")]
    pub(crate) listen: SocketAddr,
    /// End when standard input closes: how a child process notices that its parent is gone.
    #[arg(long, hide = true)]
    pub(crate) end_with_stdin: bool,
    /// The `ConfigMap` with the role's documents, in the pod's own namespace. Left out: the role has none.
    #[arg(long, value_name = "NAME", requires = "into")]
    pub(crate) configmap: Option<String>,
    /// Folder for the documents and the supervisor's record; it has to outlive the container and end with the pod.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Port of the role on loopback: it is back after a kill when it answers there. Left out: when it runs.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Which worker this is: only chaos for this ordinal is carried out. Left out: none.
    #[arg(long, env = "FLOODMARK_ORDINAL")]
    pub(crate) ordinal: Option<u32>,
    /// Identity of the pod, told in /supervisor. Left out: one is made up and kept in the folder.
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pub(crate) pod: Option<String>,
    /// Base address of the Kubernetes API. Left out: as in every pod, from the environment.
    #[arg(long, value_name = "URL")]
    pub(crate) api_server: Option<String>,
    /// Folder of the service account: the files namespace, token and ca.crt.
    #[arg(long, value_name = "DIR", default_value = "/var/run/secrets/kubernetes.io/serviceaccount")]
    pub(crate) service_account: PathBuf,
    /// The role and its arguments: a subcommand of this program.
    #[arg(last = true, required = true, value_name = "ROLE")]
    pub(crate) command: Vec<OsString>,
}
