//! Every rule by example, and all together against a second reading of the specification.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use floodmark_remote_write::rules::{Broken, check_series, is_label_name, is_metric_name};
use floodmark_remote_write::v1::{Encoder, Literal, walk};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

type Labels = Vec<(Vec<u8>, Vec<u8>)>;

fn check(labels: &Labels) -> Result<(), Broken> {
    let mut literal = Literal::new();
    for (name, value) in labels {
        literal.label(name, value);
    }
    let mut encoder = Encoder::new();
    encoder.fields(literal.fields());
    check_series(&walk(encoder.body()).next().unwrap().unwrap())
}

type Case<'a> = (&'a [(&'a str, &'a [u8])], Result<(), Broken>);

fn example(labels: &[(&str, &[u8])]) -> Result<(), Broken> {
    check(&labels.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec())).collect())
}

#[test]
fn every_rule_has_its_name() {
    let named = ("__name__", &b"up"[..]);
    let cases: [Case<'_>; 18] = [
        (&[named], Ok(())),
        (&[("A", b"1"), named, ("z_9", "\u{e9}".as_bytes())], Ok(())),
        (&[("__name__", b"a:b_1")], Ok(())),
        (&[], Err(Broken::NoMetricName)),
        (&[("a", b"1")], Err(Broken::NoMetricName)),
        (&[("", b"1"), named], Err(Broken::EmptyName)),
        (&[("__name__", b"")], Err(Broken::EmptyValue)),
        (&[named, ("a", b"")], Err(Broken::EmptyValue)),
        (&[named, ("a", b"1"), ("a", b"1")], Err(Broken::RepeatedName)),
        (&[named, ("a", b"1"), ("b", b"1"), ("a", b"2")], Err(Broken::RepeatedName)),
        (&[("a", b"1"), named], Err(Broken::Unsorted)),
        (&[named, ("b", b"1"), ("", b"2")], Err(Broken::Unsorted)),
        (&[("__name__", b"0bad-x")], Err(Broken::MetricName)),
        (&[("__name__", b"\xff")], Err(Broken::Utf8)),
        (&[named, ("a-b", b"1")], Err(Broken::LabelName)),
        (&[named, ("a:b", b"1")], Err(Broken::LabelName)),
        (&[named, ("a", b"\xc3\x28")], Err(Broken::Utf8)),
        (&[named, ("\u{e9}", b"1")], Err(Broken::LabelName)),
    ];
    for (labels, expected) in cases {
        assert_eq!(example(labels), expected, "{labels:?}");
    }
    let invalid = vec![(b"__name__".to_vec(), b"up".to_vec()), (vec![b'a', 0xff], b"1".to_vec())];
    assert_eq!(check(&invalid), Err(Broken::Utf8));
}

/// The rules as the specification lists them, one after the other over whole label sets.
fn obeys(labels: &Labels) -> bool {
    let names: Vec<_> = labels.iter().map(|(name, _)| name.clone()).collect();
    let unique: BTreeSet<_> = names.iter().cloned().collect();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let matches = |bytes: &[u8], colon: bool| {
        text(bytes).is_some_and(|text| {
            let rest = |c: char| c.is_ascii_alphanumeric() || c == '_' || (colon && c == ':');
            !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(rest)
        })
    };
    unique.len() == names.len()
        && unique.into_iter().eq(names.iter().cloned())
        && names.iter().any(|name| name == b"__name__")
        && labels.iter().all(|(name, value)| {
            !value.is_empty()
                && matches(name, false)
                && text(value).is_some()
                && (name != b"__name__" || matches(value, true))
        })
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => "[a-zA-Z_][a-zA-Z0-9_]{0,3}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..3),
        1 => "[0-9:]{1,2}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_specification(
        labels in vec((prop_oneof![2 => text(), 1 => Just(b"__name__".to_vec())], text()), 0..5),
        sort in prop::bool::weighted(0.8),
    ) {
        let mut labels = labels;
        if sort {
            labels.sort();
        }
        prop_assert_eq!(check(&labels).is_ok(), obeys(&labels), "{:?}", labels);
    }
}

#[test]
fn names_of_every_byte() {
    for byte in 0..=u8::MAX {
        let letter = byte.is_ascii_alphabetic() || byte == b'_';
        assert_eq!(is_label_name(&[byte]), letter);
        assert_eq!(is_metric_name(&[byte]), letter || byte == b':');
        assert_eq!(is_label_name(&[b'a', byte]), letter || byte.is_ascii_digit());
        assert_eq!(is_metric_name(&[b'a', byte]), letter || byte.is_ascii_digit() || byte == b':');
    }
}
