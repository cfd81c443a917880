//! `256Mi`, `10Gi`: sizes in bytes.

use std::fmt;
use std::str::FromStr;

use super::{ScalarError, decimal, scalar};

/// A size in bytes: `4096`, `64Ki`, `256Mi`, `10Gi`, `1Ti`, or decimal `k`, `M`, `G`, `T`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(pub u64);

const BINARY: [(&str, u64); 4] = [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
const DECIMAL: [(&str, u64); 4] = [("T", 1_000_000_000_000), ("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000)];

impl FromStr for Bytes {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong = |why: &str| {
            ScalarError(format!(
                "{text:?} is not a size: {why}write a number of bytes with an optional suffix Ki, Mi, Gi, Ti, k, M, G or T"
            ))
        };
        let (number, unit) = decimal::split_unit(text);
        let factor = match BINARY.iter().chain(&DECIMAL).find(|(suffix, _)| *suffix == unit) {
            Some((_, factor)) => *factor,
            None if unit.is_empty() && !number.is_empty() => 1,
            None => return Err(wrong("")),
        };
        let value = decimal::scaled(number, u128::from(factor)).ok_or_else(|| wrong(""))?;
        u64::try_from(value).map(Self).map_err(|_| wrong("it is too large; "))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BINARY.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor)) {
            Some((suffix, factor)) => write!(f, "{}{suffix}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

scalar!(Bytes, "a size such as 256Mi", {
    "x-kubernetes-int-or-string": true,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "minimum": 0,
    "pattern": r"^[0-9]+(\.[0-9]+)?([KMGT]i|[kMGT])?$",
    "maxLength": 32,
    "x-floodmark-scalar": "bytes"
});
