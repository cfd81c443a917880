//! Changes of the sink's map during a run, as its generators went through them.

use std::collections::BTreeMap;

use report::Chaos;

use crate::gather::Gatherer;

/// What the generators say of one map that came under way. Seconds.
#[derive(Default)]
struct Reshard {
    from: u32,
    to: u32,
    /// Since t0, of the first generator.
    at: f64,
    /// The longest of all generators.
    pause: Option<f64>,
}

/// One entry of the report's time axis for each; until the first acknowledgement under the new map it was not back.
pub(crate) fn reshards(gatherer: &Gatherer) -> Vec<Chaos> {
    let mut by_epoch: BTreeMap<u64, Reshard> = BTreeMap::new();
    for report in gatherer.generator_lives.iter().filter_map(|life| life.report.as_ref()) {
        for (before, epoch) in report.epochs.iter().zip(report.epochs.iter().skip(1)) {
            let pause = epoch.pause_ns.map(|ns| ns as f64 / 1e9);
            let at = epoch.from_ns as f64 / 1e9 - pause.unwrap_or_default();
            let entry = by_epoch.entry(epoch.epoch).or_insert(Reshard { at, ..Reshard::default() });
            (entry.from, entry.to) = (before.replicas, epoch.replicas);
            entry.at = entry.at.min(at).max(0.0);
            entry.pause = [entry.pause, pause].into_iter().flatten().reduce(f64::max);
        }
    }
    let entries = by_epoch.into_iter().map(|(epoch, Reshard { from, to, at, pause })| Chaos {
        at,
        action: format!("resharded from {from} to {to} workers (epoch {epoch})"),
        worker: None,
        executed_at: Some(at),
        back_after: pause,
    });
    entries.collect()
}
