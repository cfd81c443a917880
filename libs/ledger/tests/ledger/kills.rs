//! What kills and pauses of workers explain: the tail of what was acknowledged, and what was in flight.

use std::collections::BTreeMap;

use crate::common::settling::{GENERATORS, run, run_for, send, settle, sides, store};
use crate::common::{self, PER_REQUEST, Sent, T0};
use floodmark_ledger::{Context, Disturbance, Outcome, Repeat, Repeats, Run, Seen, digest, push_exception};
use proptest::prelude::*;
use remote_write::slot_of;

const LANES: u32 = 2;
const SECOND: u64 = 1_000_000_000;

/// Seconds since t0 as Unix nanoseconds.
fn at(seconds: f64) -> u64 {
    T0.saturating_add_signed((seconds * SECOND as f64) as i64)
}

fn seconds(sent: &Sent) -> f64 {
    (sent.timestamp_ms - (T0 / 1_000_000) as i64) as f64 / 1e3
}

fn disturbance(worker: u32, from: f64, to: f64) -> Disturbance {
    Disturbance { worker, from_unix_ns: at(from), to_unix_ns: at(to), seen: None }
}

/// Buffering workers, the second of which was killed.
fn killed(from: f64, to: f64) -> Context {
    Context { buffered: true, lanes_per_worker: LANES, killed: vec![disturbance(1, from, to)], ..Context::default() }
}

/// Settles a run whose store lacks the samples of `lost`; tells how many these are in the lanes of the first and second worker.
fn losing(run: &Run, lost: impl Fn(&Sent) -> bool, context: Context) -> (BTreeMap<&'static str, (u64, u64)>, [u64; 2]) {
    let mut count = [0; 2];
    let (sides, held) = send(run, |sent| {
        count[(sent.lane / LANES) as usize] += u64::from(lost(sent));
        usize::from(!lost(sent))
    });
    (common::counts(&settle(run, &sides, &[held], context)), count)
}

fn count(run: &Run, of: impl Fn(&Sent) -> bool) -> u64 {
    let all = common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS);
    all.iter().flat_map(|(_, samples)| samples).filter(|sent| of(sent)).count() as u64
}

fn acked(count: u64) -> (&'static str, (u64, u64)) {
    ("AckedLoss", (count, count))
}

fn silent(count: u64) -> (&'static str, (u64, u64)) {
    ("SilentLoss", (count, 0))
}

#[test]
fn a_kill_takes_the_tail_of_its_own_worker_only_when_it_buffers() {
    let run = run(true, "[]", Vec::new());
    let tail = |sent: &Sent| (4.0..6.0).contains(&seconds(sent));
    let (counts, [other, own]) = losing(&run, tail, killed(6.0, 6.0));
    assert!(own > 0 && other > 0);
    assert_eq!(counts, BTreeMap::from([acked(own), silent(other)]));
    let (durable, _) = losing(&run, tail, Context { buffered: false, ..killed(6.0, 6.0) });
    assert_eq!(durable, BTreeMap::from([silent(own + other)]));
    let direct = Context { lanes_per_worker: 0, ..killed(6.0, 6.0) };
    assert_eq!(losing(&run, tail, direct).0, BTreeMap::from([silent(own + other)]));
}

#[test]
fn losses_before_what_was_stored_and_after_the_return_are_silent() {
    let run = run(false, "[]", Vec::new());
    let own = |sent: &Sent| sent.lane / LANES == 1;
    let tail = |sent: &Sent| own(sent) && (4.5..6.0).contains(&seconds(sent));
    let early = |sent: &Sent| own(sent) && (2.0..2.8).contains(&seconds(sent));
    let late = |sent: &Sent| own(sent) && (7.5..8.5).contains(&seconds(sent));
    let context = || killed(6.0, 6.5);
    let (_, [_, earlier]) = losing(&run, early, context());
    let (_, [_, later]) = losing(&run, late, context());
    let (counts, [_, all]) = losing(&run, |s| tail(s) || early(s) || late(s), context());
    assert!(earlier > 0 && later > 0 && all > earlier + later);
    assert_eq!(counts, BTreeMap::from([acked(all - earlier - later), silent(earlier + later)]));
    assert_eq!(losing(&run, early, context()).0, BTreeMap::from([silent(earlier)]), "nothing lost by the kill itself");
    assert_eq!(losing(&run, late, context()).0, BTreeMap::from([silent(later)]));
}

#[test]
fn a_kill_takes_a_backlog_of_any_age() {
    let run = run_for(90, false, "[]", Vec::new());
    let backlog = |sent: &Sent| sent.lane / LANES == 1 && (5.0..85.0).contains(&seconds(sent));
    let (counts, [_, own]) = losing(&run, backlog, killed(85.0, 86.0));
    assert_eq!(counts, BTreeMap::from([acked(own)]));
}

/// The worker's last account was given at 55 s: of what it had taken by then it held so many samples.
#[test]
fn a_kill_takes_no_more_than_its_worker_last_said_it_held() {
    let run = run_for(90, false, "[]", Vec::new());
    let of = |sent: &Sent, from: f64, to: f64| sent.lane / LANES == 1 && (from..to).contains(&seconds(sent));
    let context = |seen: Option<(f64, u64)>| {
        let seen = seen.map(|(seconds, held)| Seen { at_unix_ns: at(seconds), held });
        let kill = Disturbance { seen, ..disturbance(1, 60.0, 61.0) };
        Context { killed: vec![kill], lag_ns: SECOND, ..killed(0.0, 0.0) }
    };
    let tail = |sent: &Sent| of(sent, 20.0, 60.0);
    let (counts, [_, own]) = losing(&run, tail, context(None));
    assert_eq!(counts, BTreeMap::from([acked(own)]), "without an account nothing bounds it");
    // Two seconds (slack and lag) before the account nothing is sure.
    let old = losing(&run, |sent| of(sent, 20.0, 53.0), context(None)).1[1];
    assert!(old > 300 && own > old);
    for held in [0, 1, 200, old - 1, old, 2 * old] {
        let passed = old.saturating_sub(held);
        let expected: BTreeMap<_, _> =
            [acked(own - passed), silent(passed)].into_iter().filter(|(_, (count, _))| *count > 0).collect();
        assert_eq!(losing(&run, tail, context(Some((55.0, held)))).0, expected, "{held}");
    }
    // Lost since the account: the worker may have taken and held all of it.
    let after = |sent: &Sent| of(sent, 53.0, 60.0);
    let (counts, [_, own]) = losing(&run, after, context(Some((55.0, 0))));
    assert_eq!(counts, BTreeMap::from([acked(own)]));
}

/// Ten seconds behind, a worker loses its buffer twice and stores nothing in between: one run, and each life's account bounds
/// what that life alone can have had.
#[test]
fn kills_share_a_run_and_each_answers_for_what_its_own_life_held() {
    let run = run_for(90, false, "[]", Vec::new());
    let of = |sent: &Sent, from: f64, to: f64| sent.lane / LANES == 1 && (from..to).contains(&seconds(sent));
    let held = |from, to| count(&run, |sent| of(sent, from, to));
    let kill = |at_seconds: f64, held| {
        let seen = Some(Seen { at_unix_ns: at(at_seconds - 1.0), held });
        Disturbance { seen, ..disturbance(1, at_seconds, at_seconds) }
    };
    let lost = |from: f64, to: f64, killed: Vec<Disturbance>| {
        let context = Context { killed, lag_ns: 10 * SECOND, ..self::killed(0.0, 0.0) };
        losing(&run, |sent| of(sent, from, to), context).0
    };
    let all = |from, to, passed| {
        let counts = [acked(held(from, to) - passed), silent(passed)];
        counts.into_iter().filter(|(_, (count, _))| *count > 0).collect::<BTreeMap<_, _>>()
    };
    let (first, second) = (held(20.0, 29.0), held(30.0, 39.0));
    assert_eq!(lost(20.0, 40.0, vec![kill(40.0, first), kill(50.0, second)]), all(20.0, 40.0, 0));
    // What was due from 28 s on the first life may have taken after its account, or the second.
    let sure = held(20.0, 28.0);
    assert_eq!(lost(20.0, 40.0, vec![kill(40.0, sure - 3), kill(50.0, second)]), all(20.0, 40.0, 3));
    assert_eq!(lost(20.0, 40.0, vec![kill(40.0, first), kill(50.0, 0)]), all(20.0, 40.0, 0));
    // What was due after 41 and before 58 s no life had but the second.
    let sure = held(41.01, 58.0);
    assert_eq!(lost(20.0, 60.0, vec![kill(40.0, first), kill(70.0, sure)]), all(20.0, 60.0, 0));
    let early = held(20.0, 28.0);
    assert_eq!(lost(20.0, 60.0, vec![kill(70.0, sure - 5), kill(40.0, early - 3)]), all(20.0, 60.0, 8));
}

/// What a worker still holds at the end, or may hold, is neither stored nor lost; the rest is.
#[test]
fn what_a_worker_may_still_hold_at_the_end_is_unproven() {
    let run = run(false, "[]", Vec::new());
    let context = |seen: Option<(f64, u64)>| {
        let seen = seen.map(|(seconds, held)| Seen { at_unix_ns: at(seconds), held });
        Context {
            killed: Vec::new(),
            holding: vec![Disturbance { seen, ..disturbance(1, 20.0, 20.0) }],
            ..killed(0.0, 0.0)
        }
    };
    let tail = |sent: &Sent| sent.lane / LANES == 1 && seconds(sent) >= 5.0;
    let (counts, [_, own]) = losing(&run, tail, context(None));
    assert_eq!(counts, BTreeMap::from([("Unproven", (own, 0))]));
    assert_eq!(losing(&run, tail, context(Some((20.0, own)))).0, BTreeMap::from([("Unproven", (own, 0))]));
    let expected = BTreeMap::from([("Unproven", (3, 0)), silent(own - 3)]);
    assert_eq!(losing(&run, tail, context(Some((20.0, 3)))).0, expected);
    // The first worker holds nothing, and the second nothing of what came before what is stored.
    let (counts, [other, _]) = losing(&run, |sent| sent.lane / LANES == 0 && seconds(sent) >= 5.0, context(None));
    assert_eq!(counts, BTreeMap::from([silent(other)]));
    let early = |sent: &Sent| sent.lane / LANES == 1 && (2.0..3.0).contains(&seconds(sent));
    let (counts, [_, own]) = losing(&run, early, context(None));
    assert_eq!(counts, BTreeMap::from([silent(own)]));
    let delivered = Context { buffered: false, ..context(None) };
    assert_eq!(losing(&run, tail, delivered).0.keys().collect::<Vec<_>>(), [&"SilentLoss"]);
}

#[test]
fn what_was_sent_late_does_not_break_the_tail() {
    let run = run(false, "[]", Vec::new());
    // Three seconds behind: what fell due from 2.5 s on was sent after the return.
    let tail = |sent: &Sent| sent.lane / LANES == 1 && (1.0..2.5).contains(&seconds(sent));
    let (counts, [_, own]) = losing(&run, tail, Context { lag_ns: 3 * SECOND, ..killed(5.5, 6.0) });
    assert_eq!(counts, BTreeMap::from([acked(own)]));
    assert_eq!(losing(&run, tail, killed(5.5, 6.0)).0, BTreeMap::from([silent(own)]));
}

#[test]
fn what_was_not_acknowledged_does_not_break_the_tail() {
    let run = run(false, "[]", Vec::new());
    let (mut sides, mut held) = (sides(), store(&run));
    let (mut lost, mut open) = (0, 0);
    for (generator, samples) in common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS) {
        let (side, first) = (&mut sides[generator as usize], samples[0]);
        let tail = first.lane / LANES == 1 && (3.0..6.0).contains(&seconds(&first));
        let unanswered = tail && first.request.is_multiple_of(3);
        if unanswered {
            push_exception(&mut side.exceptions, first.lane, first.request, None, Outcome::Unresolved);
        }
        let mut previous = None;
        for sent in &samples {
            if unanswered {
                open += 1;
            } else {
                side.acknowledged.add(slot_of(sent.hash), digest(sent.hash, sent.timestamp_ms, sent.bits));
                lost += u64::from(tail);
            }
            if !tail {
                let series = common::find(&mut held, &run.workload, sent, &mut previous);
                held.observe(series, sent.timestamp_ms, sent.bits);
            }
        }
    }
    let counts = common::counts(&settle(&run, &sides, &[held], killed(6.0, 6.0)));
    assert_eq!(counts, BTreeMap::from([acked(lost), ("Unresolved", (open, 0))]));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    /// A worker that holds everything for a while, killed twice: all that it held, and nothing else, is explained.
    #[test]
    fn all_that_a_killed_worker_held_is_explained(
        hold in 0.0..4.0_f64, behind in 0.0..2.0_f64, down in 0.0..1.5_f64, first in 1.0..5.0_f64, apart in 1.6..4.0_f64,
        told in 0.0..1.0_f64,
    ) {
        let run = run(true, "[]", Vec::new());
        let kills = [first, first + apart];
        let sent_at = |sent: &Sent| {
            let planned = seconds(sent) + behind;
            kills.iter().find(|kill| (**kill..**kill + down).contains(&planned)).map_or(planned, |kill| kill + down)
        };
        let held = |sent: &Sent| {
            let from = sent_at(sent);
            sent.lane / LANES == 1 && kills.iter().any(|kill| from < *kill && *kill <= from + hold)
        };
        // A moment before each kill the worker told what it held.
        let seen = |kill: f64| {
            let account = kill - told;
            let before = kills.iter().copied().filter(|other| *other < kill).fold(f64::MIN, f64::max);
            let had = |sent: &Sent| {
                let from = sent_at(sent);
                sent.lane / LANES == 1 && before <= from && from < account && account <= from + hold
            };
            Seen { at_unix_ns: at(account), held: count(&run, had) }
        };
        let kill = |at: &f64| Disturbance { seen: Some(seen(*at)), ..disturbance(1, *at, at + down) };
        let context = Context {
            killed: kills.iter().map(kill).collect(),
            lag_ns: ((behind + down) * SECOND as f64) as u64,
            ..killed(0.0, 0.0)
        };
        let (counts, [_, own]) = losing(&run, held, context);
        let expected = if own > 0 { BTreeMap::from([acked(own)]) } else { BTreeMap::new() };
        prop_assert_eq!(counts, expected);
    }
}

/// Samples of the first worker's lanes and of all lanes that arrive twice, and what explains them.
fn doubling(run: &Run, context: Context) -> ((u64, u64), [u64; 2]) {
    let mut count = [0; 2];
    let (sides, held) = send(run, |sent| {
        count[(sent.lane / LANES) as usize] += u64::from(sent.k == 3);
        if sent.k == 3 { 2 } else { 1 }
    });
    (common::counts(&settle(run, &sides, &[held], context))["Duplicated"], count)
}

#[test]
fn kills_and_pauses_explain_what_was_in_flight_doubled() {
    let run = run(false, "[]", Vec::new());
    let paused = |times| Context {
        lanes_per_worker: LANES,
        paused: vec![disturbance(0, 3.0, 4.0); times],
        ..Context::default()
    };
    let ((all, explained), [own, other]) = doubling(&run, Context::default());
    let mut doubled: BTreeMap<(u32, u32), u64> = BTreeMap::new();
    for (generator, samples) in common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS) {
        for sent in samples.iter().filter(|sent| sent.k == 3 && sent.lane / LANES == 0) {
            *doubled.entry((generator, sent.lane)).or_default() += 1;
        }
    }
    let request = doubled.values().map(|samples| u64::from(PER_REQUEST).min(*samples)).sum();
    assert_eq!((all, explained), (own + other, 0));
    assert!(own > request);
    let explained = |context| doubling(&run, context).0.1;
    assert_eq!(explained(paused(1)), request, "a request of each generator in each lane");
    assert_eq!(explained(paused(9)), own);
    assert_eq!(explained(Context { samples_per_batch: 1000, ..paused(1) }), own);
    let killed = Context { killed: paused(1).paused, paused: Vec::new(), ..paused(0) };
    assert_eq!(explained(killed), request);
}

fn repeats(all: &[Repeat]) -> Repeats {
    let mut repeats = Repeats::default();
    for one in all {
        repeats.add(*one);
    }
    repeats
}

/// Samples of the whole run, or of its seconds 2.5 to 3.5, which hold all that `doubling` doubles.
fn repeat(lane: u32, samples: u64) -> Repeat {
    let ms = |seconds| (at(seconds) / 1_000_000).cast_signed();
    Repeat { epoch: 0, lane, from_ms: ms(2.5), to_ms: ms(4.5), samples }
}

#[test]
fn what_was_sent_again_explains_its_own_lane_and_time_and_no_more_than_its_number() {
    let run = run(false, "[]", Vec::new());
    let in_lane = |lane| {
        let all = common::schedule(&run.workload, &run.faults, &run.lanes, GENERATORS);
        let samples = all.iter().flat_map(|(_, samples)| samples);
        samples.filter(|sent| sent.k == 3 && sent.lane == lane).count() as u64
    };
    // The second lane of the second worker.
    let own = in_lane(3);
    assert!(own > 4 && in_lane(0) > 0);
    let worker = |ordinal, one| {
        let context =
            Context { lanes_per_worker: LANES, repeats: vec![(ordinal, repeats(&[one]))], ..Context::default() };
        doubling(&run, context).0
    };
    assert_eq!(worker(1, repeat(1, own)).1, own);
    assert_eq!(worker(1, repeat(1, 10 * own)).1, own, "what came twice elsewhere is not explained");
    assert_eq!(worker(1, repeat(1, own - 3)).1, own - 3);
    assert_eq!(worker(0, repeat(0, 10 * own)).1, in_lane(0));
    let elsewhere = Repeat { from_ms: repeat(1, 0).to_ms, to_ms: repeat(1, 0).to_ms + 1000, ..repeat(1, 10 * own) };
    assert_eq!(worker(1, elsewhere).1, 0, "sent again at another time");
    assert_eq!(worker(1, repeat(7, 10 * own)).1, 0, "there is no such lane");
    // A generator without workers, by its own lanes: two of them share each.
    let generator = |lane, samples| {
        let (mut sides, held) = send(&run, |sent| if sent.k == 3 { 2 } else { 1 });
        for side in &mut sides {
            side.repeats.add(repeat(lane, samples));
        }
        common::counts(&settle(&run, &sides, &[held], Context::default()))["Duplicated"].1
    };
    assert_eq!(generator(3, own), own);
    assert_eq!(generator(4, own), 0);
}

/// Sent three times, stored three times: two of them are too many, and both are explained where it was sent so often.
#[test]
fn what_came_a_third_time_is_set_against_what_is_left_where_it_came() {
    let run = run(false, "[]", Vec::new());
    let settled = |lane, samples| {
        let mut extra = 0;
        let (sides, held) = send(&run, |sent| {
            let again = sent.k == 3 && sent.lane == 3;
            extra += 2 * u64::from(again);
            if again { 3 } else { 1 }
        });
        let repeats = vec![(1, repeats(&[repeat(1, samples)])), (0, repeats(&[repeat(lane, 1000)]))];
        let context = Context { lanes_per_worker: LANES, repeats, ..Context::default() };
        let (all, explained) = common::counts(&settle(&run, &sides, &[held], context))["Duplicated"];
        assert_eq!(all, extra);
        (all, explained)
    };
    let (all, explained) = settled(1, 1000);
    assert_eq!(explained, all);
    assert_eq!(settled(1, all - 2).1, all - 2, "what the other worker sent again is no excuse");
}

/// What a killed worker sent again since its last account nobody knows.
#[test]
fn what_came_twice_since_a_killed_workers_last_account_is_not_held_against_the_store() {
    let run = run(false, "[]", Vec::new());
    let explained = |account: f64| {
        let seen = Some(Seen { at_unix_ns: at(account), held: 0 });
        let killed = vec![Disturbance { seen, ..disturbance(0, 5.0, 5.0) }];
        doubling(&run, Context { lanes_per_worker: LANES, killed, ..Context::default() })
    };
    let ((all, known), [own, _]) = explained(4.9);
    assert!(known < own && own < all, "a request of each generator in each lane: {known}");
    assert_eq!(explained(3.9).0.1, own);
}

#[test]
fn a_pause_explains_nothing_long_before_or_after() {
    let run = run_for(90, false, "[]", Vec::new());
    for from in [-20.0, 70.0] {
        let paused = vec![disturbance(0, 20.0 + from, 21.0 + from)];
        let context = Context { lanes_per_worker: LANES, paused, ..Context::default() };
        let explained = doubling(&run, context).0.1;
        assert_eq!(explained > 0, from < 0.0, "{from}");
    }
    let before = vec![disturbance(0, -5.0, -4.0)];
    let context = Context { lanes_per_worker: LANES, paused: before, ..Context::default() };
    assert_eq!(doubling(&run, context).0.1, 0);
}
