//! The roles as subcommands: a runtime, signals, the tie to the parent, and the role's own crate.

use std::future::Future;
use std::process::ExitCode;

use anyhow::Context as _;
use telemetry::Stop;

use crate::{USAGE, args, fail};

/// A role that cannot go on: the engine reads the reason in the log. [`USAGE`] when it cannot use what it was told.
const FAILED: u8 = 1;
const INTERRUPTED: u8 = telemetry::stop::EXIT_INTERRUPTED as u8;
const STDIN: i32 = 0;

/// Runs a role until it ends by itself or by a signal.
fn block_on<F, Fut>(role: &args::Role, name: &'static str, run: F) -> ExitCode
where
    F: FnOnce(Stop) -> Fut,
    Fut: Future<Output = anyhow::Result<u8>>,
{
    let run = async { run(Stop::on_signals()?).await };
    start(role.end_with_stdin, name, run).unwrap_or_else(|error| fail(&error, FAILED))
}

/// Runs it on a runtime of its own, tied to the parent if that is asked for.
fn start(
    end_with_stdin: bool,
    name: &'static str,
    run: impl Future<Output = anyhow::Result<u8>>,
) -> anyhow::Result<ExitCode> {
    if end_with_stdin {
        telemetry::parent::end_when_closed(STDIN).context("cannot watch standard input")?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name(name).enable_all().build()?;
    runtime.block_on(run).map(ExitCode::from)
}

/// Sink-workers and receivers come back with an error only for what they cannot use. A taken port may be free the next time.
fn refuse(error: anyhow::Error) -> anyhow::Result<u8> {
    if error.is::<floodmark_http::server::BindError>() {
        return Err(error);
    }
    fail(&error, USAGE);
    Ok(USAGE)
}

pub(crate) fn generator(arguments: &args::Generator) -> ExitCode {
    block_on(&arguments.role, "generator", |stop| {
        let options = generator::Options {
            conductor: arguments.conductor.clone(),
            index: arguments.index,
            listen: arguments.role.listen,
        };
        async move { Ok(generator::run(options, stop).await?.code()) }
    })
}

pub(crate) fn sink_worker(arguments: &args::SinkWorker) -> ExitCode {
    block_on(&arguments.role, "sink-worker", |stop| {
        let options = sink_worker::Options {
            plan: arguments.plan.clone(),
            control: arguments.control.clone(),
            ordinal: arguments.ordinal,
            listen: arguments.role.listen,
            tell_last: arguments.tell_last,
        };
        async move {
            match sink_worker::run(options, stop).await {
                Ok(outcome) => outcome.fatal.map_or(Ok(0), |why| Err(anyhow::anyhow!(why))),
                Err(error) => refuse(error),
            }
        }
    })
}

pub(crate) fn receiver(arguments: &args::Receiver) -> ExitCode {
    block_on(&arguments.role, "receiver", |stop| {
        let options = receiver::Options {
            control: arguments.control.clone(),
            ordinal: arguments.ordinal,
            listen: arguments.role.listen,
        };
        async move { receiver::run(options, stop).await.map_or_else(refuse, |()| Ok(0)) }
    })
}

pub(crate) fn conductor(arguments: &args::Conductor) -> ExitCode {
    block_on(&arguments.role, "conductor", |stop| {
        let options = conductor::Options {
            plan: arguments.plan.clone(),
            engine: arguments.engine.clone(),
            results: arguments.results.clone(),
            listen: arguments.role.listen,
        };
        async move {
            match conductor::run_role(options, stop).await {
                Ok(conductor::Outcome { unwritten: Some(why), .. }) => Err(anyhow::anyhow!(why)),
                Ok(outcome) if outcome.summary.interrupted => Ok(INTERRUPTED),
                Ok(_) => Ok(0),
                Err(error) => refuse(error),
            }
        }
    })
}

pub(crate) fn supervise(arguments: args::Supervise) -> ExitCode {
    let control = arguments.configmap.map(|config_map| supervisor::Control {
        config_map,
        api_server: arguments.api_server,
        service_account: arguments.service_account,
    });
    let options = supervisor::Options {
        role: arguments.command,
        listen: arguments.listen,
        port: arguments.port,
        ordinal: arguments.ordinal,
        pod: arguments.pod,
        folder: arguments.into,
        control,
    };
    let run = supervisor::run(options);
    start(arguments.end_with_stdin, "supervisor", run).unwrap_or_else(|error| fail(&error, FAILED))
}
