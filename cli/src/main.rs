//! `floodmark`: one binary for the command line and every role. Thin: each subcommand hands over to a crate of its own.

mod args;
mod catalogue;
#[cfg(feature = "operator")]
mod cluster;
mod documents;
mod live;
mod roles;
mod run;
mod shell;
mod tools;

use std::process::ExitCode;

use args::{Cli, Command, LogFormat};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Bad document or usage.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    raise_open_files();
    let format = match cli.log_format {
        LogFormat::Text => telemetry::log::Format::Text,
        LogFormat::Json => telemetry::log::Format::Json,
    };
    let logging = logging(&cli);
    let level = cli.log_level.as_deref();
    // A person who watches a run reads the run's own lines; the roles' logs go to files.
    let level = level.or(if matches!(cli.command, Command::Run(_)) && std::env::var_os("FLOODMARK_LOG").is_none() {
        Some("warn")
    } else {
        None
    });
    if let Err(error) = telemetry::log::init(format, level) {
        return fail(&error.into(), USAGE);
    }
    match cli.command {
        Command::Run(run) => run::run(&run, logging),
        Command::Validate(validate) => end(tools::validate(&validate)),
        Command::Crds(crds) => end(tools::crds(&crds)),
        Command::Faults(faults) => end(catalogue::faults(&faults)),
        Command::Report(report) => end(tools::report(&report)),
        Command::Completions { shell } => end(tools::completions(shell)),
        Command::Generator(role) => roles::generator(&role),
        Command::SinkWorker(role) => roles::sink_worker(&role),
        Command::Receiver(role) => roles::receiver(&role),
        Command::Conductor(role) => roles::conductor(&role),
        Command::Supervise(supervise) => roles::supervise(supervise),
        #[cfg(feature = "operator")]
        Command::Cluster(command) => cluster::run(command),
    }
}

/// What was asked for on the command line, for processes that are started: the environment passes on by itself.
fn logging(cli: &Cli) -> Vec<(&'static str, String)> {
    let format = match cli.log_format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let level = cli.log_level.clone().map(|level| (telemetry::log::LEVEL_VARIABLE, level));
    std::iter::once(("FLOODMARK_LOG_FORMAT", format.to_owned())).chain(level).collect()
}

/// A server of ours takes 1024 connections, which is what many systems let a process have open if it does not ask for more.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

fn end(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read standard output has seen enough, such as `head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&error, USAGE),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let json = error.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
    io.or(json) == Some(std::io::ErrorKind::BrokenPipe)
}

/// Prints an error with its causes and gives the exit code.
fn fail(error: &anyhow::Error, code: u8) -> ExitCode {
    use std::io::Write;
    // Problems begin with the place that they are about, as editors expect it.
    let name = if error.is::<documents::Refused>() { "" } else { "floodmark: " };
    // Standard error may be closed or full; the exit code still tells.
    let _ = writeln!(std::io::stderr(), "{name}{error:#}");
    ExitCode::from(code)
}
