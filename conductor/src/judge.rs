//! What the store holds against what was acknowledged: from the ledger's settlement to the summary's findings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::ChaosAction;
use faults::{Expect, FaultPlan};
use floodmark_http::client::Fetch;
use ledger::{
    Context, Disturbance, FaultAccount, FaultSeen, FindingName, GeneratorSide, Move, Outcome, Run, SeriesSeen,
    Settlement, SlotTable, Store, StoreReport,
};
use protocol::{GeneratorReport, SentEpoch, path};
use report::{Coverage, Slots, Summary};
use workload::{LaneMap, Workload};

use crate::apart::apart;
use crate::drive::Course;
use crate::engine::SharedEngine;
use crate::gather::Gatherer;
use crate::readback::{ReadError, Reader, Window};
use crate::settled::put;
use protocol::{ConductorPlan, ReadBackKind};

/// Slots asked for at once: a receiver answers with every series in them.
const SLOTS_AT_ONCE: usize = 256;
/// Clocks and lateness around the schedule, and the reach of injected timestamps: documents allow a year.
const AROUND: Duration = Duration::from_hours(400 * 24);
/// How long acknowledged samples may take to be visible to queries.
const VISIBLE_PROMETHEUS: Duration = Duration::from_secs(10);
const VISIBLE_VICTORIA: Duration = Duration::from_secs(45);

pub(crate) struct Judge<'a> {
    pub(crate) plan: &'a ConductorPlan,
    pub(crate) workload: &'a Arc<Workload>,
    pub(crate) faults: &'a Arc<FaultPlan>,
    pub(crate) gatherer: &'a Gatherer,
    pub(crate) engine: &'a SharedEngine,
    pub(crate) course: &'a Course,
    pub(crate) tell: &'a (dyn Fn(String) + Send + Sync),
}

/// What the stores said.
struct Held {
    report: StoreReport,
    /// Our own stores are asked for details over HTTP; what was read back is here.
    read_back: Option<Arc<Store>>,
    coverage: Coverage,
}

impl Judge<'_> {
    /// Fills in what the store holds, the findings, and what was wrong with each fault.
    pub(crate) async fn judge(&self, summary: &mut Summary, reader: Option<Reader>) -> Result<(), String> {
        let Some(t0) = self.course.t0 else { return Ok(()) };
        if reader.is_none()
            && let Some(end) = self.engine.lost_stores().into_iter().next()
        {
            return Err(gone(&end));
        }
        let run = self.run(t0);
        let expect = run.expect.clone();
        let context = self.context();
        let sides = self.sides();
        let held = match reader {
            Some(reader) => Some(self.read_back(reader, &sides, t0).await?),
            None if self.plan.receivers.is_empty() => None,
            None => Some(self.receivers().await?),
        };
        let Some(mut held) = held else {
            // Nobody looked: the faults' answers are known all the same, and whether good samples were kept is not.
            let run = Run { keeps_good: false, ..run };
            let context = Context { unread: true, ..context };
            let settle = move || Settlement::new(run, &sides, unseen(t0, &sides), context).finish();
            put(summary, apart(settle).await?);
            wrong(summary, &expect, &[]);
            return Ok(());
        };
        let counters = held.report.counters;
        held.coverage.slots = Some(compare(&acknowledged(&sides), &held.report.distinct));
        let faults = held.report.faults.clone();
        wrong(summary, &expect, &faults);
        let mut settlement = apart(move || Settlement::new(run, &sides, held.report, context)).await?;
        let slots = settlement.slots().to_vec();
        for portion in slots.chunks(SLOTS_AT_ONCE) {
            let told = if held.read_back.is_some() { Vec::new() } else { self.seen(portion).await? };
            let (portion, read_back) = (portion.to_vec(), held.read_back.clone());
            let settle = move || {
                let series = read_back.map_or(told, |store| store.seen_in(&portion));
                settlement.settle_series(&portion, &series);
                settlement
            };
            settlement = apart(settle).await?;
        }
        let settled = apart(move || settlement.finish()).await?;
        summary.samples.arrivals = Some(counters.arrivals);
        summary.samples.stored = Some(counters.distinct);
        summary.samples.duplicates = Some(counters.duplicates);
        summary.samples.unexpected = Some(counters.unexpected);
        summary.coverage = Some(held.coverage);
        put(summary, settled);
        wrong(summary, &expect, &faults);
        Ok(())
    }

    /// Of a run whose store was not looked at: the samples that were sent and never answered, all of them.
    pub(crate) fn unresolved(&self, summary: &mut Summary) {
        let Some(t0) = self.course.t0 else { return };
        let mut sides = self.sides();
        for side in &mut sides {
            // Without the others the replay ends with the last request that counts.
            side.exceptions.retain(|exception| exception.outcome == Outcome::Unresolved);
            side.faults.clear();
        }
        let context = Context { unread: true, ..Context::default() };
        let mut settled = Settlement::new(self.run(t0), &sides, unseen(t0, &sides), context).finish();
        settled.findings.retain(|finding| finding.name == FindingName::Unresolved);
        put(summary, settled);
    }

    fn run(&self, t0_ns: u64) -> Run {
        let lanes = match &self.plan.target {
            protocol::Target::Sink { workers } => sink_map(workers.len() as u32, self.plan.lanes),
            protocol::Target::Endpoint { .. } => {
                LaneMap::direct(u32::from(self.plan.test.generator.direct_connections()))
            }
        };
        Run {
            workload: Arc::clone(self.workload),
            faults: Arc::clone(self.faults),
            expect: self.plan.test.faults.iter().map(|fault| faults::expect(fault.r#type, self.plan.profile)).collect(),
            t0_ns,
            ended_ns: self.course.ended,
            lanes,
            generators: self.plan.generators.len() as u32,
            samples_per_request: self.plan.test.generator.samples_per_request,
            keeps_good: faults::keeps_good(self.plan.profile),
        }
    }

    fn sides(&self) -> Vec<GeneratorSide> {
        let sink = matches!(self.plan.target, protocol::Target::Sink { .. });
        let lives = self.gatherer.generator_lives.iter().enumerate();
        lives
            .filter_map(|(index, life)| {
                let report = life.report.as_ref()?;
                Some(GeneratorSide {
                    index: index as u32,
                    acknowledged: life.slots.clone()?,
                    // A sink may be resharded while generators get ready.
                    first: report.epochs.first().filter(|_| sink).map(|epoch| (map_of(epoch), u32::from(epoch.lanes))),
                    moves: moves(report, self.course.t0.unwrap_or_default()),
                    exceptions: report.exceptions.clone(),
                    truncated: report.exceptions_truncated,
                    faults: report.faults.iter().map(|fault| fault.account).collect(),
                    repeats: report.account.repeats.clone(),
                })
            })
            .collect()
    }

    /// Everything known to have been broken, and what was sent again.
    fn context(&self) -> Context {
        let mut context = Context {
            buffered: self.plan.ack_policy == Some(api::AckPolicy::Buffered),
            lanes_per_worker: u32::from(self.plan.lanes),
            samples_per_batch: self.plan.batch_samples,
            ..Context::default()
        };
        for entry in self.engine.executed_chaos() {
            let Some(step) = self.plan.test.chaos.get(entry.index as usize) else { continue };
            let Some(worker) = step.sink_worker else { continue };
            let from_unix_ns = entry.executed_at * 1_000_000;
            let to_unix_ns = entry.back_at.unwrap_or(entry.executed_at + 60_000) * 1_000_000;
            let of = |gone| {
                let seen = self.gatherer.last_words(worker, from_unix_ns, gone);
                Disturbance { worker, from_unix_ns, to_unix_ns, seen }
            };
            match step.action {
                ChaosAction::Kill => context.killed.push(of(from_unix_ns)),
                // A worker that is asked to end flushes what it holds, but not for ever.
                ChaosAction::Terminate | ChaosAction::Restart if context.buffered => {
                    context.killed.push(of(to_unix_ns));
                }
                _ => context.paused.push(of(to_unix_ns)),
            }
        }
        for end in self.engine.unasked_ends() {
            let from_unix_ns = end.at * 1_000_000;
            context.killed.push(Disturbance {
                worker: end.ordinal,
                from_unix_ns,
                to_unix_ns: from_unix_ns + 60_000_000_000,
                seen: self.gatherer.last_words(end.ordinal, from_unix_ns, from_unix_ns),
            });
        }
        let now = self.gatherer.clock().unix_ns();
        let holding = self.gatherer.holding().filter(|(_, held)| *held != Some(0));
        context.holding = holding
            .map(|(worker, _)| Disturbance {
                worker,
                from_unix_ns: now,
                to_unix_ns: now,
                seen: self.gatherer.last_words(worker, now, u64::MAX),
            })
            .collect();
        let generators = self.gatherer.generator_lives.iter().filter_map(|life| life.report.as_ref());
        context.lag_ns = generators.map(|report| report.lag_ns).max().unwrap_or(0);
        let workers = self.gatherer.worker_lives.iter();
        context.repeats = workers.map(|((ordinal, _), life)| (*ordinal, life.report.account.repeats.clone())).collect();
        context
    }

    async fn receivers(&self) -> Result<Held, String> {
        let mut report: Option<StoreReport> = None;
        for (ordinal, endpoint) in self.plan.receivers.iter().enumerate() {
            let mut fetch = Fetch::new(endpoint).map_err(|error| error.to_string())?;
            let one: StoreReport = fetch
                .json(Some(path::STORE))
                .await
                .map_err(|error| format!("the receiver does not tell what it holds: {error}"))?;
            if self.gatherer.stores.get(ordinal).is_some_and(|ready| *ready != one.incarnation) {
                let end = format!("receiver {ordinal} was started again since the run began");
                return Err(gone(&end));
            }
            match &mut report {
                None => report = Some(one),
                Some(sum) => sum.merge(&one),
            }
        }
        let coverage = Coverage {
            source: "receiver".into(),
            depth: "Full".into(),
            share: 1.0,
            unproven: Vec::new(),
            detail: "every sample was checked as it arrived: order, value, duplicates".into(),
            slots: None,
        };
        Ok(Held { report: report.unwrap_or_default(), read_back: None, coverage })
    }

    async fn seen(&self, slots: &[u16]) -> Result<Vec<SeriesSeen>, String> {
        let list: Vec<String> = slots.iter().map(ToString::to_string).collect();
        let path = format!("{}?slots={}", path::STORE_SERIES, list.join(","));
        let mut all = Vec::new();
        for endpoint in &self.plan.receivers {
            let mut fetch = Fetch::new(endpoint).map_err(|error| error.to_string())?;
            let seen: Vec<SeriesSeen> = fetch
                .json(Some(&path))
                .await
                .map_err(|error| format!("the receiver does not tell which samples it holds: {error}"))?;
            all.extend(seen);
        }
        Ok(all)
    }

    /// Reads until what was acknowledged is visible, or for as long as the backend may take to show it.
    async fn read_back(&self, mut reader: Reader, sides: &[GeneratorSide], t0: u64) -> Result<Held, String> {
        // A store gives samples sorted: in which order they came is no longer to be seen. Prometheus keeps no duplicates either.
        let (patience, source, unproven) = match self.plan.read_back.as_ref().map(|plan| plan.kind) {
            Some(ReadBackKind::VictoriaMetrics) => (VISIBLE_VICTORIA, "VictoriaMetrics export", &["Reordered"][..]),
            _ => (VISIBLE_PROMETHEUS, "Prometheus remote read", &["Reordered", "Duplicated"][..]),
        };
        let around = AROUND.as_millis() as i64;
        let start = (t0 / 1_000_000) as i64;
        let end = start + (self.workload.duration_ns() / 1_000_000) as i64;
        let window = Window { from_ms: start - around, to_ms: end + around };
        let expected = acknowledged(sides);
        let begun = Instant::now();
        let mut late = None;
        let store = loop {
            let tell = |done: u32, of: u32| (self.tell)(format!("{source}: {done} of {of} portions"));
            let store = reader
                .read(&self.plan.run, window, self.workload, self.faults, t0, tell)
                .await
                .map_err(|error: ReadError| format!("the store could not be read back: {error}"))?;
            let missing = missing(&expected, store.distinct());
            if missing == 0 || begun.elapsed() > patience {
                break store;
            }
            let _ = late.get_or_insert(missing);
            tracing::info!(missing, "not everything is visible yet, reading again");
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let added = reader.added().map(|labels| format!("; {labels}, which every series has there, was left out"));
        let late = late.map(|samples| {
            let after = begun.elapsed().as_secs_f64();
            format!("; {samples} acknowledged samples were not there yet when it was first read, the last time was after {after:.1} s")
        });
        let coverage = Coverage {
            source: source.into(),
            depth: "Full".into(),
            share: 1.0,
            unproven: unproven.iter().map(ToString::to_string).collect(),
            detail: format!(
                "every sample was read back and compared: presence, timestamp, value{}{}",
                added.unwrap_or_default(),
                late.unwrap_or_default()
            ),
            slots: None,
        };
        Ok(Held { report: store.report(), read_back: Some(Arc::new(store)), coverage })
    }
}

fn gone(end: &str) -> String {
    format!("what was stored is gone, so nothing is proven: {end}")
}

fn sink_map(replicas: u32, lanes: u16) -> LaneMap {
    LaneMap::sink(replicas, lanes, |slot| ownership::owner(slot, replicas))
}

fn map_of(epoch: &SentEpoch) -> LaneMap {
    sink_map(epoch.replicas, epoch.lanes)
}

/// How a generator followed the sink from one map to the next.
fn moves(report: &GeneratorReport, t0: u64) -> Vec<Move> {
    let pairs = report.epochs.iter().zip(report.epochs.iter().skip(1));
    pairs
        .map(|(before, epoch)| Move {
            lanes: map_of(epoch),
            lanes_per_worker: u32::from(epoch.lanes),
            at_unix_ns: t0.saturating_add(epoch.from_ns),
            cuts: before.cuts.clone(),
        })
        .collect()
}

/// Fills in how many samples of each fault went against the verdict that it should have had; `seen` is empty when nobody looked.
fn wrong(summary: &mut Summary, expect: &[Expect], seen: &[FaultSeen]) {
    for (index, (fault, expect)) in summary.faults.iter_mut().zip(expect).enumerate() {
        let account = FaultAccount {
            sent: fault.sent,
            acknowledged: fault.accepted,
            refused: fault.refused,
            indeterminate: fault.indeterminate,
            ..FaultAccount::default()
        };
        fault.wrong = ledger::wrong(*expect, &account, seen.get(index));
        fault.store_refused = seen.get(index).map(|seen| seen.refused);
    }
}

/// What a store that nobody looked into is taken to hold: exactly what was acknowledged.
fn unseen(t0_ns: u64, sides: &[GeneratorSide]) -> StoreReport {
    let distinct = acknowledged(sides);
    StoreReport { t0_ns, arrivals: distinct.clone(), distinct, ..StoreReport::default() }
}

fn acknowledged(sides: &[GeneratorSide]) -> SlotTable {
    let mut sum = SlotTable::new();
    for side in sides {
        sum.merge(&side.acknowledged);
    }
    sum
}

/// Acknowledged samples that are not there. Slot by slot: what is stored elsewhere without an acknowledgement makes up for none.
fn missing(acknowledged: &SlotTable, stored: &SlotTable) -> u64 {
    let slots = 0..ledger::SLOTS as u16;
    slots.map(|slot| acknowledged.slot(slot).count.saturating_sub(stored.slot(slot).count)).sum()
}

fn compare(acknowledged: &SlotTable, stored: &SlotTable) -> Slots {
    let either = (0..ledger::SLOTS as u16).filter(|slot| acknowledged.slot(*slot).count + stored.slot(*slot).count > 0);
    let compared = either.count() as u32;
    Slots { compared, equal: compared - acknowledged.diff(stored).len() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples that were stored without an acknowledgement must not stand in for those that are not visible yet.
    #[test]
    fn what_is_missing_is_counted_slot_by_slot() {
        let (mut acknowledged, mut stored) = (SlotTable::new(), SlotTable::new());
        for digest in 0..5 {
            acknowledged.add(7, digest);
            stored.add(9, digest);
        }
        stored.add(7, 0);
        assert_eq!(stored.total().count, acknowledged.total().count + 1);
        assert_eq!(missing(&acknowledged, &stored), 4);
        assert_eq!(missing(&SlotTable::new(), &stored), 0);
    }
}
