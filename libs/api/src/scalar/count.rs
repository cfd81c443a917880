//! `250k`, `1M`: whole numbers of samples, series, or samples a second.

use std::fmt;
use std::str::FromStr;

use super::{ScalarError, decimal, scalar};

/// A whole number with an optional decimal suffix: `1500`, `250k`, `1.5M`, `2G`, `1T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Count(pub u64);

const SUFFIXES: [(&str, u64); 4] = [("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];

impl FromStr for Count {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong = |why: &str| {
            ScalarError(format!(
                "{text:?} is not a count: {why}write a whole number with an optional suffix k, M, G or T"
            ))
        };
        let (number, unit) = decimal::split_unit(text);
        let factor = match SUFFIXES.iter().find(|(suffix, _)| *suffix == unit) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() && !number.is_empty() => 1,
            None if unit == "K" => return Err(wrong("thousand is a small k; ")),
            None => return Err(wrong("")),
        };
        let value = decimal::scaled(number, u128::from(factor)).ok_or_else(|| wrong(""))?;
        u64::try_from(value).map(Self).map_err(|_| wrong("it is too large; "))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SUFFIXES.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor)) {
            Some((suffix, factor)) => write!(f, "{}{suffix}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

scalar!(Count, "a count such as 250k", {
    "x-kubernetes-int-or-string": true,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "minimum": 0,
    "pattern": r"^[0-9]+(\.[0-9]+)?[kMGT]?$",
    "maxLength": 32,
    "x-floodmark-scalar": "count"
});
