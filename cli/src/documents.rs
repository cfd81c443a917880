//! Reading the files that a user names.

use std::path::PathBuf;

use anyhow::{Context, bail};

/// Files are configuration: anything larger is a mistake.
const MAX_FILE: u64 = 1 << 20;

/// Reads and checks all files; the error lists every problem, one a line.
pub(crate) fn load(files: &[PathBuf]) -> anyhow::Result<api::Bundle> {
    let mut texts = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let size = std::fs::metadata(file).with_context(|| format!("cannot read {name}"))?.len();
        if size > MAX_FILE {
            bail!("{name}: {size} bytes; documents are at most {MAX_FILE}");
        }
        let bytes = std::fs::read(file).with_context(|| format!("cannot read {name}"))?;
        let text = String::from_utf8(bytes).with_context(|| format!("{name} is not UTF-8"))?;
        texts.push((name, text));
    }
    api::load(&texts).map_err(|problems| anyhow::anyhow!("{problems}"))
}
