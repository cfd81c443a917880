//! The rules that the API server checks itself, in CEL: those of `validate` that it can check cheaply, in the same words.
//!
//! A rule sees one object of the schema as `self`, defaults filled in; `for` is a word of CEL and written `__for__`.

mod endpoint;
mod load_test;
mod sink;

use serde_json::{Value, json};

pub(crate) use endpoint::*;
pub(crate) use load_test::*;
pub(crate) use sink::*;

use crate::scalar::{Duration, Share};

const SECOND: Duration = Duration::from_secs(1);

/// Rules of one schema, as `x-kubernetes-validations` holds them.
#[derive(Default)]
struct Rules(Vec<Value>);

impl Rules {
    fn rule(mut self, rule: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.push(json!({"rule": rule.into(), "message": message.into()}));
        self
    }

    /// A rule about an optional field that holds when it is left out.
    fn given(self, field: &str, rule: &str, message: &str) -> Self {
        self.rule(format!("!has(self.{field}) || ({rule})"), format!("{} {message}", plain(field)))
    }

    /// Exactly one of two fields.
    fn one_of(self, first: &str, second: &str) -> Self {
        self.rule(
            format!("has(self.{first}) != has(self.{second})"),
            format!("exactly one of {first}, {second} is needed"),
        )
    }

    fn between(self, field: &str, min: Duration, max: Duration) -> Self {
        let value = format!("duration(self.{field})");
        self.given(
            field,
            &format!("{value} >= duration('{min}') && {value} <= duration('{max}')"),
            &format!("is out of range: write a duration from {min} to {max}"),
        )
    }

    /// A field that only some values of an enum take.
    fn only(self, field: &str, by: &str, values: &[&str]) -> Self {
        let rule = format!("!has(self.{field}) || {}", among(by, values));
        let message = format!("{} is not used with any {by} but {}: remove it", plain(field), values.join(", "));
        self.rule(rule, message)
    }

    /// A field that some values of an enum demand.
    fn demanded(self, field: &str, by: &str, values: &[&str], message: &str) -> Self {
        self.rule(format!("!({}) || has(self.{field})", among(by, values)), message)
    }

    fn end(self) -> Value {
        Value::Array(self.0)
    }
}

fn plain(field: &str) -> &str {
    field.trim_matches('_')
}

fn among(by: &str, values: &[&str]) -> String {
    match values {
        [value] => format!("self.{by} == '{value}'"),
        values => format!("self.{by} in ['{}']", values.join("', '")),
    }
}

/// A pattern is held against texts only: a number has to be told that it is no percentage.
pub(crate) fn share() -> Value {
    let percentage = "^(0|0*(100([.]0+)?|[0-9]{1,2}([.][0-9]+)?)%)$";
    Rules::default().rule(format!("string(self).matches('{percentage}')"), Share::WRONG).end()
}

/// Whether a count, share or duration in a text or number is more than nothing.
fn positive(field: &str) -> String {
    format!("string(self.{field}).matches('[1-9]')")
}
