//! `1m30s`, `30ms`: spans of time.

use std::fmt;
use std::str::FromStr;

use super::{ScalarError, decimal, scalar};

/// A span of time: numbers with the units h, m, s, ms, us and ns, one after the other (`1m30s`, `1.5h`, `250ms`); `"0"` is
/// one, too, but in YAML only in quotes, as the API server takes no number for it.
/// At most 292 years (a signed 64-bit number of nanoseconds, as Kubernetes holds it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(pub std::time::Duration);

const UNITS: [(&str, u64); 7] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
    ("µs", 1_000),
];

impl Duration {
    /// The span in seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// The span in milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// No time at all?
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The span in nanoseconds, `u64::MAX` when it is longer than that (584 years).
    pub fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Duration {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong = |why: &str| {
            ScalarError(format!(
                "{text:?} is not a duration: {why}write numbers with units, such as 1m30s or 250ms (h, m, s, ms, us)"
            ))
        };
        if text == "0" {
            return Ok(Self::default());
        }
        if text.is_empty() {
            return Err(wrong(""));
        }
        let mut rest = text;
        let mut nanos = 0_u128;
        while !rest.is_empty() {
            let (number, tail) = decimal::split_unit(rest);
            let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, next) = tail.split_at(end);
            let factor = match UNITS.iter().find(|(name, _)| *name == unit) {
                Some((_, factor)) => u128::from(*factor),
                None if number.is_empty() => return Err(wrong("")),
                None if unit.is_empty() => return Err(wrong("the unit is missing; ")),
                None if unit == "d" => return Err(wrong("days are written in hours (24h); ")),
                None => return Err(wrong("")),
            };
            nanos = decimal::scaled(number, factor)
                .and_then(|part| nanos.checked_add(part))
                .filter(|sum| *sum <= i64::MAX as u128)
                .ok_or_else(|| match number {
                    "" => wrong(""),
                    _ => ScalarError(format!("{text:?} is too long: a duration has at most 292 years")),
                })?;
            rest = next;
        }
        Ok(Self(std::time::Duration::from_nanos(u64::try_from(nanos).map_err(|_| wrong(""))?)))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, factor) in &UNITS[..6] {
            let factor = u128::from(*factor);
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        Ok(())
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(duration)
    }
}

scalar!(Duration, "a duration such as 1m30s", {
    "type": "string",
    "pattern": r"^(0|([0-9]+(\.[0-9]+)?(h|m|s|ms|us|µs|ns))+)$",
    "maxLength": 64,
    "x-floodmark-scalar": "duration"
});
