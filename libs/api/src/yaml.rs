//! Writes a JSON value as block YAML that any reader, YAML 1.1 ones included, reads back as the same value.

use serde_json::Value;

/// The document, keys sorted, with a line break at the end.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

/// A value that starts on a line of its own.
fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            // The map's own order depends on how serde_json was built.
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for key in keys {
                pad(indent, out);
                text(key, out);
                out.push(':');
                after(&map[key], indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                pad(indent, out);
                out.push('-');
                match item {
                    Value::Object(map) if !map.is_empty() => {
                        let mut lines = String::new();
                        block(item, indent + 2, &mut lines);
                        out.push(' ');
                        out.push_str(lines.trim_start_matches(' '));
                    }
                    _ => after(item, indent, out),
                }
            }
        }
        _ => {
            pad(indent, out);
            scalar(value, indent, out);
            out.push('\n');
        }
    }
}

/// A value behind `key:` or `-`.
fn after(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(value, indent + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(value, indent + 2, out);
        }
        _ => {
            out.push(' ');
            scalar(value, indent, out);
            out.push('\n');
        }
    }
}

fn scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::String(string) if is_block(string) => {
            out.push_str("|-");
            for line in string.split('\n') {
                out.push('\n');
                pad(indent + 2, out);
                out.push_str(line);
            }
        }
        Value::String(string) => text(string, out),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
}

/// Several lines without anything that a literal block would change.
fn is_block(text: &str) -> bool {
    let line = |line: &str| !line.is_empty() && !line.starts_with(' ') && !line.ends_with(' ');
    text.contains('\n') && text.split('\n').all(line) && text.chars().all(|c| c == '\n' || !c.is_control())
}

fn text(text: &str, out: &mut String) {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        && !words.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        out.push_str(text);
    } else {
        // Every JSON string is a double-quoted YAML one.
        out.push_str(&Value::String(text.to_owned()).to_string());
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::parse::any_value;

    #[test]
    fn what_is_written_reads_back() {
        let value = json!({
            "a": [1, -2, 1.5, true, null, "x", "yes", "1", "", " a", "a: b", "#", "- x", "é\"\\", "tab\t", "one\ntwo", "one\n two", "trailing\n"],
            "b": {"c": {}, "d": [], "e": [[1, [2]], {"f": [{"g": 1, "h": {"i": "j"}}, {}]}]},
            "null": "x", "1": 2, "y": "n", "/": "*",
        });
        assert_eq!(any_value(&write(&value)), Some(value));
    }

    #[test]
    fn definitions_read_back() {
        for (name, text) in crate::crds() {
            let value = any_value(&text).unwrap_or_else(|| panic!("{name} is not YAML"));
            assert_eq!(text.split_once('\n').map(|(_, rest)| rest), Some(write(&value).as_str()));
        }
    }
}
