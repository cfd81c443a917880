//! The custom resource definitions, generated from the types.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use crate::status::{LoadTestStatus, RemoteWriteReceiverStatus, RemoteWriteSinkStatus};
use crate::{schema, yaml};

const GROUP: &str = "floodmark.dev";
const VERSION: &str = "v1alpha1";
const WHY_READY: &str = r#".status.conditions[?(@.type=="Ready")].reason"#;
const WHY_READY_ABOUT: &str = "Ready, or what keeps it from that.";
const WHY_FINISHED: &str = r#".status.conditions[?(@.type=="Finished")].reason"#;

/// What a definition says besides its schemas.
struct Kind {
    name: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static str,
    about: &'static str,
    spec: &'static Value,
    status: Value,
    /// Whether an object without a spec has a meaning.
    spec_optional: bool,
    scalable: bool,
    /// Rules that look at more than the spec.
    rules: Vec<Value>,
    /// Name, type, path, priority (0 is always shown), description.
    columns: &'static [(&'static str, &'static str, &'static str, u8, &'static str)],
}

/// The three definitions as `(file name, YAML)`, always in the same order and with the same bytes.
pub fn crds() -> Vec<(String, String)> {
    kinds()
        .iter()
        .map(|kind| {
            let header = "# Generated from the types in libs/api. Do not edit.\n";
            (format!("{GROUP}_{}.yaml", kind.plural), format!("{header}{}", yaml::write(&definition(kind))))
        })
        .collect()
}

fn kinds() -> [Kind; 3] {
    [
        Kind {
            name: "RemoteWriteSink",
            plural: "remotewritesinks",
            singular: "remotewritesink",
            short: "rws",
            about: "A sink: workers that own series by ordinal and forward them to a Remote-Write backend in order.",
            spec: &schema::SINK,
            status: status::<RemoteWriteSinkStatus>(),
            spec_optional: false,
            scalable: true,
            rules: Vec::new(),
            columns: &[
                ("Replicas", "integer", ".spec.replicas", 0, "Workers that were asked for."),
                ("Ready", "integer", ".status.readyReplicas", 0, "Workers that are ready."),
                ("Epoch", "integer", ".status.ownership.epoch", 0, "The ownership map that holds."),
                ("Phase", "string", ".status.ownership.phase", 0, "Stable or Draining."),
                ("Reason", "string", WHY_READY, 0, WHY_READY_ABOUT),
                ("Backend", "string", ".spec.backend.url", 1, "Where the samples go."),
                ("Age", "date", ".metadata.creationTimestamp", 0, "When it was made."),
            ],
        },
        Kind {
            name: "RemoteWriteReceiver",
            plural: "remotewritereceivers",
            singular: "remotewritereceiver",
            short: "rwr",
            about: "A receiver: a Remote-Write endpoint that verifies what it is sent, and answers badly on schedule.",
            spec: &schema::RECEIVER,
            status: status::<RemoteWriteReceiverStatus>(),
            spec_optional: true,
            scalable: false,
            rules: vec![json!({
                "rule": "!has(self.spec) || !has(self.spec.forwardTo) || !has(self.spec.forwardTo.receiverRef) \
                         || self.spec.forwardTo.receiverRef.name != self.metadata.name",
                "message": "a receiver cannot forward to itself: name another one",
            })],
            columns: &[
                ("Profile", "string", ".spec.profile", 0, "Whose rules it plays."),
                ("Ready", "integer", ".status.readyReplicas", 0, "Receivers that are ready."),
                ("Reason", "string", WHY_READY, 0, WHY_READY_ABOUT),
                ("Age", "date", ".metadata.creationTimestamp", 0, "When it was made."),
            ],
        },
        Kind {
            name: "LoadTest",
            plural: "loadtests",
            singular: "loadtest",
            short: "lt",
            about: "A test: what is sent to a Remote-Write endpoint, what is broken on the way, and what has to hold.",
            spec: &schema::LOAD_TEST,
            status: status::<LoadTestStatus>(),
            spec_optional: false,
            scalable: false,
            rules: vec![unchanging(&schema::LOAD_TEST)],
            columns: &[
                ("Phase", "string", ".status.phase", 0, "How far it is."),
                ("Reason", "string", WHY_FINISHED, 0, "What it does or waits for, or how it ended."),
                ("Verdict", "string", ".status.verdict", 0, "Passed, Failed or Inconclusive."),
                ("Stage", "integer", ".status.stage", 0, "The stage that runs, or ran last, from 0."),
                ("Rate", "integer", ".status.rate", 0, "Acknowledged samples a second."),
                ("P99", "string", ".status.latency.response.p99", 0, "Intended to acknowledged, 99th percentile."),
                ("Drops", "integer", ".status.drops", 0, "Samples given up on the way: dropped, skipped, refused."),
                ("Lost", "integer", ".status.samples.lost", 1, "Acknowledged and not stored."),
                ("Age", "date", ".metadata.creationTimestamp", 0, "When it was made."),
            ],
        },
    ]
}

fn definition(kind: &Kind) -> Value {
    let mut spec = kind.spec.clone();
    publish(&mut spec);
    if kind.spec_optional
        && let Some(spec) = spec.as_object_mut()
    {
        spec.insert("default".to_owned(), json!({}));
    }
    let mut subresources = json!({"status": {}});
    if kind.scalable {
        subresources["scale"] = json!({
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        });
    }
    let columns: Vec<Value> = kind
        .columns
        .iter()
        .map(|(name, kind, path, priority, about)| {
            json!({"name": name, "type": kind, "jsonPath": path, "priority": priority, "description": about})
        })
        .collect();
    let mut rules = vec![
        json!({
            "rule": format!("size(self.metadata.name) <= {}", crate::bundle::MAX_NAME),
            "message": format!("the name is too long: pods are named after it, write at most {}", crate::bundle::MAX_NAME),
        }),
        json!({
            "rule": "self.metadata.name.matches('^[a-z][-a-z0-9]*$')",
            "message": "Services are named after it: write lower-case letters, digits and -, a letter first",
        }),
    ];
    rules.extend_from_slice(&kind.rules);
    let required: &[&str] = if kind.spec_optional { &[] } else { &["spec"] };
    let mut root = json!({
        "description": kind.about,
        "type": "object",
        "required": required,
        "x-kubernetes-validations": rules,
        "properties": {
            "apiVersion": {"type": "string", "description": "The version of this schema: floodmark.dev/v1alpha1."},
            "kind": {"type": "string", "description": format!("The kind: {}.", kind.name)},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": kind.status,
        },
    });
    if kind.spec_optional
        && let Some(root) = root.as_object_mut()
    {
        root.remove("required");
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{GROUP}", kind.plural),
            "labels": {"app.kubernetes.io/name": "floodmark", "app.kubernetes.io/part-of": "floodmark"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": format!("{}List", kind.name),
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": [kind.short],
                "categories": ["floodmark"],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": root},
                "subresources": subresources,
                "additionalPrinterColumns": columns,
            }],
        },
    })
}

/// A test that has left Pending is bound to what it was asked for; only `abort` may still change.
fn unchanging(spec: &Value) -> Value {
    let required: Vec<&str> = spec["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let same = spec["properties"].as_object().into_iter().flatten().filter(|(name, _)| *name != "abort").map(
        |(name, field)| {
            let (new, old) = (format!("self.spec.{name}"), format!("oldSelf.spec.{name}"));
            if required.contains(&name.as_str()) || field.get("default").is_some() {
                format!("{new} == {old}")
            } else {
                format!("(has({new}) ? has({old}) && {new} == {old} : !has({old}))")
            }
        },
    );
    let same = same.collect::<Vec<_>>().join(" && ");
    json!({
        "rule": format!("!has(oldSelf.status) || !has(oldSelf.status.phase) || oldSelf.status.phase == 'Pending' || ({same})"),
        "fieldPath": ".spec",
        "message": "a test that has started cannot be changed but for abort: make another one",
    })
}

/// A status is written by the operator only, so it has no defaults: what is not there is not known.
fn status<T: JsonSchema>() -> Value {
    let mut schema = schema::structural::<T>();
    publish(&mut schema);
    without_defaults(&mut schema);
    schema
}

/// How a scalar is written, for `kubectl explain`, which shows it as a text.
fn written(scalar: &str) -> &'static str {
    match scalar {
        "count" => " Written as a count such as 250k.",
        "bytes" => " Written as a size such as 256Mi.",
        "duration" => " Written as a duration such as 1m30s.",
        "share" => " Written as a percentage such as 1%.",
        _ => " Written as 250ms, 1% or 10k.",
    }
}

fn without_defaults(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("default");
    inner(object, without_defaults);
}

/// Takes away what only our own parser understands or the API server refuses.
fn publish(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(unit) = object.remove("x-floodmark-scalar").as_ref().and_then(Value::as_str).map(written)
        && let Some(Value::String(text)) = object.get_mut("description")
    {
        text.push_str(unit);
    }
    // Where null is no value, the API server takes it for a field that was left out, as we do.
    object.remove("nullable");
    // Unknown fields are refused by the API server's field validation; beside `properties` it does not take this.
    if object.get("additionalProperties") == Some(&Value::Bool(false)) {
        object.remove("additionalProperties");
    }
    inner(object, publish);
}

fn inner(object: &mut Map<String, Value>, change: fn(&mut Value)) {
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(change);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(schema) = object.get_mut(name) {
            change(schema);
        }
    }
}
