//! The schemas of the documents in the structural form that Kubernetes demands: one type a field, nothing referenced.

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{LoadTestSpec, RemoteWriteReceiverSpec, RemoteWriteSinkSpec};

/// The schema of a sink's spec.
pub(crate) static SINK: LazyLock<Value> = LazyLock::new(structural::<RemoteWriteSinkSpec>);
/// The schema of a receiver's spec.
pub(crate) static RECEIVER: LazyLock<Value> = LazyLock::new(structural::<RemoteWriteReceiverSpec>);
/// The schema of a test's spec.
pub(crate) static LOAD_TEST: LazyLock<Value> = LazyLock::new(structural::<LoadTestSpec>);

/// The structural schema of a type; scalars keep the mark `x-floodmark-scalar`.
pub(crate) fn structural<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::default();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    repair(&mut schema);
    schema
}

fn repair(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("$schema");
    object.remove("title");
    nullable(object);
    format(object);
    choices(object);
    // What is empty when it is left out needs no default; a null one is not allowed.
    let pointless = match object.get("default") {
        Some(Value::Null) => true,
        Some(Value::Array(list)) => list.is_empty(),
        Some(Value::Object(map)) => map.is_empty() && object.get("properties").is_none(),
        _ => false,
    };
    if pointless {
        object.remove("default");
    }
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(repair);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(name) {
            repair(inner);
        }
    }
}

/// Formats that Kubernetes knows; it has no unsigned numbers.
fn format(object: &mut Map<String, Value>) {
    match object.get("type").and_then(Value::as_str) {
        Some("integer") => {
            let narrow = object.get("maximum").and_then(Value::as_i64).is_some_and(|max| max <= i64::from(i32::MAX));
            object.insert("format".to_owned(), json!(if narrow { "int32" } else { "int64" }));
        }
        Some("number") => {
            object.insert("format".to_owned(), json!("double"));
        }
        _ if object.get("format").and_then(Value::as_str) == Some("date-time") => {}
        _ => {
            object.remove("format");
        }
    }
}

/// `type: [T, null]` and `anyOf: [T, {type: null}]` become T that is nullable.
fn nullable(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get("type") {
        let mut types: Vec<Value> = types.iter().filter(|t| t.as_str() != Some("null")).cloned().collect();
        if types.len() == 1 {
            object.insert("type".to_owned(), types.remove(0));
            object.insert("nullable".to_owned(), Value::Bool(true));
        }
    }
    let members = object.get("anyOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let null = json!({"type": "null"});
    if members.len() == 2 && members.contains(&null) {
        object.remove("anyOf");
        for (key, value) in
            members.into_iter().filter(|member| *member != null).filter_map(|m| m.as_object().cloned()).flatten()
        {
            object.entry(key).or_insert(value);
        }
        object.insert("nullable".to_owned(), Value::Bool(true));
    }
}

/// Constants with a description each become one enum that describes them.
fn choices(object: &mut Map<String, Value>) {
    let Some(members) = object.get("oneOf").and_then(Value::as_array).cloned() else { return };
    let mut names = Vec::new();
    let mut about = String::new();
    for member in &members {
        let description = member.get("description").and_then(Value::as_str).unwrap_or("");
        let constant = member.get("const").cloned();
        for name in
            constant.into_iter().chain(member.get("enum").and_then(Value::as_array).cloned().unwrap_or_default())
        {
            if !description.is_empty() {
                about = format!("{about}\n- {}: {description}", name.as_str().unwrap_or_default());
            }
            names.push(name);
        }
    }
    object.remove("oneOf");
    object.insert("type".to_owned(), json!("string"));
    object.insert("enum".to_owned(), Value::Array(names));
    let own = object.get("description").and_then(Value::as_str).unwrap_or("").to_owned();
    object.insert("description".to_owned(), Value::String(format!("{own}{about}")));
}
