//! The walk over a request: one pass, zero copies, whatever the bytes are.

use super::series::{self, Series};
use crate::wire::{LEN, Reader};

/// Why a body is not a request. The body as a whole is at fault: what was walked before may be used, nothing after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} of the request: {fault}")]
pub struct WalkError {
    /// Offset into the decompressed body.
    pub offset: usize,
    /// What is wrong there.
    pub fault: WalkFault,
}

/// The kinds of [`WalkError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalkFault {
    /// A field or a varint goes past the end of its message.
    #[error("the message ends inside a field; send the whole body")]
    Truncated,
    /// A varint of more than 64 bits.
    #[error("a varint is longer than 64 bits; encode lengths and timestamps as protobuf does")]
    Varint,
    /// A field key with number 0, above 2^29-1, or with wire type 6 or 7.
    #[error("a field key is impossible; the body is not protobuf")]
    Key,
    /// A known field with another wire type than its declaration.
    #[error("field {field} has wire type {wire}; encode it as prometheus.WriteRequest declares it")]
    WireType {
        /// Field number in its message.
        field: u32,
        /// Wire type found.
        wire: u8,
    },
    /// A group; no version of the protocol has any.
    #[error("a group; Remote-Write has none")]
    Group,
}

/// Walks the series of a decompressed protocol 1.0 body.
///
/// Follows proto3: unknown fields are skipped, of a repeated scalar the last wins, a missing one is zero or empty. It
/// errs where a protobuf decoder errs, with these deliberate differences: groups are refused even where unknown fields
/// may stand; label bytes need not be UTF-8 (a rule for [`crate::rules`], so that one bad series does not hide the
/// others); metadata, exemplars and histograms are checked for wire type and length only.
///
/// After an error the iterator ends. A caller that must take all or nothing looks at every item before it acts.
#[inline]
pub fn walk(body: &[u8]) -> Walk<'_> {
    Walk { body, pos: 0, metadata: 0 }
}

/// Iterator of [`walk`].
#[derive(Clone, Debug)]
pub struct Walk<'a> {
    body: &'a [u8],
    pos: usize,
    metadata: u64,
}

impl Walk<'_> {
    /// Metadata entries passed so far; they carry no samples.
    pub fn metadata(&self) -> u64 {
        self.metadata
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Series<'a>, WalkError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.pos < self.body.len() {
            let raw = self.pos;
            match self.field() {
                Ok(None) => {}
                Ok(Some(start)) => {
                    let series = series::parse(self.body, raw, start, self.pos);
                    if series.is_err() {
                        self.pos = self.body.len();
                    }
                    return Some(series);
                }
                Err(error) => {
                    self.pos = self.body.len();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl std::iter::FusedIterator for Walk<'_> {}

impl Walk<'_> {
    /// Passes over one field. Of a series tells where its fields start; they end where the next field starts.
    #[inline]
    fn field(&mut self) -> Result<Option<usize>, WalkError> {
        let at = self.pos;
        let mut reader = Reader { buf: self.body, pos: at };
        match reader.key()? {
            (1, LEN) => {
                self.pos = reader.payload_end()?;
                Ok(Some(reader.pos))
            }
            (field @ (1 | 3), wire) if wire != LEN => {
                Err(WalkError { offset: at, fault: WalkFault::WireType { field, wire } })
            }
            (field, wire) => {
                reader.skip(wire)?;
                self.metadata += u64::from(field == 3);
                self.pos = reader.pos;
                Ok(None)
            }
        }
    }
}
