//! Bytes of a whole request, broken.

/// `TruncatedProtobuf`: the message without its last bytes, so that its last series is cut in the middle. A message too short
/// for that is left empty.
pub fn cut_message(message: &[u8]) -> &[u8] {
    &message[..message.len().saturating_sub(5)]
}

/// `CorruptSnappy`: three quarters of a compressed block. It declares more than it holds, which no decoder accepts.
pub fn cut_compressed(block: &[u8]) -> &[u8] {
    &block[..block.len() * 3 / 4]
}

#[cfg(test)]
mod tests {
    use super::*;
    use remote_write::{Sample, Snappy, v1};

    fn message() -> v1::Encoder {
        let mut encoder = v1::Encoder::new();
        for name in [b"a".as_slice(), b"bb", b"ccc"] {
            let mut block = Vec::new();
            remote_write::canonical::push_label(&mut block, b"__name__", name);
            encoder.series(&block, &[Sample { timestamp: 1_700_000_000_000, value: 1.0 }]);
        }
        encoder
    }

    #[test]
    fn a_cut_message_cannot_be_walked_to_its_end() {
        let encoder = message();
        let results: Vec<_> = v1::walk(cut_message(encoder.body())).map(|s| s.is_ok()).collect();
        assert_eq!(results, [true, true, false]);
    }

    #[test]
    fn a_cut_block_cannot_be_decompressed() {
        let encoder = message();
        let mut snappy = Snappy::new();
        let compressed = snappy.compress(encoder.body()).to_vec();
        assert!(snappy.decompress(&compressed, 1 << 20).is_ok());
        assert!(snappy.decompress(cut_compressed(&compressed), 1 << 20).is_err());
    }
}
