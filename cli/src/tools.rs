//! Subcommands that only read and write files.

use std::fs;
use std::io::{IsTerminal, Write};

use anyhow::Context;

use crate::args::{Crds, Report, Validate};
use crate::documents;

pub(crate) fn validate(arguments: &Validate) -> anyhow::Result<()> {
    let bundle = documents::load(&arguments.files)?;
    let mut err = std::io::stderr().lock();
    for warning in api::local_warnings(&bundle) {
        let _ = writeln!(err, "warning: {warning}");
    }
    let mut out = std::io::stdout().lock();
    let names = bundle.sinks.iter().map(|object| ("RemoteWriteSink", &object.name));
    let names = names.chain(bundle.receivers.iter().map(|object| ("RemoteWriteReceiver", &object.name)));
    for (kind, name) in names.chain(bundle.load_tests.iter().map(|object| ("LoadTest", &object.name))) {
        writeln!(out, "{kind}/{name} is valid")?;
    }
    Ok(())
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

/// The page and the `JUnit` file again, from summary.json: after an upgrade, or when they were lost.
pub(crate) fn report(arguments: &Report) -> anyhow::Result<()> {
    let path = arguments.folder.join("summary.json");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}: name the results folder of a finished run", path.display()))?;
    let summary = report::Summary::from_json(&text).with_context(|| path.display().to_string())?;
    for (name, content) in
        [("report.html", report::render_html(&summary)), ("junit.xml", report::render_junit(&summary))]
    {
        let path = arguments.folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    let colour = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
    write!(out, "{}", report::render_text(&summary, colour, 110))?;
    writeln!(out, "report: {}", arguments.folder.join("report.html").display())?;
    Ok(())
}
