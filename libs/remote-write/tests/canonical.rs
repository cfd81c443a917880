//! One hash for one label set, however it is written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "oracle/mod.rs"]
mod oracle;

use floodmark_remote_write::v1::{Encoder, Literal, walk};
use floodmark_remote_write::{Label, SLOTS, Sample, Scratch, canonical, slot_of};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;

const SAMPLE: Sample = Sample { timestamp: 1_795_000_000_000, value: 1.0 };

type Set = BTreeMap<Vec<u8>, Vec<u8>>;

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z_]{1,10}".prop_map(String::into_bytes),
        "floodmark_[a-c]{0,9}".prop_map(String::into_bytes),
        "same_pre[a-c]{0,12}".prop_map(String::into_bytes),
        vec(any::<u8>(), 1..20),
        vec(0..3_u8, 1..10),
        vec(Just(b'x'), 120..135),
    ]
}

fn set() -> impl Strategy<Value = Set> {
    btree_map(name(), prop_oneof![vec(any::<u8>(), 1..20), vec(any::<u8>(), 100..140)], 0..12)
}

/// The block as a generated encoder writes sorted labels.
fn block(set: &Set) -> Vec<u8> {
    let labels = set.iter().map(|(name, value)| oracle::Label { name: name.clone(), value: value.clone() });
    let series = oracle::TimeSeries { labels: labels.collect(), ..oracle::TimeSeries::default() };
    series.encode_to_vec()
}

fn hash(body: &[u8]) -> u64 {
    let series = walk(body).next().unwrap().unwrap();
    let mut scratch = Scratch::new();
    let hash = series.canonical_hash(&mut scratch);
    assert_eq!(hash, canonical::hash_labels(series.labels(), &mut scratch));
    let block = series.canonical_block(&mut scratch);
    assert_eq!(hash, xxhash_rust::xxh3::xxh3_64(block));
    hash
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn order_empties_and_encoding_do_not_matter(
        (set, shuffled) in set().prop_flat_map(|set| {
            let labels: Vec<_> = set.clone().into_iter().collect();
            (Just(set), Just(labels).prop_shuffle())
        }),
        empty in vec((any::<prop::sample::Index>(), name()), 0..3),
        cut in any::<prop::sample::Index>(),
    ) {
        let block = block(&set);
        let expected = xxhash_rust::xxh3::xxh3_64(&block);
        let mut sorted = Encoder::new();
        sorted.series(&block, &[SAMPLE]);
        // Twice: the last series of a body is read by the general parser.
        sorted.series(&block, &[SAMPLE]);
        for series in walk(sorted.body()) {
            prop_assert_eq!(series.unwrap().label_block(), Some(block.as_slice()));
        }
        prop_assert_eq!(hash(sorted.body()), expected);

        let mut labels = shuffled;
        for (at, name) in empty {
            labels.insert(at.index(labels.len() + 1), (name, Vec::new()));
        }
        let cut = cut.index(labels.len() + 1);
        let mut literal = Literal::new();
        for (i, (name, value)) in labels.iter().enumerate() {
            if i == cut {
                literal.sample(SAMPLE).field(77, b"unknown");
            }
            if value.is_empty() && i % 2 == 0 {
                literal.name_only(name);
            } else {
                literal.label(name, value);
            }
        }
        let mut odd = Encoder::new();
        odd.fields(literal.fields());
        odd.raw(sorted.body());
        prop_assert_eq!(hash(odd.body()), expected);
        prop_assert_eq!(hash(&odd.body()[..odd.len() - sorted.len()]), expected);
    }

    /// Whatever is offered as canonical must be so: a wrong claim would give one series two slots.
    #[test]
    fn claims_are_true(labels in vec((vec(0..3_u8, 0..10), vec(any::<u8>(), 0..3)), 0..5), tail in any::<bool>()) {
        let mut literal = Literal::new();
        for (name, value) in &labels {
            literal.label(name, value);
        }
        let mut encoder = Encoder::new();
        encoder.fields(literal.fields());
        if tail {
            encoder.fields(&[0x2a; 0]);
            encoder.raw(&[0x4a, 0x80, 0x02]);
            encoder.raw(&[0; 256]);
        }
        let series = walk(encoder.body()).next().unwrap().unwrap();
        let strictly = labels.windows(2).all(|pair| pair[0].0 < pair[1].0)
            && labels.iter().all(|(_, value)| !value.is_empty());
        prop_assert_eq!(series.label_block(), strictly.then_some(literal.fields()));
    }

    #[test]
    fn repeated_names_keep_one_identity(values in vec("[a-z]{1,5}", 2..5)) {
        let labels = |values: &[String]| {
            let values: Vec<_> = values.to_vec();
            let labels = values.iter().map(|value| Label { name: b"a", value: value.as_bytes() });
            canonical::hash_labels(labels, &mut Scratch::new())
        };
        let mut reversed = values.clone();
        reversed.reverse();
        prop_assert_eq!(labels(&values), labels(&reversed));
        prop_assert_ne!(labels(&values), labels(&values[1..]));
    }
}

#[test]
fn needless_bytes_are_not_canonical() {
    let expected = {
        let mut block = Vec::new();
        canonical::push_label(&mut block, b"a", b"b");
        canonical::hash_block(&block)
    };
    let forms: [&[u8]; 6] = [
        &[0x0a, 6, 0x0a, 1, b'a', 0x12, 1, b'b'],
        &[0x0a, 6, 0x12, 1, b'b', 0x0a, 1, b'a'],
        &[0x0a, 7, 0x0a, 0x81, 0, b'a', 0x12, 1, b'b'],
        &[0x0a, 0x86, 0, 0x0a, 1, b'a', 0x12, 1, b'b'],
        &[0x0a, 9, 0x0a, 1, b'z', 0x0a, 1, b'a', 0x12, 1, b'b'],
        &[0x0a, 8, 0x0a, 1, b'a', 0x12, 1, b'b', 0x18, 0],
    ];
    for (i, form) in forms.into_iter().enumerate() {
        let mut encoder = Encoder::new();
        encoder.fields(form);
        encoder.fields(&[0x7a; 0]);
        let series = walk(encoder.body()).next().unwrap().unwrap();
        assert_eq!(series.label_block().is_some(), i == 0, "form {i}");
        assert_eq!(series.canonical_hash(&mut Scratch::new()), expected, "form {i}");
    }
}

#[test]
fn slots_cover_their_range() {
    assert_eq!(slot_of(u64::MAX), (SLOTS - 1) as u16);
    assert_eq!(slot_of(SLOTS as u64), 0);
    assert_eq!(slot_of(SLOTS as u64 * 5 + 7), 7);
}
