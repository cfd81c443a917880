//! Blocks that lie about their size: taken as the reference decoder takes them, within the bound and never beyond.
#![no_main]

use std::cell::RefCell;

use floodmark_remote_write::{Snappy, SnappyError};
use libfuzzer_sys::fuzz_target;

thread_local! {
    /// One for all blocks: what an earlier one left in the buffers must not show.
    static SNAPPY: RefCell<Snappy> = RefCell::default();
}

fuzz_target!(|input: (u16, &[u8])| {
    let (max, block) = (usize::from(input.0), input.1);
    SNAPPY.with_borrow_mut(|snappy| {
        let declared = snap::raw::decompress_len(block);
        // The reference takes memory as the block says.
        let small = matches!(declared, Ok(len) if len <= 1 << 16);
        let expected = if small { snap::raw::Decoder::new().decompress_vec(block).ok() } else { None };
        match snappy.decompress(block, max) {
            Ok(plain) => assert!(plain.len() <= max && Some(plain) == expected.as_deref()),
            Err(SnappyError::TooLarge { declared: told, .. }) => {
                assert!(
                    told > max as u64 && declared.is_ok_and(|len| len as u64 == told) || told > u64::from(u32::MAX)
                );
            }
            Err(SnappyError::Corrupt) => assert_eq!(expected, None),
        }
        let packed = snappy.compress(block).to_vec();
        assert_eq!(snappy.decompress(&packed, block.len()), Ok(block));
    });
});
