//! What happens to processes, pods and machines. Always: no acknowledged loss, order a series, duplicates counted.

use super::{Class, Entry, Verdict};

const ENTRIES: &[(&str, &str, &str, &str, bool)] = &[
    (
        "K01",
        "KillWorker",
        "SIGKILL while a request is in flight.",
        "generators wait for the owner; duplicates only of what was in flight",
        true,
    ),
    (
        "K02",
        "TerminateWorker",
        "SIGTERM, past the grace period.",
        "flushes what it can; the rest was not acknowledged or is in the WAL",
        true,
    ),
    ("K03", "OutOfMemory", "A worker is killed for its memory.", "as SIGKILL; the condition names it", false),
    (
        "K04",
        "PauseWorker",
        "SIGSTOP, later SIGCONT: an owner that wakes up late.",
        "it refuses by epoch what it owns no more",
        true,
    ),
    ("K05", "DiskFull", "No space for the WAL.", "503, nothing is acknowledged that is not kept", false),
    ("K06", "TornWal", "A WAL whose end is torn.", "replays up to the tear", false),
    ("K07", "ScaleOut", "More workers.", "drains, then a new epoch; the pause is measured", true),
    ("K08", "ScaleIn", "Fewer workers.", "drains, then a new epoch; only then pods go", true),
    ("K09", "TwoOwners", "Two workers that own one slot.", "the lower epoch is refused", false),
    ("K10", "ClockSkew", "A clock that is wrong.", "timestamps come from the schedule, not from the worker", false),
    (
        "K11",
        "EmptyReceiver",
        "The receiver starts again with nothing.",
        "what it had is gone and nothing is proven: the run is inconclusive",
        false,
    ),
    ("K12", "Partition", "A network that is cut.", "no split ownership; goes on when it heals", false),
    ("K13", "RollingRestart", "One worker after the other restarts.", "generators wait for each owner in turn", true),
    ("K14", "HotShard", "One worker gets most of the load.", "its lanes show as the limit", false),
];

pub(super) fn entries() -> impl Iterator<Item = Entry> {
    ENTRIES.iter().map(|&(id, name, summary, rule, available)| Entry {
        id,
        name,
        class: Class::Pods,
        summary,
        spec: Verdict::Any,
        profiles: [Verdict::Any; 6],
        rule,
        available,
    })
}
