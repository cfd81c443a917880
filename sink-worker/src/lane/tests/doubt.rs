use super::*;

#[test]
fn a_fault_is_refused_for_a_5xx_only_while_the_backend_takes_others() {
    for alive in [true, false] {
        let mut lane = Lane::new(RULES, 1);
        // Evidence from before the first failure is none.
        lane.elsewhere();
        lane.push(Part { fault: true, alone: true, ..part(1, &[&[(0, 1)]]) });
        let mut effects = Effects::default();
        for attempt in 1..=4 {
            assert!(effects.finished.is_empty());
            send(&mut lane, attempt * 1000);
            if alive && attempt == 3 {
                lane.elsewhere();
            }
            effects = lane.answered(attempt * 1000, suspect(500));
        }
        let (reason, verdict) = if alive {
            ("status_500", Verdict::Rejected { status: 500, text: "500".into() })
        } else {
            ("undecided", Verdict::Undecided { text: "500".into() })
        };
        assert_eq!(effects.finished, [(1, verdict)]);
        assert_eq!(effects.settled, [(How::Rejected(reason.into()), 1)]);
        assert!(effects.note.is_some());
    }
}

#[test]
fn a_batch_that_is_doubted_is_told_as_repeated_when_it_goes_on_in_halves() {
    let mut lane = Lane::new(RULES, 1);
    lane.push(part(1, &[&[(0, 1), (1, 1)]]));
    let mut repeated = 0;
    for attempt in 1..=9 {
        send(&mut lane, attempt * 1000);
        let answer = if attempt < 9 { suspect(500) } else { Answer::Delivered };
        repeated += lane.answered(attempt * 1000, answer).repeated;
    }
    assert_eq!(repeated, 16);
}

#[test]
fn an_outage_in_which_something_gets_through_now_and_then_costs_nothing() {
    for (elsewhere, here) in [(2, 0), (9, 0), (25, 0), (60, 0), (0, 11), (0, 14), (0, 16), (0, 40)] {
        let mut lane = Lane::new(Rules { once: true, ..RULES }, 1);
        lane.push(part(1, &[&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]]));
        let mut delivered = HashSet::new();
        let mut now = 0;
        while lane.held() > 0 {
            now += 1000;
            assert!(now < 300_000);
            let samples = send(&mut lane, now);
            if now == elsewhere * 1000 {
                lane.elsewhere();
            }
            let up = now > 200_000 || now == here * 1000;
            if up {
                delivered.extend(samples);
            }
            let settled = lane.answered(now, if up { Answer::Delivered } else { suspect(500) }).settled;
            assert!(settled.iter().all(|one| one.0 == How::Delivered), "{elsewhere} {here}: {settled:?}");
        }
        assert_eq!(delivered.len(), 5);
    }
}

#[test]
fn a_lane_alone_finds_every_series_that_its_backend_chokes_on() {
    for bad in 1..31_u64 {
        let mut lane = Lane::new(RULES, 1);
        lane.push(part(1, &[&[(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]]));
        let is_bad = |sample: &(u64, i64)| bad & (1 << sample.0) != 0;
        let mut settled = HashMap::new();
        let (mut now, mut sent, mut repeated) = (0, HashMap::new(), 0);
        while lane.held() > 0 {
            now += 1000;
            assert!(now < 80_000, "{bad:b}");
            let samples = send(&mut lane, now);
            for sample in &samples {
                *sent.entry(*sample).or_insert(0_u64) += 1;
            }
            let choked = samples.iter().any(is_bad);
            let effects = lane.answered(now, if choked { suspect(500) } else { Answer::Delivered });
            repeated += effects.repeated;
            for (how, samples) in effects.settled {
                *settled.entry(format!("{how:?}")).or_insert(0) += samples;
            }
        }
        let poison = u64::from(bad.count_ones());
        assert_eq!(settled, HashMap::from([("Rejected(\"poison\")".into(), poison), ("Delivered".into(), 5 - poison)]));
        let doubled = sent.iter().filter(|sent| !is_bad(sent.0)).map(|sent| sent.1 - 1).sum::<u64>();
        assert!(repeated >= doubled, "{bad:b}: {repeated} told of {doubled}");
    }
}

/// As a worker does it that is not told otherwise.
const REAL: Rules = Rules {
    max_samples: 100,
    backoff: Backoff { initial: 30_000_000, max: 5_000_000_000, max_retry_after: 60_000_000_000 },
    ..RULES
};

/// The next request, as soon as the lane sends it.
fn soonest(lane: &mut Lane, now: &mut Nanos) -> Vec<(u64, i64)> {
    if let Step::Wait(until) = lane.step(*now) {
        *now = until;
    }
    send(lane, *now)
}

#[test]
fn poison_is_found_in_seconds_and_the_good_ones_do_not_wait_for_it() {
    let all: Vec<(u8, i64)> = (0..30).map(|name| (name, 1)).collect();
    for (bad, seconds) in [(vec![0], 8), (vec![17], 8), (vec![29], 8), (vec![0, 1, 18], 16), ((1..30).collect(), 120)] {
        let mut lane = Lane::new(REAL, 1);
        lane.push(part(1, &[&all]));
        let (mut now, mut good, mut poison) = (0, 0, 0);
        while lane.held() > 0 {
            let samples = soonest(&mut lane, &mut now);
            let choked = samples.iter().any(|sample| bad.contains(&sample.0));
            for (how, samples) in lane.answered(now, if choked { suspect(500) } else { Answer::Delivered }).settled {
                match how {
                    How::Delivered => good += samples,
                    _ => poison += samples,
                }
            }
            assert!(
                poison == 0 || good == 30 - bad.len() as u64,
                "{bad:?}: {poison} given up before {good} were taken"
            );
        }
        assert_eq!(poison, bad.len() as u64);
        assert!(now < seconds * 1_000_000_000, "{bad:?}: {} ms", now / 1_000_000);
    }
}

#[test]
fn an_outage_is_asked_no_more_often_because_something_was_taken_before() {
    let mut lane = Lane::new(REAL, 1);
    lane.push(part(1, &[&[(0, 1), (1, 1), (2, 1), (3, 1)]]));
    let mut now = 0;
    for _ in 0..10 {
        soonest(&mut lane, &mut now);
        lane.answered(now, suspect(500));
    }
    // Two of them are taken, then nothing is.
    let mut taken = 0;
    while taken < 3 {
        let samples = soonest(&mut lane, &mut now);
        let up = samples.iter().all(|sample| sample.0 != 3);
        taken += if up { samples.len() } else { 0 };
        lane.answered(now, if up { Answer::Delivered } else { suspect(500) });
    }
    let mut asked = 0;
    let end = now + 60_000_000_000;
    while now < end {
        soonest(&mut lane, &mut now);
        assert!(lane.answered(now, suspect(500)).settled.is_empty());
        asked += 1;
    }
    assert!(asked < 30, "{asked}");
    soonest(&mut lane, &mut now);
    while lane.held() > 0 {
        let settled = lane.answered(now, Answer::Delivered).settled;
        assert!(settled.iter().all(|one| one.0 == How::Delivered));
        if lane.held() > 0 {
            soonest(&mut lane, &mut now);
        }
    }
}
