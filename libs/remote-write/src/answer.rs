//! What a receiver's answer means to a sender. The status decides; a body is only worth logging.

use std::time::{Duration, SystemTime};

/// The meaning of an HTTP status, with what the sender has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 2xx: delivered, whatever the body. Protocol 2.0 also wants its `Written` headers looked at.
    Success,
    /// 429, 5xx: the same body again, in order, no earlier than `after` (capped) and the sender's own backoff.
    Retry {
        /// From `Retry-After`, if it names a moment to come.
        after: Option<Duration>,
    },
    /// 400, 409, 422 and other 4xx: never again as it is; isolate or drop.
    Rejected(u16),
    /// 413: split, never isolate.
    TooLarge,
    /// 415: fall back to protocol 1.0 or give up, never isolate.
    Unsupported(u16),
    /// 401, 403, 404: nothing will be taken until somebody changes something.
    Fatal(u16),
    /// 3xx: never success.
    Redirect {
        /// 307, 308: the same POST may be sent to the new place, if that is of the same origin. Otherwise fatal.
        same_method: bool,
    },
    /// 1xx and what HTTP does not know: not an answer to a write, never success.
    Never(u16),
}

impl Answer {
    /// Whether the samples are the receiver's now.
    pub fn is_success(self) -> bool {
        self == Self::Success
    }
}

/// Limits on what a receiver may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Longest wait that `Retry-After` can order.
    pub max_retry_after: Duration,
}

impl Default for Caps {
    fn default() -> Self {
        Self { max_retry_after: Duration::from_mins(1) }
    }
}

/// Classifies an answer. A 421 of a sink-worker is `Rejected(421)` here: only a sender that routes by ownership epochs
/// knows more.
pub fn classify(status: u16, retry_after: Option<&str>, now: SystemTime, caps: Caps) -> Answer {
    match status {
        200..=299 => Answer::Success,
        429 | 500..=599 => {
            Answer::Retry { after: retry_after.and_then(|text| parse_retry_after(text, now, caps.max_retry_after)) }
        }
        401 | 403 | 404 => Answer::Fatal(status),
        413 => Answer::TooLarge,
        415 => Answer::Unsupported(status),
        400..=499 => Answer::Rejected(status),
        300..=399 => Answer::Redirect { same_method: matches!(status, 307 | 308) },
        _ => Answer::Never(status),
    }
}

/// The wait that `Retry-After` orders: whole seconds or an HTTP date (RFC 9110, 10.2.3), at most `cap`. `None`, so the
/// sender's own backoff, for zero, for a moment that has passed and for anything that is neither.
pub fn parse_retry_after(text: &str, now: SystemTime, cap: Duration) -> Option<Duration> {
    let text = text.trim_matches([' ', '\t']);
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds still mean "very long".
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).ok()?
    };
    (!wait.is_zero()).then(|| wait.min(cap))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sunday, 22 November 2026, 12:00:00 GMT.
    const NOW: u64 = 1_795_348_800;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
    }

    #[test]
    fn every_status_means_one_thing() {
        for status in 0..=1000 {
            let expected = match status {
                200..=299 => Answer::Success,
                307 | 308 => Answer::Redirect { same_method: true },
                300..=399 => Answer::Redirect { same_method: false },
                401 | 403 | 404 => Answer::Fatal(status),
                413 => Answer::TooLarge,
                415 => Answer::Unsupported(415),
                429 | 500..=599 => Answer::Retry { after: None },
                400..=499 => Answer::Rejected(status),
                _ => Answer::Never(status),
            };
            let answer = classify(status, None, now(), Caps::default());
            assert_eq!(answer, expected, "{status}");
            assert_eq!(answer.is_success(), (200..300).contains(&status), "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_to_come() {
        let cap = Duration::from_mins(1);
        let secs = |secs| Some(Duration::from_secs(secs));
        let cases = [
            ("7", secs(7)),
            (" 7\t", secs(7)),
            ("007", secs(7)),
            ("3600", secs(60)),
            ("99999999999999999999999999", secs(60)),
            ("Sun, 22 Nov 2026 12:00:09 GMT", secs(9)),
            ("Sunday, 22-Nov-26 12:00:09 GMT", secs(9)),
            ("Sun Nov 22 12:00:09 2026", secs(9)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", secs(60)),
            ("0", None),
            ("Sun, 22 Nov 2026 12:00:00 GMT", None),
            ("Sun, 22 Nov 2026 11:59:59 GMT", None),
            ("", None),
            (" ", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1 2", None),
            ("soon", None),
            ("\u{0661}", None),
            ("Sun, 99 Nov 2026 12:00:09 GMT", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_retry_after(text, now(), cap), expected, "{text:?}");
        }
    }

    #[test]
    fn retry_after_counts_only_where_a_retry_does() {
        let answer = |status| classify(status, Some("5"), now(), Caps::default());
        let after = Some(Duration::from_secs(5));
        assert_eq!(answer(503), Answer::Retry { after });
        assert_eq!(answer(429), Answer::Retry { after });
        assert_eq!(answer(400), Answer::Rejected(400));
        assert_eq!(answer(204), Answer::Success);
    }
}
