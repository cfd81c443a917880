//! `1%`: parts of a whole.

use std::fmt;
use std::str::FromStr;

use super::{ScalarError, scalar};

/// A part of a whole, written as a percentage from `0%` to `100%`; held as a fraction from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Share(pub f64);

impl Share {
    pub(crate) const WRONG: &str = "is not a share: write a percentage from 0% to 100%, such as 1% or 0.5%";
}

impl FromStr for Share {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let wrong = || ScalarError(format!("{text:?} {}", Self::WRONG));
        if text == "0" {
            return Ok(Self(0.0));
        }
        let number = text.strip_suffix('%').ok_or_else(wrong)?;
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let valid = match number.split_once('.') {
            Some((whole, fraction)) => plain(whole) && plain(fraction),
            None => plain(number),
        };
        if !valid || number.len() > 400 {
            return Err(wrong());
        }
        // The exponent moves the point, so the nearest fraction comes out of one rounding only.
        let fraction: f64 = format!("{number}e-2").parse().map_err(|_| wrong())?;
        if fraction > 1.0 {
            return Err(wrong());
        }
        Ok(Self(fraction))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The shortest digits that name this fraction, with the point moved two places: reading it back gives the same bits.
        let text = format!("{:e}", self.0);
        let Some((mantissa, exponent)) = text.split_once('e') else { return f.write_str(&text) };
        let exponent = exponent.parse::<i32>().unwrap_or(0).saturating_add(2);
        let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
        let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
        f.write_str(sign)?;
        if self.0 == 0.0 {
            return f.write_str("0%");
        }
        let point = exponent + 1;
        if point <= 0 {
            write!(f, "0.{}{digits}%", "0".repeat(point.unsigned_abs() as usize))
        } else {
            let point = point as usize;
            if digits.len() <= point {
                write!(f, "{digits}{}%", "0".repeat(point - digits.len()))
            } else {
                write!(f, "{}.{}%", &digits[..point], &digits[point..])
            }
        }
    }
}

scalar!(Share, "a percentage such as 1%", {
    "x-kubernetes-int-or-string": true,
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": r"^(0|[0-9]+(\.[0-9]+)?%)$",
    "maxLength": 32,
    "x-kubernetes-validations": crate::cel::share(),
    "x-floodmark-scalar": "share"
});
