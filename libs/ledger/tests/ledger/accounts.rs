//! Accounts and slot tables by themselves.

use floodmark_ledger::{GeneratorAccount, SlotTable, SlotTableError, WorkerAccount, digest};
use proptest::prelude::*;

#[test]
fn accounts_balance_or_say_by_how_much_not() {
    let mut account = GeneratorAccount { generated: 10, acknowledged: 4, unresolved: 1, ..GeneratorAccount::default() };
    account.refused.insert("status_400".into(), 2);
    account.skipped.insert("backlog".into(), 3);
    assert_eq!(account.balance(), Ok(()));
    let mut both = account.clone();
    both.merge(&account);
    assert_eq!((both.generated, both.refused["status_400"], both.skipped["backlog"]), (20, 4, 6));
    assert_eq!(both.balance(), Ok(()));
    both.acknowledged -= 1;
    let error = both.balance().unwrap_err();
    assert_eq!((error.saw, error.accounted), (20, 19));

    let mut worker = WorkerAccount { accepted: 9, delivered: 5, ambiguous: 1, buffered: 1, ..WorkerAccount::default() };
    worker.rejected.insert("status_400".into(), 1);
    worker.dropped.insert("exhausted".into(), 1);
    assert_eq!(worker.balance(), Ok(()));
    worker.buffered = u64::MAX;
    assert!(worker.balance().is_err(), "sums saturate instead of wrapping to a balance");
}

proptest! {
    /// Tables are sums over multisets: any order, any split, and through base64.
    #[test]
    fn tables_add_up(samples in proptest::collection::vec((0_u16..16_384, any::<u64>(), any::<i64>(), any::<u64>()), 0..60), cut in 0_usize..60) {
        let add = |table: &mut SlotTable, part: &[(u16, u64, i64, u64)]| {
            for &(slot, hash, timestamp, bits) in part {
                table.add(slot, digest(hash, timestamp, bits));
            }
        };
        let cut = cut.min(samples.len());
        let mut whole = SlotTable::new();
        let reversed: Vec<_> = samples.iter().rev().copied().collect();
        add(&mut whole, &reversed);
        let (mut left, mut right) = (SlotTable::new(), SlotTable::new());
        add(&mut left, &samples[..cut]);
        add(&mut right, &samples[cut..]);
        let mut touched: Vec<u16> = samples[..cut].iter().map(|(slot, ..)| *slot).collect();
        touched.sort_unstable();
        touched.dedup();
        prop_assert_eq!(whole.diff(&right), touched);
        left.merge(&right);
        prop_assert!(left == whole);
        prop_assert_eq!(whole.total().count, samples.len() as u64);
        let text = serde_json::to_string(&whole).unwrap();
        prop_assert!(serde_json::from_str::<SlotTable>(&text).unwrap() == whole);
    }

    #[test]
    fn foreign_text_is_no_table(text in ".{0,80}") {
        prop_assert!(SlotTable::from_base64(&text).is_err());
    }
}

#[test]
fn too_much_text_is_refused_before_it_is_decoded() {
    let text = "A".repeat(16_384 * 22);
    assert!(matches!(SlotTable::from_base64(&text), Err(SlotTableError::WrongLength { .. })));
}
