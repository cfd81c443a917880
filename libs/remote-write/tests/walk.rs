//! The walk against a generated decoder: messages of every shape, broken ones, and any bytes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

#[path = "oracle/agree.rs"]
mod agree;
#[path = "oracle/mod.rs"]
mod oracle;

use agree::{agree, ours};
use floodmark_remote_write::v1::{Encoder, Literal, WalkFault, walk};
use floodmark_remote_write::{Sample, canonical};
use oracle::{Label, TimeSeries, WriteRequest};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[a-z_]{1,9}".prop_map(String::into_bytes),
        2 => "floodmark_[a-z]{0,12}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..12),
        1 => vec(any::<u8>(), 100..300),
    ]
}

fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), 1_700_000_000_000..1_900_000_000_000_i64, -3..300_i64]
}

fn series() -> impl Strategy<Value = TimeSeries> {
    let label = (text(), text()).prop_map(|(name, value)| Label { name, value });
    let sample = (any::<u64>(), timestamp())
        .prop_map(|(bits, timestamp)| oracle::Sample { value: f64::from_bits(bits), timestamp });
    let opaque = || prop_oneof![3 => Just(Vec::new()), 1 => vec(vec(any::<u8>(), 0..20), 0..3)];
    (vec(label, 0..12), vec(sample, 0..4), opaque(), opaque(), any::<bool>()).prop_map(
        |(mut labels, samples, exemplars, histograms, sorted)| {
            if sorted {
                labels.sort_by(|a, b| a.name.cmp(&b.name));
            }
            TimeSeries { labels, samples, exemplars, histograms }
        },
    )
}

fn request() -> impl Strategy<Value = WriteRequest> {
    (vec(series(), 0..6), vec(vec(any::<u8>(), 0..20), 0..3))
        .prop_map(|(timeseries, metadata)| WriteRequest { timeseries, metadata })
}

/// A varint with needless continuation bytes, as a decoder must take it.
fn padded(mut value: u64, padding: usize) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let last = value < 0x80;
        out.push(value as u8 & 0x7f | if last && padding == 0 { 0 } else { 0x80 });
        value >>= 7;
        if last {
            break;
        }
    }
    if padding > 0 {
        out.extend(std::iter::repeat_n(0x80, padding - 1));
        out.push(0);
    }
    out
}

fn field(number: u64, wire: u64, padding: usize, payload: &[u8]) -> Vec<u8> {
    let mut out = padded(number << 3 | wire, padding);
    if wire == 2 {
        out.extend(padded(payload.len() as u64, padding));
    }
    out.extend(payload);
    out
}

/// Fields nobody sends in this order, number, wire type and length: repeats, unknown ones, wrong types, cut payloads.
fn soup(depth: u32) -> BoxedStrategy<Vec<u8>> {
    let number = prop_oneof![8 => 1..5_u64, 1 => 0..40_u64, 1 => (1_u64 << 28)..(1 << 30)];
    let padding = prop_oneof![6 => Just(0_usize), 1 => 1..9_usize];
    let scalar = prop_oneof![
        (number.clone(), padding.clone(), any::<u64>(), 0..3_usize).prop_map(|(number, padding, value, extra)| {
            let mut payload = padding_limited(value, extra);
            let mut out = field(number, 0, padding, &[]);
            out.append(&mut payload);
            out
        }),
        (number.clone(), padding.clone(), vec(any::<u8>(), 8))
            .prop_map(|(number, padding, payload)| field(number, 1, padding, &payload)),
        (number.clone(), padding.clone(), vec(any::<u8>(), 4))
            .prop_map(|(number, padding, payload)| field(number, 5, padding, &payload)),
        (number.clone(), padding.clone(), vec(any::<u8>(), 0..12))
            .prop_map(|(number, padding, payload)| field(number, 2, padding, &payload)),
        (number.clone(), 3..8_u64).prop_map(|(number, wire)| field(number, wire, 0, &[])),
    ];
    // Wrong fields are rare enough that many a soup is still a message.
    let known = prop_oneof![
        6 => (prop_oneof![Just(1_u64), Just(2)], vec(any::<u8>(), 0..6))
            .prop_map(|(number, payload)| field(number, 2, 0, &payload)),
        1 => scalar,
    ];
    if depth == 0 {
        return vec(known, 0..4).prop_map(|fields| fields.concat()).boxed();
    }
    let sample = (any::<u64>(), any::<u64>(), any::<bool>(), 0..3_usize).prop_map(|(bits, stamp, swap, padding)| {
        let value = field(1, 1, 0, &bits.to_le_bytes());
        let stamp = [field(2, 0, padding, &[]), padded(stamp >> 10, padding)].concat();
        let fields = if swap { [stamp, value] } else { [value, stamp] };
        field(2, 2, padding, &fields.concat())
    });
    let nested = (prop_oneof![5 => Just(1_u64), 1 => 1..6_u64], padding, soup(depth - 1))
        .prop_map(|(number, padding, payload)| field(number, 2, padding, &payload));
    vec(prop_oneof![6 => nested, 2 => sample, 1 => known], 0..5).prop_map(|fields| fields.concat()).boxed()
}

fn padding_limited(value: u64, extra: usize) -> Vec<u8> {
    padded(value, extra.min(10 - padded(value, 0).len().min(10)))
}

/// Bytes behind the last series, so that it too is read in one window.
fn with_tail(mut body: Vec<u8>) -> Vec<u8> {
    body.extend(field(9, 2, 0, &[7; 256]));
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn reads_what_a_generated_encoder_writes(request in request()) {
        let body = request.encode_to_vec();
        let decoded = WriteRequest::decode(body.as_slice()).unwrap();
        prop_assert_eq!(ours(&body).unwrap(), agree::theirs(decoded));
        agree(&with_tail(body));
    }

    #[test]
    fn agrees_on_field_soup(body in soup(2)) {
        agree(&body);
        agree(&with_tail(body));
    }

    #[test]
    fn agrees_on_damaged_requests(
        request in request(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut body = request.encode_to_vec();
        if body.is_empty() {
            return Ok(());
        }
        if cuts {
            body.truncate(cut.index(body.len()));
        } else {
            for (at, byte) in damage {
                let at = at.index(body.len());
                body[at] = byte;
            }
        }
        agree(&body);
        agree(&with_tail(body));
    }

    #[test]
    fn survives_any_bytes(body in vec(any::<u8>(), 0..400)) {
        agree(&body);
    }

    #[test]
    fn raw_and_fields_copy_verbatim(request in request()) {
        let body = request.encode_to_vec();
        let (mut raw, mut fields) = (Encoder::new(), Encoder::new());
        for series in walk(&body) {
            let series = series.unwrap();
            raw.raw(series.raw());
            fields.fields(series.fields());
        }
        let without_metadata = WriteRequest { metadata: Vec::new(), ..request }.encode_to_vec();
        prop_assert_eq!(raw.body(), without_metadata.as_slice());
        prop_assert_eq!(fields.body(), without_metadata.as_slice());
    }

    #[test]
    fn encodes_what_a_generated_decoder_reads(
        series in vec((vec((text(), text()), 0..6), vec((any::<u64>(), timestamp()), 0..4)), 0..5),
    ) {
        let mut encoder = Encoder::new();
        let mut literal = Encoder::new();
        let mut expected = Vec::new();
        for (labels, samples) in series {
            let mut block = Vec::new();
            let mut wrong = Literal::new();
            let mut cuts = vec![0];
            for (name, value) in &labels {
                canonical::push_label(&mut block, name, value);
                cuts.push(block.len());
                wrong.label(name, value);
            }
            let points: Vec<Sample> = samples
                .iter()
                .map(|&(bits, timestamp)| Sample { timestamp, value: f64::from_bits(bits) })
                .collect();
            for &sample in &points {
                wrong.sample(sample);
            }
            literal.fields(wrong.fields());
            if let &[sample] = points.as_slice() {
                let parts: Vec<&[u8]> = cuts.windows(2).map(|cut| &block[cut[0]..cut[1]]).collect();
                encoder.series_parts(&parts, sample);
            } else {
                encoder.series(&block, &points);
            }
            expected.push(agree::Seen {
                labels,
                samples: samples.iter().map(|&(bits, timestamp)| (timestamp, bits)).collect(),
                exemplars: false,
                histograms: false,
            });
        }
        let decoded = agree::theirs(WriteRequest::decode(encoder.body()).unwrap());
        prop_assert_eq!(&decoded, &(expected, 0));
        prop_assert_eq!(&ours(encoder.body()).unwrap(), &decoded);
        prop_assert_eq!(literal.body(), encoder.body());
    }
}

fn one(fields: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.fields(fields);
    encoder.body().to_vec()
}

#[test]
fn faults_are_named() {
    let fault = |body: &[u8]| ours(body).unwrap_err();
    assert_eq!(fault(&[0x0a, 5, 0]), WalkFault::Truncated);
    assert_eq!(fault(&[0x0a]), WalkFault::Truncated);
    assert_eq!(fault(&[0x0a, 0xff, 0xff]), WalkFault::Truncated);
    assert_eq!(fault(&[0xff; 11]), WalkFault::Varint);
    assert_eq!(fault(&[0x02, 0]), WalkFault::Key);
    assert_eq!(fault(&[0x0e, 0]), WalkFault::Key);
    assert_eq!(fault(&[0x0b, 0x0c]), WalkFault::WireType { field: 1, wire: 3 });
    assert_eq!(fault(&[0x2b, 0x2c]), WalkFault::Group);
    assert_eq!(fault(&one(&[0x08, 1])), WalkFault::WireType { field: 1, wire: 0 });
    assert_eq!(fault(&[0x18, 1]), WalkFault::WireType { field: 3, wire: 0 });
    assert_eq!(fault(&one(&[0x12, 2, 0x11, 0])), WalkFault::WireType { field: 2, wire: 1 });
}

#[test]
fn an_error_ends_the_walk_after_the_good_series() {
    let mut body = one(&[]);
    body.extend([0x0a, 9]);
    body.extend(one(&[]));
    let items: Vec<_> = walk(&body).map(|item| item.is_ok()).collect();
    assert_eq!(items, [true, false]);
}

#[test]
fn empty_and_metadata_only_requests_have_no_series() {
    assert_eq!(ours(&[]).unwrap(), (Vec::new(), 0));
    assert_eq!(ours(&[0x1a, 2, 8, 1, 0x1a, 0]).unwrap(), (Vec::new(), 2));
}

#[test]
fn negative_timestamps_take_ten_bytes_and_signed_zero_is_kept() {
    let mut encoder = Encoder::new();
    let sample = Sample { timestamp: -1, value: -0.0 };
    encoder.series(&[], &[sample]);
    assert_eq!(encoder.len(), 2 + 22);
    let (seen, _) = ours(encoder.body()).unwrap();
    assert_eq!(seen[0].samples, [(-1, 1 << 63)]);
}
