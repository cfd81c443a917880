//! Reading the files that a user names.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Files are configuration: anything larger is a mistake.
const MAX_FILE: u64 = api::MAX_FILE_BYTES as u64;

/// The argument that stands for standard input, and its name in messages.
const STDIN: (&str, &str) = ("-", "<stdin>");

/// What the files of a command line hold.
pub(crate) struct Documents {
    pub(crate) bundle: api::Bundle,
    /// All of them as one YAML text: saved to a file, it runs as they did.
    pub(crate) text: String,
}

/// Documents with mistakes; a line each, and one that counts them.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) api::Problems);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.0, self.0.closing())
    }
}

impl std::error::Error for Refused {}

/// Reads and checks all files as one bundle; the error lists every problem.
pub(crate) fn load(files: &[PathBuf]) -> anyhow::Result<Documents> {
    let texts = read(files)?;
    let bundle = api::load(&texts).map_err(Refused)?;
    let texts: Vec<&str> = texts.iter().map(|(_, text)| text.trim_end()).collect();
    Ok(Documents { bundle, text: texts.join("\n---\n") + "\n" })
}

/// The name and text of each file; `-` is standard input.
pub(crate) fn read(files: &[PathBuf]) -> anyhow::Result<Vec<(String, String)>> {
    if files.iter().filter(|file| is_stdin(file)).count() > 1 {
        bail!("- is given twice, and standard input can be read once: remove one");
    }
    files.iter().map(|file| text(file)).collect()
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == STDIN.0
}

fn text(file: &Path) -> anyhow::Result<(String, String)> {
    let stdin = is_stdin(file);
    let name = if stdin { STDIN.1.to_owned() } else { file.display().to_string() };
    let unreadable = || format!("cannot read {name}");
    let source: Box<dyn Read> =
        if stdin { Box::new(std::io::stdin()) } else { Box::new(File::open(file).with_context(unreadable)?) };
    let mut bytes = Vec::new();
    // What is asked for may be a pipe, so its size is not known before.
    source.take(MAX_FILE + 1).read_to_end(&mut bytes).with_context(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        bail!("{name} has more than {MAX_FILE} bytes: documents are smaller, split it");
    }
    let text = String::from_utf8(bytes).with_context(|| format!("{name} is not UTF-8"))?;
    Ok((name, text))
}
