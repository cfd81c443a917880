//! Seeded hashing: the only source of "randomness", the same on every machine.

/// Finaliser of splitmix64: every input bit reaches every output bit.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Hash of two words; not symmetric.
pub(crate) fn mix2(a: u64, b: u64) -> u64 {
    mix(a.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ mix(b.wrapping_add(0x6a09_e667_f3bc_c909)))
}

/// A number in `0..n` from uniform bits; 0 when `n` is 0.
pub(crate) fn below(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}
