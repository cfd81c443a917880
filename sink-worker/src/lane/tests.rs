use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use remote_write::{Sample, canonical, v1};

use super::*;

mod doubt;

const RULES: Rules = Rules {
    max_samples: 5,
    max_delay: 0,
    once: true,
    backoff: Backoff { initial: 4, max: 64, max_retry_after: 1000 },
    max_attempts: None,
    on_exhausted: OnExhausted::Fail,
    on_rejected: OnRejected::DropBatch,
    partial: Partial::Unknown,
};

fn fields(samples: &[(u8, i64)]) -> Fields {
    let mut bytes = Vec::new();
    let mut list = Vec::new();
    for &(name, timestamp) in samples {
        let mut block = Vec::new();
        canonical::push_label(&mut block, b"__name__", &[b'a' + name]);
        let mut encoder = v1::Encoder::new();
        encoder.series(&block, &[Sample { timestamp, value: 1.0 }]);
        let start = bytes.len() as u32;
        bytes.extend_from_slice(encoder.body());
        let (end, hash) = (bytes.len() as u32, u64::from(name));
        list.push(Field { start, end, samples: 1, hash, first: timestamp, last: timestamp });
    }
    Fields { bytes: bytes.into(), list }
}

fn part(id: u64, slices: &[&[(u8, i64)]]) -> Part {
    Part {
        id,
        arrived: 0,
        slices: slices.iter().map(|samples| Payload::Fields(fields(samples))).collect(),
        alone: slices.len() > 1,
        once: true,
        fault: false,
        promised: false,
        intended_us: Some(id),
        newest: 0,
    }
}

fn rejected() -> Answer {
    Answer::Rejected { status: 400, text: "no".into() }
}

fn retry(maybe_processed: bool) -> Answer {
    Answer::Retry { after: None, maybe_processed, suspect: None, why: "503".into() }
}

fn send(lane: &mut Lane, now: Nanos) -> Vec<(u64, i64)> {
    assert_eq!(lane.step(now), Step::Send);
    let batch = lane.begin().unwrap();
    let samples = batch.pieces.iter().flat_map(|piece| match &piece.payload {
        Payload::Fields(fields) => fields.list.iter().map(|field| (field.hash, field.first)).collect(),
        Payload::Original { .. } => Vec::new(),
    });
    samples.collect()
}

#[test]
fn an_idle_lane_sends_at_once_and_merges_behind_a_flight() {
    let mut lane = Lane::new(RULES, 1);
    assert_eq!(lane.step(0), Step::Idle);
    lane.push(part(1, &[&[(0, 1)]]));
    assert_eq!(send(&mut lane, 0), [(0, 1)]);
    lane.push(part(2, &[&[(1, 1), (2, 1)]]));
    lane.push(part(3, &[&[(3, 1)]]));
    lane.push(part(4, &[&[(1, 2)]]));
    lane.push(part(5, &[&[(4, 1)]]));
    assert_eq!(lane.step(0), Step::Busy);
    lane.answered(0, Answer::Delivered);
    assert_eq!(send(&mut lane, 0), [(1, 1), (2, 1), (3, 1)], "closes before a series comes twice");
    let effects = lane.answered(0, Answer::Delivered);
    assert_eq!(effects.delivered, [(Some(2), 2), (Some(3), 1)], "times survive merging");
    assert_eq!(send(&mut lane, 0), [(1, 2), (4, 1)]);
}

#[test]
fn a_free_lane_waits_for_company_until_a_batch_is_full_or_its_oldest_waited_enough() {
    let mut lane = Lane::new(Rules { max_delay: 100, ..RULES }, 1);
    let at = |arrived, part: Part| Part { arrived, ..part };
    lane.push(at(10, part(1, &[&[(0, 1)]])));
    assert_eq!(lane.step(20), Step::Wait(110));
    lane.push(at(60, part(2, &[&[(1, 1)]])));
    assert_eq!(lane.step(60), Step::Wait(110), "the oldest counts");
    assert_eq!(send(&mut lane, 110), [(0, 1), (1, 1)]);
    lane.push(at(120, part(3, &[&[(0, 2), (1, 2)]])));
    lane.answered(300, Answer::Delivered);
    assert_eq!(send(&mut lane, 300), [(0, 2), (1, 2)], "it waited behind the flight");
    lane.answered(310, Answer::Delivered);
    lane.push(at(320, part(4, &[&[(0, 3), (1, 3), (2, 3)]])));
    assert_eq!(lane.step(320), Step::Wait(420));
    lane.push(at(330, part(5, &[&[(3, 3), (4, 3)]])));
    assert_eq!(send(&mut lane, 330).len(), 5, "full");
    lane.answered(340, Answer::Delivered);
    lane.push(at(350, part(6, &[&[(0, 4)]])));
    lane.push(at(350, Part { alone: true, ..part(7, &[&[(1, 4)]]) }));
    assert_eq!(send(&mut lane, 350), [(0, 4)], "what never merges holds up nothing");
    lane.answered(360, Answer::Delivered);
    assert_eq!(send(&mut lane, 360), [(1, 4)]);
    lane.answered(370, Answer::Delivered);
    lane.push(at(380, part(8, &[&[(0, 5)]])));
    assert_eq!(lane.step(380), Step::Wait(480));
    lane.expect_more(false);
    assert_eq!(send(&mut lane, 380), [(0, 5)]);
}

#[test]
fn a_retried_batch_waits_and_what_it_is_told_is_capped() {
    let mut lane = Lane::new(RULES, 1);
    lane.push(part(1, &[&[(0, 1)]]));
    send(&mut lane, 100);
    lane.answered(
        100,
        Answer::Retry { after: Some(1 << 40), maybe_processed: false, suspect: None, why: String::new() },
    );
    assert_eq!(lane.step(101), Step::Wait(1100));
    assert_eq!(lane.step(1100), Step::Send);
}

#[test]
fn what_cannot_be_known_is_ambiguous() {
    // A backend that keeps the good ones says nothing of which they were.
    let mut lane = Lane::new(Rules { partial: Partial::KeepsGood, ..RULES }, 1);
    lane.push(part(1, &[&[(0, 1), (1, 1)]]));
    send(&mut lane, 0);
    assert_eq!(lane.answered(0, rejected()).settled, [(How::Ambiguous, 2)]);
    // Several samples a series, refused after an attempt that may have got through.
    let mut lane = Lane::new(Rules { once: false, ..RULES }, 1);
    lane.push(part(1, &[&[(0, 1)]]));
    lane.push(part(2, &[&[(0, 2)]]));
    assert_eq!(send(&mut lane, 0), [(0, 1), (0, 2)]);
    lane.answered(0, retry(true));
    send(&mut lane, 1000);
    assert_eq!(lane.answered(1000, rejected()).settled, [(How::Ambiguous, 2)]);
}

#[test]
fn a_refusal_of_merged_requests_harms_only_the_bad_one() {
    let mut lane = Lane::new(RULES, 1);
    lane.push(part(1, &[&[(0, 1)]]));
    lane.push(part(2, &[&[(1, 1)]]));
    send(&mut lane, 0);
    assert!(lane.answered(0, rejected()).settled.is_empty());
    assert_eq!(send(&mut lane, 0), [(0, 1)]);
    assert_eq!(lane.answered(0, rejected()).finished.len(), 1);
    assert_eq!(send(&mut lane, 0), [(1, 1)]);
    assert_eq!(lane.answered(0, Answer::Delivered).finished, [(2, Verdict::Delivered)]);
}

#[test]
fn a_halted_lane_keeps_what_it_has_and_says_so_once() {
    for rules in [Rules { on_rejected: OnRejected::Fail, ..RULES }, RULES] {
        let mut lane = Lane::new(rules, 1);
        lane.push(part(1, &[&[(0, 1)], &[(0, 2)]]));
        send(&mut lane, 0);
        let answer = if rules == RULES { Answer::Fatal { why: "401".into() } } else { rejected() };
        assert!(lane.answered(0, answer).halted.is_some());
        assert_eq!((lane.step(0), lane.held()), (Step::Halted, 2));
        assert_eq!(lane.abandon(), (2, 0));
    }
}

fn suspect(status: u16) -> Answer {
    Answer::Retry { after: None, maybe_processed: true, suspect: Some(status), why: status.to_string() }
}

#[test]
fn samples_are_told_as_repeated_each_time_that_the_backend_may_have_taken_them() {
    let mut lane = Lane::new(RULES, 1);
    lane.push(part(1, &[&[(0, 1), (1, 1), (2, 1), (3, 1)]]));
    let mut repeated = Vec::new();
    // Not taken for sure; then maybe; then too large, so that fragments go on; one of them is lost again.
    for answer in [
        retry(false),
        retry(false),
        retry(true),
        retry(true),
        Answer::TooLarge { text: String::new() },
        retry(true),
        Answer::Delivered,
        Answer::Delivered,
    ] {
        let now = (repeated.len() as u64 + 1) * 1000;
        send(&mut lane, now);
        repeated.push(lane.answered(now, answer).repeated);
    }
    assert_eq!(repeated, [0, 0, 4, 4, 0, 2, 0, 0]);
    // Merged requests that are refused and sent one by one, and then lost.
    lane.push(part(2, &[&[(0, 2)]]));
    lane.push(part(3, &[&[(1, 2)]]));
    let mut repeated = Vec::new();
    for answer in [rejected(), Answer::Delivered, retry(true), Answer::Delivered] {
        let now = 100_000 + repeated.len() as u64 * 1000;
        send(&mut lane, now);
        repeated.push(lane.answered(now, answer).repeated);
    }
    assert_eq!((repeated.as_slice(), lane.held()), (&[2, 0, 1, 0][..], 0));
}

#[test]
fn what_a_backend_may_have_kept_of_a_refused_batch_is_told_as_repeated_or_not_sent_again() {
    for (partial, repeated) in [(Partial::Atomic, [0, 0]), (Partial::Unknown, [4, 2]), (Partial::KeepsGood, [0, 0])] {
        let mut lane = Lane::new(Rules { on_rejected: OnRejected::Isolate { max_extra: 8 }, partial, ..RULES }, 1);
        lane.push(part(1, &[&[(0, 1), (1, 1)]]));
        lane.push(part(2, &[&[(2, 1), (3, 1)]]));
        send(&mut lane, 0);
        let mut effects = vec![lane.answered(0, rejected())];
        if partial == Partial::KeepsGood {
            assert_eq!(effects[0].settled, [(How::Ambiguous, 4)]);
            effects.push(Effects::default());
        } else {
            assert_eq!(send(&mut lane, 0), [(0, 1), (1, 1)]);
            effects.push(lane.answered(0, rejected()));
            assert_eq!(send(&mut lane, 0), [(0, 1)]);
        }
        assert_eq!([effects[0].repeated, effects[1].repeated], repeated, "{partial:?}");
    }
}

#[test]
fn what_is_given_up_is_told_apart_by_what_its_sender_heard() {
    let given_up = |promised, fault, answer| {
        let mut lane = Lane::new(Rules { on_rejected: OnRejected::DropBatch, ..RULES }, 1);
        lane.push(Part { promised, fault, alone: fault, ..part(1, &[&[(0, 1), (1, 1)]]) });
        send(&mut lane, 0);
        let effects = lane.answered(0, answer);
        (effects.revoked, effects.faults)
    };
    assert_eq!(given_up(true, false, rejected()), (2, 0));
    assert_eq!(given_up(false, false, rejected()), (0, 0));
    assert_eq!(given_up(false, true, rejected()), (0, 2));
    assert_eq!(given_up(true, false, Answer::Delivered), (0, 0));
}

#[derive(Clone, Debug)]
enum Do {
    Push(Vec<(u8, u8)>),
    Answer(Answer),
}

fn script() -> impl Strategy<Value = Vec<Do>> {
    let answer = prop_oneof![
        3 => Just(Answer::Delivered),
        2 => Just(retry(true)),
        2 => Just(rejected()),
        2 => Just(suspect(500)),
        1 => Just(Answer::TooLarge { text: String::new() }),
    ];
    let push = prop::collection::vec((0_u8..6, 0_u8..3), 1..8);
    prop::collection::vec(prop_oneof![push.prop_map(Do::Push), answer.prop_map(Do::Answer)], 1..60)
}

proptest! {
    /// Whatever is pushed and answered: every sample is in exactly one place at every step, every part ends once, and
    /// what is delivered of a series is in order.
    #[test]
    fn nothing_is_lost_doubled_or_reordered(
        script in script(),
        once: bool,
        attempts in prop::option::of(1_u32..4),
        isolate: bool,
        partial in prop::sample::select(vec![Partial::Atomic, Partial::KeepsGood, Partial::Unknown]),
    ) {
        let on_rejected = if isolate { OnRejected::Isolate { max_extra: 6 } } else { OnRejected::DropBatch };
        let rules = Rules { once, max_attempts: attempts, on_exhausted: OnExhausted::Discard, on_rejected, partial, ..RULES };
        let mut lane = Lane::new(rules, 7);
        let (mut pushed, mut settled, mut now, mut id) = (0, 0, 0, 0);
        let mut clock: HashMap<u8, i64> = HashMap::new();
        let mut delivered: HashMap<u64, i64> = HashMap::new();
        let mut finished = HashSet::new();
        let ending = std::iter::repeat_n(Do::Answer(Answer::Delivered), 400);
        for step in script.into_iter().chain(ending) {
            match step {
                Do::Push(series) => {
                    // Each series at most once in a slice, every sample newer than the one before it.
                    let mut slices: Vec<Vec<(u8, i64)>> = Vec::new();
                    for (name, slice) in series {
                        let at = usize::from(slice);
                        slices.resize_with(slices.len().max(at + 1), Vec::new);
                        if slices[at..].iter().flatten().all(|sample| sample.0 != name) {
                            let time = clock.entry(name).or_insert(0);
                            *time += 1;
                            slices[at].push((name, *time));
                        }
                    }
                    slices.retain(|slice| !slice.is_empty());
                    id += 1;
                    pushed += slices.iter().map(Vec::len).sum::<usize>() as u64;
                    lane.push(part(id, &slices.iter().map(Vec::as_slice).collect::<Vec<_>>()));
                }
                Do::Answer(answer) => {
                    now += 1000;
                    if lane.step(now) == Step::Idle {
                        continue;
                    }
                    let samples = send(&mut lane, now);
                    prop_assert!(!samples.is_empty());
                    let mut seen = HashSet::new();
                    prop_assert!(!once || samples.iter().all(|sample| seen.insert(sample.0)));
                    if answer == Answer::Delivered && !lane.asking {
                        for (hash, time) in samples {
                            let before = delivered.insert(hash, time);
                            prop_assert!(before.is_none_or(|before| before < time), "{before:?} then {time}");
                        }
                    }
                    let effects = lane.answered(now, answer);
                    settled += effects.settled.iter().map(|one| one.1).sum::<u64>();
                    for (part, _) in effects.finished {
                        prop_assert!(finished.insert(part));
                    }
                }
            }
            prop_assert_eq!(pushed, settled + lane.held());
        }
        prop_assert_eq!((lane.held(), finished.len() as u64), (0, id));
    }
}
