//! Series that are wrong on purpose: the encoded label fields of a structural fault.

use api::FaultType;
use remote_write::Sample;
use remote_write::v1::Literal;
use workload::Parts;

use crate::plan::FAULT_LABEL;

/// What `DuplicateLabel` repeats, with two values.
const REPEATED: (&[u8], [&[u8]; 2]) = (b"floodmark_twice", [b"one", b"two"]);
/// What `InvalidLabelName` is called.
const BAD_NAME: &[u8] = b"floodmark-bad";

const NOTHING: &[u8] = &[];

/// Builds the fields of the series. `parts` are the good label block: name, bucket, everything else. The label
/// [`FAULT_LABEL`] keeps the result apart from every good series, however a backend mends it, and from other faulty ones.
pub(crate) fn build(fault: FaultType, parts: &Parts<'_>, base: u32, sample: Sample, literal: &mut Literal) {
    literal.clear();
    let (name, rest) = parts.split_first().unwrap_or((&NOTHING, &[]));
    // The bucket's label comes without its digits, then the digits.
    let (bucket, rest) = rest.split_at_checked(2).unwrap_or((&[], &[]));
    if fault != FaultType::MissingMetricName {
        literal.block(name);
    }
    if fault == FaultType::InvalidLabelName {
        // '-' sorts before '_': the order stays right, only the name is wrong.
        literal.label(BAD_NAME, b"1");
    }
    for part in bucket {
        literal.block(part);
    }
    literal.label(FAULT_LABEL.as_bytes(), format!("{fault}-{base}").as_bytes());
    if fault == FaultType::DuplicateLabel {
        // Between `floodmark_run` and `generation` or `instance`: the run label is the first thing in the rest.
        let (run, rest) = split_run(rest);
        literal.block(run);
        literal.label(REPEATED.0, REPEATED.1[0]).label(REPEATED.0, REPEATED.1[1]);
        for part in rest {
            literal.block(part);
        }
    } else {
        for part in rest {
            literal.block(part);
        }
    }
    literal.sample(sample);
}

/// Cuts the first label (`floodmark_run`) off the remaining pieces.
fn split_run<'a>(parts: &[&'a [u8]]) -> (&'a [u8], Vec<&'a [u8]>) {
    let Some((first, others)) = parts.split_first() else { return (&[], Vec::new()) };
    // A label of this workload is shorter than 128 + 16 bytes or carries a two-byte length; both are read here.
    let length = match first {
        [0x0a, low, ..] if *low < 0x80 => usize::from(*low) + 2,
        [0x0a, low, high, ..] => (usize::from(*low & 0x7f) | usize::from(*high) << 7) + 3,
        _ => 0,
    };
    let (run, rest) = first.split_at(length.min(first.len()));
    (run, std::iter::once(rest).chain(others.iter().copied()).collect())
}
