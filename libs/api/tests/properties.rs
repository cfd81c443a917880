//! Whatever comes in, nothing panics, and what scalars write they read back.

#![allow(
    clippy::format_collect,
    clippy::format_push_string,
    clippy::wildcard_imports,
    reason = "texts of tests are small"
)]

mod common;

use common::{FULL, read};
use floodmark_api::{Bytes, Count, Duration, Share};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn counts_read_back(n in any::<u64>(), power in 0u32..14) {
        for value in [n, n % 1000 * 10_u64.pow(power)] {
            prop_assert_eq!(Count(value).to_string().parse(), Ok(Count(value)));
        }
    }

    #[test]
    fn sizes_read_back(n in any::<u64>(), shift in 0u32..44) {
        for value in [n, (n % 1000) << shift] {
            prop_assert_eq!(Bytes(value).to_string().parse(), Ok(Bytes(value)));
        }
    }

    #[test]
    fn durations_read_back(n in 0..=i64::MAX as u64, small in 0u64..10_000, factor in prop::sample::select(vec![1u64, 1000, 1_000_000, 1_000_000_000, 60_000_000_000])) {
        for nanos in [n, small * factor] {
            let duration = Duration(std::time::Duration::from_nanos(nanos));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }

    #[test]
    fn shares_read_back(share in 0.0..=1.0f64, tiny in 0.0..1e-12f64, bits in any::<u64>()) {
        let odd = f64::from_bits(bits % 0x3ff0_0000_0000_0001);
        for value in [share, tiny, odd] {
            let read: Share = Share(value).to_string().parse().unwrap();
            prop_assert_eq!(read.0.to_bits(), value.to_bits());
        }
    }

    #[test]
    fn decimals_are_exact(whole in 0u64..1000, milli in 0u64..1000) {
        let expected = whole * 1000 + milli;
        prop_assert_eq!(format!("{whole}.{milli:03}k").parse(), Ok(Count(expected)));
        prop_assert_eq!(format!("{whole}.{milli:03}s").parse(), Ok(Duration::from_millis(expected)));
        let percent: f64 = format!("{whole}.{milli:03}").parse().unwrap();
        prop_assert_eq!(format!("{whole}.{milli:03}%").parse::<Share>().is_ok(), percent <= 100.0);
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = read(&text);
        let _ = (text.parse::<Count>(), text.parse::<Bytes>(), text.parse::<Duration>(), text.parse::<Share>());
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(prop::sample::select(b"[]{}:,-?!&*#|>%@`'\"\\ \n\t\rab10.~<\xc3\xa9\0".to_vec()), 0..200)) {
        let _ = read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_slip_of_the_pen_panics(at in 0usize..3000, remove in 0usize..40, insert in "[\\[\\]{}:,?!&*\\- \"\na-z0-9%]{0,6}") {
        let mut chars: Vec<char> = FULL.chars().collect();
        let at = at.min(chars.len());
        let end = (at + remove).min(chars.len());
        chars.splice(at..end, insert.chars());
        if let Err(problems) = read(&chars.into_iter().collect::<String>()) {
            prop_assert!(!problems.shown.is_empty());
            prop_assert!(problems.shown.iter().all(|p| p.line > 0 && p.column > 0 && !p.message.is_empty()), "{}", problems);
        }
    }
}

#[test]
fn scalars_name_the_mistake() {
    for (text, why) in [
        ("1X", "suffix k, M, G or T"),
        ("", "not a count"),
        ("-1", "not a count"),
        ("1.5", "not a count"),
        ("1K", "small k"),
        ("1e6", "not a count"),
        (".5k", "not a count"),
        ("99999999999999999999", "too large"),
        ("18446744073709552k", "too large"),
    ] {
        assert!(text.parse::<Count>().unwrap_err().to_string().contains(why), "{text}");
    }
    for (text, why) in [
        ("5", "unit is missing"),
        ("5d", "in hours"),
        ("", "not a duration"),
        ("-5s", "not a duration"),
        ("5 s", "not a duration"),
        ("1h30", "unit is missing"),
        ("s", "not a duration"),
        ("999999999h", "292 years"),
    ] {
        assert!(
            text.parse::<Duration>().unwrap_err().to_string().contains(why),
            "{text}: {}",
            text.parse::<Duration>().unwrap_err()
        );
    }
    for text in ["1", "0.01", "101%", "-1%", "1 %", "%", "1e0%", "100.0000001%"] {
        assert!(text.parse::<Share>().unwrap_err().to_string().contains("percentage"), "{text}");
    }
    assert_eq!(("0".parse(), "100%".parse(), "0.5%".parse()), (Ok(Share(0.0)), Ok(Share(1.0)), Ok(Share(0.005))));
    assert_eq!(("1.5M".parse(), "0".parse(), "007".parse()), (Ok(Count(1_500_000)), Ok(Count(0)), Ok(Count(7))));
    assert_eq!(
        ("256Mi".parse(), "1.5Gi".parse(), "1k".parse()),
        (Ok(Bytes(256 << 20)), Ok(Bytes(3 << 29)), Ok(Bytes(1000)))
    );
    assert_eq!("1h1m1s1ms1us1ns".parse::<Duration>().unwrap().0.as_nanos(), 3_661_001_001_001);
    assert_eq!(
        (
            Count(250_000).to_string(),
            Bytes(10 << 30).to_string(),
            Duration::from_secs(90).to_string(),
            Share(0.125).to_string()
        ),
        ("250k".into(), "10Gi".into(), "1m30s".into(), "12.5%".into())
    );
}
