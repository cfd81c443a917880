//! Documents with their envelope, and the set of them that belongs together.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::problem::Problem;
use crate::{LoadTestSpec, RemoteWriteReceiverSpec, RemoteWriteSinkSpec};

/// The only group and version there is.
pub const API_VERSION: &str = "floodmark.dev/v1alpha1";

/// Pods, Services and their hashed labels are named after the object, so its name has to leave them room.
pub(crate) const MAX_NAME: usize = 40;

/// Where each field of a document stands: field path to (line, column).
pub(crate) type Positions = BTreeMap<String, (usize, usize)>;

/// Where a document came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// The name of the file as it was given.
    pub file: String,
    /// The line at which the document starts, from 1.
    pub line: usize,
    /// Shared, since an object is cloned more often than it is looked up.
    positions: Arc<Positions>,
}

impl Source {
    pub(crate) fn new(file: String, line: usize, positions: Positions) -> Self {
        Self { file, line, positions: Arc::new(positions) }
    }

    /// Line and column of a field such as `spec.stages[0].rate`, or of the nearest field above it that was written.
    pub fn position(&self, field: &str) -> (usize, usize) {
        let mut path = field;
        loop {
            if let Some(position) = self.positions.get(path) {
                return *position;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return self.positions.get("").copied().unwrap_or((self.line, usize::from(self.line > 0))),
            }
        }
    }

    /// Was this field written in the document?
    pub fn is_written(&self, field: &str) -> bool {
        self.positions.contains_key(field)
    }

    /// A problem with a field of this document.
    pub fn problem(&self, field: impl Into<String>, message: impl Into<String>) -> Problem {
        let field = field.into();
        let (line, column) = self.position(&field);
        Problem { file: self.file.clone(), line, column, field, message: message.into() }
    }
}

/// One document: its envelope and what it asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Object<S> {
    pub name: String,
    /// `default` when the document names none.
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub spec: S,
    pub source: Source,
}

impl<S> Object<S> {
    /// Its name, behind that of its namespace where another one of these has the same name. Names hold no dots.
    pub fn name_among(&self, others: &[Self]) -> String {
        let alone = others.iter().filter(|other| other.name == self.name).count() < 2;
        if alone { self.name.clone() } else { format!("{}.{}", self.namespace, self.name) }
    }
}

/// The documents of one or more files, by kind, in the order of the text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bundle {
    pub sinks: Vec<Object<RemoteWriteSinkSpec>>,
    pub receivers: Vec<Object<RemoteWriteReceiverSpec>>,
    pub load_tests: Vec<Object<LoadTestSpec>>,
}

impl Bundle {
    /// The sink of that namespace and name.
    pub fn sink(&self, namespace: &str, name: &str) -> Option<&Object<RemoteWriteSinkSpec>> {
        self.sinks.iter().find(|o| o.namespace == namespace && o.name == name)
    }

    /// The receiver of that namespace and name.
    pub fn receiver(&self, namespace: &str, name: &str) -> Option<&Object<RemoteWriteReceiverSpec>> {
        self.receivers.iter().find(|o| o.namespace == namespace && o.name == name)
    }

    /// The load test of that namespace and name.
    pub fn load_test(&self, namespace: &str, name: &str) -> Option<&Object<LoadTestSpec>> {
        self.load_tests.iter().find(|o| o.namespace == namespace && o.name == name)
    }
}
