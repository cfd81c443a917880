//! The rules between fields: what the schema cannot say.

mod endpoint;
mod faults;
mod load_test;
mod local;
mod receiver;
mod references;
mod sink;
mod url;

pub use load_test::check_load_test;
pub use local::local_warnings;
pub use receiver::check_receiver;
pub use references::check_references;
pub use sink::check_sink;

use crate::scalar::Duration;

/// What is wrong with a field of a spec that did not come from a file, such as one from a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field path, such as `spec.stages[0].rate`.
    pub field: String,
    /// What is wrong and the fix.
    pub message: String,
}

/// Collects problems; paths are made only when there is something to say.
#[derive(Default)]
pub(crate) struct Rules(pub(crate) Vec<FieldProblem>);

impl Rules {
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldProblem { field: field.into(), message: message.into() });
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
