//! Decimal numbers with a factor, exactly: no floating point on the way from `1.5M` to 1500000.

/// `text` (digits, at most one point with digits on both sides) times `factor`, when that is a whole number of at most `u128`.
pub(crate) fn scaled(text: &str, factor: u128) -> Option<u128> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (text, ""),
    };
    if whole.is_empty() || fraction.len() > 18 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let units = whole.parse::<u128>().ok()?.checked_mul(factor)?;
    if fraction.is_empty() {
        return Some(units);
    }
    let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u128>().ok()?.checked_mul(factor)?;
    part.is_multiple_of(divisor).then(|| units.checked_add(part / divisor)).flatten()
}

/// Splits a text into its leading number and the unit behind it.
pub(crate) fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}
