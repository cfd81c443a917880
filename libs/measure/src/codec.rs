//! The V2 encoding of HDR histograms: plain in memory, deflated and base64 outside. Foreign bytes are checked before memory is taken.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};

use crate::bounds::{HIGHEST_US, INTERVAL_DIGITS, LOWEST_US, TOTAL_DIGITS};

const COOKIE: u32 = 0x1c84_9313;
const DEFLATED_COOKIE: u32 = 0x1c84_9314;
const HEADER: usize = 40;
/// A histogram of three digits has 23 552 counts of at most nine bytes each.
const MAX_PLAIN: usize = HEADER + 24 * 1024 * 9;
/// Deflate may grow what does not compress by a few bytes a block; base64 adds a third.
const MAX_TEXT: usize = (MAX_PLAIN + 1024) / 3 * 4;

/// Why bytes are not a histogram of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("the histogram is not base64; send the V2 + deflate form as standard base64")]
    Base64,
    #[error("the histogram takes more than {max} bytes; the bounds of this project never do")]
    TooLarge { max: usize },
    #[error("the bytes are no deflated V2 histogram; both sides must run compatible versions")]
    Corrupt,
    #[error(
        "the histogram has other bounds (low {low}, high {high}, {digits} digits); record with 1 µs to 1 h and 2 or 3 digits"
    )]
    Bounds { low: u64, high: u64, digits: u32 },
    #[error("the histogram cannot be encoded; a count is beyond 63 bits")]
    Unencodable,
}

/// V2, not deflated: cheap enough for closing an interval on a busy task.
pub(crate) fn to_plain(histogram: &Histogram<u64>) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    V2Serializer::new().serialize(histogram, &mut out).map_err(|_| CodecError::Unencodable)?;
    out.shrink_to_fit();
    Ok(out)
}

/// Back from [`to_plain`], for bytes of any origin.
pub(crate) fn from_plain(bytes: &[u8]) -> Result<Histogram<u64>, CodecError> {
    check(bytes)?;
    Deserializer::new().deserialize(&mut &bytes[..]).map_err(|_| CodecError::Corrupt)
}

/// Deflates V2 bytes and writes them as base64 (`HISTF…`), the form that the Java and C readers take.
pub(crate) fn plain_to_text(plain: &[u8]) -> Result<String, CodecError> {
    let mut out = vec![0; 8];
    out[..4].copy_from_slice(&DEFLATED_COOKIE.to_be_bytes());
    let mut deflate = ZlibEncoder::new(out, Compression::default());
    let mut out = deflate.write_all(plain).and_then(|()| deflate.finish()).map_err(|_| CodecError::Unencodable)?;
    let length = u32::try_from(out.len() - 8).map_err(|_| CodecError::Unencodable)?;
    out[4..8].copy_from_slice(&length.to_be_bytes());
    Ok(STANDARD.encode(out))
}

/// Back from [`plain_to_text`]: checked V2 bytes.
pub(crate) fn text_to_plain(text: &str) -> Result<Vec<u8>, CodecError> {
    if text.len() > MAX_TEXT {
        return Err(CodecError::TooLarge { max: MAX_TEXT });
    }
    let deflated = STANDARD.decode(text).map_err(|_| CodecError::Base64)?;
    if word(&deflated, 0) != Some(DEFLATED_COOKIE) {
        return Err(CodecError::Corrupt);
    }
    let length = word(&deflated, 4).ok_or(CodecError::Corrupt)? as usize;
    if deflated.len() != length.saturating_add(8) {
        return Err(CodecError::Corrupt);
    }
    let mut plain = Vec::new();
    ZlibDecoder::new(&deflated[8..])
        .take(MAX_PLAIN as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|_| CodecError::Corrupt)?;
    check(&plain)?;
    Ok(plain)
}

pub(crate) fn to_text(histogram: &Histogram<u64>) -> Result<String, CodecError> {
    plain_to_text(&to_plain(histogram)?)
}

pub(crate) fn from_text(text: &str) -> Result<Histogram<u64>, CodecError> {
    from_plain(&text_to_plain(text)?)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(word(bytes, at)?) << 32 | u64::from(word(bytes, at.checked_add(4)?)?))
}

/// The decoder takes memory as the header says and negates what it reads, so both are checked first.
fn check(plain: &[u8]) -> Result<(), CodecError> {
    if plain.len() > MAX_PLAIN {
        return Err(CodecError::TooLarge { max: MAX_PLAIN });
    }
    let field = |at| word(plain, at).ok_or(CodecError::Corrupt);
    if field(0)? != COOKIE || field(4)? as usize != plain.len().saturating_sub(HEADER) {
        return Err(CodecError::Corrupt);
    }
    let digits = field(12)?;
    let low = long(plain, 16).ok_or(CodecError::Corrupt)?;
    let high = long(plain, 24).ok_or(CodecError::Corrupt)?;
    let known = [u32::from(TOTAL_DIGITS), u32::from(INTERVAL_DIGITS)];
    if !known.contains(&digits) || low != LOWEST_US || high != HIGHEST_US {
        return Err(CodecError::Bounds { low, high, digits });
    }
    let mut rest = plain.get(HEADER..).ok_or(CodecError::Corrupt)?;
    while !rest.is_empty() {
        let (encoded, used) = varint(rest).ok_or(CodecError::Corrupt)?;
        // The most negative run of zeros has no positive counterpart.
        if encoded == u64::MAX {
            return Err(CodecError::Corrupt);
        }
        rest = &rest[used..];
    }
    Ok(())
}

/// LEB128 of at most nine bytes, the ninth taken whole.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for index in 0..9 {
        let byte = u64::from(*bytes.get(index)?);
        if index == 8 {
            return Some((value | byte << 56, 9));
        }
        value |= (byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds;
    use proptest::prelude::*;

    #[test]
    fn counts_survive_and_the_text_is_what_java_reads() {
        let mut h = bounds::total();
        for value in [1, 7, 1000, 123_456, HIGHEST_US] {
            h.record_n(value, value).unwrap();
        }
        let text = to_text(&h).unwrap();
        assert!(text.starts_with("HISTF"));
        assert_eq!(from_text(&text).unwrap(), h);
    }

    #[test]
    fn foreign_bounds_and_bombs_are_refused() {
        let mut other = Histogram::<u64>::new_with_bounds(1, u64::MAX / 2, 5).unwrap();
        other.record(1).unwrap();
        assert!(matches!(to_text(&other).and_then(|t| from_text(&t)), Err(CodecError::Bounds { digits: 5, .. })));
        let mut bomb = to_plain(&bounds::interval()).unwrap();
        bomb.resize(MAX_PLAIN + 1, 0);
        let text = plain_to_text(&bomb).unwrap();
        assert_eq!(from_text(&text), Err(CodecError::TooLarge { max: MAX_PLAIN }));
        assert_eq!(from_text(&"A".repeat(MAX_TEXT + 1)), Err(CodecError::TooLarge { max: MAX_TEXT }));
    }

    #[test]
    fn the_largest_histogram_fits_the_bound() {
        let mut h = bounds::total();
        let mut value = LOWEST_US;
        while value <= HIGHEST_US {
            h.record_n(value, 1 << 55).unwrap();
            value = h.next_non_equivalent(value);
        }
        assert_eq!(from_text(&to_text(&h).unwrap()).unwrap(), h);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in proptest::collection::vec(any::<u8>(), 0..200), digits in 0u32..5) {
            let mut bytes = to_plain(&bounds::interval()).unwrap();
            bytes.truncate(HEADER);
            bytes.extend_from_slice(&tail);
            bytes[4..8].copy_from_slice(&(tail.len() as u32).to_be_bytes());
            bytes[12..16].copy_from_slice(&digits.to_be_bytes());
            let _ = from_plain(&bytes);
            let _ = from_plain(&tail);
            let _ = text_to_plain(&String::from_utf8_lossy(&tail));
        }
    }
}
