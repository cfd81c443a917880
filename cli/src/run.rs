//! `floodmark run`.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use local::{Event, Options, RunError, Secrets};
use report::Verdict;
use telemetry::Stop;

use crate::args::Run;
use crate::live::Live;
use crate::{USAGE, documents, fail, shell};

/// The shell's code for a process ended by Ctrl-C.
const INTERRUPTED: u8 = 130;
const INCONCLUSIVE: u8 = 3;
const FAILED: u8 = 1;

pub(crate) fn run(arguments: &Run) -> ExitCode {
    let options = match options(arguments) {
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
            Arc::new(move |event: Event<'_>| print(&live, &event))
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
        if stop.is_requested() {
            return ExitCode::from(INTERRUPTED);
        }
        if let Some(problem) = outcomes.iter().find_map(|outcome| outcome.unwritten.as_deref()) {
            return fail(&anyhow::anyhow!("{problem}"), INCONCLUSIVE);
        }
        let verdicts: Vec<Verdict> = outcomes.iter().map(|outcome| outcome.summary.verdict).collect();
        let worst = [Verdict::Failed, Verdict::Inconclusive].into_iter().find(|verdict| verdicts.contains(verdict));
        ExitCode::from(worst.unwrap_or(Verdict::Passed).exit_code())
    })
}

fn options(arguments: &Run) -> anyhow::Result<Options> {
    let documents = documents::load(&arguments.files)?;
    let mut resolve = BTreeMap::new();
    for entry in &arguments.resolve {
        let (host, address) =
            entry.split_once('=').filter(|(host, address)| !host.is_empty() && !address.is_empty()).with_context(
                || format!("--resolve {entry:?} is not HOST=ADDR: write for example mimir.monitoring=127.0.0.1:9009"),
            )?;
        resolve.insert(host.to_owned(), address.to_owned());
    }
    let secrets = Secrets::parse(&arguments.secret)?;
    Ok(Options {
        bundle: documents.bundle,
        document: documents.text,
        command: shell::command(std::env::args_os().skip(1)),
        results: arguments.output.clone(),
        secrets,
        resolve,
        listen: arguments.listen,
    })
}

fn print(live: &Live, event: &Event<'_>) {
    match event {
        Event::Begins { name, run, conductor } => {
            live.say(&format!("{name}: run {run}, phase and metrics at http://{conductor}"));
        }
        Event::Progress(progress) => live.progress(progress),
        Event::Trouble(what) => live.say(what),
        Event::Serving { sink, addresses } => {
            live.say(&format!("{sink} takes Remote-Write at {}; Ctrl-C ends it", addresses.join(" ")));
        }
        Event::Finished { outcome, results, .. } => {
            live.clear();
            let mut out = std::io::stdout().lock();
            let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let _ = write!(out, "{}", report::render_text(&outcome.summary, colour, 110));
            if outcome.unwritten.is_none() {
                let _ = writeln!(out, "report: {}", results.join("report.html").display());
            }
        }
    }
}
