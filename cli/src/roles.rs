//! The roles as subcommands: a runtime, signals, the tie to the parent, and the role's own crate.

use std::future::Future;
use std::process::ExitCode;

use telemetry::Stop;

use crate::{USAGE, args, fail};

/// A role that cannot go on: the engine reads the reason in the log. [`USAGE`] when it cannot use what it was told.
const FAILED: u8 = 1;
const STDIN: i32 = 0;

/// Runs a role until it ends by itself or by a signal.
fn block_on<F, Fut>(role: &args::Role, name: &'static str, run: F) -> ExitCode
where
    F: FnOnce(Stop) -> Fut,
    Fut: Future<Output = anyhow::Result<u8>>,
{
    if role.end_with_stdin
        && let Err(error) = telemetry::parent::end_when_closed(STDIN)
    {
        return fail(&anyhow::Error::new(error).context("cannot watch standard input"), FAILED);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_name(name).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into(), FAILED),
    };
    runtime.block_on(async {
        let stop = match Stop::on_signals() {
            Ok(stop) => stop,
            Err(error) => return fail(&error.into(), FAILED),
        };
        match run(stop).await {
            Ok(code) => ExitCode::from(code),
            Err(error) => fail(&error, FAILED),
        }
    })
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
