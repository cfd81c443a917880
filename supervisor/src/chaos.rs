//! Which entry of the timeline is due. Pure.

use ownership::{ChaosAction, ChaosEntry};

/// An entry that is later than this is missed: nobody expects it any more, and the report says so.
const LATEST_MS: u64 = 60_000;

/// What to do about the timeline now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// This one is due.
    Strike(&'a ChaosEntry),
    /// The next one is due after so many milliseconds.
    Wait(u64),
    Nothing,
}

/// The first entry for this worker that is neither done nor missed. What goes through the API of the cluster is not meant here, nor
/// what was due before this pod existed: it was for the one before. Times are Unix milliseconds.
pub(crate) fn next(
    entries: &[ChaosEntry],
    ordinal: u32,
    done: impl Fn(u64) -> bool,
    first_start: u64,
    now: u64,
) -> Next<'_> {
    let own = entries.iter().filter(|entry| {
        entry.ordinal == ordinal
            && matches!(entry.action, ChaosAction::Kill | ChaosAction::Pause { .. })
            && entry.at_unix_ms >= first_start
            && entry.at_unix_ms.saturating_add(LATEST_MS) >= now
            && !done(entry.id)
    });
    match own.min_by_key(|entry| (entry.at_unix_ms, entry.id)) {
        None => Next::Nothing,
        Some(entry) if entry.at_unix_ms <= now => Next::Strike(entry),
        Some(entry) => Next::Wait(entry.at_unix_ms - now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, at: u64, ordinal: u32, action: ChaosAction) -> ChaosEntry {
        ChaosEntry { id, at_unix_ms: at, ordinal, action }
    }

    #[test]
    fn each_entry_of_this_worker_is_due_once_in_order_and_in_its_time() {
        let pause = ChaosAction::Pause { for_ms: 10 };
        let entries = [
            entry(3, 120_000, 1, pause),
            entry(1, 110_000, 1, ChaosAction::Kill),
            entry(2, 105_000, 0, ChaosAction::Kill),
            entry(4, 101_000, 1, ChaosAction::Terminate),
            entry(5, 102_000, 1, ChaosAction::Restart),
            entry(6, 99_999, 1, ChaosAction::Kill),
        ];
        let at = |now, done: &[u64]| next(&entries, 1, |id| done.contains(&id), 100_000, now);
        assert_eq!(at(103_000, &[]), Next::Wait(7_000));
        assert_eq!(at(110_000, &[]), Next::Strike(&entries[1]));
        assert_eq!(at(130_000, &[]), Next::Strike(&entries[1]), "late, but expected");
        assert_eq!(at(130_000, &[1]), Next::Strike(&entries[0]));
        assert_eq!(at(170_001, &[]), Next::Strike(&entries[0]), "the first was missed");
        assert_eq!(at(130_000, &[1, 3]), Next::Nothing);
        assert_eq!(next(&entries, 2, |_| false, 0, 130_000), Next::Nothing);
    }
}
