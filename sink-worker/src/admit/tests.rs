use std::collections::HashMap;

use ownership::{By, Phase};
use proptest::prelude::*;
use remote_write::Sample;
use remote_write::canonical::push_label;

use super::*;
use crate::lane::Payload;

const RULES: SplitRules = SplitRules { once: true, max_samples: 1000, most: 400, max_bytes: 1 << 20 };

type Plain = Vec<(u8, i64)>;

fn body(series: &[(u8, Vec<i64>)]) -> Vec<u8> {
    let mut encoder = v1::Encoder::new();
    for (name, times) in series {
        let mut block = Vec::new();
        push_label(&mut block, b"__name__", &[b'a' + name]);
        let samples: Vec<_> = times.iter().map(|&timestamp| Sample { timestamp, value: 0.5 }).collect();
        encoder.series(&block, &samples);
    }
    encoder.body().to_vec()
}

fn sliced(series: &[(u8, Vec<i64>)], once: bool, most: u64) -> (Sliced, Vec<Plain>) {
    let body = body(series);
    let mut scratch = Scratch::new();
    let items: Vec<_> = v1::walk(&body)
        .map(Result::unwrap)
        .filter(|series| series.sample_count() > 0)
        .map(|series| Item::new(&series, series.canonical_hash(&mut scratch)))
        .collect();
    let sliced = slice(&items, once, most, u64::MAX).unwrap();
    let plain = sliced.slices.iter().map(|payload| {
        let Payload::Fields(fields) = payload else { panic!("fields") };
        let mut bytes = Vec::new();
        fields.write(&mut bytes);
        let mut samples = Vec::new();
        for (series, field) in v1::walk(&bytes).map(Result::unwrap).zip(&fields.list) {
            let times: Vec<_> = series.samples().map(|sample| sample.timestamp).collect();
            assert_eq!(field.samples as usize, times.len());
            assert_eq!(Some(&field.first), times.iter().min());
            assert_eq!(Some(&field.last), times.iter().max());
            let name = series.label(b"__name__").unwrap()[0] - b'a';
            samples.extend(times.into_iter().map(|time| (name, time)));
        }
        samples
    });
    let plain = plain.collect();
    (sliced, plain)
}

proptest! {
    /// Slices hold every sample once, each series in its order, and keep the rule of the policy.
    #[test]
    fn slices_keep_order_and_rule(
        series in prop::collection::vec((0_u8..4, prop::collection::vec(0_i64..6, 0..5)), 0..12),
        once: bool,
        most in 1_u64..8,
    ) {
        let (sliced, slices) = sliced(&series, once, most);
        let mut sent: HashMap<u8, Vec<i64>> = HashMap::new();
        for slice in &slices {
            prop_assert!(!slice.is_empty() && slice.len() as u64 <= most);
            let mut newest: HashMap<u8, i64> = HashMap::new();
            for &(name, time) in slice {
                let before = newest.insert(name, time);
                prop_assert!(before.is_none_or(|before| !once && before < time));
                prop_assert!(before.is_none() || !sliced.once);
                sent.entry(name).or_default().push(time);
            }
        }
        let mut expected: HashMap<u8, Vec<i64>> = HashMap::new();
        for (name, times) in &series {
            if !times.is_empty() {
                expected.entry(*name).or_default().extend(times);
            }
        }
        prop_assert_eq!(sliced.samples as usize, slices.iter().map(Vec::len).sum::<usize>());
        prop_assert_eq!(sent, expected);
    }

    /// Whatever the bytes are: an answer, no panic, and no memory for sizes that are only declared.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), compress: bool) {
        let map = map(2, By::Series);
        let body = if compress { Snappy::new().compress(&bytes).to_vec() } else { bytes };
        let mut decoder = Decoder::default();
        let _ = decoder.pure(&body, &map, false, 1000);
        let _ = decoder.pure(&body, &map, true, 1000);
        let _ = decoder.split(&body, &map, false, SplitRules { max_samples: 3, most: 50, ..RULES });
    }
}

fn map(replicas: u32, by: By) -> Map {
    let document = ownership::ControlDocument {
        sink_uid: "uid".into(),
        epoch: 3,
        phase: Phase::Stable,
        from: replicas,
        to: replicas,
        by,
        lanes: 4,
        addresses: vec![String::from("h:1"); replicas as usize],
        chaos: vec![],
        run: None,
    };
    Map::new(&document, 0)
}

fn two_labels(instance: &str, name: &str) -> Vec<u8> {
    let mut encoder = v1::Encoder::new();
    let mut block = Vec::new();
    push_label(&mut block, b"__name__", name.as_bytes());
    push_label(&mut block, b"instance", instance.as_bytes());
    encoder.series(&block, &[Sample { timestamp: 1, value: 1.0 }]);
    encoder.body().to_vec()
}

#[test]
fn a_split_gives_every_series_to_its_owner_and_lane_once() {
    for by in [By::Series, By::Labels(vec!["instance".into()])] {
        let map = map(3, by.clone());
        let mut plain = Vec::new();
        for target in 0..20 {
            for metric in 0..20 {
                plain.extend(two_labels(&format!("t{target}"), &format!("m{metric}")));
            }
        }
        let mut decoder = Decoder::default();
        let body = Snappy::new().compress(&plain).to_vec();
        let split = decoder.split(&body, &map, false, RULES).unwrap();
        let mut scratch = Scratch::new();
        let mut seen = 0;
        let mut slots = HashMap::new();
        let mut look = |bytes: &[u8], owner: u32, lane: Option<u16>| {
            for series in v1::walk(bytes).map(Result::unwrap) {
                let slot = map.ownership.slot(series.labels(), &mut scratch);
                assert_eq!(map.ownership.owner(slot), owner);
                assert!(lane.is_none_or(|lane| map.ownership.lane(slot) == lane));
                let instance = series.label(b"instance").unwrap().to_vec();
                slots.entry(instance).or_insert_with(std::collections::BTreeSet::new).insert(slot);
                seen += 1;
            }
        };
        for share in &split.own {
            for payload in &share.sliced.slices {
                let Payload::Fields(fields) = payload else { panic!("fields") };
                look(&fields.bytes, 0, Some(share.lane));
            }
        }
        for (owner, body) in &split.others {
            look(Snappy::new().decompress(body, MAX_DECODED).unwrap(), *owner, None);
        }
        assert_eq!(seen, 400);
        assert!(slots.values().all(|slots| by == By::Series || slots.len() == 1), "a target stays together");
        let forwarded = decoder.split(&body, &map, true, RULES);
        assert!(matches!(forwarded, Err(Refusal::NotOwned { .. })));
        let small = decoder.split(&body, &map, false, SplitRules { most: 399, ..RULES });
        assert!(matches!(small, Err(Refusal::TooMany { most: 399 })));
    }
}

#[test]
fn the_same_part_has_the_same_key_whatever_surrounds_it() {
    let map = map(1, By::Series);
    let keys = |plain: &[u8]| {
        let split = Decoder::default().split(Snappy::new().compress(plain), &map, false, RULES).unwrap();
        split.own.into_iter().map(|share| (share.lane, share.key)).collect::<HashMap<_, _>>()
    };
    let (one, two) = (two_labels("a", "m"), two_labels("b", "m"));
    let both = keys(&[one.clone(), two.clone()].concat());
    let alone: HashMap<_, _> = keys(&one).into_iter().chain(keys(&two)).collect();
    if both.len() == 2 {
        assert_eq!(both, alone);
    }
    assert_eq!(keys(&one), keys(&one));
    assert_ne!(keys(&one), keys(&two_labels("a", "n")));
}

/// What the hot path costs; run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn cost_of_a_generators_request() {
    let map = map(1, By::Series);
    let mut encoder = v1::Encoder::new();
    let mut count = 0;
    for series in 0..40_000 {
        let mut block = Vec::new();
        push_label(&mut block, b"__name__", format!("metric_{:03}_total", series % 100).as_bytes());
        for label in 0..8 {
            let value = if label == 7 {
                format!("series-{series:05}")
            } else {
                format!("value-of-{label}-t{:02}", series / 10_000)
            };
            push_label(&mut block, format!("label_{label:02}").as_bytes(), value.as_bytes());
        }
        let hash = remote_write::canonical::hash_block(&block);
        if remote_write::slot_of(hash) % 4 == 1 && count < 2000 {
            count += 1;
            encoder.series(&block, &[Sample { timestamp: 1_700_000_000_000, value: f64::from(series) }]);
        }
    }
    let body = Snappy::new().compress(encoder.body()).to_vec();
    let mut decoder = Decoder::default();
    let mut best = f64::MAX;
    for _ in 0..20 {
        let start = std::time::Instant::now();
        for _ in 0..100 {
            assert_eq!(decoder.pure(&body, &map, false, 1000).unwrap().samples, count);
        }
        best = best.min(start.elapsed().as_nanos() as f64 / (100 * count) as f64);
    }
    println!(
        "{best:.1} ns a sample, {count} samples, {} bytes decoded, {} compressed",
        encoder.body().len(),
        body.len()
    );
}
