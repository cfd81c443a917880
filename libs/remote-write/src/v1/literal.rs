//! Series that are wrong on purpose.

use crate::wire::{put_varint, varint_len};
use crate::{Sample, canonical};

/// Builds the fields of one `TimeSeries` exactly as told: labels in any order, repeated, nameless or valueless, bytes
/// that are no text, samples in front of labels, fields nobody declared. Put it into a request with
/// [`super::Encoder::fields`].
#[derive(Clone, Debug, Default)]
pub struct Literal {
    fields: Vec<u8>,
}

impl Literal {
    /// A series without any field.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the next series in the same memory.
    pub fn clear(&mut self) -> &mut Self {
        self.fields.clear();
        self
    }

    /// What was built, without tag and length of the `TimeSeries`.
    pub fn fields(&self) -> &[u8] {
        &self.fields
    }

    /// A label with both fields, empty ones too.
    pub fn label(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        canonical::push_label(&mut self.fields, name, value);
        self
    }

    /// A label without the field of its value.
    pub fn name_only(&mut self, name: &[u8]) -> &mut Self {
        self.half_label(0x0a, name)
    }

    /// A label without the field of its name.
    pub fn value_only(&mut self, value: &[u8]) -> &mut Self {
        self.half_label(0x12, value)
    }

    /// Label fields encoded elsewhere.
    pub fn block(&mut self, block: &[u8]) -> &mut Self {
        self.fields.extend_from_slice(block);
        self
    }

    /// A sample; may stand anywhere and repeat.
    pub fn sample(&mut self, sample: Sample) -> &mut Self {
        let timestamp = sample.timestamp.cast_unsigned();
        self.fields.push(0x12);
        put_varint(&mut self.fields, 10 + varint_len(timestamp) as u64);
        self.fields.push(0x09);
        self.fields.extend_from_slice(&sample.value.to_bits().to_le_bytes());
        self.fields.push(0x10);
        put_varint(&mut self.fields, timestamp);
        self
    }

    /// A length-delimited field of any number, such as one that no version of the protocol declares.
    pub fn field(&mut self, number: u32, payload: &[u8]) -> &mut Self {
        put_varint(&mut self.fields, u64::from(number) << 3 | 2);
        put_varint(&mut self.fields, payload.len() as u64);
        self.fields.extend_from_slice(payload);
        self
    }

    fn half_label(&mut self, tag: u8, text: &[u8]) -> &mut Self {
        let len = text.len() as u64;
        self.fields.push(0x0a);
        put_varint(&mut self.fields, 1 + varint_len(len) as u64 + len);
        self.fields.push(tag);
        put_varint(&mut self.fields, len);
        self.fields.extend_from_slice(text);
        self
    }
}
