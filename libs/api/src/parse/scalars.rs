//! What a plain YAML text means (YAML 1.2 core schema), and what kubectl, which reads YAML 1.1, would make of it.

use serde_json::{Number, Value};

/// Nothing at all: an empty value, `~`, `null`.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// A boolean of YAML 1.2.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A text that YAML 1.1 reads as a boolean and YAML 1.2 does not.
pub(crate) fn is_old_boolean(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "y" | "yes" | "n" | "no" | "on" | "off")
}

/// A text that YAML 1.1 reads as a number, but as another one than YAML 1.2 does, or that YAML 1.2 does not.
pub(crate) fn is_old_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all = |digits: &str, one: fn(&u8) -> bool| !digits.is_empty() && digits.bytes().all(|b| b == b'_' || one(&b));
    match digits.as_bytes() {
        [b'0', b'x', ..] => all(&digits[2..], u8::is_ascii_hexdigit),
        [b'0', b'b' | b'o', ..] => all(&digits[2..], u8::is_ascii_digit),
        [b'0', ..] => all(&digits[1..], u8::is_ascii_digit),
        [b'1'..=b'9', ..] => digits.contains('_') && all(digits, u8::is_ascii_digit),
        _ => false,
    }
}

/// A whole number in the range of `i128`.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A finite number with a point or an exponent.
pub(crate) fn float(text: &str) -> Option<f64> {
    let shaped = text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    shaped.then(|| text.parse::<f64>().ok()).flatten().filter(|number| number.is_finite())
}

/// The value of a plain text where no type is known.
pub(crate) fn value(text: &str) -> Value {
    if is_null(text) {
        return Value::Null;
    }
    if let Some(flag) = boolean(text) {
        return Value::Bool(flag);
    }
    if let Some(number) = integer(text).and_then(Number::from_i128) {
        return Value::Number(number);
    }
    match float(text).and_then(Number::from_f64) {
        Some(number) => Value::Number(number),
        None => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::is_old_number;

    #[test]
    fn numbers_of_yaml_1_1_are_known() {
        for text in ["017", "-017", "0x1F", "0b1", "0o17", "1_000", "0_7"] {
            assert!(is_old_number(text), "{text}");
        }
        for text in ["0", "-0", "17", "0.5", "1e3", "0x", "0s", "1_a", "", "_1", "250k", "09:30"] {
            assert!(!is_old_number(text), "{text}");
        }
    }
}
