//! Subcommands that need a cluster: the operator, and what people ask of tests that run there.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use operator::tools::Reference;
use telemetry::Stop;

use crate::{USAGE, fail};

const FAILED: u8 = 1;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Kubernetes: look after the sinks, receivers and tests of a cluster.
    Operator(Operator),
    /// Kubernetes: wait until a test is finished; the exit code is its verdict.
    Wait(Wait),
    /// Kubernetes: fetch the report and all artifacts of a finished test.
    Results(Results),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Started by a Deployment: see manifests/. It serves /healthz, /readyz and /metrics. Outside of a cluster it takes the kubeconfig's.

Examples:
  floodmark operator --listen 0.0.0.0:8080 --lease floodmark-system/floodmark-operator
  floodmark operator --namespace load --image registry.example/floodmark:0.1.0 --kubeconfig admin.kubeconfig

Environment: FLOODMARK_LOG (as --log-level), FLOODMARK_LOG_FORMAT (as --log-format), FLOODMARK_IMAGE (as --image), POD_NAME (as --identity).

Exit codes: 0 ended by a signal, 1 it could not go on, another operator has taken over.")]
pub(crate) struct Operator {
    /// Where health and metrics are served; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A namespace to look after; may be repeated. Left out: all.
    #[arg(long = "namespace", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Image of the pods. Left out: that of the operator's own pod.
    #[arg(long, env = "FLOODMARK_IMAGE")]
    image: Option<String>,
    /// The lease that decides which of several operators works. Left out: this is the only one.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    lease: Option<String>,
    /// Tells operators apart. Left out: the pod's name, or a process id.
    #[arg(long, env = "POD_NAME", hide_env_values = true)]
    identity: Option<String>,
    /// Left out: KUBECONFIG, ~/.kube/config, or the pod's own account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// End when standard input closes: how a child process notices that its parent is gone.
    #[arg(long, hide = true)]
    end_with_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Access {
    /// The test, as lt/NAME.
    #[arg(value_name = "lt/NAME")]
    test: String,
    /// Left out: the kubeconfig's own.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Left out: KUBECONFIG, ~/.kube/config, or the pod's own account.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floodmark wait lt/quickstart
  floodmark wait lt/nightly -n load --timeout 15m && floodmark results lt/nightly -n load -o results

An API server that does not answer is waited for, one that refuses is not.

Exit codes: 0 passed, 1 failed, 2 no such test or no access, 3 inconclusive or not finished in time, 130 interrupted.")]
pub(crate) struct Wait {
    #[command(flatten)]
    access: Access,
    /// Longest wait, such as 15m.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    timeout: api::Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  floodmark results lt/quickstart -o results
  floodmark results lt/nightly -n load --kubeconfig ci.kubeconfig

The files come from the conductor's pod, by way of the API server (services/proxy has to be allowed), until the test's
ttlAfterFinished is over. After that the summary alone is left.

Exit codes: 0 fetched, the summary alone included, 2 no such test, no access, or not finished.")]
pub(crate) struct Results {
    #[command(flatten)]
    access: Access,
    /// Folder for the files.
    #[arg(short, long, value_name = "DIR", default_value = "results")]
    output: PathBuf,
}

pub(crate) fn run(command: Command) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into(), FAILED),
    };
    match command {
        Command::Operator(arguments) => match runtime.block_on(operate(arguments)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, FAILED),
        },
        Command::Wait(arguments) => ended(runtime.block_on(wait(&arguments))),
        Command::Results(arguments) => ended(runtime.block_on(results(&arguments))),
    }
}

fn ended(result: anyhow::Result<u8>) -> ExitCode {
    result.map_or_else(|error| fail(&error, USAGE), ExitCode::from)
}

async fn operate(arguments: Operator) -> anyhow::Result<()> {
    if arguments.end_with_stdin {
        telemetry::parent::end_when_closed(0).context("cannot watch standard input")?;
    }
    let stop = Stop::on_signals()?;
    let lease = match arguments.lease.as_deref().map(|lease| (lease, lease.split_once('/'))) {
        None => None,
        Some((_, Some((namespace, name)))) => Some((namespace.to_owned(), name.to_owned())),
        Some((lease, None)) => anyhow::bail!("--lease {lease}: write NAMESPACE/NAME"),
    };
    let options = operator::Options {
        namespaces: arguments.namespaces,
        image: arguments.image,
        listen: arguments.listen,
        lease,
        identity: arguments.identity.unwrap_or_else(|| format!("process-{}", std::process::id())),
        kubeconfig: arguments.kubeconfig,
    };
    operator::run(options, stop).await
}

async fn wait(arguments: &Wait) -> anyhow::Result<u8> {
    let access = &arguments.access;
    let reference = Reference::parse(&access.test, access.namespace.clone())?;
    let tell = |line: &str| {
        // Progress is for people; standard output has the verdict alone.
        let _ = writeln!(std::io::stderr(), "{}: {line}", access.test);
    };
    let wait = operator::tools::wait::wait(&reference, access.kubeconfig.as_deref(), arguments.timeout.0, tell);
    let ended = wait.await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: {}", ended.verdict.as_str(), access.test)?;
    for reason in &ended.reasons {
        writeln!(out, "  {reason}")?;
    }
    Ok(ended.verdict.exit_code())
}

async fn results(arguments: &Results) -> anyhow::Result<u8> {
    let access = &arguments.access;
    let reference = Reference::parse(&access.test, access.namespace.clone())?;
    let folder = &arguments.output;
    let fetched = operator::tools::results::results(&reference, access.kubeconfig.as_deref(), folder).await?;
    if let Some(why) = &fetched.only_summary {
        let text =
            "only the summary could be had: the artifacts go when ttlAfterFinished has passed, or cannot be reached";
        let _ = writeln!(std::io::stderr(), "{text}: {why}");
    }
    let mut out = std::io::stdout().lock();
    for file in &fetched.files {
        writeln!(out, "{}", file.display())?;
    }
    Ok(0)
}
