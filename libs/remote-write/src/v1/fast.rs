//! The encoding that nearly every sender uses, read with one bounds check a field. Whatever looks different is left to
//! the general parser, which alone decides what an error is.

use crate::Sample;

/// Bytes that must follow a position for it to be read here: a label with lengths of one byte, its successor's head, and
/// the words that are loaded whole.
const WINDOW: usize = 192;

#[inline]
fn window(buf: &[u8], pos: usize) -> Option<&[u8; WINDOW]> {
    buf.get(pos..)?.first_chunk()
}

#[inline]
fn word(window: &[u8; WINDOW], at: usize) -> [u8; 8] {
    let mut word = [0; 8];
    word.copy_from_slice(&window[at..at + 8]);
    word
}

/// `MASKS[n]` keeps the first `n` bytes of a big-endian word.
const MASKS: [u64; 9] = {
    let mut masks = [u64::MAX; 9];
    let mut len = 0;
    while len < 8 {
        masks[len] = !(u64::MAX >> (8 * len));
        len += 1;
    }
    masks
};

/// Where the labels stand that [`labels`] passed.
#[derive(Clone, Copy, Default)]
pub(super) struct Run {
    /// End of the last label; where it started, if there is none.
    pub(super) end: usize,
    /// Name of the last label.
    pub(super) name: usize,
    pub(super) name_len: usize,
    /// First eight bytes of the last name as a number that orders as they do; a shorter name is padded with zeros, so
    /// equal keys say nothing.
    pub(super) key: u64,
    /// Whether names are strictly increasing.
    pub(super) sorted: bool,
    pub(super) any: bool,
}

/// Whether the name `at`, which agrees with the earlier one in its first eight bytes, comes after it. Apart, so that the
/// loop around it keeps its registers.
#[inline(never)]
fn after(body: &[u8], at: (usize, usize), before: (usize, usize)) -> bool {
    let second = |(start, len): (usize, usize)| {
        let word = body.get(start + 8..)?.first_chunk()?;
        Some(u64::from_be_bytes(*word) & MASKS[len.saturating_sub(8).min(8)])
    };
    match (second(at), second(before)) {
        (Some(at), Some(before)) if at != before => at > before,
        _ => body[at.0..at.0 + at.1] > body[before.0..before.0 + before.1],
    }
}

/// Passes over the labels from `pos` on that are encoded as canonical labels are, with lengths of one byte each and a
/// value that is not empty. `end` is where the series ends; `body` may go on after it.
#[inline]
pub(super) fn labels(body: &[u8], pos: usize, end: usize) -> Run {
    let mut run = Run { end: pos, sorted: true, ..Run::default() };
    while let Some(window) = window(body, run.end) {
        let head = u32::from_le_bytes([window[0], window[1], window[2], window[3]]);
        if head & 0x80ff_80ff != 0x000a_000a {
            break;
        }
        let len = (head >> 8) as usize;
        let len = len & 0x7f;
        let name_len = (head >> 24) as usize & 0x7f;
        let (value_tag, value_len) = (window[4 + name_len], usize::from(window[5 + name_len]));
        let next = run.end + 2 + len;
        if value_tag != 0x12 || value_len == 0 || 4 + name_len + value_len != len || next > end {
            break;
        }
        let key = u64::from_be_bytes(word(window, 4)) & MASKS[name_len.min(8)];
        if key <= run.key && run.any {
            run.sorted &= key == run.key && after(body, (run.end + 4, name_len), (run.name, run.name_len));
        }
        run.name = run.end + 4;
        run.name_len = name_len;
        run.key = key;
        run.any = true;
        run.end = next;
    }
    run
}

/// Reads a sample field of both fields, value first, at `pos`: the sample and where the field ends.
#[inline]
pub(super) fn sample(body: &[u8], pos: usize, end: usize) -> Option<(Sample, usize)> {
    let window: &[u8; 24] = body.get(pos..)?.first_chunk()?;
    let len = usize::from(window[1]);
    let next = pos + 2 + len;
    // Timestamps of one to eight bytes: years 1970 to 4253398.
    if window[0] != 0x12 || window[2] != 0x09 || window[11] != 0x10 || !(11..=18).contains(&len) || next > end {
        return None;
    }
    let (mut value, mut stamp) = ([0; 8], [0; 8]);
    value.copy_from_slice(&window[3..11]);
    stamp.copy_from_slice(&window[12..20]);
    let kept = u64::MAX >> (64 - 8 * (len - 10));
    let stamp = u64::from_le_bytes(stamp) & kept;
    // Every byte but the last goes on.
    if stamp & CONTINUES != CONTINUES & (kept >> 8) {
        return None;
    }
    let sample = Sample { timestamp: gather(stamp).cast_signed(), value: f64::from_bits(u64::from_le_bytes(value)) };
    Some((sample, next))
}

const CONTINUES: u64 = 0x8080_8080_8080_8080;

/// Joins the seven bits that each byte holds: pairs, then quadruples, then all eight.
#[inline]
fn gather(bytes: u64) -> u64 {
    let x = (bytes & 0x007f_007f_007f_007f) | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let x = (x & 0x0000_3fff_0000_3fff) | (x & 0x3fff_0000_3fff_0000) >> 2;
    (x & 0x0000_0000_0fff_ffff) | (x & 0x0fff_ffff_0000_0000) >> 4
}
