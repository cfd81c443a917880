//! Every fault that Floodmark knows, as data: what the specification asks for and what each profile answers.

mod answers;
mod pods;
mod requests;
mod transport;

use std::fmt;

use api::{FaultType, Profile};

/// Which part of the chain a fault breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// D: the payload, by the generator.
    Data,
    /// P: bytes and headers of a request, by the generator.
    Protocol,
    /// T: the connection, by the generator.
    Transport,
    /// R: the answer, by the receiver.
    Answer,
    /// K: processes and pods, by the engine.
    Pods,
}

/// What a backend does with a faulty sample or request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// 2xx, and it can be read back (an exact duplicate counts as such).
    Stored,
    /// 2xx, but nothing of it can be read back.
    Dropped,
    /// This status, and the faulty samples are not stored.
    Refused(u16),
    /// Not laid down, or it hangs on versions and settings.
    Any,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored => f.write_str("ok"),
            Self::Dropped => f.write_str("drop"),
            Self::Refused(status) => write!(f, "{status}"),
            Self::Any => f.write_str("-"),
        }
    }
}

/// What a test may hold a backend to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// Acknowledged and stored.
    Stored,
    /// Refused for good: a 4xx, or a 5xx that repeats.
    Refused,
    /// Acknowledged but not stored.
    AcceptedNotStored,
    /// Nothing.
    Any,
}

/// One line of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Letter and number, such as `D01`.
    pub id: &'static str,
    /// `CamelCase`, as documents write it.
    pub name: &'static str,
    pub class: Class,
    pub summary: &'static str,
    /// What the specification lays down for the receiver.
    pub spec: Verdict,
    /// By [`PROFILES`].
    pub profiles: [Verdict; 6],
    /// Transport, answers, pods: what has to hold instead of a verdict. Empty for data and protocol.
    pub rule: &'static str,
    /// Whether a document can ask for it today.
    pub available: bool,
}

impl Entry {
    /// What a profile answers.
    pub fn verdict(&self, profile: Profile) -> Verdict {
        self.profiles[column(profile)]
    }
}

/// Order of [`Entry::profiles`].
pub const PROFILES: [Profile; 6] = [
    Profile::Strict,
    Profile::Prometheus2,
    Profile::Prometheus3,
    Profile::Mimir,
    Profile::VictoriaMetrics,
    Profile::Thanos,
];

fn column(profile: Profile) -> usize {
    PROFILES.iter().position(|p| *p == profile).unwrap_or(0)
}

/// The whole catalogue in its order: D, P, T, R, K.
pub fn catalogue() -> impl Iterator<Item = Entry> {
    FaultType::ALL
        .iter()
        .map(|fault| of(*fault))
        .chain(answers::ENTRIES.iter().map(answers::Answer::entry))
        .chain(pods::entries())
}

/// The entry of a fault that a generator injects.
pub fn of(fault: FaultType) -> Entry {
    let (spec, profiles) = requests::verdicts(fault).unwrap_or((Verdict::Any, [Verdict::Any; 6]));
    let class = match fault.id().as_bytes().first() {
        Some(b'D') => Class::Data,
        Some(b'P') => Class::Protocol,
        _ => Class::Transport,
    };
    Entry {
        id: fault.id(),
        name: fault.name(),
        class,
        summary: fault.summary(),
        spec,
        profiles,
        rule: transport::rule(fault),
        available: available(fault),
    }
}

/// Whether a generator can inject it. The others have their entry, and documents that ask for them are refused by name.
pub fn available(fault: FaultType) -> bool {
    api::fault_available(fault)
}

/// What a test may hold a backend of this profile to; one that nobody knows, to the specification alone. Out-of-order windows,
/// limits and other settings change that: with a window, `OutOfOrder` and older duplicates within it are stored.
pub fn expect(fault: FaultType, profile: Option<Profile>) -> Expect {
    let entry = of(fault);
    match profile.map_or(entry.spec, |profile| entry.verdict(profile)) {
        Verdict::Stored => Expect::Stored,
        Verdict::Dropped => Expect::AcceptedNotStored,
        Verdict::Refused(_) => Expect::Refused,
        Verdict::Any => Expect::Any,
    }
}

/// Whether a series whose sample was broken this way is refused from then on: the sample is stored, far ahead, and all that
/// comes after it is out of order.
pub fn breaks_its_series(fault: FaultType, profile: Profile) -> bool {
    let stored = of(fault).verdict(profile) == Verdict::Stored;
    let ordered = matches!(of(FaultType::OutOfOrder).verdict(profile), Verdict::Refused(_));
    fault == FaultType::FutureTimestamp && stored && ordered
}

/// Whether a refused request of protocol 1.0 is known to leave its good samples stored. The Prometheus profiles roll all back.
pub fn keeps_good(profile: Option<Profile>) -> bool {
    profile.is_some_and(|profile| !matches!(profile, Profile::Prometheus2 | Profile::Prometheus3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_catalogue_is_complete_and_names_are_unique() {
        let all: Vec<Entry> = catalogue().collect();
        for (letter, count) in [('D', 43), ('P', 26), ('T', 16), ('R', 28), ('K', 14)] {
            let ids: Vec<_> = all.iter().map(|e| e.id).filter(|id| id.starts_with(letter)).collect();
            let expected: Vec<_> = (1..=count).map(|n| format!("{letter}{n:02}")).collect();
            assert_eq!(ids, expected);
        }
        assert_eq!(all.iter().map(|e| e.name).collect::<BTreeSet<_>>().len(), all.len());
        for entry in &all {
            assert!(
                entry.name.chars().all(|c| c.is_ascii_alphanumeric())
                    && entry.name.starts_with(|c: char| c.is_ascii_uppercase())
            );
            assert!(!entry.summary.is_empty());
            let by_request = matches!(entry.class, Class::Data | Class::Protocol);
            assert_eq!(entry.rule.is_empty(), by_request, "{}", entry.name);
        }
    }

    /// Chaos acts on sink-workers alone, and no field of a workload skews the load.
    #[test]
    fn pods_are_broken_by_chaos_alone() {
        let available: Vec<&str> = pods::entries().filter(|entry| entry.available).map(|entry| entry.id).collect();
        assert_eq!(available, ["K01", "K02", "K04", "K07", "K08", "K13"]);
    }

    #[test]
    fn every_request_fault_has_verdicts() {
        for fault in FaultType::ALL.iter().filter(|f| !f.id().starts_with('T')) {
            assert!(requests::verdicts(*fault).is_some(), "{fault}");
        }
    }

    /// Lines of the catalogue's table, read by hand: `[spec] Prometheus, Mimir, VictoriaMetrics`.
    #[test]
    fn verdicts_are_those_measured() {
        use Profile::{Mimir, Prometheus2, Prometheus3, Strict, Thanos, VictoriaMetrics};
        let verdict = |fault: FaultType, profile| of(fault).verdict(profile).to_string();
        assert_eq!(verdict(FaultType::OutOfOrder, Prometheus3), "400");
        assert_eq!(verdict(FaultType::OutOfOrder, VictoriaMetrics), "ok");
        assert_eq!(verdict(FaultType::OutOfOrder, Thanos), "409");
        assert_eq!(verdict(FaultType::FutureTimestamp, Prometheus2), "ok");
        assert_eq!(verdict(FaultType::FutureTimestamp, Prometheus3), "400");
        assert_eq!(verdict(FaultType::MissingMetricName, Prometheus3), "drop");
        assert_eq!(verdict(FaultType::DuplicateLabel, Prometheus2), "500");
        assert_eq!(verdict(FaultType::InvalidLabelName, Mimir), "400");
        assert_eq!(verdict(FaultType::OrdinaryNan, VictoriaMetrics), "drop");
        assert_eq!(verdict(FaultType::UnsortedLabels, Strict), "400");
        assert_eq!(expect(FaultType::MissingMetricName, Some(Prometheus3)), Expect::AcceptedNotStored);
        assert_eq!(expect(FaultType::DuplicateLabel, Some(Prometheus2)), Expect::Refused);
        for profile in PROFILES.map(Some).into_iter().chain([None]) {
            assert_eq!(expect(FaultType::CorruptSnappy, profile), Expect::Refused);
            assert_eq!(expect(FaultType::TruncatedProtobuf, profile), Expect::Refused);
        }
    }

    #[test]
    fn a_server_that_nobody_knows_is_held_to_the_specification() {
        assert_eq!(expect(FaultType::FutureTimestamp, Some(Profile::Strict)), Expect::Refused);
        assert_eq!(expect(FaultType::FutureTimestamp, None), Expect::Any);
        assert_eq!(expect(FaultType::OutOfOrder, None), Expect::Refused);
        assert!(!keeps_good(None) && keeps_good(Some(Profile::Strict)));
    }

    #[test]
    fn a_stored_future_breaks_series_where_order_is_kept() {
        let broken = PROFILES.map(|profile| breaks_its_series(FaultType::FutureTimestamp, profile));
        assert_eq!(broken, [false, true, false, false, false, true]);
        assert!(!breaks_its_series(FaultType::MissingMetricName, Profile::Prometheus2));
    }
}
