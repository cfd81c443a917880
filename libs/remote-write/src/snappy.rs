//! The snappy block format, with buffers that are kept and a declared size that is doubted before memory is taken.

/// Why a body was not decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnappyError {
    /// The block says it holds more than the receiver takes. Nothing was allocated.
    #[error("decoded size {declared} exceeds the limit of {max} bytes; send smaller requests")]
    TooLarge {
        /// Bytes the block declares.
        declared: u64,
        /// Bytes allowed.
        max: usize,
    },
    /// Not a snappy block: framed, cut off, another compression, or not compressed at all.
    #[error("corrupt snappy block; compress the body in snappy's block format, not the framed one")]
    Corrupt,
}

/// Compresses and decompresses one body at a time. Buffers grow to the largest body seen; see [`Snappy::release`].
pub struct Snappy {
    encoder: snap::raw::Encoder,
    decoder: snap::raw::Decoder,
    compressed: Vec<u8>,
    plain: Vec<u8>,
}

impl Snappy {
    /// Without memory yet.
    pub fn new() -> Self {
        Self {
            encoder: snap::raw::Encoder::new(),
            decoder: snap::raw::Decoder::new(),
            compressed: Vec::new(),
            plain: Vec::new(),
        }
    }

    /// The block of `plain`. A block holds less than 4 GiB: for a longer input the answer is empty, which no receiver
    /// takes for a block.
    pub fn compress(&mut self, plain: &[u8]) -> &[u8] {
        grow(&mut self.compressed, snap::raw::max_compress_len(plain.len()));
        let len = self.encoder.compress(plain, &mut self.compressed).unwrap_or(0);
        &self.compressed[..len]
    }

    /// How many bytes `block` holds, if that is at most `max` and a block of its length can hold them.
    pub fn size(block: &[u8], max: usize) -> Result<usize, SnappyError> {
        let declared = match snap::raw::decompress_len(block) {
            Ok(declared) => declared,
            Err(snap::Error::TooBig { given, .. }) => {
                return Err(SnappyError::TooLarge { declared: given, max });
            }
            Err(_) => return Err(SnappyError::Corrupt),
        };
        if declared > max {
            return Err(SnappyError::TooLarge { declared: declared as u64, max });
        }
        // The densest element is a copy: three bytes for sixty-four.
        if declared > block.len().saturating_mul(64) / 3 {
            return Err(SnappyError::Corrupt);
        }
        Ok(declared)
    }

    /// What `block` holds, if that is at most `max` bytes. Memory is taken only for a size the block can really have.
    pub fn decompress(&mut self, block: &[u8], max: usize) -> Result<&[u8], SnappyError> {
        let declared = Self::size(block, max)?;
        grow(&mut self.plain, declared);
        match self.decoder.decompress(block, &mut self.plain[..declared]) {
            Ok(len) if len == declared => Ok(&self.plain[..len]),
            _ => Err(SnappyError::Corrupt),
        }
    }

    /// Gives back buffers above `keep` bytes, so that one huge body does not occupy an idle connection for good.
    pub fn release(&mut self, keep: usize) {
        for buffer in [&mut self.compressed, &mut self.plain] {
            if buffer.capacity() > keep {
                *buffer = Vec::new();
            }
        }
    }
}

impl Default for Snappy {
    fn default() -> Self {
        Self::new()
    }
}

/// Buffers keep their length, not only their capacity: zeroing is paid once.
fn grow(buffer: &mut Vec<u8>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
}

impl std::fmt::Debug for Snappy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snappy")
            .field("compressed", &self.compressed.len())
            .field("plain", &self.plain.len())
            .finish_non_exhaustive()
    }
}
