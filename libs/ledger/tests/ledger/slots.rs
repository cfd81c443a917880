//! From slots to the series in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::common::{self, T0};
use floodmark_ledger::Store;
use remote_write::slot_of;
use workload::{LaneMap, SeriesId};

/// Asked again and again while series churn: nothing of an earlier answer may be left over.
#[test]
fn a_slot_leads_to_every_series_that_has_or_had_it() {
    let (workload, faults) = common::run_for(30, true, "[]");
    let mut store = Store::new(Arc::clone(&workload), Arc::clone(&faults), T0);
    let (mut newest, mut scratch, mut former) = (BTreeMap::new(), Vec::new(), 0);
    for (at, (_, samples)) in common::schedule(&workload, &faults, &LaneMap::direct(3), 2).iter().enumerate() {
        for sent in samples {
            let series = common::find(&mut store, &workload, sent, &mut None);
            store.observe(series, sent.timestamp_ms, sent.bits);
            let generation = newest.entry(sent.id.base).or_insert(0);
            *generation = sent.id.generation.max(*generation);
        }
        if at % 20 > 0 {
            continue;
        }
        let mut expected: BTreeMap<u16, BTreeSet<u32>> = BTreeMap::new();
        for (&base, &newest) in &newest {
            for generation in 0..=newest {
                let hash = workload.series_hash(SeriesId { base, generation }, &mut scratch);
                expected.entry(slot_of(hash)).or_default().insert(base);
                former += u32::from(generation < newest);
            }
        }
        let all: Vec<u16> = expected.keys().copied().collect();
        let of = |slots: &[u16]| store.seen_in(slots).iter().map(|seen| seen.base).collect::<Vec<_>>();
        for (&slot, bases) in &expected {
            assert_eq!(of(&[slot]), bases.iter().copied().collect::<Vec<_>>(), "slot {slot}");
        }
        assert_eq!(of(&all), newest.keys().copied().collect::<Vec<_>>());
    }
    assert!(former > 100);
}
