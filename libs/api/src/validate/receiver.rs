//! The rules of a receiver and its bad answers.

use super::{DAY, FieldProblem, MAX_TOTAL, Rules, YEAR, endpoint};
use crate::{Answer, AnswerType, Bytes, Duration, RemoteWriteReceiverSpec, unavailable};

/// All that is wrong with a receiver, what is not available yet included; references are not looked up.
pub fn check_receiver(spec: &RemoteWriteReceiverSpec) -> Vec<FieldProblem> {
    let mut rules = Rules::default();
    rules.between(spec.out_of_order_window, Duration::default(), YEAR, || "spec.outOfOrderWindow".into());
    if let Some(max) = spec.max_series {
        rules.need(
            (1..=1_000_000_000).contains(&max.0),
            || "spec.maxSeries".into(),
            || format!("{max} is out of range: write a count from 1 to 1G, or remove it"),
        );
    }
    for (i, answer) in spec.answers.iter().enumerate() {
        check_answer(&mut rules, answer, &format!("spec.answers[{i}]"));
    }
    if let Some(forward) = &spec.forward_to {
        endpoint::check(&mut rules, forward, "spec.forwardTo");
        endpoint::no_partial_writes(&mut rules, forward, "spec.forwardTo");
    }
    if let Some(tls) = &spec.tls_config {
        endpoint::server_tls(&mut rules, tls, "spec.tlsConfig");
    }
    if let Some(auth) = &spec.basic_auth {
        endpoint::basic_auth(&mut rules, auth, "spec.basicAuth");
    }
    unavailable::receiver(spec, &mut rules.0);
    rules.found()
}

/// The status codes that a type of answer may have; none means that it has no status.
fn statuses(answer: AnswerType) -> Option<std::ops::RangeInclusive<u16>> {
    use AnswerType as T;
    match answer {
        T::StatusCode => Some(200..=599),
        T::RetryAfter | T::CommitThenError | T::LargeErrorBody | T::Flapping | T::PartialWrite => Some(400..=599),
        T::Redirect => Some(300..=399),
        T::SuccessWithBody => Some(200..=299),
        T::RejectOneSeries => Some(400..=499),
        T::Hang
        | T::CommitThenHang
        | T::DiscardSilently
        | T::CloseBeforeAnswer
        | T::CloseMidAnswer
        | T::WrittenMissing
        | T::WrittenTooLow
        | T::WrittenTooHigh => None,
    }
}

fn check_answer(rules: &mut Rules, answer: &Answer, path: &str) {
    use AnswerType as T;
    let kind = answer.r#type;
    rules.between(answer.from, Duration::default(), MAX_TOTAL, || format!("{path}.from"));
    if let Some(time) = answer.r#for {
        endpoint::delay(rules, time, || format!("{path}.for"));
    }
    if let Some(share) = answer.share {
        rules.need(
            share.0 > 0.0,
            || format!("{path}.share"),
            || "0% is never: write a share above 0%, or remove the answer".into(),
        );
        rules.need(
            answer.every.is_none(),
            || path.to_owned(),
            || "every and share exclude each other: remove one".into(),
        );
    }
    if let Some(delay) = answer.delay {
        rules.between(delay, Duration::default(), DAY, || format!("{path}.delay"));
    }
    match (answer.status, statuses(kind)) {
        (Some(_), None) => rules.add(format!("{path}.status"), format!("is not used with {kind:?}: remove it")),
        (Some(status), Some(range)) => rules.need(
            range.contains(&status),
            || format!("{path}.status"),
            || format!("{status} does not go with {kind:?}: write a status from {} to {}", range.start(), range.end()),
        ),
        (None, _) => {}
    }
    let only = |rules: &mut Rules, given: bool, field: &str, kinds: &[AnswerType]| {
        rules.need(
            !given || kinds.contains(&kind),
            || format!("{path}.{field}"),
            || format!("is not used with {kind:?}: remove it"),
        );
    };
    let errors = [T::StatusCode, T::RetryAfter, T::CommitThenError, T::Flapping, T::LargeErrorBody, T::PartialWrite];
    only(rules, answer.retry_after.is_some(), "retryAfter", &errors);
    let bodies = [
        T::StatusCode,
        T::RetryAfter,
        T::CommitThenError,
        T::Flapping,
        T::PartialWrite,
        T::SuccessWithBody,
        T::RejectOneSeries,
    ];
    only(rules, answer.body.is_some(), "body", &bodies);
    only(rules, answer.body_size.is_some(), "bodySize", &[T::LargeErrorBody]);
    only(rules, answer.location.is_some(), "location", &[T::Redirect, T::StatusCode]);
    only(rules, answer.period.is_some(), "period", &[T::Flapping]);
    if let Some(text) = &answer.retry_after {
        rules.need(
            text.bytes().all(|b| (b' '..=b'~').contains(&b)),
            || format!("{path}.retryAfter"),
            || "has characters that a header may not have: write visible ASCII".into(),
        );
    } else {
        rules.need(
            kind != T::RetryAfter,
            || format!("{path}.retryAfter"),
            || "is missing: write seconds, an HTTP date, or garbage".into(),
        );
    }
    if let Some(text) = &answer.location {
        rules.need(
            text.bytes().all(|b| b.is_ascii_graphic()),
            || format!("{path}.location"),
            || "has characters that a header may not have: write a URL".into(),
        );
    }
    if let Some(size) = answer.body_size {
        rules.need(
            (1..=64 << 20).contains(&size.0),
            || format!("{path}.bodySize"),
            || format!("{size} is out of range: write a size from 1 to {}", Bytes(64 << 20)),
        );
    }
    if let Some(period) = answer.period {
        endpoint::delay(rules, period, || format!("{path}.period"));
    }
}
