//! Writes the results folder, and lists it. Each file is whole or absent.

use std::fs;
use std::io;
use std::path::Path;

use measure::{HistogramSet, write_hgrm, write_hlog};
use report::Summary;
use serde::Serialize;

/// One file of the results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Artifact {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

/// The files of a results folder by name; what is hidden is not finished.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<Artifact>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        if let (true, Some(name)) = (kind.is_file(), name.to_str().filter(|name| !name.starts_with('.'))) {
            files.push(Artifact { name: name.to_owned(), bytes: entry.metadata()?.len() });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// Writes every artifact; an error says which file could not be written and why.
pub(crate) fn write(
    folder: &Path,
    summary: &Summary,
    histograms: &HistogramSet,
    t0: Option<u64>,
) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    let json = summary.to_json().map_err(|error| error.to_string())?;
    put(folder, "summary.json", json.as_bytes())?;
    put(folder, "junit.xml", report::render_junit(summary).as_bytes())?;
    put(folder, "report.html", report::render_html(summary).as_bytes())?;
    for name in histograms.histograms.keys() {
        let distribution = match histograms.distribution(name) {
            Ok(distribution) if !distribution.is_empty() => distribution,
            Ok(_) => continue,
            Err(error) => return Err(format!("the histogram {name} cannot be read: {error}")),
        };
        let mut log = Vec::new();
        write_hlog(&mut log, t0.unwrap_or_default(), &distribution).map_err(|error| format!("{name}.hlog: {error}"))?;
        put(folder, &format!("{name}.hlog"), &log)?;
        let mut percentiles = Vec::new();
        write_hgrm(&mut percentiles, &distribution).map_err(|error| format!("{name}.hgrm: {error}"))?;
        put(folder, &format!("{name}.hgrm"), &percentiles)?;
    }
    Ok(())
}

fn put(folder: &Path, name: &str, content: &[u8]) -> Result<(), String> {
    let path = folder.join(name);
    let unfinished = folder.join(format!(".{name}.new"));
    let written: io::Result<()> = fs::write(&unfinished, content).and_then(|()| fs::rename(&unfinished, &path));
    written.map_err(|error| {
        let _ = fs::remove_file(&unfinished);
        format!("cannot write {}: {error}; the verdict above stands, but its evidence is not complete", path.display())
    })
}
