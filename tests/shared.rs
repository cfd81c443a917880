//! What the suites share: where the tree is, and how a test says that it did not run.

use std::path::Path;

#[path = "skip.rs"]
mod skips;

pub(crate) use skips::skip;

/// The top of this tree.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
