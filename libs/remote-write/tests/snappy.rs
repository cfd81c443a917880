//! The block format against its reference, and blocks that lie.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use floodmark_remote_write::{Snappy, SnappyError};
use proptest::collection::vec;
use proptest::prelude::*;

const MAX: usize = 32 << 20;

fn reference(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

proptest! {
    #[test]
    fn is_the_reference_block_in_both_directions(
        bodies in vec((vec(any::<u8>(), 0..300), 1..200_usize), 1..4),
    ) {
        // One instance for all bodies: what an earlier one left in the buffers must not show.
        let (mut ours, mut back) = (Snappy::new(), Snappy::new());
        for (piece, times) in bodies {
            let plain = piece.repeat(times);
            let block = ours.compress(&plain).to_vec();
            prop_assert_eq!(&block, &reference(&plain));
            prop_assert_eq!(back.decompress(&block, MAX).unwrap(), plain.as_slice());
            prop_assert_eq!(back.decompress(&block, plain.len()).unwrap(), plain.as_slice());
            if !plain.is_empty() {
                let refused = SnappyError::TooLarge { declared: plain.len() as u64, max: plain.len() - 1 };
                prop_assert_eq!(back.decompress(&block, plain.len() - 1), Err(refused));
            }
        }
    }

    #[test]
    fn decompresses_what_the_reference_does(block in vec(any::<u8>(), 0..60), declared in 0..200_u8) {
        let mut snappy = Snappy::new();
        let block = [&[declared & 0x7f], block.as_slice()].concat();
        let expected = snap::raw::Decoder::new().decompress_vec(&block).ok();
        prop_assert_eq!(snappy.decompress(&block, MAX).ok(), expected.as_deref());
    }
}

#[test]
fn the_densest_block_is_taken() {
    let plain = vec![0; 8 << 20];
    let block = reference(&plain);
    assert!(block.len() * 21 < plain.len());
    assert_eq!(Snappy::new().decompress(&block, MAX).unwrap(), plain);
}

#[test]
fn sizes_that_cannot_be_true_take_no_memory() {
    let mut snappy = Snappy::new();
    // 4 GiB - 1 in ten bytes: within any limit a test could set, still impossible.
    let block = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0, 0];
    let refused = SnappyError::TooLarge { declared: u64::from(u32::MAX), max: MAX };
    assert_eq!(snappy.decompress(&block, MAX), Err(refused));
    assert_eq!(snappy.decompress(&block, usize::MAX), Err(SnappyError::Corrupt));
    assert!(format!("{snappy:?}").contains("plain: 0"), "{snappy:?}");
}

#[test]
fn other_formats_are_corrupt() {
    let mut snappy = Snappy::new();
    let block = reference(&[5; 1000]);
    let bad: [&[u8]; 5] = [
        b"",
        b"\xff\x06\x00\x00sNaPpY",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
        &[0xff; 12],
        &block[..block.len() - 1],
    ];
    for bad in bad {
        assert_eq!(snappy.decompress(bad, MAX), Err(SnappyError::Corrupt), "{bad:?}");
    }
    assert_eq!(snappy.decompress(&[0], MAX), Ok(&[][..]));
}

#[test]
fn large_buffers_are_given_back() {
    let mut snappy = Snappy::new();
    let block = snappy.compress(&vec![1; 100_000]).to_vec();
    snappy.decompress(&block, MAX).unwrap();
    snappy.release(200_000);
    assert!(format!("{snappy:?}").contains("plain: 100000"), "{snappy:?}");
    snappy.release(50_000);
    assert!(format!("{snappy:?}").contains("plain: 0"), "{snappy:?}");
    assert_eq!(snappy.decompress(&block, MAX).unwrap().len(), 100_000);
}
