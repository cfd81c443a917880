use super::*;
use proptest::prelude::*;

/// The definition that the loop is a fast form of: a key jumps from bucket count to bucket count by a draw of its own
/// generator, and lands in the last bucket that the draws reached. Written in wide integers instead of floats.
fn reference(key: u64, buckets: u32) -> u32 {
    let (mut state, mut last, mut reached) = (key, 0_u128, 0_u128);
    loop {
        last = if reached < u128::from(buckets) {
            reached
        } else {
            return last as u32;
        };
        state = state.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let draw = u128::from(state >> 33) + 1;
        reached = ((last + 1) << 31) / draw;
    }
}

#[test]
fn known_buckets() {
    // The paper's function, run as C++.
    for (key, buckets, bucket) in [
        (0, 1, 0),
        (0, 2, 0),
        (1, 1, 0),
        (42, 57, 43),
        (0xdead_10cc, 1, 0),
        (0xdead_10cc, 666, 361),
        (256, 1024, 520),
        (10_863_919_174_838_991, 11, 6),
        (2_016_238_256_797_177_309, 11, 3),
        (1_673_758_223_894_951_030, 11, 5),
    ] {
        assert_eq!(jump_hash(key, buckets), bucket, "{key} of {buckets}");
    }
    assert_eq!(jump_hash(7, 0), 0);
}

proptest! {
    #[test]
    fn jump_hash_is_its_definition(key in any::<u64>(), buckets in 1..5000_u32) {
        prop_assert_eq!(jump_hash(key, buckets), reference(key, buckets));
    }

    #[test]
    fn growth_moves_only_into_the_new_bucket(key in any::<u64>(), buckets in 1..2000_u32) {
        let (before, after) = (jump_hash(key, buckets), jump_hash(key, buckets + 1));
        prop_assert!(before < buckets);
        prop_assert!(after == before || after == buckets);
    }
}

#[test]
fn slots_are_spread_evenly_and_few_move() {
    for replicas in 1..64_u32 {
        let mut counts = vec![0_u32; replicas as usize];
        let mut moved = 0;
        for slot in 0..SLOTS as u16 {
            counts[owner(slot, replicas) as usize] += 1;
            moved += u32::from(owner(slot, replicas) != owner(slot, replicas + 1));
        }
        let fair = SLOTS as f64 / f64::from(replicas);
        // Five standard deviations of a random draw.
        let slack = 5.0 * fair.sqrt();
        for count in counts {
            assert!((f64::from(count) - fair).abs() <= slack, "{count} of {fair} with {replicas}");
        }
        let share = SLOTS as f64 / f64::from(replicas + 1);
        assert!((f64::from(moved) - share).abs() <= 5.0 * share.sqrt(), "{moved} of {share}");
    }
}

fn hash(labels: &[(&str, &str)], by: &By) -> u64 {
    let labels = labels.iter().map(|(name, value)| Label { name: name.as_bytes(), value: value.as_bytes() });
    key_hash(labels, by, &mut Scratch::new())
}

#[test]
fn the_key_is_all_labels_or_the_named_ones() {
    let a = [("__name__", "a"), ("job", "x"), ("instance", "i")];
    let b = [("instance", "i"), ("__name__", "b"), ("job", "x")];
    let by = By::Labels(vec!["job".into(), "instance".into(), "absent".into()]);
    assert_ne!(hash(&a, &By::Series), hash(&b, &By::Series));
    assert_eq!(hash(&a, &by), hash(&b, &by));
    assert_eq!(hash(&a, &by), hash(&a[1..], &By::Series));
    assert_ne!(hash(&a, &by), hash(&a[..2], &by));
}

#[test]
fn the_map_agrees_with_its_functions() {
    let map = OwnershipMap { epoch: 3, replicas: 5, lanes: 4, by: By::Series };
    let owners = map.owners();
    assert_eq!(owners.len(), SLOTS);
    for slot in 0..SLOTS as u16 {
        assert_eq!(owners[usize::from(slot)], owner(slot, 5));
        assert_eq!(map.lane(slot), slot % 4);
    }
    let label = Label { name: b"a", value: b"b" };
    let slot = map.slot(std::iter::once(label), &mut Scratch::new());
    assert_eq!(slot, slot_of(hash(&[("a", "b")], &By::Series)));
}
