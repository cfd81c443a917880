//! One document: the envelope, then the spec of its kind.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::compose::{Node, NodeKind, Place};
use super::nearest::nearest;
use super::scalars;
use super::walk::{Walk, join};
use crate::bundle::{API_VERSION, Bundle, MAX_NAME, Object, Source};
use crate::problem::Problem;
use crate::schema;
use crate::validate::{self, Doubts, FieldProblem};

const KINDS: [&str; 3] = ["RemoteWriteSink", "RemoteWriteReceiver", "LoadTest"];

/// Fields that the API server writes; they are taken and left alone, so that what `kubectl get -o yaml` prints can be run.
const SERVER_FIELDS: [&str; 9] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "uid",
];

struct Envelope<'a> {
    kind: Option<&'a str>,
    name: Option<String>,
    /// Nothing when the one that was written cannot be used.
    namespace: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    spec: Option<&'a Node>,
}

/// Reads one document into the bundle; what is wrong goes to `problems`, and what is therefore uncertain to `doubts`.
pub(crate) fn read(file: &str, node: &Node, bundle: &mut Bundle, doubts: &mut Doubts, problems: &mut Vec<Problem>) {
    let mut walk = Walk::default();
    walk.positions.insert(String::new(), (node.place.line, node.place.column));
    let envelope = envelope(node, &mut walk);
    match envelope.kind {
        Some("RemoteWriteSink") => {
            let objects = &mut bundle.sinks;
            spec(file, node, envelope, walk, &schema::SINK, validate::check_sink, objects, doubts, problems);
        }
        Some("RemoteWriteReceiver") => {
            let objects = &mut bundle.receivers;
            spec(file, node, envelope, walk, &schema::RECEIVER, validate::check_receiver, objects, doubts, problems);
        }
        Some("LoadTest") => {
            let objects = &mut bundle.load_tests;
            spec(file, node, envelope, walk, &schema::LOAD_TEST, validate::check_load_test, objects, doubts, problems);
        }
        _ => {
            // It may have been anything that others refer to.
            doubts.unread = true;
            report(file, walk.problems, problems);
        }
    }
}

fn report(file: &str, found: Vec<(Place, String, String)>, problems: &mut Vec<Problem>) {
    problems.extend(found.into_iter().map(|(place, field, message)| Problem {
        file: file.to_owned(),
        line: place.line,
        column: place.column,
        field,
        message,
    }));
}

#[expect(clippy::too_many_arguments, reason = "one call a kind; a struct for them would only rename them")]
fn spec<S: DeserializeOwned>(
    file: &str,
    document: &Node,
    envelope: Envelope<'_>,
    mut walk: Walk,
    schema: &Value,
    check: fn(&S) -> Vec<FieldProblem>,
    objects: &mut Vec<Object<S>>,
    doubts: &mut Doubts,
    problems: &mut Vec<Problem>,
) {
    let value = envelope.spec.and_then(|spec| walk.value(spec, schema, "spec"));
    let mut broken: Vec<String> = walk.problems.iter().map(|(_, field, _)| field.clone()).collect();
    broken.append(&mut walk.meant);
    report(file, std::mem::take(&mut walk.problems), problems);
    let Envelope { kind, name, namespace, labels, annotations, .. } = envelope;
    let kind = kind.unwrap_or_default();
    let identity = name.zip(namespace);
    match &identity {
        Some((name, namespace)) => doubts.add(kind, namespace, name, &broken),
        None => doubts.nameless(kind),
    }
    let source = Source::new(file.to_owned(), document.place.line, walk.positions);
    let Some(value) = value else { return };
    let spec: S = match serde_path_to_error::deserialize(&value) {
        Ok(spec) => spec,
        Err(error) => {
            // After a schema problem this is its echo; alone it is a gap between schema and type, and still the user's to know.
            if broken.is_empty() {
                problems.push(source.problem(join("spec", &error.path().to_string()), error.inner().to_string()));
            }
            return;
        }
    };
    // A rule between fields says nothing of use about a field that could not be read.
    let found = check(&spec).into_iter().filter(|problem| problem.stands(&broken));
    let mut wrong = Vec::new();
    for FieldProblem { field, message, .. } in found {
        wrong.push(field.clone());
        problems.push(source.problem(field, message));
    }
    if let Some((name, namespace)) = identity {
        doubts.add(kind, &namespace, &name, &wrong);
        objects.push(Object { name, namespace, labels, annotations, spec, source });
    }
}

fn envelope<'a>(node: &'a Node, walk: &mut Walk) -> Envelope<'a> {
    let mut envelope = Envelope {
        kind: None,
        name: None,
        namespace: Some("default".to_owned()),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        spec: None,
    };
    let NodeKind::Map(entries) = &node.kind else {
        walk.problems.push((
            node.place,
            String::new(),
            "a document is a map with apiVersion, kind, metadata and spec".to_owned(),
        ));
        return envelope;
    };
    let fields = walk.keys(entries, "");
    envelope.kind = kind(node, fields.get("kind").map(|(_, value)| *value), walk);
    if envelope.kind.is_none() {
        return envelope;
    }
    match fields.get("apiVersion") {
        Some((_, value)) if text(value) == Some(API_VERSION) => {}
        Some((_, value)) => {
            walk.problems.push((value.place, "apiVersion".to_owned(), format!("is not known: write {API_VERSION}")));
        }
        None => walk.problems.push((node.place, "apiVersion".to_owned(), format!("is missing: write {API_VERSION}"))),
    }
    match fields.get("metadata") {
        Some((_, value)) => metadata(value, &mut envelope, walk),
        None => walk.problems.push((node.place, "metadata".to_owned(), "is missing: write {name: NAME}".to_owned())),
    }
    match fields.get("spec") {
        Some((_, value)) => envelope.spec = Some(value),
        None if envelope.kind == Some("RemoteWriteReceiver") => envelope.spec = Some(&EMPTY),
        None => walk.problems.push((
            node.place,
            "spec".to_owned(),
            "is missing: write what this object is to be".to_owned(),
        )),
    }
    for (name, (key, _)) in &fields {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(name) {
            let near = nearest(name, ["apiVersion", "kind", "metadata", "spec"]);
            let hint = near.map_or_else(
                || "known here are apiVersion, kind, metadata, spec".to_owned(),
                |n| format!("did you mean {n}?"),
            );
            walk.problems.push((key.place, (*name).to_owned(), format!("there is no such field: {hint}")));
        }
    }
    envelope
}

/// What a receiver without a spec means: all defaults.
static EMPTY: Node = Node { place: Place { line: 1, column: 1 }, kind: NodeKind::Map(Vec::new()) };

fn text(node: &Node) -> Option<&str> {
    match &node.kind {
        NodeKind::Plain(text) | NodeKind::Quoted(text) => Some(text),
        _ => None,
    }
}

fn kind<'a>(node: &'a Node, value: Option<&'a Node>, walk: &mut Walk) -> Option<&'a str> {
    let Some(value) = value else {
        walk.problems.push((node.place, "kind".to_owned(), format!("is missing: write one of {}", KINDS.join(", "))));
        return None;
    };
    let written = text(value).unwrap_or("");
    if KINDS.contains(&written) {
        return Some(written);
    }
    let hint = match (nearest(written, KINDS), written) {
        (Some(near), _) => format!("did you mean {near}?"),
        (None, "Secret" | "ConfigMap") => {
            format!("known are {}; on one machine a secret is given with --secret NAME/KEY=PATH", KINDS.join(", "))
        }
        (None, "List") => "write the items as documents of their own, with --- between them".to_owned(),
        (None, _) => format!("known are {}", KINDS.join(", ")),
    };
    walk.problems.push((value.place, "kind".to_owned(), format!("{written:?} is not a kind of Floodmark: {hint}")));
    None
}

fn metadata(node: &Node, envelope: &mut Envelope<'_>, walk: &mut Walk) {
    let NodeKind::Map(entries) = &node.kind else {
        walk.problems.push((node.place, "metadata".to_owned(), "has to be a map with name".to_owned()));
        return;
    };
    walk.positions.insert("metadata".to_owned(), (node.place.line, node.place.column));
    let fields = walk.keys(entries, "metadata");
    if !fields.contains_key("name") {
        walk.problems.push((node.place, "metadata.name".to_owned(), "is missing: give the object a name".to_owned()));
    }
    for (name, (key, value)) in fields {
        let path = join("metadata", name);
        walk.positions.insert(path.clone(), (value.place.line, value.place.column));
        match name {
            "name" => envelope.name = object_name(value, &path, walk),
            "namespace" => envelope.namespace = object_name(value, &path, walk),
            "labels" => envelope.labels = texts(value, &path, walk),
            "annotations" => envelope.annotations = texts(value, &path, walk),
            _ if SERVER_FIELDS.contains(&name) => {}
            _ => {
                let known = ["name", "namespace", "labels", "annotations"];
                let hint = nearest(name, known).map_or_else(
                    || format!("known here are {}", known.join(", ")),
                    |near| format!("did you mean {near}?"),
                );
                walk.problems.push((key.place, path, format!("there is no such field: {hint}")));
            }
        }
    }
}

/// A lower-case DNS label that leaves room for what is appended to it.
fn object_name(node: &Node, path: &str, walk: &mut Walk) -> Option<String> {
    let name = text(node).unwrap_or("");
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let right = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(|b| letters(b) || b == b'-')
        && name.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && name.bytes().next_back().is_some_and(letters);
    if right {
        let plain = matches!(node.kind, NodeKind::Plain(_));
        if plain && (scalars::is_null(name) || scalars::is_old_boolean(name) || !scalars::value(name).is_string()) {
            walk.problems.push((
                node.place,
                path.to_owned(),
                format!("{name} is not read as a text: write \"{name}\", in quotes"),
            ));
        }
        return Some(name.to_owned());
    }
    let shown: String = name.chars().take(64).collect();
    let message = format!(
        "{shown:?} is not a name: write lower-case letters, digits and -, a letter first, a letter or digit last, at most {MAX_NAME}"
    );
    walk.problems.push((node.place, path.to_owned(), message));
    None
}

fn texts(node: &Node, path: &str, walk: &mut Walk) -> BTreeMap<String, String> {
    let schema = serde_json::json!({
        "type": "object", "maxProperties": 256, "nullable": true,
        "additionalProperties": {"type": "string", "maxLength": 262_144},
    });
    match walk.value(node, &schema, path) {
        Some(Value::Object(map)) => {
            map.into_iter().filter_map(|(key, value)| value.as_str().map(|text| (key, text.to_owned()))).collect()
        }
        _ => BTreeMap::new(),
    }
}
