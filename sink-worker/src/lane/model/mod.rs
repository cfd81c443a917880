//! Senders, worker and store as one small world that is broken at every step: no loss, no reordering, no false promise.
//!
//! The store commits atomically and answers as Prometheus does: it looks at what is committed, rolls a whole request
//! back with 400 for one sample that is older, takes the newest sample again with 204, and silently loses samples of one
//! request that are not newer than another in it. A run is a list of choices; all lists up to a number of faults are run.

mod store;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::WorkerAccount;
use ownership::{By, ControlDocument, Phase};

use super::{Backoff, Lane, OnExhausted, OnRejected, Partial, Rules};
use crate::admit::Map;
use crate::gate::Gate;
use store::Store;
use world::{Choices, Sender, World, body};

type Requests<'a> = &'a [&'a [(u8, i64)]];

fn explore(senders: &[(bool, Requests<'_>)], faults: u32, interleave: bool, limit: u64, rejected: OnRejected) -> u64 {
    let document = ControlDocument {
        sink_uid: "s".into(),
        epoch: 1,
        phase: Phase::Stable,
        from: 1,
        to: 1,
        by: By::Series,
        lanes: 1,
        addresses: vec!["127.0.0.1:1".into()],
        chaos: vec![],
        run: None,
    };
    let map = Arc::new(Map::new(&document, 0));
    let rules = Rules {
        max_samples: 4,
        max_delay: 0,
        once: true,
        backoff: Backoff { initial: 1, max: 8, max_retry_after: 8 },
        max_attempts: None,
        on_exhausted: OnExhausted::Fail,
        on_rejected: rejected,
        partial: Partial::Unknown,
    };
    let mut choices = Choices { script: Vec::new(), at: 0 };
    let mut runs = 0;
    loop {
        let mut world = World {
            faults,
            rules,
            senders: senders
                .iter()
                .map(|(generator, requests)| Sender {
                    generator: *generator,
                    requests: requests.iter().map(|samples| body(samples)).collect(),
                    at: 0,
                    waits: None,
                })
                .collect(),
            gate: Gate::new(map.clone(), 1000, 1 << 20),
            map: map.clone(),
            lane: Lane::new(rules, 1),
            slips: BTreeMap::new(),
            account: WorkerAccount::default(),
            flight: None,
            answer: None,
            ghosts: Vec::new(),
            store: Store::default(),
            now: 0,
            crashed: false,
            trace: Vec::new(),
            choices: &mut choices,
        };
        world.run(interleave);
        runs += 1;
        if !choices.next() || runs == limit {
            return runs;
        }
    }
}

const DROP: OnRejected = OnRejected::DropBatch;
const ISOLATE: OnRejected = OnRejected::Isolate { max_extra: 8 };

#[test]
fn a_generator_loses_nothing_whatever_breaks() {
    let requests: Requests<'_> = &[&[(0, 1), (1, 1)], &[(0, 2), (1, 2)], &[(0, 3), (2, 3)]];
    for (rejected, faults, of) in [(DROP, 2, 3), (ISOLATE, 2, 3), (DROP, 3, 2)] {
        let runs = explore(&[(true, &requests[..of])], faults, true, 3_000_000, rejected);
        assert!((1_000..3_000_000).contains(&runs), "{runs}");
    }
}

#[test]
fn a_third_party_with_several_samples_a_series_loses_nothing() {
    let requests: Requests<'_> = &[&[(0, 1), (1, 1), (0, 2), (0, 3), (1, 2)], &[(0, 4), (1, 4), (1, 5)]];
    for rejected in [DROP, ISOLATE] {
        let runs = explore(&[(false, requests)], 2, true, 1_000_000, rejected);
        assert!((1_000..1_000_000).contains(&runs), "{runs}");
    }
}

#[test]
fn senders_that_share_a_lane_do_not_harm_each_other() {
    let one: Requests<'_> = &[&[(0, 1)], &[(0, 2), (0, 3)]];
    let two: Requests<'_> = &[&[(1, 1), (2, 1)], &[(1, 2)]];
    let three: Requests<'_> = &[&[(3, 1)]];
    for rejected in [DROP, ISOLATE] {
        let runs = explore(&[(false, one), (false, two), (true, three)], 1, true, 50_000, rejected);
        assert!(runs > 1_000, "{runs}");
        let runs = explore(&[(false, one), (false, two), (true, three)], 2, false, 50_000, rejected);
        assert!(runs > 1_000, "{runs}");
    }
}
