//! A run from "are you ready" to "your report was taken": phases in order, each with an end.

use std::time::{Duration, Instant};

use api::ThresholdMetric;
use protocol::{GeneratorState, Progress, RunPhase};
use telemetry::Stop;
use tokio::time::timeout_at;
use workload::Workload;

use crate::engine::SharedEngine;
use crate::gather::Gatherer;
use crate::progress::Held;
use crate::rates::Rates;
use crate::state::Published;
use protocol::ConductorPlan;

const TICK: Duration = Duration::from_millis(500);
/// From "all ready" to t0: every part polls the phase at least ten times in it.
const LEAD: Duration = Duration::from_millis(1500);
/// How long generators may take to close their accounts once told to stop, and in a hurry.
const CLOSING: Duration = Duration::from_secs(15);
const HURRIED: Duration = Duration::from_secs(5);
/// After a part was lost, a generator that says nothing for so long is it.
const SILENCE: Duration = Duration::from_secs(3);
/// Longest that generators may still wait for an answer then.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Of the time until the deadline, this much (at most a tenth) is kept for closing; accounts still open a moment after it are left.
const RESERVE: Duration = Duration::from_secs(2);
const OVERDUE: Duration = Duration::from_millis(400);

/// How a run came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The schedule was carried out and worked off.
    Completed,
    /// The generators could not work off their backlog in time.
    Backlog,
    Interrupted,
    /// Some part, or the target, was not ready in time.
    NeverReady(String),
    /// A part was lost for good.
    Lost(String),
    /// A worker or the target said that it can never go on.
    Fatal(String),
    Deadline,
    /// A threshold with `abortOnFail`, and by how much it was missed.
    Threshold(ThresholdMetric, String),
}

/// What was carried out, when.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    pub(crate) end: End,
    /// Unix nanoseconds; `None` when the schedule never began.
    pub(crate) t0: Option<u64>,
    /// When it began to be prepared: Unix nanoseconds.
    pub(crate) started: u64,
    /// When the generators' reports had been taken, and nothing more was sent that they tell of: Unix nanoseconds. `u64::MAX`:
    /// they went to the end of the schedule.
    pub(crate) ended: u64,
    /// When all has to be over, the reading of the store included.
    pub(crate) deadline: Instant,
    /// Whether all generators' reports were taken.
    pub(crate) complete: bool,
    /// Samples that workers still held when their time was up; `Err` is a worker that did not say.
    pub(crate) left_buffered: Result<u64, u32>,
    pub(crate) rates: Rates,
}

pub(crate) struct Driver<'a> {
    pub(crate) plan: &'a ConductorPlan,
    pub(crate) workload: &'a Workload,
    pub(crate) published: &'a Published,
    pub(crate) gatherer: &'a mut Gatherer,
    pub(crate) engine: &'a SharedEngine,
    pub(crate) stop: &'a Stop,
    pub(crate) progress: &'a (dyn Fn(Progress) + Send + Sync),
    pub(crate) abort: &'a (dyn Fn(&Gatherer) -> Option<(ThresholdMetric, String)> + Send + Sync),
}

impl Driver<'_> {
    pub(crate) async fn run(mut self) -> Course {
        let started = self.published.clock().unix_ns();
        let limit = self.plan.test.effective_deadline();
        let deadline = Instant::now() + limit;
        let flow_end = Instant::now() + limit.saturating_sub(RESERVE.min(limit / 10));
        let mut course = Course {
            end: End::Completed,
            t0: None,
            started,
            ended: u64::MAX,
            deadline,
            complete: false,
            left_buffered: Ok(0),
            rates: Rates::default(),
        };
        if let Err(end) = self.prepare(flow_end).await {
            course.end = end;
            return course;
        }
        let t0 = self.published.clock().start() + LEAD.as_nanos() as u64;
        course.t0 = Some(t0);
        self.published.start(t0);
        tracing::info!(run = self.plan.run, "all parts are ready, the schedule begins");
        course.end = self.flow(t0, flow_end, &mut course.rates).await;
        self.close(&mut course, deadline).await;
        course
    }

    async fn prepare(&mut self, deadline: Instant) -> Result<(), End> {
        let limit = deadline.min(Instant::now() + self.plan.ready_timeout);
        let mut held = Held::default();
        let mut last = Some("a part has started but does not answer".to_owned());
        loop {
            let looked = async {
                self.gatherer.poll_generators().await;
                let mut waiting = self.gatherer.waiting_for();
                if waiting.is_none() {
                    waiting = self.gatherer.targets_ready().await.err();
                }
                self.gatherer.poll_workers(false).await;
                waiting
            };
            // A part that hangs may use up the time; what was waited for until then is still true.
            let waiting = tokio::select! {
                looked = timeout_at(limit.into(), looked) => looked.unwrap_or_else(|_| last.take()),
                _ = self.stop.requested() => return Err(End::Interrupted),
            };
            last.clone_from(&waiting);
            if let Some(why) = self.gatherer.failed_generator().or_else(|| self.gatherer.fatal_worker()) {
                return Err(End::Fatal(why));
            }
            let Some(waiting) = waiting else { return Ok(()) };
            if let Some(lost) = self.engine.lost_parts().into_iter().next() {
                return Err(End::Lost(lost));
            }
            if Instant::now() >= limit {
                return Err(End::NeverReady(waiting));
            }
            held.tell(waiting, RunPhase::Preparing, self.progress);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
                _ = self.stop.requested() => return Err(End::Interrupted),
            }
        }
    }

    /// Running and Draining.
    async fn flow(&mut self, t0: u64, deadline: Instant, rates: &mut Rates) -> End {
        let duration = self.workload.duration_ns();
        let backlog = self.plan.test.overload.max_backlog.0 + Duration::from_secs(10);
        let mut draining = false;
        let mut round = 0u32;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until((Instant::now() + TICK).min(deadline).into()) => {}
                _ = self.stop.requested() => return End::Interrupted,
            }
            let polled = async {
                self.gatherer.poll_generators().await;
                let histograms = round.is_multiple_of(2);
                // A worker that leaves waits for it.
                self.gatherer.poll_workers(histograms).await;
                if histograms {
                    self.gatherer.poll_generator_histograms().await;
                }
            };
            // A part that hangs holds up the round, but not the end.
            tokio::select! {
                _ = timeout_at(deadline.into(), polled) => {}
                _ = self.stop.requested() => return End::Interrupted,
            }
            round += 1;
            let now = self.published.clock().unix_ns().saturating_sub(t0);
            self.gatherer.take_departed(self.engine.departed());
            let (workers, active) = self.gatherer.map();
            self.engine.met(&workers, active);
            rates.sample(now, self.gatherer, &self.plan.test.faults);
            (self.progress)(self.snapshot(now, draining, rates));

            if let Some(why) = self.gatherer.failed_generator() {
                return End::Fatal(why);
            }
            if let Some(why) = self.gatherer.stopped_generator() {
                // A signal to all processes reaches this one, too.
                let both = tokio::time::timeout(TICK, self.stop.requested()).await.is_ok();
                return if both { End::Interrupted } else { End::Lost(why) };
            }
            if let Some(lost) = self.engine.lost_parts().into_iter().next() {
                return End::Lost(lost);
            }
            if let Some(why) = self.gatherer.fatal_worker() {
                return End::Fatal(why);
            }
            if let Some((metric, why)) = (self.abort)(self.gatherer) {
                return End::Threshold(metric, why);
            }
            if Instant::now() >= deadline {
                return End::Deadline;
            }
            if self.gatherer.all_generators(|state| *state == GeneratorState::Done) {
                return End::Completed;
            }
            if now > duration && !draining {
                draining = true;
                self.published.set_phase(RunPhase::Draining);
            }
            if now > duration + backlog.as_nanos() as u64 {
                return End::Backlog;
            }
        }
    }

    /// Stopping: accounts are closed, buffers run empty, reports are taken; what a part that hangs does not give is left.
    async fn close(&mut self, course: &mut Course, deadline: Instant) {
        let hurried = matches!(course.end, End::Interrupted | End::Deadline);
        let latest = deadline + OVERDUE;
        let latest = if hurried { latest.min(Instant::now() + HURRIED) } else { latest };
        // A part that hangs must leave time for the others.
        let share = |parts: usize| {
            let left = latest.saturating_duration_since(Instant::now());
            tokio::time::Instant::now() + left / u32::try_from(parts).unwrap_or(u32::MAX)
        };
        let closed = share(2);
        // They hear of it a moment later, and are asked a moment after that.
        let third = closed.saturating_duration_since(Instant::now().into()) / 3;
        self.published.stop(LAST_WORDS.min(third));
        if timeout_at(closed, self.accounts_closed(matches!(course.end, End::Lost(_)))).await.is_err() {
            tracing::warn!("a generator did not close its account in time");
        }
        course.complete = true;
        let generators = self.gatherer.generator_lives.len();
        for index in 0..generators {
            let error = match timeout_at(share(generators - index + 1), self.gatherer.take_generator(index)).await {
                Ok(Ok(())) => {
                    self.published.take(index as u32);
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it did not answer in time".to_owned(),
            };
            tracing::warn!(index, error, "the generator's report could not be taken");
            course.complete = false;
        }
        if course.end != End::Completed {
            course.ended = self.published.clock().unix_ns();
        }
        let settled = async {
            if hurried {
                self.gatherer.poll_workers(true).await;
            } else {
                self.drain(deadline).await;
            }
            self.gatherer.take_departed(self.engine.departed());
            self.gatherer.poll_receiver_cpu().await;
        };
        if timeout_at(latest.into(), settled).await.is_err() {
            tracing::warn!("a sink-worker or receiver did not tell its account in time");
        }
        if !hurried {
            course.left_buffered = self.gatherer.buffered();
        }
    }

    async fn accounts_closed(&mut self, lost: bool) {
        let limit = Instant::now() + CLOSING;
        let silence = if lost { SILENCE } else { CLOSING };
        while !self.gatherer.accounts_closed(silence) && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.gatherer.poll_generators().await;
        }
    }

    /// Until sink-workers hold nothing any more.
    async fn drain(&mut self, deadline: Instant) {
        // Nothing that is not acknowledged has to be waited for, but a moment lets it settle.
        let patience = match self.plan.ack_policy {
            Some(api::AckPolicy::Buffered) => self.plan.drain_timeout,
            _ => self.plan.drain_timeout.min(Duration::from_secs(5)),
        };
        let limit = deadline.min(Instant::now() + patience);
        loop {
            self.gatherer.poll_workers(true).await;
            let buffered = self.gatherer.buffered();
            if buffered == Ok(0) || Instant::now() > limit || self.gatherer.fatal_worker().is_some() {
                break;
            }
            (self.progress)(Progress {
                waiting_for: Some(match buffered {
                    Ok(samples) => format!("sink-workers still hold {samples} samples"),
                    Err(ordinal) => format!("sink-worker {ordinal} does not say what it still holds"),
                }),
                ..Progress::new(RunPhase::Stopping)
            });
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
                _ = self.stop.requested() => break,
            }
        }
    }

    fn snapshot(&self, now_ns: u64, draining: bool, rates: &Rates) -> Progress {
        let account = self.gatherer.account();
        let stages = self.workload.stages();
        let stage = stages.iter().position(|stage| now_ns < stage.end_ns).unwrap_or(stages.len().saturating_sub(1));
        let reports = || self.gatherer.generator_lives.iter().filter_map(|life| life.report.as_ref());
        Progress {
            elapsed: now_ns as f64 / 1e9,
            duration: self.workload.duration_ns() as f64 / 1e9,
            stage,
            stages: stages.len(),
            target_rate: Rates::target_now(self.workload, now_ns),
            rate: rates.now(),
            response_p99_ms: Rates::recent_p99_ms(self.gatherer),
            generated: account.generated,
            acknowledged: account.acknowledged,
            refused: account.refused.values().sum(),
            drops: rates.drops_now(),
            drops_by_reason: self.gatherer.drops_by_reason(&self.plan.test.faults, false),
            backlog_seconds: reports().map(|report| report.backlog_seconds).fold(0.0, f64::max),
            trouble: reports().find_map(|report| report.last_error.clone()).or_else(|| self.gatherer.worker_trouble()),
            ..Progress::new(if draining { RunPhase::Draining } else { RunPhase::Running })
        }
    }
}
