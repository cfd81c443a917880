//! What the conditions of a sink and a receiver say: they are told the same way.

use api::Condition;
use jiff::Timestamp;

use super::conditions::{Say, set};
use crate::hindrance::Hindrance;
use crate::observe::Trouble;

/// What is known of a sink or a receiver.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    /// Why the document is not carried out, with field and fix.
    pub(crate) invalid: Option<String>,
    /// What it refers to and is not there.
    pub(crate) unresolved: Option<String>,
    /// What is in the way of the children.
    pub(crate) hindrance: Option<Hindrance>,
    pub(crate) troubles: Vec<Trouble>,
    /// What the parts themselves say: reason and words.
    pub(crate) fatal: Option<(&'static str, String)>,
    pub(crate) wanted: u32,
    pub(crate) ready: u32,
    /// What goes on besides parts that come up: reason and words.
    pub(crate) change: Option<(&'static str, String)>,
}

/// Ready, Progressing, Degraded and `ReferencesResolved`.
pub(crate) fn tell(conditions: &mut Vec<Condition>, parts: &Parts, generation: i64, now: Timestamp) {
    let count = format!("{} of {} are ready", parts.ready, parts.wanted);
    let complete = parts.ready >= parts.wanted;
    let trouble = parts.troubles.iter().find(|trouble| trouble.terminal).or(parts.troubles.first());
    let ready = if let Some(invalid) = &parts.invalid {
        Say::no("Ready", "InvalidSpec", invalid)
    } else if let Some(unresolved) = &parts.unresolved {
        Say::no("Ready", "ReferencesUnresolved", unresolved)
    } else if let Some(hindrance) = &parts.hindrance {
        Say::no("Ready", hindrance.reason(), hindrance.message())
    } else if let Some((reason, words)) = &parts.fatal {
        Say::no("Ready", *reason, words)
    } else if complete && parts.change.as_ref().is_none_or(|(reason, _)| *reason == HELD) {
        Say::yes("Ready", "Ready", &count)
    } else if let Some((reason, words)) = parts.change.as_ref().filter(|_| complete) {
        Say::no("Ready", *reason, words)
    } else {
        let words = trouble.map_or_else(|| count.clone(), |trouble| format!("{count}; {}", trouble.text()));
        Say::no("Ready", trouble.map_or("Starting", |trouble| trouble.reason.as_str()), words)
    };
    let stuck = parts.invalid.is_some() || parts.unresolved.is_some() || parts.hindrance.is_some();
    let progressing = match &parts.change {
        Some((reason, words)) => Say::yes("Progressing", *reason, words),
        None if complete || stuck => Say::no("Progressing", "Settled", ""),
        None => Say::yes("Progressing", "Starting", &count),
    };
    let degraded = if let Some(hindrance) = &parts.hindrance {
        Say::yes("Degraded", hindrance.reason(), hindrance.message())
    } else if let Some((reason, words)) = &parts.fatal {
        Say::yes("Degraded", *reason, words)
    } else if let Some(trouble) = trouble {
        Say::yes("Degraded", trouble.reason.as_str(), trouble.text())
    } else {
        Say::no("Degraded", "AsExpected", "")
    };
    let resolved = match (&parts.unresolved, secret(&parts.troubles)) {
        (Some(wrong), _) => Say::no("ReferencesResolved", "NotFound", wrong),
        (None, Some(words)) => Say::no("ReferencesResolved", "SecretNotFound", words),
        (None, None) => Say::yes("ReferencesResolved", "Resolved", ""),
    };
    for say in [ready, progressing, degraded, resolved] {
        set(conditions, say, Some(generation), now);
    }
}

/// A change of the pods waits for the end of a run.
pub(crate) const HELD: &str = "HeldByRun";

fn secret(troubles: &[Trouble]) -> Option<String> {
    let missing = troubles.iter().find(|trouble| trouble.reason == crate::observe::Reason::SecretNotFound);
    missing.map(Trouble::text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Reason;

    /// The reasons of Ready, Progressing, Degraded and `ReferencesResolved`, with their status' first letter.
    fn told(parts: &Parts) -> Vec<String> {
        let mut conditions = Vec::new();
        tell(&mut conditions, parts, 1, Timestamp::UNIX_EPOCH);
        let short = |c: &Condition| format!("{} {}", &format!("{:?}", c.status)[..1], c.reason);
        conditions.iter().map(short).collect()
    }

    #[test]
    fn every_state_is_told_in_four_conditions() {
        let all = Parts { wanted: 3, ready: 3, ..Parts::default() };
        assert_eq!(told(&all), ["T Ready", "F Settled", "F AsExpected", "T Resolved"]);
        let some = Parts { ready: 1, ..all.clone() };
        assert_eq!(told(&some), ["F Starting", "T Starting", "F AsExpected", "T Resolved"]);
        let trouble =
            |reason| vec![Trouble { part: "sink-worker 0".to_owned(), reason, words: "w".to_owned(), terminal: false }];
        let secret = Parts { troubles: trouble(Reason::SecretNotFound), ..some.clone() };
        assert_eq!(told(&secret), ["F SecretNotFound", "T Starting", "T SecretNotFound", "F SecretNotFound"]);
        let nobody = Parts { troubles: trouble(Reason::BackendUnreachable), ready: 0, ..all.clone() };
        assert_eq!(told(&nobody), ["F BackendUnreachable", "T Starting", "T BackendUnreachable", "T Resolved"]);
        let came_back = Parts { troubles: trouble(Reason::OomKilled), ..all.clone() };
        assert_eq!(told(&came_back), ["T Ready", "F Settled", "T OOMKilled", "T Resolved"]);
        let draining = Parts { change: Some(("Draining", "3 → 5".to_owned())), ..all.clone() };
        assert_eq!(told(&draining), ["F Draining", "T Draining", "F AsExpected", "T Resolved"]);
        let held = Parts { change: Some((HELD, "x".to_owned())), ..all.clone() };
        assert_eq!(told(&held), ["T Ready", "T HeldByRun", "F AsExpected", "T Resolved"]);
        let refused = Parts { fatal: Some(("BackendRefused", "401".to_owned())), ..all.clone() };
        assert_eq!(told(&refused), ["F BackendRefused", "F Settled", "T BackendRefused", "T Resolved"]);
        let missing = Parts { unresolved: Some("no receiver".to_owned()), ready: 0, ..all.clone() };
        assert_eq!(told(&missing), ["F ReferencesUnresolved", "F Settled", "F AsExpected", "F NotFound"]);
        let invalid = Parts { invalid: Some("spec.lanes: 0".to_owned()), ..all };
        assert_eq!(told(&invalid)[0], "F InvalidSpec");
    }
}
