//! The settlement of runs whose sink was resharded under way, against a naive bookkeeper, which notes each sample's fate as it
//! happens and never replays anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::common::settling::{GENERATORS, run, settle, sides, store};
use crate::common::{self, Draws, PER_REQUEST, Sent, T0};
use floodmark_ledger::{
    Context, Disturbance, Exception, Finding, GeneratorSide, Move, Outcome, Repeat, Run, Store, digest,
};
use proptest::prelude::*;
use remote_write::{STALE_MARKER, slot_of};
use workload::{LaneChain, LaneMap, LanePlan, LaneWalk, Position};

const SECOND: u64 = 1_000_000_000;

/// Where everything is noted.
struct House {
    run: Run,
    sides: Vec<GeneratorSide>,
    held: Store,
    /// Name → (timestamp, value) of the samples concerned, and how many of them are explained.
    book: BTreeMap<&'static str, (u64, BTreeSet<(i64, String)>)>,
}

impl House {
    fn note(&mut self, name: &'static str, explained: bool, sent: &Sent) {
        let value = f64::from_bits(sent.bits);
        let text = if value.is_nan() { "NaN".to_owned() } else { value.to_string() };
        let entry = self.book.entry(name).or_default();
        entry.0 += u64::from(explained);
        assert!(entry.1.insert((sent.timestamp_ms << 20 | i64::from(slot_of(sent.hash)), text)));
    }

    fn hold(&mut self, sent: &Sent) {
        let series = common::find(&mut self.held, &self.run.workload.clone(), sent, &mut None);
        self.held.observe(series, sent.timestamp_ms, sent.bits);
    }

    fn findings(self, context: Context) -> (Vec<Finding>, Vec<(&'static str, u64, u64)>) {
        let findings = settle(&self.run, &self.sides, &[self.held], context);
        for finding in &findings {
            let (_, who) = &self.book[finding.name.as_str()];
            assert_eq!(finding.examples.len(), who.len().min(10));
            for example in &finding.examples {
                let value = example.value.split(' ').next().unwrap();
                assert!(who.iter().any(|(t, v)| t >> 20 == example.timestamp_ms && v == value), "{example:?}");
            }
        }
        let book = self.book.into_iter().map(|(name, (explained, who))| (name, who.len() as u64, explained));
        (findings, book.collect())
    }
}

fn map(replicas: u32, lanes: u16) -> LaneMap {
    LaneMap::sink(replicas, lanes, |slot| (u32::from(slot).wrapping_mul(2_654_435_761) >> 9) % replicas)
}

/// What a bookkeeper sees of a request.
struct Request {
    generator: u32,
    epoch: u32,
    lane: u32,
    number: u64,
    samples: Vec<Sent>,
}

/// Sends everything through the maps; `settled` draws how many requests of a lane are settled before the next map, `each` is
/// told of every one of these, and of the one that the lane was cut at (`true`), in order. The last generator begins with the
/// map at `late`.
fn send(
    house: &mut House,
    all: &[(u32, u16)],
    late: usize,
    mut settled: impl FnMut() -> u64,
    mut each: impl FnMut(&mut House, &Request, bool),
) {
    let workload = Arc::clone(&house.run.workload);
    house.run.lanes = map(all[0].0, all[0].1);
    for generator in 0..GENERATORS {
        let maps = if generator + 1 == GENERATORS { &all[late..] } else { all };
        if late > 0 {
            house.sides[generator as usize].first = Some((map(maps[0].0, maps[0].1), u32::from(maps[0].1)));
        }
        let mut chain = LaneChain::new(map(maps[0].0, maps[0].1));
        let mut plan = LanePlan::new(Arc::clone(&workload), chain.map(0).clone(), generator, GENERATORS);
        for epoch in 0..maps.len() {
            let mut cuts = Vec::new();
            let mut newest = 0;
            for lane in 0..plan.lanes() {
                let last = if epoch + 1 == maps.len() { u64::MAX } else { settled() };
                let mut walk = LaneWalk::new(&plan, lane);
                let mut cut = Position::START;
                while let Some(planned) = walk.next(PER_REQUEST) {
                    let mut samples = Vec::new();
                    walk.for_each(&planned, |s| {
                        let value = workload.value_at(s.place, s.id.generation, s.k).to_bits();
                        samples.push(Sent {
                            id: s.id,
                            k: s.k,
                            hash: s.hash,
                            timestamp_ms: workload::timestamp_ms(T0, s.due_ns),
                            bits: if s.stale { STALE_MARKER } else { value },
                            lane,
                            request: planned.index,
                            drawn: None,
                        });
                    });
                    cut = walk.position(&planned);
                    let request = Request { generator, epoch: epoch as u32, lane, number: planned.index, samples };
                    let stopped = planned.index == last;
                    each(house, &request, stopped);
                    if stopped {
                        break;
                    }
                    newest = newest.max(planned.last_due_ns);
                    cut = Position::END;
                }
                cuts.push(cut);
            }
            if let Some(&(replicas, lanes)) = maps.get(epoch + 1) {
                let lanes_per_worker = u32::from(lanes);
                let at_unix_ns = T0 + newest;
                chain.push(map(replicas, lanes), cuts.clone());
                plan = plan.resume(&chain, epoch + 1);
                let lanes = map(replicas, lanes);
                house.sides[generator as usize].moves.push(Move { lanes, lanes_per_worker, at_unix_ns, cuts });
            }
        }
    }
}

fn house(run: Run) -> House {
    House { held: store(&run), sides: sides(), book: BTreeMap::new(), run }
}

fn except(side: &mut GeneratorSide, request: &Request, outcome: Outcome) {
    let (lane, epoch, number) = (request.lane, request.epoch, request.number);
    side.exceptions.push(Exception { lane, epoch, from_request: number, to_request: number, fault: None, outcome });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Requests acknowledged, refused, skipped or unresolved, stored or lost, under three to five maps, which the
    /// second generator may know from a later one on: every difference gets its name, and the witnesses are the samples concerned.
    #[test]
    fn names_every_difference_under_every_map(
        seed: u64, churn: bool, trouble in 2_u64..40, maps in prop::collection::vec((1_u32..5, 1_u16..4), 3..6), late in 0_usize..3,
    ) {
        let mut house = house(run(churn, "[]", Vec::new()));
        let (mut cuts, mut draws) = (Draws(!seed), Draws(seed));
        send(&mut house, &maps, late, || cuts.next() % 12, |house, request, stopped| {
            if stopped {
                // Taken, its answer lost, and then the map moved: it comes again.
                return;
            }
            let fate = if draws.one_in(trouble) { draws.next() % 8 } else { 100 };
            let outcome = match fate {
                0 | 1 => Some(Outcome::Unresolved),
                2 | 3 => Some(Outcome::Refused { status: 400 }),
                4 | 7 => Some(Outcome::Skipped),
                _ => None,
            };
            let lost = matches!(fate, 0 | 2 | 4 | 5);
            let side = &mut house.sides[request.generator as usize];
            match outcome {
                Some(outcome) => except(side, request, outcome),
                None => for sent in &request.samples {
                    side.acknowledged.add(slot_of(sent.hash), digest(sent.hash, sent.timestamp_ms, sent.bits));
                },
            }
            for sent in &request.samples {
                match (outcome, lost) {
                    (None, true) => house.note("SilentLoss", false, sent),
                    (Some(Outcome::Unresolved), true) => house.note("Unresolved", false, sent),
                    (Some(Outcome::Refused { .. }), _) => house.note("WronglyRefused", false, sent),
                    (Some(Outcome::Unresolved), false) => house.note("StoredUnacknowledged", true, sent),
                    (Some(Outcome::Skipped), false) => house.note("Unproven", false, sent),
                    _ => {}
                }
                if !lost {
                    house.hold(sent);
                }
            }
        });
        let (findings, book) = house.findings(Context::default());
        let mut found: Vec<_> = findings.iter().map(|f| (f.name.as_str(), f.count, f.explained)).collect();
        found.sort_unstable();
        prop_assert_eq!(found, book);
    }
}

/// Three workers buffer in memory until they become five and then two. Worker 1 of the first two maps is killed while they hold:
/// what the last requests of its lanes held is acknowledged and lost. So it is in lanes of a worker that lived.
#[test]
fn kills_take_what_their_worker_held_under_its_map() {
    let maps = [(3, 2), (5, 1), (2, 2)];
    let mut house = house(run(false, "[]", Vec::new()));
    let mut killed_at = [0; 2];
    send(
        &mut house,
        &maps,
        0,
        || 4,
        |house, request, stopped| {
            if stopped {
                return;
            }
            let worker = request.lane / u32::from(maps[request.epoch as usize].1);
            // Generator 1 is at other places when its maps change, and loses nothing.
            let name = match (request.generator, request.number, request.epoch, worker) {
                (0, 3, 0 | 1, 1) => "AckedLoss",
                (0, 3, 1, 0) => "SilentLoss",
                _ => "",
            };
            for sent in &request.samples {
                let side = &mut house.sides[request.generator as usize];
                side.acknowledged.add(slot_of(sent.hash), digest(sent.hash, sent.timestamp_ms, sent.bits));
                if name.is_empty() {
                    house.hold(sent);
                    continue;
                }
                house.note(name, name == "AckedLoss", sent);
                if worker == 1 {
                    let at = &mut killed_at[request.epoch as usize];
                    *at = (*at).max(sent.timestamp_ms as u64 * 1_000_000);
                }
            }
        },
    );
    let kill = |at| Disturbance { worker: 1, from_unix_ns: at + 1_000_000, to_unix_ns: at + 1_000_000, seen: None };
    let context = Context {
        buffered: true,
        lanes_per_worker: 2,
        killed: killed_at.map(kill).to_vec(),
        lag_ns: 20 * SECOND,
        ..Context::default()
    };
    // Without the kill under the second map nothing explains what was lost under it: the one before was of another map.
    let one = Context { killed: vec![context.killed[0]], ..context.clone() };
    let under_second: u64 = settle(&house.run, &house.sides, std::slice::from_ref(&house.held), one)
        .iter()
        .map(floodmark_ledger::Finding::unexplained)
        .sum();
    let (findings, book) = house.findings(context);
    let mut found: Vec<_> = findings.iter().map(|f| (f.name.as_str(), f.count, f.explained)).collect();
    found.sort_unstable();
    assert_eq!(found, book);
    assert!(book.len() == 2 && killed_at.iter().all(|at| *at > T0), "{book:?}");
    assert!(under_second > book[1].1);
}

/// A request was taken, its answer was lost, and then the map moved: its samples come twice, and the account says so.
#[test]
fn what_a_move_sends_again_is_explained() {
    let mut house = house(run(true, "[]", Vec::new()));
    let mut again = 0;
    send(
        &mut house,
        &[(3, 2), (5, 2), (2, 2)],
        1,
        || 5,
        |house, request, stopped| {
            for sent in &request.samples {
                house.hold(sent);
            }
            let side = &mut house.sides[request.generator as usize];
            if stopped {
                let times = || request.samples.iter().map(|sent| sent.timestamp_ms);
                side.repeats.add(Repeat {
                    epoch: request.epoch,
                    lane: request.lane,
                    from_ms: times().min().unwrap(),
                    to_ms: times().max().unwrap(),
                    samples: request.samples.len() as u64,
                });
                again += request.samples.len() as u64;
                return;
            }
            for sent in &request.samples {
                side.acknowledged.add(slot_of(sent.hash), digest(sent.hash, sent.timestamp_ms, sent.bits));
            }
        },
    );
    let (run, held) = (house.run, house.held);
    let findings = settle(&run, &house.sides, &[held], Context::default());
    assert!(again > 0);
    assert_eq!(common::counts(&findings), BTreeMap::from([("Duplicated", (again, again))]));
}
