//! Answers of a receiver, and what a sender has to do about each.

use super::{Class, Entry, Verdict};

pub(super) struct Answer {
    id: &'static str,
    name: &'static str,
    summary: &'static str,
    rule: &'static str,
    /// Only with protocol 2.0.
    v2: bool,
}

impl Answer {
    pub(super) fn entry(&self) -> Entry {
        Entry {
            id: self.id,
            name: self.name,
            class: Class::Answer,
            summary: self.summary,
            spec: Verdict::Any,
            profiles: [Verdict::Any; 6],
            rule: self.rule,
            available: !self.v2,
        }
    }
}

const fn v1(id: &'static str, name: &'static str, summary: &'static str, rule: &'static str) -> Answer {
    Answer { id, name, summary, rule, v2: false }
}

const fn v2(id: &'static str, name: &'static str, summary: &'static str, rule: &'static str) -> Answer {
    Answer { id, name, summary, rule, v2: true }
}

pub(super) const ENTRIES: &[Answer] = &[
    v1("R01", "ServerError", "500 for a while.", "the same batch again, in order, with backoff"),
    v1("R02", "BadGateway", "502 or 504 for a while.", "the same batch again, in order, with backoff"),
    v1("R03", "ServiceUnavailable", "503 for a while.", "the same batch again, in order, with backoff"),
    v1("R04", "TooManyRequests", "429 for a while.", "the same batch again, in order, with backoff"),
    v1("R05", "RetryAfterSeconds", "Retry-After in seconds.", "waits at least that long"),
    v1("R06", "RetryAfterDate", "Retry-After as an HTTP date.", "waits until then"),
    v1("R07", "RetryAfterGarbage", "Retry-After in the past, or no number at all.", "its own backoff"),
    v1("R08", "RetryAfterHuge", "Retry-After far beyond any patience.", "waits up to its cap"),
    v1("R09", "BadRequest", "400.", "never the same again as it is; counted; the next batch goes on"),
    v1("R10", "ClientError", "401, 403, 404 or 413.", "fatal, but 413: splits"),
    v1("R11", "Conflict", "409.", "never the same again as it is; counted"),
    v1("R12", "UnsupportedMediaType", "415.", "falls back to protocol 1.0, or fatal"),
    v1(
        "R13",
        "RedirectAnswer",
        "A 3xx.",
        "307 and 308 to the same origin are followed; never counted as success otherwise",
    ),
    v1("R14", "BodyOnSuccess", "A 2xx with a body.", "success"),
    v1(
        "R15",
        "CommitThenServerError",
        "Stores, then answers 500.",
        "sends again; the duplicate is counted, not failed",
    ),
    v1("R16", "CommitThenSilence", "Stores, then says nothing.", "the timeout ends it; sends again"),
    v1("R17", "SilentDiscard", "204, and nothing is stored.", "found as SilentLoss"),
    v2("R18", "NoWrittenHeaders", "204 to protocol 2.0 without the Written headers.", "no success: falls back to 1.0"),
    v2("R19", "WrittenBelow", "Written counts below what was sent.", "the difference counts as rejected"),
    v2(
        "R20",
        "WrittenAbove",
        "Written counts above what was sent, or garbage.",
        "no sane header: settled by the read-back",
    ),
    v1("R21", "PartialBadRequest", "400, and a part is stored.", "partialWrites says what to do; the store settles it"),
    v1("R22", "PartialServerError", "5xx, and a part is stored.", "sends again; duplicates are counted"),
    v1("R23", "HugeErrorBody", "An error with a body of 10 MB.", "reads a bounded part of it"),
    v1("R24", "FlappingAnswers", "Good and bad in turn.", "no loss; backoff starts anew after each success"),
    v1("R25", "Accepted", "202.", "success"),
    v1("R26", "OneSeriesRefused", "400 for one series, whatever it is sent with.", "isolates it; the others arrive"),
    v1("R27", "ClosedMidAnswer", "The connection closes inside the answer.", "unknown outcome: sends again"),
    v1("R28", "Overloaded", "529.", "the same batch again, in order, with backoff"),
];
