//! Writes the results folder. Each file is whole or absent.

use std::fs;
use std::io;
use std::path::Path;

use measure::{HistogramSet, write_hgrm, write_hlog};
use report::Summary;

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
