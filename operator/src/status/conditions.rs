//! Conditions: a change of status moves the time, and nothing else does.

use api::{Condition, ConditionStatus};
use jiff::Timestamp;

/// RFC 3339 in UTC, whole seconds: what the API server keeps of a time.
pub(crate) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What a condition is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Say {
    pub(crate) kind: &'static str,
    pub(crate) status: ConditionStatus,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Say {
    pub(crate) fn new(
        kind: &'static str,
        status: ConditionStatus,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, status, reason: reason.into(), message: message.into() }
    }

    pub(crate) fn yes(kind: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(kind, ConditionStatus::True, reason, message)
    }

    pub(crate) fn no(kind: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(kind, ConditionStatus::False, reason, message)
    }

    pub(crate) fn unknown(kind: &'static str, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(kind, ConditionStatus::Unknown, reason, message)
    }
}

/// Longest message that the schema takes, in characters.
const MAX_MESSAGE: usize = 4096;

/// The conditions of `before` with this one in its place.
pub(crate) fn set(conditions: &mut Vec<Condition>, say: Say, generation: Option<i64>, now: Timestamp) {
    let old = conditions.iter().position(|condition| condition.r#type == say.kind);
    let since = old
        .map(|at| &conditions[at])
        .filter(|old| old.status == say.status)
        .map_or_else(|| time(now), |old| old.last_transition_time.clone());
    let condition = Condition {
        r#type: say.kind.to_owned(),
        status: say.status,
        reason: say.reason,
        message: say.message.chars().take(MAX_MESSAGE).collect(),
        last_transition_time: since,
        observed_generation: generation,
    };
    match old {
        Some(at) => conditions[at] = condition,
        None => conditions.push(condition),
    }
}

/// The condition of that type.
pub(crate) fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.r#type == kind)
}

/// Whether the condition of that type is True.
pub(crate) fn holds(conditions: &[Condition], kind: &str) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == ConditionStatus::True)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_moves_with_the_status_alone() {
        let (first, later) = (Timestamp::from_second(1_000).unwrap(), Timestamp::from_second(2_000).unwrap());
        let mut all = Vec::new();
        set(&mut all, Say::no("Ready", "Starting", "0 of 3"), Some(1), first);
        set(&mut all, Say::no("Ready", "Starting", "1 of 3"), Some(2), later);
        let ready = find(&all, "Ready").unwrap();
        assert_eq!((ready.last_transition_time.as_str(), ready.message.as_str()), ("1970-01-01T00:16:40Z", "1 of 3"));
        assert_eq!(ready.observed_generation, Some(2));
        set(&mut all, Say::yes("Ready", "Ready", "3 of 3"), Some(2), later);
        assert_eq!(find(&all, "Ready").unwrap().last_transition_time, "1970-01-01T00:33:20Z");
        assert!(holds(&all, "Ready") && !holds(&all, "Degraded") && all.len() == 1);
    }
}
