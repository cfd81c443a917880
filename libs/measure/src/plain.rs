//! The V2 bytes of one closed interval, shared by all copies of its distribution, with their text once somebody asked for it.

use std::sync::{Arc, OnceLock};

use hdrhistogram::Histogram;

use crate::codec::{self, CodecError};

/// A closed interval is deflated once, however often it is served.
#[derive(Debug)]
pub(crate) struct Plain {
    bytes: Vec<u8>,
    text: OnceLock<String>,
}

impl PartialEq for Plain {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Plain {
    pub(crate) fn of(histogram: &Histogram<u64>) -> Result<Arc<Self>, CodecError> {
        codec::to_plain(histogram).map(Self::held)
    }

    /// `text` as others sent it; what is served is encoded here again.
    pub(crate) fn read(text: &str) -> Result<Arc<Self>, CodecError> {
        codec::text_to_plain(text).map(Self::held)
    }

    fn held(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { bytes, text: OnceLock::new() })
    }

    pub(crate) fn histogram(&self) -> Result<Histogram<u64>, CodecError> {
        codec::from_plain(&self.bytes)
    }

    pub(crate) fn text(&self) -> Result<&str, CodecError> {
        if let Some(text) = self.text.get() {
            return Ok(text);
        }
        let text = codec::plain_to_text(&self.bytes)?;
        Ok(self.text.get_or_init(|| text))
    }
}
