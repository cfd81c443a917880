//! The definitions: structural, bounded, described.

use std::path::Path;

use serde_json::{Value, json};

use crate::parse::any_value;
use crate::{crds, schema};

/// Calls `visit` with every schema below one and its path.
pub(crate) fn each(schema: &Value, path: &str, visit: &mut impl FnMut(&Value, &str)) {
    visit(schema, path);
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        each(field, &format!("{path}.{name}"), visit);
    }
    for (name, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = schema.get(name).filter(|inner| inner.is_object()) {
            each(inner, &format!("{path}{mark}"), visit);
        }
    }
}

pub(crate) fn definitions() -> Vec<Value> {
    crds().iter().map(|(_, text)| any_value(text).expect("YAML")).collect()
}

fn roots() -> Vec<Value> {
    definitions().iter().map(|crd| crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()).collect()
}

#[test]
fn the_files_are_the_generated_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    let update = std::env::var_os("FLOODMARK_UPDATE_CRDS").is_some();
    for (name, text) in crds() {
        if update {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(&name), &text).unwrap();
        }
        let held = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(
            held == text,
            "crds/{name} is out of date: run FLOODMARK_UPDATE_CRDS=1 cargo test --release -p floodmark-api the_files"
        );
    }
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    let definitions = names.filter(|name| name.to_string_lossy().starts_with("floodmark.dev_")).count();
    assert_eq!(definitions, 3, "crds/ holds a definition that nothing generates");
}

/// The schema that a path leads to; `[?(@.type=="Ready")]` picks a condition out of those that the list says it has.
fn at<'a>(mut schema: &'a Value, path: &str) -> &'a Value {
    let mut rest = path;
    while let Some(step) = rest.strip_prefix('.') {
        let (field, behind) = step.split_at(step.find(['.', '[']).unwrap_or(step.len()));
        (schema, rest) = (&schema["properties"][field], behind);
        if let Some((kind, behind)) = rest.strip_prefix(r#"[?(@.type==""#).and_then(|kind| kind.split_once(r#"")]"#)) {
            assert!(schema["description"].as_str().unwrap().contains(kind), "{path}");
            (schema, rest) = (&schema["items"], behind);
        }
    }
    assert!(rest.is_empty(), "{path}");
    schema
}

#[test]
fn names_subresources_and_columns_are_there() {
    let crds = definitions();
    let names: Vec<&str> = crds.iter().map(|crd| crd["spec"]["names"]["shortNames"][0].as_str().unwrap()).collect();
    assert_eq!(names, ["rws", "rwr", "lt"]);
    for crd in &crds {
        assert_eq!(crd["spec"]["names"]["categories"], json!(["floodmark"]));
        let version = &crd["spec"]["versions"][0];
        assert_eq!(version["subresources"]["status"], json!({}));
        let conditions = &version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"];
        assert_eq!(
            (&conditions["x-kubernetes-list-type"], &conditions["x-kubernetes-list-map-keys"]),
            (&json!("map"), &json!(["type"]))
        );
        // A column that points nowhere is shown empty for ever.
        for column in version["additionalPrinterColumns"].as_array().unwrap() {
            let path = column["jsonPath"].as_str().unwrap();
            let schema = &version["schema"]["openAPIV3Schema"];
            assert!(path.starts_with(".metadata") || at(schema, path).is_object(), "{path}");
        }
    }
    assert_eq!(crds[0]["spec"]["versions"][0]["subresources"]["scale"]["labelSelectorPath"], ".status.selector");
}

#[test]
fn schemas_are_structural_bounded_and_described() {
    const ALLOWED: [&str; 23] = [
        "additionalProperties",
        "anyOf",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "nullable",
        "pattern",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
    ];
    for root in roots() {
        each(&root, "", &mut |schema, path| {
            let object = schema.as_object().unwrap();
            for key in object.keys() {
                assert!(ALLOWED.contains(&key.as_str()) || key == "x-kubernetes-validations", "{path}: {key}");
            }
            let int_or_string = object.contains_key("x-kubernetes-int-or-string");
            assert!(object.get("type").is_some_and(Value::is_string) != int_or_string, "{path} needs one type");
            if int_or_string {
                assert_eq!(object["anyOf"], json!([{"type": "integer"}, {"type": "string"}]), "{path}");
            } else {
                assert!(!object.contains_key("anyOf"), "{path}");
            }
            assert!(!(object.contains_key("properties") && object.contains_key("additionalProperties")), "{path}");
            let top = ["", ".apiVersion", ".kind", ".metadata"].contains(&path);
            let described = object.get("description").and_then(Value::as_str).is_some_and(|text| text.len() > 5);
            assert!(top || described || path.ends_with("[]") || path.ends_with("{}"), "{path} needs a description");
            let bounded = match object.get("type").and_then(Value::as_str) {
                Some("string") => ["maxLength", "enum", "format"].iter().any(|key| object.contains_key(*key)),
                Some("array") => object.contains_key("maxItems"),
                Some("object") => !object.contains_key("additionalProperties") || object.contains_key("maxProperties"),
                _ => true,
            };
            assert!(top || bounded, "{path} needs a bound");
            assert!(object.get("default") != Some(&Value::Null), "{path}");
        });
    }
}

/// `kubectl explain` is all that many people read: it has to say what holds when a field is left out, and the unit.
#[test]
fn descriptions_name_units_and_the_defaults_that_hold() {
    for root in roots() {
        each(&root["properties"]["spec"], "spec", &mut |schema, path| {
            let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let about = field["description"].as_str().unwrap();
                let scalar = field.get("x-kubernetes-int-or-string").is_some()
                    || !["object", "array"].contains(&field["type"].as_str().unwrap());
                let pattern = field.get("pattern").is_some();
                assert!(!pattern || about.contains("Written as "), "{path}.{name} needs a unit: {about}");
                if !scalar || required.contains(&json!(name)) {
                    continue;
                }
                let said = match field.get("default") {
                    Some(Value::String(text)) => {
                        about.contains(&format!("Default {text}")) || about.contains(&format!("Default {text:?}"))
                    }
                    Some(value) => about.contains(&format!("Default {value}")),
                    None => about.contains("Default") || about.contains("eft out"),
                };
                assert!(said, "{path}.{name} has to say what holds without it: {:?}, {about}", field.get("default"));
            }
        });
    }
}

#[test]
fn definitions_fit_kubectl_apply() {
    const ANNOTATION: usize = 256 << 10;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    for (name, text) in crds() {
        let bytes = any_value(&text).unwrap().to_string().len();
        assert!(bytes < ANNOTATION - 8192, "{name} has {bytes} bytes, and an annotation has to hold it");
        assert!(std::fs::metadata(folder.join(&name)).unwrap().len() < ANNOTATION as u64, "{name}");
    }
}

#[test]
fn defaults_satisfy_their_own_schemas() {
    for root in [&*schema::SINK, &*schema::RECEIVER, &*schema::LOAD_TEST] {
        each(root, "", &mut |schema, path| {
            let Some(default) = schema.get("default") else { return };
            let text = crate::yaml::write(&json!({"field": default}));
            let wrapped = json!({"type": "object", "properties": {"field": schema}});
            let problems = crate::parse::walk_text(&text, &wrapped);
            assert!(problems.is_empty(), "{path}: {problems:?}");
        });
    }
}
