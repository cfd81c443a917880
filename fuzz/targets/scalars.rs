//! Counts, sizes, durations, shares, limits and metrics: what is read is what is written back, and what the definitions' patterns take.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use api::scalar::ScalarError;
use api::{Bytes, Count, Duration, Limit, Share, ThresholdMetric, Unit};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    same_again::<Count>(text);
    same_again::<Bytes>(text);
    same_again::<Duration>(text);
    same_again::<ThresholdMetric>(text);
    if let Some(Share(share)) = same_again(text) {
        assert!((0.0..=1.0).contains(&share));
    }
    if let Some(limit) = same_again::<Limit>(text) {
        let units = [Unit::Duration, Unit::Count, Unit::Rate, Unit::Share];
        let values = units.map(|unit| limit.value(unit));
        assert!(values.iter().any(Result::is_ok), "{text:?} is a limit in no unit");
        assert!(values.iter().flatten().all(|value| value.as_f64() >= 0.0));
    }
});

fn same_again<T: FromStr<Err = ScalarError> + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    match text.parse::<T>() {
        Ok(value) => {
            assert_eq!(value.to_string().parse::<T>().ok().as_ref(), Some(&value), "{text:?} is written as {value}");
            Some(value)
        }
        Err(why) => {
            assert!(why.to_string().contains(" is not a"), "{why}");
            None
        }
    }
}
