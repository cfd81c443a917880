//! The CEL rules, by an interpreter: each refuses a document of `tests/invalid` with the words that `load` has too. What the API server
//! says in words of its own has ours beside it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cel::extractors::This;
use serde_json::{Value, json};

use crate::crd_tests::{definitions, each};
use crate::load;
use crate::parse::any_value;

/// What the API server makes of names that are words of CEL.
fn escaped(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (if key == "for" { "__for__".to_owned() } else { key.clone() }, escaped(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.iter().map(escaped).collect(),
        other => other.clone(),
    }
}

/// The `sum` of Kubernetes' list library, for the two types that the rules add up.
fn sum(This(items): This<Arc<Vec<cel::Value>>>) -> cel::Value {
    let mut numbers = 0_i64;
    let mut time = None;
    for item in items.iter() {
        match item {
            cel::Value::Int(number) => numbers += number,
            // The interpreter takes positive numbers of JSON for unsigned ones.
            cel::Value::UInt(number) => numbers += i64::try_from(*number).unwrap(),
            cel::Value::Duration(span) => time = Some(time.unwrap_or_default() + *span),
            other => panic!("{other:?} cannot be added up"),
        }
    }
    time.map_or(cel::Value::Int(numbers), cel::Value::Duration)
}

fn holds(rule: &str, value: &Value, old: Option<&Value>) -> bool {
    let program = cel::Program::compile(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
    let mut context = cel::Context::default();
    context.add_function("sum", sum).unwrap();
    context.add_variable("self", escaped(value)).unwrap();
    if let Some(old) = old {
        context.add_variable("oldSelf", escaped(old)).unwrap();
    }
    match program.execute(&context) {
        Ok(cel::Value::Bool(verdict)) => verdict,
        other => panic!("{rule} on {value}: {other:?}"),
    }
}

/// Fills in defaults as the API server does: from the outside in.
fn fill(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => {
            for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                if let Some(default) = field.get("default").filter(|_| !map.contains_key(name)) {
                    map.insert(name.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(name) {
                    fill(value, field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, &schema["items"])),
        _ => {}
    }
}

const NO_TEXT: &str = "must be of type string";

/// What the API server says of a number that a schema does not take.
fn out_of_bounds(value: &Value, schema: &Value, found: &mut Vec<String>) {
    let Some(number) = value.as_f64() else { return };
    if schema.get("type").and_then(Value::as_str) == Some("string") {
        found.push(NO_TEXT.to_owned());
    }
    if let Some(min) = schema.get("minimum").and_then(Value::as_f64).filter(|min| number < *min) {
        found.push(format!("should be greater than or equal to {min}"));
    }
}

/// The messages of all rules that do not hold, at any depth; transition rules need the object as it was.
fn refusals(value: &Value, old: Option<&Value>, schema: &Value, found: &mut Vec<String>) {
    out_of_bounds(value, schema, found);
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let Some(value) = value.get(name) {
            refusals(value, None, field, found);
        }
    }
    for item in value.as_array().into_iter().flatten() {
        refusals(item, None, &schema["items"], found);
    }
    // Nor does the API server hold rules against what is of another type.
    if found.iter().any(|message| message == NO_TEXT) {
        return;
    }
    for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        let (text, message) = (rule["rule"].as_str().unwrap(), rule["message"].as_str().unwrap());
        if (old.is_some() || !text.contains("oldSelf")) && !holds(text, value, old) {
            found.push(message.to_owned());
        }
    }
}

fn schema_of(document: &Value) -> Value {
    let crd = definitions().into_iter().find(|crd| crd["spec"]["names"]["kind"] == document["kind"]).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

fn refused(text: &str) -> Vec<String> {
    let mut document = any_value(text).unwrap();
    let schema = schema_of(&document);
    fill(&mut document, &schema);
    let mut found = Vec::new();
    refusals(&document, None, &schema, &mut found);
    found
}

/// (name, expected part of the message, text) of the documents that are refused.
fn invalid() -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/invalid");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let expected = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap().to_owned();
            (path.file_name().unwrap().to_string_lossy().into_owned(), expected, text)
        })
        .collect();
    files.sort();
    files
}

#[test]
fn invalid_documents_are_refused_here_and_by_the_api_server_in_the_same_words() {
    let files = invalid();
    assert!(files.len() >= 100, "{}", files.len());
    for (name, expected, text) in &files {
        let report = load(&[(name.clone(), text.clone())]).unwrap_err().to_string();
        // What is not available yet is said instead of what follows from it, of which the API server knows nothing; and of a
        // number that a schema does not take it speaks in its own words.
        let here = text.lines().nth(1).and_then(|line| line.strip_prefix("# validate: ")).unwrap_or(expected);
        assert!(report.contains(here), "{name}: {here}\n{report}");
        let messages = refused(text);
        assert!(messages.iter().any(|message| message.contains(expected)), "{name}: {expected}\n{messages:#?}");
    }
}

#[test]
fn each_rule_refuses_something() {
    let hit: BTreeSet<String> = invalid().iter().flat_map(|(_, _, text)| refused(text)).collect();
    for crd in definitions() {
        each(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut |schema, path| {
            for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
                let (text, message) = (rule["rule"].as_str().unwrap(), rule["message"].as_str().unwrap());
                assert!(text.contains("oldSelf") || hit.contains(message), "no document breaks {message:?} of {path}");
            }
        });
    }
}

#[test]
fn valid_documents_pass_all_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = vec![include_str!("../tests/fixtures/full.yaml").to_owned()];
    for entry in std::fs::read_dir(root.join("../../examples")).unwrap() {
        texts.push(std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    for text in texts {
        for document in text.split("\n---\n") {
            assert_eq!(refused(document), Vec::<String>::new(), "{document}");
        }
    }
}

#[test]
fn a_started_test_changes_in_abort_only() {
    let test = |spec: Value, phase: Option<&str>| {
        let mut document = any_value(
            "kind: LoadTest\nmetadata: {name: t}\nspec: {target: {endpoint: {url: \"http://h/\"}}, \
             workload: [{name: a, targets: 1, seriesPerTarget: 10}], stages: [{for: 1s}]}",
        )
        .unwrap();
        for (name, value) in spec.as_object().unwrap() {
            document["spec"][name] = value.clone();
        }
        if let Some(phase) = phase {
            document["status"] = json!({"phase": phase});
        }
        let schema = schema_of(&document);
        fill(&mut document, &schema);
        document
    };
    let allowed = |change: Value, phase: Option<&str>, from: Value| {
        let (new, old) = (test(change, phase), test(from, phase));
        let mut found = Vec::new();
        refusals(&new, Some(&old), &schema_of(&new), &mut found);
        assert!(found.iter().all(|message| message.starts_with("a test that has started cannot be changed")));
        found.is_empty()
    };
    let changes = [
        json!({"seed": 7}),
        json!({"suspend": true}),
        json!({"stages": [{"for": "2s"}]}),
        json!({"deadline": "1m"}),
        json!({"thresholds": [{"metric": "drops.total", "max": "0"}]}),
        json!({"generator": {"parallelism": 1, "samplesPerRequest": 2000, "pod": {"nodeSelector": {"a": "b"}}}}),
    ];
    for change in changes {
        for phase in [None, Some("Pending")] {
            assert!(allowed(change.clone(), phase, json!({})), "{change} while {phase:?}");
        }
        assert!(!allowed(change.clone(), Some("Running"), json!({})), "{change}");
        assert!(!allowed(json!({}), Some("Running"), change.clone()), "away with {change}");
    }
    for phase in [None, Some("Pending"), Some("Preparing"), Some("Running"), Some("Finished")] {
        assert!(allowed(json!({"abort": true}), phase, json!({})), "{phase:?}");
        assert!(allowed(json!({"suspend": false}), phase, json!({})), "{phase:?}");
    }
}
