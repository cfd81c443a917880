//! What the suites share: where the tree is, and how a test says that it did not run.

use std::io::Write;
use std::path::Path;

/// The top of this tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Says loudly that a test did not run; `hack/test` counts these lines.
pub fn skip(test: &str, why: &str) {
    eprintln!("SKIPPED: {test}: {why}");
    if let Some(path) = std::env::var_os("FLOODMARK_SKIPS")
        && let Ok(mut file) = std::fs::File::options().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{test}: {why}");
    }
}
