//! From text to checked documents: YAML with positions, then the schema, then serde, then the rules between fields.

mod compose;
mod document;
mod nearest;
mod scalars;
mod walk;

use std::collections::BTreeMap;

use crate::bundle::Bundle;
use crate::problem::{Problem, Problems};
use crate::validate::{self, Doubts};

/// A file larger than that is refused unread.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// Files more than that are refused.
pub const MAX_FILES: usize = 256;

/// So many problems are reported at most: enough to repair a document, few enough to read.
const MAX_PROBLEMS: usize = 200;

/// Reads documents from `(display name, text)` pairs and checks them, references between them included.
///
/// # Errors
/// Every problem there is (200 at most), in the order of the text.
pub fn load(files: &[(String, String)]) -> Result<Bundle, Problems> {
    let (bundle, doubts, mut problems) = read(files);
    problems.extend(validate::check_with_doubts(&bundle, &doubts));
    finish(bundle, problems)
}

/// Like [`load`], but references may point to objects that are elsewhere, such as in a cluster.
///
/// # Errors
/// Every problem there is (200 at most), in the order of the text.
pub fn load_without_references(files: &[(String, String)]) -> Result<Bundle, Problems> {
    let (bundle, _, problems) = read(files);
    finish(bundle, problems)
}

fn read(files: &[(String, String)]) -> (Bundle, Doubts, Vec<Problem>) {
    let mut bundle = Bundle::default();
    let mut doubts = Doubts::default();
    let mut problems = Vec::new();
    let whole = |file: &str, message: String| Problem {
        file: file.to_owned(),
        line: 0,
        column: 0,
        field: String::new(),
        message,
    };
    if files.len() > MAX_FILES {
        problems.push(whole("", format!("{} files are too many: give {MAX_FILES} at most", files.len())));
        doubts.unread = true;
    }
    for (file, text) in files.iter().take(MAX_FILES) {
        if text.len() > MAX_FILE_BYTES {
            let bytes = text.len();
            problems.push(whole(file, format!("the file has {bytes} bytes: {MAX_FILE_BYTES} are allowed, split it")));
            doubts.unread = true;
            continue;
        }
        let (documents, error) = compose::compose(text);
        let empty = documents.is_empty() && error.is_none();
        for node in documents {
            document::read(file, &node, &mut bundle, &mut doubts, &mut problems);
        }
        if let Some(error) = error {
            doubts.unread = true;
            problems.push(Problem {
                file: file.clone(),
                line: error.line,
                column: error.column,
                field: String::new(),
                message: error.message,
            });
        } else if empty {
            problems.push(whole(file, "the file holds no document".to_owned()));
        }
    }
    same_names(&bundle, &mut problems);
    (bundle, doubts, problems)
}

fn finish(bundle: Bundle, mut problems: Vec<Problem>) -> Result<Bundle, Problems> {
    if problems.is_empty() {
        return Ok(bundle);
    }
    // A stable sort by file keeps the order in which the files were given; inside a file the text's order helps most.
    let mut order: Vec<String> = Vec::new();
    for problem in &problems {
        if !order.contains(&problem.file) {
            order.push(problem.file.clone());
        }
    }
    problems.sort_by_key(|p| (order.iter().position(|file| *file == p.file), p.line, p.column));
    problems.dedup();
    let (total, files) = (problems.len(), order.len());
    problems.truncate(MAX_PROBLEMS);
    Err(Problems { shown: problems, total, files })
}

/// An object may be given once only.
fn same_names(bundle: &Bundle, problems: &mut Vec<Problem>) {
    let sinks = bundle.sinks.iter().map(|o| ("RemoteWriteSink", &o.namespace, &o.name, &o.source));
    let receivers = bundle.receivers.iter().map(|o| ("RemoteWriteReceiver", &o.namespace, &o.name, &o.source));
    let tests = bundle.load_tests.iter().map(|o| ("LoadTest", &o.namespace, &o.name, &o.source));
    let mut seen = BTreeMap::new();
    for (kind, namespace, name, source) in sinks.chain(receivers).chain(tests) {
        let first = *seen.entry((kind, namespace, name)).or_insert(source);
        if !std::ptr::eq(first, source) {
            let (line, column) = first.position("metadata.name");
            let mut message = format!(
                "{kind} {name:?} is given twice (first at {}:{line}:{column}): rename one or remove it",
                first.file
            );
            if first.file != source.file {
                message += "; validate --each takes every file for itself";
            }
            problems.push(source.problem("metadata.name", message));
        }
    }
}

/// The value of a text of one document, for tests of what writes YAML.
#[cfg(test)]
pub(crate) fn any_value(text: &str) -> Option<serde_json::Value> {
    let (documents, error) = compose::compose(text);
    assert!(error.is_none(), "{error:?}");
    let schema = serde_json::json!({"x-kubernetes-preserve-unknown-fields": true});
    walk::Walk::default().value(documents.first()?, &schema, "")
}

/// What a schema finds wrong with a text of one document, for tests of schemas.
#[cfg(test)]
pub(crate) fn walk_text(text: &str, schema: &serde_json::Value) -> Vec<String> {
    let (documents, error) = compose::compose(text);
    assert!(error.is_none(), "{error:?}");
    let mut walk = walk::Walk::default();
    for document in &documents {
        walk.value(document, schema, "");
    }
    walk.problems.into_iter().map(|(_, field, message)| format!("{field}: {message}")).collect()
}
