//! The objects of a namespace without what differs from one time to the next: identities, revisions, times.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// One text for each object, by kind and name.
pub(crate) fn dump(namespace: &str, objects: &[Value]) -> BTreeMap<String, String> {
    let text = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_str).map(str::to_owned);
    // Identities become the names of what they identify. Of a plan's run, which is made of one, too.
    let mut names = vec![(namespace.to_owned(), "NAMESPACE".to_owned())];
    for object in objects {
        let named = format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        names.extend(text(object, "/metadata/uid").map(|uid| (uid, format!("UID of {named}"))));
        let plan = text(object, "/data/plan.json").and_then(|plan| serde_json::from_str::<Value>(&plan).ok());
        names.extend(plan.and_then(|plan| text(&plan, "/plan/run")).map(|run| (run, "RUN".to_owned())));
    }
    let one = |object: &Value| {
        let key = format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
        let mut object = object.clone();
        // Lists leave it out of their items.
        object.as_object_mut().unwrap().remove("apiVersion");
        let meta = object["metadata"].as_object_mut().unwrap();
        for changing in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
            meta.remove(changing);
        }
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            // A hash over identities, and how long something took.
            annotations.remove("floodmark.dev/applied");
            if let Some(pause) = annotations.get_mut("floodmark.dev/last-pause") {
                *pause = json!("SOME");
            }
        }
        if let Some(spec) = object["spec"].as_object_mut() {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        if let Some(conditions) = object.pointer_mut("/status/conditions").and_then(Value::as_array_mut) {
            conditions.sort_by_key(|condition| condition["type"].as_str().map(str::to_owned));
        }
        times(&mut object);
        let mut text = serde_json::to_string_pretty(&object).unwrap();
        for (from, to) in &names {
            text = text.replace(from, to);
        }
        (key, without_identities(&text))
    };
    objects.iter().map(one).collect()
}

/// What differs, for people: lines that only one of them has.
pub(crate) fn difference(expected: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> String {
    let keys: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let mut text = String::new();
    for key in keys {
        match (expected.get(key), found.get(key)) {
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => {
                for (mark, these, those) in [("-", a, b), ("+", b, a)] {
                    let others: Vec<&str> = those.lines().collect();
                    let only = these.lines().filter(|line| !others.contains(line)).take(12);
                    text.extend(only.map(|line| format!("{mark} {key}: {line}\n")));
                }
            }
            (Some(_), None) => text.extend(["- ", key, " is missing\n"]),
            (None, _) => text.extend(["+ ", key, " is not expected\n"]),
        }
    }
    text
}

/// Those of objects that are gone.
fn without_identities(text: &str) -> String {
    let shape = |word: &str| {
        let groups: Vec<usize> = word.split('-').map(str::len).collect();
        groups == [8, 4, 4, 4, 12] && word.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
    };
    let mut kept = String::new();
    for word in text.split_inclusive(|c: char| c != '-' && !c.is_ascii_alphanumeric()) {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if shape(bare) {
            kept.push_str("UID");
            kept.push_str(&word[bare.len()..]);
        } else {
            kept.push_str(word);
        }
    }
    kept
}

/// Times, addresses, and in how many messages something was told, wherever they stand.
fn times(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                match key.as_str() {
                    "lastTransitionTime" | "startTime" | "completionTime" | "podIP" | "podIPs" | "hostIPs" | "seq" => {
                        *member = json!("SOME");
                    }
                    // Documents inside of texts.
                    _ => times(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(times),
        Value::String(text) => {
            if let Ok(mut inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text) {
                times(&mut inner);
                *text = inner.to_string();
            }
        }
        // Unix milliseconds of our days, and a thousand times as much: identities of chaos steps.
        Value::Number(number) => {
            let days = 1_750_000_000_000..9_000_000_000_000;
            if number.as_u64().is_some_and(|n| days.contains(&n) || days.contains(&(n / 1000))) {
                *value = json!("SOME");
            }
        }
        _ => {}
    }
}
