//! Quantities as the API server gives them back: written otherwise, they would look like somebody's edit for ever.

const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/// One, in the unit that all is counted in.
const ONE: i128 = 1_000_000_000;

/// The canonical form (`1000m` is `1`, `1024Mi` is `1Gi`, `0.5` is `500m`), or what was given where it is no such quantity: the
/// API server says what is wrong with it.
pub(crate) fn canonical(text: &str) -> String {
    parse(text).map_or_else(|| text.to_owned(), |(nanos, binary)| write(nanos, binary))
}

/// Bytes.
pub(crate) fn bytes(count: u64) -> String {
    canonical(&format!("{}", api::Bytes(count)))
}

fn write(nanos: i128, binary: bool) -> String {
    // Below 1024 there is nothing binary about a number.
    if binary && nanos.abs() >= 1024 * ONE && nanos % ONE == 0 {
        let (mut number, mut step) = (nanos / ONE, 0);
        while number % 1024 == 0 && step + 1 < BINARY.len() {
            (number, step) = (number / 1024, step + 1);
        }
        return format!("{number}{}", BINARY[step]);
    }
    if nanos == 0 {
        return "0".to_owned();
    }
    let (mut number, mut step) = (nanos, 0);
    while number % 1000 == 0 && step + 1 < DECIMAL.len() {
        (number, step) = (number / 1000, step + 1);
    }
    format!("{number}{}", DECIMAL[step])
}

/// Billionths, and whether the suffix was binary. Numbers finer than a billionth and exponents (`1e3`, which the API server keeps)
/// are nobody's memory or CPU: `None`.
fn parse(text: &str) -> Option<(i128, bool)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '+' && c != '-').unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (factor, binary) =
        match (BINARY.iter().skip(1).position(|b| *b == suffix), DECIMAL.iter().position(|d| *d == suffix)) {
            (Some(power), _) => (ONE.checked_mul(1024_i128.checked_pow(power as u32 + 1)?)?, true),
            (None, Some(power)) => (1000_i128.checked_pow(power as u32)?, false),
            (None, None) => return None,
        };
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 18 {
        return None;
    }
    let scale = 10_i128.checked_pow(fraction.len() as u32)?;
    let value = format!("{whole}{fraction}").parse::<i128>().ok()?.checked_mul(factor)?;
    (value % scale == 0).then_some((sign * value / scale, binary))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_written_as_the_api_server_does() {
        for (given, kept) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            (".25", "250m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("384Mi", "384Mi"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("0", "0"),
            ("0Mi", "0"),
            ("123456789", "123456789"),
            ("2", "2"),
            ("-1000m", "-1"),
            ("1e3", "1e3"),
            ("much", "much"),
            ("", ""),
        ] {
            assert_eq!(canonical(given), kept, "{given}");
        }
        assert_eq!(bytes((128 << 20) + (256 << 20)), "384Mi");
        assert_eq!(bytes(1 << 30), "1Gi");
        assert_eq!(bytes((128 << 20) + 1_000_000), "135217728");
    }
}
