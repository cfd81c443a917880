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
            assert!(now < 1_000_000, "{bad:b}");
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
