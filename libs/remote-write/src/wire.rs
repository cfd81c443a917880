//! Protobuf's wire format, as far as Remote-Write needs it: varints, field keys, length-delimited fields, skipping.

use crate::v1::{WalkError, WalkFault};

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const LEN: u8 = 2;
const FIXED32: u8 = 5;

/// Bytes of the shortest encoding of `value`.
#[inline]
pub(crate) const fn varint_len(value: u64) -> usize {
    // ceil(bits / 7) without a division; `| 1` because zero takes a byte too.
    (((value | 1).ilog2() * 9 + 73) / 64) as usize
}

/// Writes the shortest encoding of `value`.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A cursor that never passes the end of its slice. Nested messages are read by a reader over the same bytes cut at the
/// nested end, so positions stay offsets into the whole body.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) buf: &'a [u8],
    pub(crate) pos: usize,
}

impl<'a> Reader<'a> {
    #[inline]
    pub(crate) fn at_end(&self) -> bool {
        self.pos >= self.buf.len()
    }

    #[inline]
    pub(crate) fn fail(&self, fault: WalkFault) -> WalkError {
        WalkError { offset: self.pos, fault }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WalkError> {
        match self.buf.get(self.pos) {
            Some(&byte) if byte < 0x80 => {
                self.pos += 1;
                Ok(u64::from(byte))
            }
            Some(_) => self.long_varint(),
            None => Err(self.fail(WalkFault::Truncated)),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WalkError> {
        let rest = self.buf.get(self.pos..).unwrap_or_default();
        let mut value = 0_u64;
        for (i, &byte) in rest.iter().take(10).enumerate() {
            // The tenth byte holds the 64th bit alone.
            if i == 9 && byte > 1 {
                return Err(self.fail(WalkFault::Varint));
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.pos += i + 1;
                return Ok(value);
            }
        }
        Err(self.fail(WalkFault::Truncated))
    }

    /// Field number and wire type.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<(u32, u8), WalkError> {
        let at = self.pos;
        let key = self.varint()?;
        let wire = (key & 7) as u8;
        match u32::try_from(key) {
            Ok(key) if key >> 3 != 0 && wire < 6 => Ok((key >> 3, wire)),
            _ => Err(WalkError { offset: at, fault: WalkFault::Key }),
        }
    }

    /// Reads a length and returns where the field's payload, which starts at `self.pos`, ends.
    #[inline]
    pub(crate) fn payload_end(&mut self) -> Result<usize, WalkError> {
        let at = self.pos;
        let len = self.varint()?;
        let left = self.buf.len() - self.pos;
        match usize::try_from(len) {
            Ok(len) if len <= left => Ok(self.pos + len),
            _ => Err(WalkError { offset: at, fault: WalkFault::Truncated }),
        }
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WalkError> {
        let end = self.payload_end()?;
        let bytes = &self.buf[self.pos..end];
        self.pos = end;
        Ok(bytes)
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, WalkError> {
        match self.buf.get(self.pos..).and_then(<[u8]>::first_chunk) {
            Some(bytes) => {
                self.pos += 8;
                Ok(u64::from_le_bytes(*bytes))
            }
            None => Err(self.fail(WalkFault::Truncated)),
        }
    }

    /// Passes over the payload of a field nobody asked for.
    pub(crate) fn skip(&mut self, wire: u8) -> Result<(), WalkError> {
        match wire {
            VARINT => self.varint().map(|_| ()),
            FIXED64 => self.fixed64().map(|_| ()),
            LEN => self.bytes().map(|_| ()),
            FIXED32 if self.buf.len() - self.pos >= 4 => {
                self.pos += 4;
                Ok(())
            }
            FIXED32 => Err(self.fail(WalkFault::Truncated)),
            _ => Err(self.fail(WalkFault::Group)),
        }
    }
}
