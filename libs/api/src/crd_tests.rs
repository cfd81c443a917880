//! The definitions: structural, bounded, described, and each CEL rule tried by an interpreter.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::parse::any_value;
use crate::{crds, schema};

/// Calls `visit` with every schema below one and its path.
fn each(schema: &Value, path: &str, visit: &mut impl FnMut(&Value, &str)) {
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

fn definitions() -> Vec<Value> {
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
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, 3, "crds/ holds a file that nothing generates");
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
            let mut schema = &version["schema"]["openAPIV3Schema"];
            for field in path.trim_start_matches('.').split('.').take_while(|_| !path.starts_with(".metadata")) {
                schema = &schema["properties"][field];
            }
            assert!(schema.is_object(), "{path}");
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

#[test]
fn definitions_fit_kubectl_apply() {
    for (name, text) in crds() {
        let bytes = any_value(&text).unwrap().to_string().len();
        assert!(bytes < 200_000, "{name} has {bytes} bytes, and an annotation of 256 KiB has to hold it");
    }
}

/// Rule message, a value that passes, and values that do not; defaults are filled in as the API server does.
fn examples() -> Vec<(&'static str, Value, Vec<Value>)> {
    let url = json!("http://h/");
    vec![
        (
            "exactly one of url and receiverRef",
            json!({"url": url}),
            vec![json!({}), json!({"url": url, "receiverRef": {"name": "r"}})],
        ),
        (
            "at most one of basicAuth",
            json!({"url": url, "sigv4": {}}),
            vec![
                json!({"basicAuth": {}, "authorization": {}}),
                json!({"basicAuth": {}, "sigv4": {}}),
                json!({"authorization": {}, "sigv4": {}}),
            ],
        ),
        (
            "exactly one of value and valueFrom",
            json!({"value": "x"}),
            vec![json!({}), json!({"value": "x", "valueFrom": {}})],
        ),
        (
            "exactly one of secret and configMap",
            json!({"secret": {}}),
            vec![json!({}), json!({"secret": {}, "configMap": {}})],
        ),
        (
            "cert and keySecret",
            json!({"cert": {}, "keySecret": {}}),
            vec![json!({"cert": {}}), json!({"keySecret": {}})],
        ),
        (
            "storage is only used",
            json!({"ackPolicy": "Durable", "storage": {}}),
            vec![json!({"ackPolicy": "Delivered", "storage": {}})],
        ),
        ("ackPolicy Durable needs", json!({"ackPolicy": "Delivered"}), vec![json!({"ackPolicy": "Durable"})]),
        (
            "labels is needed with by",
            json!({"by": "Labels", "labels": ["job"]}),
            vec![
                json!({"by": "Labels"}),
                json!({"by": "Labels", "labels": []}),
                json!({"by": "Series", "labels": ["job"]}),
            ],
        ),
        (
            "initialDelay has to be above 0",
            json!({"initialDelay": "30ms", "maxDelay": "1m30s"}),
            vec![json!({"initialDelay": "0s", "maxDelay": "1s"}), json!({"initialDelay": "2s", "maxDelay": "1s"})],
        ),
        ("at most one of every and share", json!({"every": 2}), vec![json!({"every": 2, "share": "1%"})]),
        (
            "exactly one of sinkRef",
            json!({"sinkRef": {}}),
            vec![
                json!({}),
                json!({"sinkRef": {}, "endpoint": {}}),
                json!({"sinkRef": {}, "receiverRef": {}}),
                json!({"receiverRef": {}, "endpoint": {}}),
            ],
        ),
        (
            "for is needed with Pause",
            json!({"action": "Pause", "for": "1s"}),
            vec![json!({"action": "Pause"}), json!({"action": "Kill", "for": "1s"})],
        ),
        (
            "replicas is needed with Scale",
            json!({"action": "Scale", "replicas": 2}),
            vec![json!({"action": "Scale"}), json!({"action": "Kill", "replicas": 2})],
        ),
        (
            "sinkWorker is needed",
            json!({"action": "Kill", "sinkWorker": 0}),
            vec![json!({"action": "Kill"}), json!({"action": "Scale", "sinkWorker": 0})],
        ),
        (
            "exactly one of prometheus",
            json!({"prometheus": {}}),
            vec![json!({}), json!({"prometheus": {}, "victoriaMetrics": {}})],
        ),
        ("at least one of max and min", json!({"min": "1"}), vec![json!({})]),
        ("for has to be above 0", json!({"for": "1m30s"}), vec![json!({"for": "0s"})]),
        (
            "metrics may not be more",
            json!({"metrics": 5, "seriesPerTarget": 5}),
            vec![json!({"metrics": 6, "seriesPerTarget": 5})],
        ),
        (
            "a group may have 100M",
            json!({"targets": 10_000, "seriesPerTarget": 10_000}),
            vec![json!({"targets": 10_001, "seriesPerTarget": 10_000})],
        ),
        (
            "generator.connections is not used",
            json!({"target": {"sinkRef": {}}, "generator": {}}),
            vec![json!({"target": {"sinkRef": {}}, "generator": {"connections": 4}})],
        ),
        (
            "chaos acts on",
            json!({"target": {"sinkRef": {}}, "chaos": [{}]}),
            vec![json!({"target": {"endpoint": {}}, "chaos": [{}]})],
        ),
        (
            "the name may have",
            json!({"metadata": {"name": "a".repeat(52)}}),
            vec![json!({"metadata": {"name": "a".repeat(53)}})],
        ),
    ]
}

/// What the API server makes of names that are words of CEL.
fn escaped(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (if key == "for" { "__for__".to_owned() } else { key.clone() }, escaped(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn holds(rule: &str, value: &Value) -> bool {
    let program = cel::Program::compile(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
    let mut context = cel::Context::default();
    context.add_variable("self", escaped(value)).unwrap();
    match program.execute(&context) {
        Ok(cel::Value::Bool(verdict)) => verdict,
        other => panic!("{rule} on {value}: {other:?}"),
    }
}

#[test]
fn each_rule_accepts_and_refuses() {
    let mut rules = BTreeSet::new();
    for root in roots() {
        each(&root, "", &mut |schema, _| {
            for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                rules.insert((rule["rule"].as_str().unwrap().to_owned(), rule["message"].as_str().unwrap().to_owned()));
            }
        });
    }
    let examples = examples();
    for (rule, message) in &rules {
        let found: Vec<_> = examples.iter().filter(|(start, ..)| message.starts_with(start)).collect();
        let [(_, good, bad)] = found.as_slice() else { panic!("the rule {message:?} needs one set of examples") };
        assert!(holds(rule, good), "{rule} has to accept {good}");
        for bad in bad {
            assert!(!holds(rule, bad), "{rule} has to refuse {bad}");
        }
    }
    assert_eq!(rules.len(), examples.len(), "an example without its rule");
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
