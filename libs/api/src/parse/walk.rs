//! Holds a node against a schema: reports all that is wrong, each with its place, and keeps what is right as a JSON value.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::compose::{Node, NodeKind, Place};
use super::nearest::nearest;
use super::scalars;
use crate::bundle::Positions;
use crate::scalar::{Bytes, Count, Duration, Share};
use crate::threshold::Limit;

/// Longest name of a field. Every value below it has the name in its path.
const MAX_KEY: usize = 512;

/// What a walk finds.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Field path to place.
    pub(crate) positions: Positions,
    /// (place, field path, message).
    pub(crate) problems: Vec<(Place, String, String)>,
    /// Fields that were not written, but may be what an unknown name was meant to be.
    pub(crate) meant: Vec<String>,
}

impl Walk {
    /// The value of a node under a schema; nothing when it has none that is right.
    pub(crate) fn value(&mut self, node: &Node, schema: &Value, path: &str) -> Option<Value> {
        self.positions.insert(path.to_owned(), (node.place.line, node.place.column));
        if let NodeKind::Unusable(why) = &node.kind {
            return self.wrong(node, path, why.clone());
        }
        let kind = schema.get("type").and_then(Value::as_str).unwrap_or("");
        if matches!(&node.kind, NodeKind::Plain(text) if scalars::is_null(text)) {
            if schema.get("nullable") == Some(&Value::Bool(true)) {
                return Some(Value::Null);
            }
            return self.wrong(node, path, format!("has no value: write {}, or remove the field", wanted(schema)));
        }
        if schema.get("x-kubernetes-preserve-unknown-fields").is_some() {
            return match &node.kind {
                NodeKind::Map(_) => self.free(node, path),
                _ => self.wrong(node, path, "has to be a map".to_owned()),
            };
        }
        if let Some(scalar) = schema.get("x-floodmark-scalar").and_then(Value::as_str) {
            return self.scalar(node, scalar, schema, path);
        }
        match (kind, &node.kind) {
            ("object", NodeKind::Map(entries)) => self.object(node, entries, schema, path),
            ("array", NodeKind::List(items)) => self.list(node, items, schema, path),
            ("string", NodeKind::Plain(text) | NodeKind::Quoted(text)) => self.string(node, text, schema, path),
            ("boolean", NodeKind::Plain(text)) if scalars::boolean(text).is_some() => {
                scalars::boolean(text).map(Value::Bool)
            }
            ("integer" | "number", NodeKind::Plain(text)) if scalars::is_old_number(text) => {
                self.wrong(node, path, old_number(text))
            }
            ("integer", NodeKind::Plain(text)) if scalars::integer(text).is_some() => {
                self.number(node, text, schema, path)
            }
            ("number", NodeKind::Plain(text)) if scalars::float(text).is_some() => {
                self.number(node, text, schema, path)
            }
            _ => {
                let quoted = match &node.kind {
                    NodeKind::Quoted(text) if matches!(scalars::value(text), Value::Number(_) | Value::Bool(_)) => {
                        " without quotes"
                    }
                    _ => "",
                };
                self.wrong(node, path, format!("{} was found: write {}{quoted}", found(node), wanted(schema)))
            }
        }
    }

    fn wrong(&mut self, node: &Node, path: &str, message: String) -> Option<Value> {
        self.problems.push((node.place, path.to_owned(), message));
        None
    }

    fn object(&mut self, node: &Node, entries: &[(Node, Node)], schema: &Value, path: &str) -> Option<Value> {
        let empty = Map::new();
        let fields = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let others = schema.get("additionalProperties").filter(|other| other.is_object());
        let keys = self.keys(entries, path);
        if let Some(max) = schema.get("maxProperties").and_then(Value::as_u64)
            && keys.len() as u64 > max
        {
            return self.wrong(node, path, format!("has {} entries: {max} are allowed", keys.len()));
        }
        let mut object = Map::new();
        let (parent, mut misspelt) = (path, Vec::new());
        for (key, (at, value)) in &keys {
            let path = join(path, key);
            let Some(schema) = fields.get(*key).or(others) else {
                let absent = fields.keys().map(String::as_str).filter(|name| !keys.contains_key(name));
                match nearest(key, fields.keys().map(String::as_str)) {
                    Some(near) if keys.contains_key(near) => {}
                    Some(near) => misspelt.push(near),
                    None => self.meant.extend(absent.map(|name| join(parent, name))),
                }
                self.problems.push((at.place, path, unknown(key, fields)));
                continue;
            };
            if let Some(value) = self.value(value, schema, &path) {
                object.insert((*key).to_owned(), value);
            }
            // A collection stands where its name stands, which is where a reader looks for it.
            if !matches!(value.kind, NodeKind::Plain(_) | NodeKind::Quoted(_)) {
                self.positions.insert(path, (at.place.line, at.place.column));
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !keys.contains_key(name) && !misspelt.contains(&name) {
                let field = fields.get(name);
                let about = field.and_then(|f| f.get("description")).and_then(Value::as_str).unwrap_or("");
                let about = about.split_inclusive('.').next().unwrap_or("").trim_end_matches('.');
                let what = field.map(wanted).unwrap_or_default();
                self.problems.push((node.place, join(path, name), format!("is missing ({about}): write {what}")));
            }
        }
        self.meant.extend(misspelt.into_iter().map(|name| join(path, name)));
        Some(Value::Object(object))
    }

    /// The entries by name; a name that is given twice is reported and its first value kept.
    pub(crate) fn keys<'a>(
        &mut self,
        entries: &'a [(Node, Node)],
        path: &str,
    ) -> BTreeMap<&'a str, (&'a Node, &'a Node)> {
        let mut keys: BTreeMap<&str, (&Node, &Node)> = BTreeMap::new();
        for (key, value) in entries {
            let (NodeKind::Plain(name) | NodeKind::Quoted(name)) = &key.kind else {
                self.problems.push((
                    key.place,
                    path.to_owned(),
                    "the name of a field has to be a plain text".to_owned(),
                ));
                continue;
            };
            if name.len() > MAX_KEY {
                let message = format!("the name of a field has {} bytes: {MAX_KEY} are allowed", name.len());
                self.problems.push((key.place, path.to_owned(), message));
            } else if let Some((first, _)) = keys.get(name.as_str()) {
                let message = format!("is given twice (first on line {}): remove one", first.place.line);
                self.problems.push((key.place, join(path, name), message));
            } else {
                keys.insert(name, (key, value));
            }
        }
        keys
    }

    fn list(&mut self, node: &Node, items: &[Node], schema: &Value, path: &str) -> Option<Value> {
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        if let Some(max) = bound("maxItems").filter(|max| items.len() as u64 > *max) {
            return self.wrong(node, path, format!("has {} entries: {max} are allowed", items.len()));
        }
        if let Some(min) = bound("minItems").filter(|min| (items.len() as u64) < *min) {
            return self.wrong(node, path, format!("has {} entries: at least {min} is needed", items.len()));
        }
        let any = Value::Object(Map::new());
        let schema = schema.get("items").unwrap_or(&any);
        let values: Vec<Option<Value>> =
            items.iter().enumerate().map(|(i, item)| self.value(item, schema, &format!("{path}[{i}]"))).collect();
        // One wrong entry takes the list away: leaving it out would shift the places of those behind it.
        values.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
    }

    fn string(&mut self, node: &Node, text: &str, schema: &Value, path: &str) -> Option<Value> {
        if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
            let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
            let unquoted = matches!(node.kind, NodeKind::Plain(_)) && !matches!(scalars::value(text), Value::String(_));
            if choices.contains(&text) && unquoted {
                return self.wrong(node, path, format!("{text} is read as a number: write \"{text}\", in quotes"));
            }
            if choices.contains(&text) {
                return Some(Value::String(text.to_owned()));
            }
            let message = match nearest(text, choices.iter().copied()) {
                Some(near) if choices.len() > 16 => format!("{text:?} is not known: did you mean {near}?"),
                Some(near) => format!("{text:?} is not one of {}: did you mean {near}?", choices.join(", ")),
                None => format!("{text:?} is not one of {}", choices.join(", ")),
            };
            return self.wrong(node, path, message);
        }
        if matches!(node.kind, NodeKind::Plain(_)) {
            if !matches!(scalars::value(text), Value::String(_)) {
                return self.wrong(node, path, format!("{text} is not read as a text: write \"{text}\", in quotes"));
            }
            if scalars::is_old_boolean(text) {
                let message =
                    format!("{text} is a boolean for kubectl, which reads YAML 1.1: write \"{text}\", in quotes");
                return self.wrong(node, path, message);
            }
            if scalars::is_old_number(text) {
                let message =
                    format!("{text} is a number for kubectl, which reads YAML 1.1: write \"{text}\", in quotes");
                return self.wrong(node, path, message);
            }
        }
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        let length = text.chars().count() as u64;
        if let Some(max) = bound("maxLength").filter(|max| length > *max) {
            return self.wrong(node, path, format!("has {length} characters: {max} are allowed"));
        }
        if bound("minLength").is_some_and(|min| length < min) {
            return self.wrong(node, path, format!("is empty: write {}", wanted(schema)));
        }
        Some(Value::String(text.to_owned()))
    }

    fn number(&mut self, node: &Node, text: &str, schema: &Value, path: &str) -> Option<Value> {
        let value = scalars::value(text);
        let (min, max) = (schema.get("minimum"), schema.get("maximum"));
        let number = value.as_f64().unwrap_or(f64::INFINITY);
        let below = min.and_then(Value::as_f64).is_some_and(|min| number < min);
        let above = max.and_then(Value::as_f64).is_some_and(|max| number > max);
        if below || above || !value.is_number() {
            let message = match (min, max) {
                (Some(min), Some(max)) => format!("{text} is out of range: write a number from {min} to {max}"),
                (Some(min), None) => format!("{text} is out of range: write a number of at least {min}"),
                (None, Some(max)) => format!("{text} is out of range: write a number of at most {max}"),
                (None, None) => format!("{text} is too large a number"),
            };
            return self.wrong(node, path, message);
        }
        Some(value)
    }

    fn scalar(&mut self, node: &Node, scalar: &str, schema: &Value, path: &str) -> Option<Value> {
        let (NodeKind::Plain(text) | NodeKind::Quoted(text)) = &node.kind else {
            return self.wrong(node, path, format!("{} was found: write {}", found(node), wanted_scalar(scalar)));
        };
        let plain = matches!(node.kind, NodeKind::Plain(_));
        if plain && scalars::is_old_number(text) {
            return self.wrong(node, path, old_number(text));
        }
        let is_text = schema.get("type").and_then(Value::as_str) == Some("string");
        let error = match scalar {
            "count" => text.parse::<Count>().err(),
            "bytes" => text.parse::<Bytes>().err(),
            "duration" => text.parse::<Duration>().err(),
            "share" => text.parse::<Share>().err(),
            _ => text.parse::<Limit>().err(),
        };
        match error {
            Some(error) => self.wrong(node, path, error.to_string()),
            // Of the scalars that are texts to the API server only a duration of nothing can do without a letter.
            None if is_text && plain && scalars::value(text).is_number() => {
                self.wrong(node, path, format!("{text} is a number, which kubectl is refused here: write {text}s"))
            }
            None => Some(Value::String(text.clone())),
        }
    }

    /// A free-form value: as it is.
    fn free(&mut self, node: &Node, path: &str) -> Option<Value> {
        match &node.kind {
            NodeKind::Plain(text) => Some(scalars::value(text)),
            NodeKind::Quoted(text) => Some(Value::String(text.clone())),
            NodeKind::List(items) => {
                let values = items.iter().enumerate().map(|(i, item)| self.free(item, &format!("{path}[{i}]")));
                values.collect::<Option<Vec<Value>>>().map(Value::Array)
            }
            NodeKind::Map(entries) => {
                let mut object = Map::new();
                for (key, (_, value)) in self.keys(entries, path) {
                    object.insert(key.to_owned(), self.free(value, &join(path, key))?);
                }
                Some(Value::Object(object))
            }
            NodeKind::Unusable(why) => self.wrong(node, path, why.clone()),
        }
    }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn old_number(text: &str) -> String {
    format!("{text} is another number for kubectl, which reads YAML 1.1: write it in decimal, without a zero before it")
}

fn unknown(key: &str, fields: &Map<String, Value>) -> String {
    if key == "<<" {
        return "merge keys are not read: write the fields out".to_owned();
    }
    let names = || fields.keys().map(String::as_str);
    match nearest(key, names()) {
        Some(near) => format!("there is no such field: did you mean {near}?"),
        None => format!("there is no such field: known here are {}", names().collect::<Vec<_>>().join(", ")),
    }
}

fn found(node: &Node) -> String {
    match &node.kind {
        NodeKind::Plain(text) | NodeKind::Quoted(text) if text.chars().count() > 64 => "a long text".to_owned(),
        NodeKind::Plain(text) => match scalars::value(text) {
            Value::Number(_) => format!("the number {text}"),
            Value::Bool(_) => format!("the boolean {text}"),
            _ => format!("the text {text:?}"),
        },
        NodeKind::Quoted(text) => format!("the text {text:?}"),
        NodeKind::List(_) => "a list".to_owned(),
        NodeKind::Map(_) => "a map".to_owned(),
        NodeKind::Unusable(_) => "something unusable".to_owned(),
    }
}

fn wanted_scalar(scalar: &str) -> &'static str {
    match scalar {
        "count" => "a count such as 250k",
        "bytes" => "a size such as 256Mi",
        "duration" => "a duration such as 1m30s",
        "share" => "a percentage such as 1%",
        _ => "a limit such as 250ms, 1% or 10k",
    }
}

fn wanted(schema: &Value) -> String {
    if let Some(scalar) = schema.get("x-floodmark-scalar").and_then(Value::as_str) {
        return wanted_scalar(scalar).to_owned();
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        return if choices.len() > 16 {
            format!("a name such as {}", choices[0])
        } else {
            format!("one of {}", choices.join(", "))
        };
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") if schema.get("properties").is_some() => {
            let names: Vec<&str> =
                schema["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
            format!("a map with {}", names.join(", "))
        }
        Some("object") => "a map".to_owned(),
        Some("array") => "a list".to_owned(),
        Some("integer") => "a whole number".to_owned(),
        Some("number") => "a number".to_owned(),
        Some("boolean") => "true or false".to_owned(),
        _ => "a text".to_owned(),
    }
}
