//! The settlement against a naive bookkeeper, which notes each sample's fate as it happens and never replays anything.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::settling::{GENERATORS, finish, run, send, settle, sides, store};
use crate::common::{self, Draws};
use floodmark_ledger::{
    Context, Exception, FindingName, Gaps, Outcome, Settled, Settlement, Store, StoreReport, digest, push_exception,
};
use proptest::prelude::*;
use remote_write::{STALE_MARKER, slot_of};
use workload::SeriesId;

/// What the bookkeeper notes: name → (samples, of them explained), and who they are.
#[derive(Default)]
struct Book {
    counts: BTreeMap<&'static str, (u64, u64)>,
    who: BTreeMap<&'static str, BTreeSet<(i64, String)>>,
    gone: BTreeSet<(&'static str, SeriesId, u32)>,
}

impl Book {
    fn note(&mut self, name: FindingName, explained: bool, timestamp: i64, value: u64) {
        let entry = self.counts.entry(name.as_str()).or_default();
        *entry = (entry.0 + 1, entry.1 + u64::from(explained));
        let value = f64::from_bits(value);
        let text = if value.is_nan() { "NaN".to_owned() } else { value.to_string() };
        self.who.entry(name.as_str()).or_default().insert((timestamp, text));
    }

    fn gaps(&self) -> Gaps {
        let mut gaps = Gaps::new();
        let before =
            |&(cause, id, k): &(_, _, u32)| k.checked_sub(1).is_some_and(|k| self.gone.contains(&(cause, id, k)));
        for &(cause, id, first) in self.gone.iter().filter(|one| !before(one)) {
            let length = (first..u32::MAX).take_while(|&k| self.gone.contains(&(cause, id, k))).count() as u64;
            *gaps.entry(cause).or_default().entry(length).or_default() += 1;
        }
        gaps
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Requests acknowledged, refused, skipped or unresolved; stored, lost, in part, twice, in one of two stores:
    /// every difference gets its name, and the witnesses are the samples concerned.
    #[test]
    fn names_every_difference(seed: u64, churn: bool, trouble in 3_u64..60, stores in 1_usize..3) {
        let run = run(churn, "[]", Vec::new());
        let mut held: Vec<Store> = (0..stores).map(|_| store(&run)).collect();
        let mut sides = sides();
        let mut book = Book::default();
        let mut draws = Draws(seed);
        for (generator, samples) in common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS) {
            let side = &mut sides[generator as usize];
            let fate = if draws.one_in(trouble) { draws.next() % 8 } else { 100 };
            let outcome = match fate {
                0 | 1 => Some(Outcome::Unresolved),
                2 | 3 => Some(Outcome::Refused { status: 400 }),
                4 | 7 => Some(Outcome::Skipped),
                _ => None,
            };
            let at = (draws.next() % stores as u64) as usize;
            let mut previous = None;
            for sent in &samples {
                if let Some(outcome) = outcome {
                    push_exception(&mut side.exceptions, sent.lane, sent.request, None, outcome);
                } else {
                    side.acknowledged.add(slot_of(sent.hash), digest(sent.hash, sent.timestamp_ms, sent.bits));
                }
                let lost = match fate {
                    5 => draws.one_in(2),
                    0 | 2 | 4 => true,
                    _ => false,
                };
                let note = |book: &mut Book, name, explained| book.note(name, explained, sent.timestamp_ms, sent.bits);
                match (outcome, lost) {
                    (None, true) => note(&mut book, FindingName::SilentLoss, false),
                    (Some(Outcome::Unresolved), true) => note(&mut book, FindingName::Unresolved, false),
                    (Some(Outcome::Refused { .. }), _) => note(&mut book, FindingName::WronglyRefused, false),
                    (Some(Outcome::Unresolved), false) => note(&mut book, FindingName::StoredUnacknowledged, true),
                    (Some(Outcome::Skipped), false) => note(&mut book, FindingName::Unproven, false),
                    _ => {}
                }
                if lost {
                    let cause = match outcome {
                        None => "SilentLoss",
                        Some(Outcome::Unresolved) => "Unresolved",
                        Some(Outcome::Refused { .. } | Outcome::FaultsRefused { .. }) => "WronglyRefused",
                        Some(Outcome::Skipped) => "skipped",
                    };
                    if sent.bits != STALE_MARKER {
                        book.gone.insert((cause, sent.id, sent.k));
                    }
                    continue;
                }
                let mut deliver = |at: usize| {
                    let series = common::find(&mut held[at], &run.workload, sent, &mut previous);
                    held[at].observe(series, sent.timestamp_ms, sent.bits);
                };
                deliver(at);
                if fate == 6 {
                    deliver(stores - 1);
                    book.note(FindingName::Duplicated, false, sent.timestamp_ms, sent.bits);
                }
            }
        }
        let Settled { findings, gaps, .. } = finish(&run, &sides, &held, Context::default());
        prop_assert_eq!(gaps, book.gaps());
        prop_assert_eq!(&common::counts(&findings), &book.counts);
        for finding in &findings {
            let who = &book.who[finding.name.as_str()];
            prop_assert!(finding.examples.len() as u64 <= finding.count.min(10));
            if stores == 1 {
                prop_assert_eq!(finding.examples.len() as u64, finding.count.min(10));
            }
            for example in &finding.examples {
                let value = example.value.split(' ').next().unwrap().to_owned();
                prop_assert!(who.contains(&(example.timestamp_ms, value)), "{:?}", example);
            }
        }
    }
}

#[test]
fn a_clean_run_needs_no_series() {
    let run = run(true, "[]", Vec::new());
    let (sides, held) = send(&run, |_| 1);
    let settlement = Settlement::new(run, &sides, held.report(), Context::default());
    assert!(settlement.slots().is_empty());
    assert_eq!(settlement.finish().findings, []);
}

#[test]
fn a_store_that_knows_another_run_proves_nothing() {
    let run = run(false, "[]", Vec::new());
    let (sides, _) = send(&run, |_| 1);
    let sent: u64 = sides.iter().map(|s| s.acknowledged.total().count).sum();
    let findings = Settlement::new(run, &sides, StoreReport::default(), Context::default()).finish().findings;
    assert_eq!(common::counts(&findings), BTreeMap::from([("Unproven", (sent, 0))]));
}

#[test]
fn incomplete_exceptions_make_losses_unproven() {
    let run = run(false, "[]", Vec::new());
    let (mut sides, held) = send(&run, |sent| usize::from(sent.k != 2));
    for side in &mut sides {
        side.truncated = true;
    }
    let counts = common::counts(&settle(&run, &sides, &[held], Context::default()));
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), ["Unproven"]);
}

#[test]
fn exceptions_of_interleaved_lanes_stay_short() {
    let mut list: Vec<Exception> = Vec::new();
    for request in 0..1000 {
        for lane in 0..8 {
            push_exception(&mut list, lane, request, None, Outcome::Unresolved);
        }
    }
    assert_eq!(list.len(), 8);
    assert!(list.iter().all(|e| (e.from_request, e.to_request) == (0, 999)));
    push_exception(&mut list, 0, 1000, None, Outcome::Skipped);
    push_exception(&mut list, 0, 1001, Some(0), Outcome::Skipped);
    assert_eq!(list.len(), 10);
}
