//! Numbers and times for people. Digits are never dropped here: what is printed is what the summary holds.

/// A count with thin spaces between groups of three.
pub(crate) fn count(value: u64) -> String {
    group(&value.to_string())
}

/// A number exactly as JSON has it, grouped.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{value}");
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("−", rest));
    match digits.split_once('.') {
        Some((whole, part)) => format!("{sign}{}.{part}", group(whole)),
        None => format!("{sign}{}", group(digits)),
    }
}

/// Milliseconds; `>=` stands before what lies above the range.
pub(crate) fn ms(value: f64, at_least: bool) -> String {
    format!("{}{} ms", if at_least { "≥ " } else { "" }, number(value))
}

/// Whether a latency of a measure that went over range is only a lower bound.
pub(crate) fn at_least(value_ms: f64, over_range: u64) -> bool {
    over_range > 0 && value_ms >= measure::HIGHEST_US as f64 / 1000.0
}

/// A fraction as a percentage, rounded to three decimals.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{} %", number((fraction * 100_000.0).round() / 1000.0))
}

/// A large number in few characters, for axes and labels beside the exact one: 1.25 M.
pub(crate) fn short(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let (scaled, unit) = match value.abs() {
        v if v >= 999.5e9 => (value / 1e12, " T"),
        v if v >= 999.5e6 => (value / 1e9, " G"),
        v if v >= 999.5e3 => (value / 1e6, " M"),
        v if v >= 9_999.5 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        v if v >= 100.0 || v.fract() == 0.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// Milliseconds in few characters, for axes and labels: 250 µs, 12.3 ms, 1.5 s.
pub(crate) fn short_ms(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v >= 60_000.0 => (v / 60_000.0, "min"),
        v if v >= 1000.0 => (v / 1000.0, "s"),
        v if v >= 1.0 => (v, "ms"),
        v => (v * 1000.0, "µs"),
    };
    format!("{} {unit}", short(three(scaled)))
}

fn three(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return if value.is_nan() { value } else { value.max(0.0) };
    }
    let step = 10f64.powf(2.0 - value.log10().floor());
    (value * step).round() / step
}

pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{} {}", short(three(scaled)), UNITS[unit])
}

/// Seconds as `1 h 5 min`, `2 min 30 s` or `12.5 s`.
pub(crate) fn seconds(value: f64) -> String {
    let whole = value.max(0.0) as u64;
    match whole {
        0..60 => format!("{} s", number((value * 1000.0).round() / 1000.0)),
        60..3600 if whole.is_multiple_of(60) => format!("{} min", whole / 60),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ if (whole / 60).is_multiple_of(60) => format!("{} h", whole / 3600),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

/// Seconds since t0 as a clock, for axes: `0:45`, `1:02:30`.
pub(crate) fn clock(value: f64) -> String {
    let whole = value.max(0.0).round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// Unix nanoseconds as RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(unix_ns: u64) -> String {
    let ms = unix_ns / 1_000_000;
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    // Years that begin in March put the leap day last; 719468 days lie between 0000-03-01 and 1970-01-01.
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (h, m, s) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:03}Z", of_day % 1000)
}

/// U+202F, a space that does not break.
fn group(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit() {
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(number(1234.056), "1\u{202f}234.056");
        assert_eq!(number(-0.5), "−0.5");
        assert_eq!(number(f64::NAN), "–");
        assert_eq!(ms(3_600_000.0, true), "≥ 3\u{202f}600\u{202f}000 ms");
    }

    #[test]
    fn short_forms() {
        let cases = [(0.0, "0"), (950.0, "950"), (12_345.0, "12.3 k"), (1e6, "1 M"), (999_999.0, "1 M")];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
        let cases = [(0.25, "250 µs"), (12.34, "12.3 ms"), (1500.0, "1.5 s"), (90_000.0, "1.5 min")];
        for (value, text) in cases {
            assert_eq!(short_ms(value), text);
        }
        assert_eq!(bytes(1_610_612_736), "1.5 GiB");
        assert_eq!(seconds(150.0), "2 min 30 s");
        assert_eq!(seconds(12.5), "12.5 s");
        assert_eq!(clock(3750.0), "1:02:30");
    }

    #[test]
    fn dates() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_735_689_599_999_000_000), "2024-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(1_790_000_000_250_000_000), "2026-09-21T14:13:20.250Z");
    }
}
