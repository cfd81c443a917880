//! Subcommands that only read and write files.

use std::fs;
use std::io::{IsTerminal, Write};

use anyhow::{Context, bail};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::{Cli, Crds, Report, Validate};
use crate::documents;

pub(crate) fn validate(arguments: &Validate) -> anyhow::Result<()> {
    let texts = documents::read(&arguments.files)?;
    let bundles: Vec<&[(String, String)]> =
        if arguments.each { texts.chunks(1).collect() } else { vec![texts.as_slice()] };
    let mut refused = api::Problems::default();
    let mut out = std::io::stdout().lock();
    for files in bundles {
        match api::load(files) {
            Ok(bundle) => {
                let file = files.first().filter(|_| arguments.each).map(|(name, _)| name.as_str());
                valid(&bundle, file, &mut out)?;
            }
            Err(problems) => refused.append(problems),
        }
    }
    if refused.total > 0 {
        return Err(documents::Refused(refused).into());
    }
    Ok(())
}

/// Says what is valid, and of which file where that is asked for.
fn valid(bundle: &api::Bundle, file: Option<&str>, out: &mut impl Write) -> anyhow::Result<()> {
    for warning in api::local_warnings(bundle) {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    let file = file.map(|name| format!("{name}: ")).unwrap_or_default();
    let names = bundle.sinks.iter().map(|object| ("RemoteWriteSink", &object.name));
    for (kind, name) in names.chain(bundle.receivers.iter().map(|object| ("RemoteWriteReceiver", &object.name))) {
        writeln!(out, "{file}{kind}/{name} is valid")?;
    }
    for test in &bundle.load_tests {
        writeln!(out, "{file}LoadTest/{} is valid{}", test.name, load(&test.spec))?;
    }
    Ok(())
}

/// What a test is going to send: nobody should learn it from the server.
fn load(test: &api::LoadTestSpec) -> String {
    let Ok(workload) = workload::Workload::new(&test.workload, &test.stages, test.seed, "validate") else {
        return String::new();
    };
    let (series, samples) = (workload.series(), workload.total_samples());
    let seconds = workload.duration_ns() as f64 / 1e9;
    format!(": {series} series, {samples} samples in {seconds} s ({:.0} a second)", samples as f64 / seconds)
}

pub(crate) fn crds(arguments: &Crds) -> anyhow::Result<()> {
    let definitions = api::crds();
    let Some(folder) = &arguments.output else {
        let mut out = std::io::stdout().lock();
        for (_, text) in &definitions {
            write!(out, "---\n{text}")?;
        }
        return Ok(());
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, text) in &definitions {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

pub(crate) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "floodmark", &mut script);
    let mut out = std::io::stdout().lock();
    out.write_all(&script)?;
    Ok(out.flush()?)
}

/// The page and the `JUnit` file again, from summary.json: after an upgrade, or when they were lost.
pub(crate) fn report(arguments: &Report) -> anyhow::Result<()> {
    let path = arguments.folder.join("summary.json");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}: name the results folder of a finished run", path.display()))?;
    let summary = summary(&text).with_context(|| path.display().to_string())?;
    for (name, content) in
        [("report.html", report::render_html(&summary)), ("junit.xml", report::render_junit(&summary))]
    {
        let path = arguments.folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    let colour = telemetry::log::colours(out.is_terminal());
    write!(out, "{}", report::render_text(&summary, colour, 110))?;
    writeln!(out, "report: {}", arguments.folder.join("report.html").display())?;
    Ok(())
}

/// Reads a summary of the one schema that there is. Its other fields have defaults, so the schema has to be looked at first.
fn summary(text: &str) -> anyhow::Result<report::Summary> {
    let value: serde_json::Value = serde_json::from_str(text).context("it is not JSON, so no summary of a run")?;
    let expected = report::SCHEMA;
    match value.get("schema") {
        Some(found) if found == expected => Ok(report::Summary::from_json(text)?),
        Some(found) => {
            let writer = value.get("version").and_then(serde_json::Value::as_str);
            let writer = writer.map(|version| format!(", {version}")).unwrap_or_default();
            let found = found.to_string().chars().take(100).collect::<String>();
            bail!("its schema is {found}, and this version reads \"{expected}\": use the version that wrote it{writer}")
        }
        None => bail!("it names no schema, and \"{expected}\" is expected: name the results folder of a finished run"),
    }
}
