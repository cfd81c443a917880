//! `floodmark run`.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use local::{Event, Hosts, Options, RunError, Secrets};
use report::Verdict;
use telemetry::Stop;

use crate::args::Run;
use crate::live::Live;
use crate::{USAGE, documents, fail, shell};

/// The shell's code for a process ended by Ctrl-C.
const INTERRUPTED: u8 = 130;
const INCONCLUSIVE: u8 = 3;
const FAILED: u8 = 1;

/// `logging`: the variables that tell the parts how to log.
pub(crate) fn run(arguments: &Run, logging: Vec<(&'static str, String)>) -> ExitCode {
    let options = match options(arguments, logging) {
        Ok(options) => options,
        Err(error) => return fail(&error, USAGE),
    };
    let serves_only = options.bundle.load_tests.is_empty();
    let live = Arc::new(Live::new(arguments.quiet));
    for warning in api::local_warnings(&options.bundle) {
        live.say(&format!("warning: {warning}"));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("cannot start"), INCONCLUSIVE),
    };
    runtime.block_on(async {
        let stop = match Stop::on_signals() {
            Ok(stop) => stop,
            Err(error) => return fail(&anyhow::Error::new(error).context("cannot handle signals"), INCONCLUSIVE),
        };
        let tell = {
            let live = Arc::clone(&live);
            let quiet = arguments.quiet;
            Arc::new(move |event: Event<'_>| print(&live, quiet, &event))
        };
        let outcomes = local::run(options, stop.clone(), tell).await;
        live.clear();
        let outcomes = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error @ (RunError::Usage(_) | RunError::Secret(_) | RunError::Write(..))) => {
                return fail(&error.into(), USAGE);
            }
            Err(error @ RunError::Fatal(_)) => return fail(&error.into(), FAILED),
            Err(error) => return fail(&error.into(), INCONCLUSIVE),
        };
        if serves_only {
            // Nothing was cut short: a signal is how serving ends.
            return ExitCode::SUCCESS;
        }
        let verdicts: Vec<Verdict> = outcomes.iter().map(|outcome| outcome.summary.verdict).collect();
        if let Some(problem) = outcomes.iter().find_map(|outcome| outcome.unwritten.as_deref()) {
            let code = match (stop.is_requested(), verdicts.contains(&Verdict::Failed)) {
                (true, _) => INTERRUPTED,
                (false, true) => FAILED,
                (false, false) => INCONCLUSIVE,
            };
            return fail(&anyhow::anyhow!("{problem}"), code);
        }
        if stop.is_requested() {
            return ExitCode::from(INTERRUPTED);
        }
        let worst = [Verdict::Failed, Verdict::Inconclusive].into_iter().find(|verdict| verdicts.contains(verdict));
        ExitCode::from(worst.unwrap_or(Verdict::Passed).exit_code())
    })
}

fn options(arguments: &Run, logging: Vec<(&'static str, String)>) -> anyhow::Result<Options> {
    let documents = documents::load(&arguments.files)?;
    let resolve = Hosts::parse(&arguments.resolve)?;
    let secrets = Secrets::parse(&arguments.secret)?;
    Ok(Options {
        bundle: documents.bundle,
        document: documents.text,
        command: shell::command(std::env::args_os().skip(1)),
        results: arguments.output.clone(),
        secrets,
        resolve,
        listen: arguments.listen,
        environment: logging,
    })
}

fn print(live: &Live, quiet: bool, event: &Event<'_>) {
    match event {
        Event::Begins { name, run, conductor } => {
            live.say(&format!("{name}: run {run}, phase and metrics at http://{conductor}"));
        }
        Event::Progress(progress) => live.progress(progress),
        Event::Trouble(what) => live.say(what),
        Event::NotRun { test, why } => {
            live.clear();
            let _ = writeln!(std::io::stdout(), "{test} was not run: {why}");
        }
        Event::Serving { sink, addresses } => {
            live.say(&format!("{sink} takes Remote-Write at {}; Ctrl-C ends it", addresses.join(" ")));
        }
        Event::Finished { outcome, results, .. } => {
            live.clear();
            let mut out = std::io::stdout().lock();
            let colour = telemetry::log::colours(out.is_terminal());
            let render = if quiet { report::render_verdict } else { report::render_text };
            let _ = write!(out, "{}", render(&outcome.summary, colour, 110));
            if outcome.unwritten.is_none() && !quiet {
                let _ = writeln!(out, "report: {}", results.join("report.html").display());
            }
        }
    }
}
