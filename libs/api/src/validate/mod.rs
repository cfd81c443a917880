//! The rules between fields: what the schema cannot say.

mod endpoint;
mod faults;
mod load_test;
mod local;
mod receiver;
mod references;
mod sink;
mod url;

pub(crate) use endpoint::RESERVED;
pub(crate) use faults::{MIN_AHEAD, out_of_ahead};
pub use load_test::check_load_test;
pub use local::local_warnings;
pub use receiver::check_receiver;
pub use references::check_references;
pub(crate) use references::{Doubts, check_with_doubts};
pub use sink::check_sink;

use crate::scalar::Duration;

/// What is wrong with a field of a spec that did not come from a file, such as one from a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field path, such as `spec.stages[0].rate`.
    pub field: String,
    /// What is wrong and the fix.
    pub message: String,
    /// The other fields that it follows from; when one of them could not be read, there may be nothing wrong at all.
    pub because: Vec<String>,
}

impl FieldProblem {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into(), because: Vec::new() }
    }

    /// Does it say anything once these fields are in doubt?
    pub(crate) fn stands(&self, doubtful: &[String]) -> bool {
        let touched = |field: &str| doubtful.iter().any(|path| within(path, field) || within(field, path));
        !touched(&self.field) && !self.because.iter().any(|field| touched(field))
    }
}

/// Is `inner` the field `outer` or a part of it?
pub(crate) fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Collects problems; paths are made only when there is something to say.
#[derive(Default)]
pub(crate) struct Rules(pub(crate) Vec<FieldProblem>);

impl Rules {
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldProblem::new(field, message));
    }

    /// Demands `holds`, which rests on other fields too: siblings by name, the others by their path from `spec`.
    pub(crate) fn agree(
        &mut self,
        holds: bool,
        field: impl FnOnce() -> String,
        others: &[&str],
        message: impl FnOnce() -> String,
    ) {
        if holds {
            return;
        }
        let field = field();
        let parent = field.rfind('.').map_or("", |end| &field[..end]);
        let path = |name: &&str| {
            if *name == "spec" || name.starts_with("spec.") { (*name).to_owned() } else { format!("{parent}.{name}") }
        };
        let because = others.iter().map(path).collect();
        self.0.push(FieldProblem { field, message: message(), because });
    }

    /// What was found, without what only follows from another mistake.
    pub(crate) fn found(self) -> Vec<FieldProblem> {
        let wrong: Vec<String> =
            self.0.iter().filter(|problem| problem.because.is_empty()).map(|problem| problem.field.clone()).collect();
        let follows = |field: &String| wrong.iter().any(|wrong| within(wrong, field));
        self.0.into_iter().filter(|problem| !problem.because.iter().any(follows)).collect()
    }

    /// Demands `holds`.
    pub(crate) fn need(&mut self, holds: bool, field: impl FnOnce() -> String, message: impl FnOnce() -> String) {
        if !holds {
            self.add(field(), message());
        }
    }

    /// Demands a duration from `min` to `max`.
    pub(crate) fn between(&mut self, value: Duration, min: Duration, max: Duration, field: impl FnOnce() -> String) {
        if value < min || value > max {
            self.add(field(), format!("{value} is out of range: write a duration from {min} to {max}"));
        }
    }

    /// Demands exactly one of some members of a union.
    pub(crate) fn exactly_one(&mut self, field: &str, members: &[(&str, bool)]) {
        let given: Vec<&str> = members.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        if given.len() == 1 {
            return;
        }
        let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        let message = if given.is_empty() {
            format!("exactly one of {names} is needed: none is given")
        } else {
            format!("exactly one of {names} is needed: {} are given, remove all but one", given.join(" and "))
        };
        self.add(field, message);
    }
}

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Bytes of a request before compression: what our own parts take, and Prometheus.
pub(crate) const MAX_REQUEST: u64 = 32 << 20;

/// Connections that tests may open to one server of ours, which takes 1024: its neighbours and whoever looks at it have some, too.
pub(crate) const MAX_CONNECTIONS: u32 = 1000;

pub(crate) fn too_connected(product: &str) -> String {
    format!(
        "{product} is more than one server of Floodmark takes connections for: write at most {MAX_CONNECTIONS} in all"
    )
}

/// Two stores, of which one is not looked at, would make everything lost.
pub(crate) const NOT_READ_BACK: &str =
    "is not used with a receiver of Floodmark, which is asked itself what it holds: remove it";

/// The longest wait for a full batch: a sender, and a drain, must be able to outwait it.
pub(crate) const MAX_BATCH_DELAY: Duration = Duration::from_secs(10);

/// The time of all stages: at 1000 samples a second the number of a sample of a series then fits 32 bits.
pub(crate) const MAX_TOTAL: Duration = Duration::from_secs(30 * 86_400);
