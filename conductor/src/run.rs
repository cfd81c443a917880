//! A whole run: publish, drive, judge, decide, write.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::{Threshold, ThresholdMetric};
use faults::FaultPlan;
use measure::HistogramSet;
use protocol::{ChaosEvent, ExecutedChaos, Progress, RunPhase, RunPlan};
use report::Summary;
use report::verdict::Outside;
use telemetry::{Clock, Ops, Registry, Stop};
use workload::Workload;

use crate::drive::{Course, Driver, End};
use crate::engine::SharedEngine;
use crate::gather::Gatherer;
use crate::judge::Judge;
use crate::rates::Rates;
use crate::readback::{self, BUILD_INFO, Reader};
use crate::reasons::{accounts_balance, tell_end, workers_kept_their_word};
use crate::state::Published;
use crate::{artifacts, profile, serve, summary};
use protocol::ConductorPlan;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub summary: Summary,
    pub histograms: HistogramSet,
    /// Which file of the results could not be written and why; the verdict stands, its evidence is incomplete.
    pub unwritten: Option<String>,
}

/// The conductor of one run: listens from the start, so that parts can ask before there is a plan.
pub struct Conductor {
    pub(crate) published: Arc<Published>,
    address: SocketAddr,
    ops: Ops,
}

impl Conductor {
    /// Listens at `listen` (port 0 takes a free one) until `stop`. Needs a tokio runtime.
    pub fn start(listen: SocketAddr, stop: Stop) -> anyhow::Result<Self> {
        let listener = floodmark_http::server::bind(listen)?;
        let address = listener.local_addr()?;
        let published = Arc::new(Published::default());
        let ops = Ops::new(Registry::new());
        ops.set_ready();
        tokio::spawn(serve::serve(listener, Arc::clone(&published), ops.clone(), stop));
        Ok(Self { published, address, ops })
    }

    /// The clock of the run: the engine has to tell its instants by the same.
    pub fn clock(&self) -> &Clock {
        self.published.clock()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs the plan to its end. Always comes back: every phase has a limit, and `stop` ends all of them.
    pub async fn run(
        &self,
        mut plan: ConductorPlan,
        engine: SharedEngine,
        stop: Stop,
        progress: &(dyn Fn(Progress) + Send + Sync),
        results: &Path,
    ) -> Outcome {
        let progress = &|now: Progress| {
            self.published.progress(now.clone());
            progress(now);
        };
        self.published.prepare(&plan.run);
        let mut outside = Outside::default();
        let attempt = Box::pin(self.attempt(&mut plan, &engine, &stop, progress, &mut outside)).await;
        let begun = attempt.is_ok();
        let (mut summary, histograms, t0) = attempt.unwrap_or_else(|why| {
            outside.inconclusive.push(why);
            (summary::begin(&plan), HistogramSet::default(), None)
        });
        if stop.is_requested() && !summary.interrupted {
            summary.interrupted = true;
            if begun {
                outside.notes.push("interrupted too late to change anything: the verdict stands".into());
            }
        }
        if summary.interrupted
            && let Some(why) = engine.stop_reason()
        {
            outside.inconclusive.insert(0, why);
        }
        if plan.reads_store() && summary.coverage.is_none() {
            let end = if summary.interrupted { "was interrupted" } else { "ended" };
            summary.unread = Some(format!("the run {end} before the store was read"));
        }
        report::verdict::settle(&mut summary, &plan.test.thresholds, &outside);
        self.published.set_phase(if summary.interrupted { RunPhase::Aborted } else { RunPhase::Finished });
        let unwritten = artifacts::write(results, &summary, &histograms, t0).err();
        self.published.finish(&summary, results.to_owned());
        Outcome { summary, histograms, unwritten }
    }

    async fn attempt(
        &self,
        plan: &mut ConductorPlan,
        engine: &SharedEngine,
        stop: &Stop,
        progress: &(dyn Fn(Progress) + Send + Sync),
        outside: &mut Outside,
    ) -> Result<(Summary, HistogramSet, Option<u64>), String> {
        let test = &plan.test;
        let workload =
            Workload::new(&test.workload, &test.stages, test.seed, &plan.run).map_err(|error| error.to_string())?;
        let workload = Arc::new(workload);
        let fault_plan = FaultPlan::new(&test.faults, test.seed, &workload).map_err(|error| error.to_string())?;
        let fault_plan = Arc::new(fault_plan);
        let mut reader = match &plan.read_back {
            Some(read_back) => Some(Reader::new(read_back).map_err(|error| error.to_string())?),
            None => None,
        };
        if let Some(reader) = &mut reader {
            let rules = plan.receivers.is_empty() && !plan.test.faults.is_empty();
            let limit = plan.ready_timeout.min(plan.test.effective_deadline());
            let told = readback::look(reader, &plan.run, rules, limit, stop, progress).await?;
            if rules {
                plan.profile = profile::judged(&plan.test, told.unwrap_or_else(|| rules_untold(outside)))?;
            }
        }
        self.publish(plan);

        let published = Arc::clone(&self.published);
        let mut gatherer = Gatherer::new(published, &plan.run, &plan.generators, &plan.workers, &plan.receivers)
            .map_err(|error| error.to_string())?;
        let abort = |gatherer: &Gatherer| self.missed(plan, &workload, gatherer, engine);
        let driver = Driver {
            plan,
            workload: &workload,
            published: &self.published,
            gatherer: &mut gatherer,
            engine,
            stop,
            progress,
            abort: &abort,
        };
        let course = driver.run().await;
        chaos_told(plan, engine, &course, stop).await;
        let histograms = summary::merge_histograms(&gatherer);
        let mut figures = summary::build(plan, &workload, &gatherer, &course, &histograms, engine);
        tell_end(plan, &course, &gatherer, figures.generator_saturated, outside);
        accounts_balance(&gatherer, outside);
        workers_kept_their_word(plan, &gatherer, outside);
        if course.end == End::Completed {
            let missed = figures.chaos.iter().filter(|step| step.executed_at.is_none());
            outside.inconclusive.extend(missed.map(|step| {
                let at = step.at;
                match step.worker {
                    Some(worker) => format!(
                        "{} of sink-worker {worker} at {at} s was not carried out: there has to be such a worker then",
                        step.action
                    ),
                    None => format!("{} at {at} s was not carried out", step.action),
                }
            }));
            outside.inconclusive.extend(failed_scales(plan, engine).into_iter().map(|at| {
                format!(
                    "the Scale at {} s was begun but did not come about: a worker did not drain or did not start in time; \
                     see the logs, or raise the sink's drainTimeout",
                    at.as_secs_f64()
                )
            }));
        }

        // Refused from the start: nothing was promised, so there is nothing to hold against the store.
        let promised = !matches!(course.end, End::Fatal(_)) || gatherer.account().acknowledged > 0;
        figures.rate_series = summary::rate_series(&workload, &course, &histograms);
        figures.interrupted = course.end == End::Interrupted;
        let tell = |text: String| {
            progress(Progress { waiting_for: Some(text), ..Progress::new(RunPhase::Verifying) });
        };
        let judge = Judge {
            plan,
            workload: &workload,
            faults: &fault_plan,
            gatherer: &gatherer,
            engine,
            course: &course,
            tell: &tell,
        };
        let judged = if course.complete && promised && !matches!(course.end, End::Interrupted | End::Deadline) {
            self.published.set_phase(RunPhase::Verifying);
            progress(Progress::new(RunPhase::Verifying));
            tokio::select! {
                judged = judge.judge(&mut figures, reader) => judged,
                _ = stop.requested() => Err("interrupted while the store was read: losses are unproven".into()),
                () = tokio::time::sleep_until(course.deadline.into()) => Err(
                    "the deadline passed while the store was read: losses are unproven; raise spec.deadline".into(),
                ),
            }
        } else {
            judge.unresolved(&mut figures);
            Ok(())
        };
        if let Err(why) = judged {
            figures.interrupted |= stop.is_requested();
            judge.unresolved(&mut figures);
            outside.inconclusive.push(why);
        }
        Ok((figures, histograms, course.t0))
    }

    fn publish(&self, plan: &ConductorPlan) {
        let test = &plan.test;
        let chaos = test.chaos.iter().enumerate().map(|(index, step)| ChaosEvent {
            index: index as u32,
            at_ms: step.at.0.as_millis() as u64,
            step: step.clone(),
        });
        let run = RunPlan {
            run: plan.run.clone(),
            seed: test.seed,
            workload: test.workload.clone(),
            stages: test.stages.clone(),
            faults: test.faults.clone(),
            profile: plan.profile,
            generators: plan.generators.len() as u32,
            samples_per_request: test.generator.samples_per_request,
            connections: u32::from(test.generator.direct_connections()),
            overload: test.overload.clone(),
            target: plan.target.clone(),
        };
        self.published.publish(run, chaos.collect());
    }

    /// The first threshold with `abortOnFail` whose maximum is passed already. A minimum (of a rate, say) can only be judged at the end.
    fn missed(
        &self,
        plan: &ConductorPlan,
        workload: &Workload,
        gatherer: &Gatherer,
        engine: &SharedEngine,
    ) -> Option<(ThresholdMetric, String)> {
        let maxima = plan.test.thresholds.iter().filter(|threshold| threshold.abort_on_fail && threshold.max.is_some());
        let thresholds: Vec<_> = maxima.map(|threshold| Threshold { min: None, ..threshold.clone() }).collect();
        if thresholds.is_empty() {
            return None;
        }
        let course = Course::under_way(self.published.phase().and_then(|phase| phase.t0));
        let histograms = summary::merge_histograms(gatherer);
        let figures = summary::build(plan, workload, gatherer, &course, &histograms, engine);
        let results = report::thresholds::evaluate(&thresholds, &figures);
        let missed = results.into_iter().find(|result| result.proven && !result.ok)?;
        let why = format!("{} is {}, the bound is {}", missed.metric, missed.text, missed.bound);
        Some((missed.metric, why))
    }

    /// The conductor's own metrics and health.
    pub fn ops(&self) -> &Ops {
        &self.ops
    }
}

/// Whose rules a backend is taken to play that does not tell.
fn rules_untold(outside: &mut Outside) -> api::Profile {
    let what = format!("the server of spec.readBack does not tell a version with known rules ({BUILD_INFO})");
    outside.notes.push(format!("{what}: faults are judged by the rules of Prometheus 3"));
    api::Profile::Prometheus3
}

/// How long after the schedule's end a `Scale` that was begun may take.
const SETTLES: Duration = Duration::from_secs(5);

/// The `Scale` steps that were begun, oldest first: when each is due, and how the engine carried it out.
fn begun_scales(plan: &ConductorPlan, engine: &SharedEngine) -> Vec<(Duration, ExecutedChaos)> {
    let executed = engine.executed_chaos();
    let scales = plan.test.chaos.iter().enumerate().filter(|(_, step)| step.action == api::ChaosAction::Scale);
    let begun = scales.filter_map(|(index, step)| {
        executed.iter().find(|done| done.index as usize == index).map(|done| (step.at.0, done.clone()))
    });
    let mut begun: Vec<_> = begun.collect();
    begun.sort_by_key(|(at, done)| (*at, done.index));
    begun
}

/// Whether the newest `Scale`, which replaces those before it, was begun and is not through.
fn unsettled_scale(plan: &ConductorPlan, engine: &SharedEngine) -> bool {
    begun_scales(plan, engine).last().is_some_and(|(_, done)| done.back_at.is_none())
}

/// When those were due that did not come about, although the next did not replace them within the time that a drain may take.
fn failed_scales(plan: &ConductorPlan, engine: &SharedEngine) -> Vec<Duration> {
    let begun = begun_scales(plan, engine);
    let patience = u64::try_from(plan.drain_timeout.as_millis()).unwrap_or(u64::MAX);
    let failed = begun.iter().enumerate().filter(|(position, (_, done))| {
        let next = begun.get(position + 1).map_or(u64::MAX, |(_, next)| next.executed_at);
        done.back_at.is_none() && next.saturating_sub(done.executed_at) >= patience
    });
    failed.map(|(_, (at, _))| *at).collect()
}

/// Waits for as long as the engine may take to tell what it carried out.
async fn chaos_told(plan: &ConductorPlan, engine: &SharedEngine, course: &Course, stop: &Stop) {
    let now = tokio::time::Instant::now();
    let limit = (now + engine.patience()).min(course.deadline.into());
    let settled = (now + engine.patience().max(SETTLES)).min(course.deadline.into());
    let waits = |now| {
        (engine.executed_chaos().len() < plan.test.chaos.len() && now < limit)
            || (unsettled_scale(plan, engine) && now < settled)
    };
    while course.end == End::Completed && !stop.is_requested() && waits(tokio::time::Instant::now()) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Course {
    pub(crate) fn under_way(t0: Option<u64>) -> Self {
        Self {
            end: End::Completed,
            t0,
            started: t0.unwrap_or_default(),
            ended: u64::MAX,
            deadline: std::time::Instant::now(),
            complete: false,
            left_buffered: Ok(0),
            rates: Rates::default(),
        }
    }
}
