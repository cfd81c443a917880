//! From what the parts said to the summary of a run. Findings and verdict come later: see `judge`.

use std::collections::BTreeMap;

use api::{ChaosAction, LoadTestSpec};
use measure::{Drops, HistogramSet, Merger, names};
use report::{
    Chaos, DropReason, FaultResult, Latencies, Process, RatePoint, Requests, Samples, StageResult, Summary, Target,
    Worker, rfc3339, second_latencies,
};
use workload::Workload;

use crate::drive::{Course, End};
use crate::engine::SharedEngine;
use crate::gather::Gatherer;
use crate::reshards::reshards;
use crate::saturation::saturation;
use protocol::ConductorPlan;

/// Share of a stage's due samples that has to be answered by its end and one second.
const REACHED: f64 = 0.99;

/// All histograms of the run, added up.
pub(crate) fn merge_histograms(gatherer: &Gatherer) -> HistogramSet {
    let generators = gatherer.generator_lives.iter().filter_map(|life| life.histograms.as_ref());
    let workers = gatherer.worker_lives.values().filter_map(|life| life.histograms.as_ref());
    let mut sum = Merger::new();
    for set in generators.chain(workers) {
        if let Err(error) = sum.add(set) {
            tracing::warn!(%error, "a part's histograms cannot be read and are left out");
        }
    }
    sum.finish().unwrap_or_else(|error| {
        tracing::warn!(%error, "the merged histograms cannot be written");
        HistogramSet::default()
    })
}

/// What is known of a run before anything ran.
pub(crate) fn begin(plan: &ConductorPlan) -> Summary {
    let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    Summary {
        name: plan.name.clone(),
        run: plan.run.clone(),
        seed: plan.test.seed,
        target: target(plan),
        ack_policy: plan.ack_policy.map(|policy| format!("{policy:?}")),
        document: known(&plan.document),
        command: known(&plan.command),
        ..Summary::default()
    }
}

/// The figures of a run, without its rate over time, findings, thresholds and verdict.
pub(crate) fn build(
    plan: &ConductorPlan,
    workload: &Workload,
    gatherer: &Gatherer,
    course: &Course,
    histograms: &HistogramSet,
    engine: &SharedEngine,
) -> Summary {
    let started = course.t0.unwrap_or(course.started);
    let ended = gatherer.clock().unix_ns();
    let account = gatherer.account();
    let stages = stages(&plan.test, workload, gatherer, course);
    let mut summary = Summary {
        start_time: rfc3339(started),
        completion_time: rfc3339(ended),
        duration_seconds: ended.saturating_sub(started) as f64 / 1e9,
        stages,
        samples: Samples {
            generated: account.generated,
            acknowledged: account.acknowledged,
            refused: account.refused,
            skipped: account.skipped,
            unresolved: account.unresolved,
            ..Samples::default()
        },
        requests: requests(gatherer),
        workers: workers(plan, gatherer, engine),
        faults: faults(&plan.test, plan.profile, gatherer),
        chaos: chaos(&plan.test, course, engine).into_iter().chain(reshards(gatherer)).collect(),
        latency: Latencies::from_set(histograms).unwrap_or_default(),
        cpu: processes(gatherer),
        ..begin(plan)
    };
    drops(&mut summary, &plan.test, gatherer, histograms, course.complete);
    saturation(&mut summary, &plan.test.thresholds, gatherer);
    summary
}

fn target(plan: &ConductorPlan) -> Target {
    let url = match &plan.target {
        protocol::Target::Endpoint { endpoint } => Some(endpoint.url.clone()),
        protocol::Target::Sink { .. } => None,
    };
    Target {
        description: plan.target_text.clone(),
        url,
        profile: plan.profile.map(|profile| format!("{profile:?}")),
        protocol: Some("1.0".into()),
        workers: (!plan.workers.is_empty()).then_some(plan.workers.len() as u32),
    }
}

fn stages(test: &LoadTestSpec, workload: &Workload, gatherer: &Gatherer, course: &Course) -> Vec<StageResult> {
    let came_to = course.rates.points.last().map_or(0, |point| point.at_ns);
    let windows = workload.stages().iter().zip(&test.stages).enumerate();
    windows
        .map(|(index, (window, stage))| {
            let progress = || {
                let reports = gatherer.generator_lives.iter().filter_map(|life| life.report.as_ref());
                reports.filter_map(move |report| report.stages.get(index))
            };
            let due: u64 = progress().map(|stage| stage.due).sum();
            let in_time: u64 = progress().map(|stage| stage.in_time).sum();
            let seconds = window.end_ns.saturating_sub(window.start_ns) as f64 / 1e9;
            StageResult {
                index: index as u32,
                from: window.start_ns as f64 / 1e9,
                r#for: seconds,
                target_rate: Some(window.rate),
                ramp: stage.ramp,
                warm_up: stage.warm_up,
                due,
                acknowledged_in_time: in_time,
                achieved_rate: if seconds > 0.0 { in_time as f64 / seconds } else { 0.0 },
                reached: in_time as f64 >= REACHED * due as f64,
                cut: course.end == End::Interrupted && came_to < window.end_ns,
            }
        })
        .collect()
}

fn requests(gatherer: &Gatherer) -> Requests {
    let mut sum = Requests::default();
    for report in gatherer.generator_lives.iter().filter_map(|life| life.report.as_ref()) {
        sum.attempts += report.attempts;
        sum.failed += report.failed_attempts;
        sum.retries += report.retries;
    }
    sum
}

fn workers(plan: &ConductorPlan, gatherer: &Gatherer, engine: &SharedEngine) -> Vec<Worker> {
    let executed = engine.executed_chaos();
    let ends = engine.unasked_ends();
    (0..gatherer.workers_seen())
        .map(|ordinal| {
            let mut worker = Worker { ordinal, ..Worker::default() };
            let mut closed = 0;
            for life in gatherer.worker_lives.iter().filter(|((of, _), _)| *of == ordinal).map(|(_, life)| life) {
                let account = &life.report.account;
                worker.incarnations += 1;
                closed += usize::from(life.report.closed);
                worker.accepted += account.accepted;
                worker.delivered += account.delivered;
                worker.rejected += account.rejected.values().sum::<u64>();
                worker.dropped += account.dropped.values().sum::<u64>();
                worker.ambiguous += account.ambiguous;
                worker.buffered += account.buffered;
                worker.requests += account.requests;
                worker.retries += account.retries;
            }
            // A SIGKILL takes the last moments of an account with it; one that is asked to end may be gone before it was asked.
            let done = |actions: &[ChaosAction]| {
                let steps = executed.iter().filter_map(|entry| plan.test.chaos.get(entry.index as usize));
                steps.filter(|step| step.sink_worker == Some(ordinal) && actions.contains(&step.action)).count()
            };
            let unasked = ends.iter().filter(|end| end.ordinal == ordinal).count();
            let asked = done(&[ChaosAction::Terminate, ChaosAction::Restart]);
            worker.accounts_lost = (done(&[ChaosAction::Kill]) + unasked + asked.saturating_sub(closed)) as u32;
            worker
        })
        .collect()
}

fn faults(test: &LoadTestSpec, profile: Option<api::Profile>, gatherer: &Gatherer) -> Vec<FaultResult> {
    let results = test.faults.iter().enumerate().map(|(index, fault)| {
        let expect = faults::expect(fault.r#type, profile);
        let mut result = FaultResult {
            r#type: format!("{:?}", fault.r#type),
            id: faults::catalogue::of(fault.r#type).id.to_owned(),
            from: fault.from.map(|from| from.0.as_secs_f64()),
            r#for: fault.r#for.map(|length| length.0.as_secs_f64()),
            expected: format!("{expect:?}"),
            ..FaultResult::default()
        };
        let reports = gatherer.generator_lives.iter().filter_map(|life| life.report.as_ref());
        for count in reports.filter_map(|report| report.faults.get(index)) {
            let account = &count.account;
            result.sent += account.sent;
            result.refused += account.refused;
            result.accepted += account.acknowledged;
            result.indeterminate += account.indeterminate;
        }
        result
    });
    results.collect()
}

fn chaos(test: &LoadTestSpec, course: &Course, engine: &SharedEngine) -> Vec<Chaos> {
    let executed: BTreeMap<u32, _> = engine.executed_chaos().into_iter().map(|entry| (entry.index, entry)).collect();
    let t0_ms = course.t0.unwrap_or_default() / 1_000_000;
    let seconds = |unix_ms: u64| (unix_ms as i64 - t0_ms as i64) as f64 / 1e3;
    let steps = test.chaos.iter().enumerate().map(|(index, step)| {
        let done = executed.get(&(index as u32));
        let length = step.r#for.map_or_else(String::new, |length| format!(" {length}"));
        let count = step.replicas.map_or_else(String::new, |count| format!(" to {count} workers"));
        Chaos {
            at: step.at.0.as_secs_f64(),
            action: format!("{:?}{length}{count}", step.action),
            worker: step.sink_worker,
            executed_at: done.map(|entry| seconds(entry.executed_at)),
            back_after: done.and_then(|entry| Some(entry.back_at?.saturating_sub(entry.executed_at) as f64 / 1e3)),
        }
    });
    let unasked = engine.unasked_ends().into_iter().map(|end| Chaos {
        at: seconds(end.at),
        action: format!("not asked for: {}", end.how),
        worker: Some(end.ordinal),
        executed_at: Some(seconds(end.at)),
        back_after: None,
    });
    steps.chain(unasked).collect()
}

/// Points that the rate over time has at most: those of a long run stand for more than a second, as in its histograms.
const MAX_POINTS: u64 = 1800;

/// What was due and what flowed, over time.
pub(crate) fn rate_series(workload: &Workload, course: &Course, histograms: &HistogramSet) -> Vec<RatePoint> {
    let latencies = histograms
        .distribution(names::RESPONSE)
        .ok()
        .and_then(|distribution| second_latencies(&distribution).ok())
        .unwrap_or_default();
    let Some(last) = course.rates.points.last() else { return Vec::new() };
    let seconds = last.at_ns / 1_000_000_000;
    let total_at = |ns: u64, value: fn(&crate::rates::Point) -> u64| {
        // Between two looks the totals grow evenly: the look comes twice a second.
        let after = course.rates.points.partition_point(|point| point.at_ns < ns);
        let right = course.rates.points.get(after).copied().unwrap_or(*last);
        let left = after.checked_sub(1).and_then(|before| course.rates.points.get(before)).copied().unwrap_or_default();
        let span = right.at_ns.saturating_sub(left.at_ns);
        let share = if span == 0 { 1.0 } else { (ns.saturating_sub(left.at_ns) as f64 / span as f64).min(1.0) };
        value(&left) as f64 + share * (value(&right).saturating_sub(value(&left))) as f64
    };
    let step = seconds.div_ceil(MAX_POINTS).max(1);
    (0..seconds.div_ceil(step))
        .map(|point| {
            let second = point * step;
            let end = (second + step).min(seconds);
            let (from, to, length) = (second * 1_000_000_000, end * 1_000_000_000, (end - second) as f64);
            let flowed =
                |value: fn(&crate::rates::Point) -> u64| (total_at(to, value) - total_at(from, value)) / length;
            let worst = |value: fn(&(f64, f64)) -> f64| {
                latencies.range(second..end).map(|(_, latency)| value(latency)).reduce(f64::max)
            };
            RatePoint {
                second,
                target: workload.mean_due(from, to) / length,
                acknowledged: flowed(|point| point.acknowledged),
                drops: flowed(|point| point.drops),
                p50: worst(|(p50, _)| *p50),
                p99: worst(|(_, p99)| *p99),
            }
        })
        .collect()
}

fn processes(gatherer: &Gatherer) -> Vec<Process> {
    let process = |role: &str, ordinal: u32, cpu: &protocol::CpuUse| Process {
        role: role.into(),
        ordinal,
        cores: if cpu.wall_seconds > 0.0 { cpu.cpu_seconds / cpu.wall_seconds } else { 0.0 },
        rss_bytes: cpu.rss_bytes,
        run_queue_share: (cpu.wall_seconds > 0.0).then(|| cpu.run_queue_seconds / cpu.wall_seconds),
    };
    let mut processes = Vec::new();
    for report in gatherer.generator_lives.iter().filter_map(|life| life.report.as_ref()) {
        processes.push(process("generator", report.index, &report.cpu));
    }
    // The longest life of each worker stands for it.
    let mut workers: BTreeMap<u32, &protocol::CpuUse> = BTreeMap::new();
    for ((ordinal, _), life) in &gatherer.worker_lives {
        let cpu = &life.report.cpu;
        let longest = workers.entry(*ordinal).or_insert(cpu);
        if cpu.wall_seconds > longest.wall_seconds {
            *longest = cpu;
        }
    }
    processes.extend(workers.into_iter().map(|(ordinal, cpu)| process("sink-worker", ordinal, cpu)));
    let receivers = gatherer.receiver_cpu.iter().enumerate();
    processes.extend(receivers.filter_map(|(ordinal, cpu)| Some(process("receiver", ordinal as u32, cpu.as_ref()?))));
    let own = telemetry::cpu::usage();
    let cpu = protocol::CpuUse {
        cpu_seconds: own.total.as_secs_f64(),
        run_queue_seconds: own.run_queue_wait.as_secs_f64(),
        wall_seconds: gatherer.age(),
        rss_bytes: own.rss_bytes,
    };
    processes.push(process("conductor", 0, &cpu));
    processes
}

/// What was given up on the way, by reason: by workers, and by generators that were too late to send at all.
fn drops(summary: &mut Summary, test: &LoadTestSpec, gatherer: &Gatherer, histograms: &HistogramSet, complete: bool) {
    let recorded = histograms.drops().unwrap_or_else(|_| Drops::new());
    let by_reason = gatherer.drops_by_reason(&test.faults, complete);
    let events = recorded.per_event();
    summary.drops.total = by_reason.values().sum();
    summary.drops.per_event = recorded.all_events().unwrap_or_default();
    summary.drops.by_reason = by_reason
        .into_iter()
        .map(|(reason, samples)| {
            let per_event = events.get(&reason).copied().unwrap_or_default();
            summary.drops.requests += per_event.events;
            (reason, DropReason { samples, per_event })
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rates::Point;

    /// A million series that churn, for a month: neither takes time, nor room in `summary.json`.
    #[test]
    fn the_rate_over_time_of_the_longest_run_is_bounded() {
        const SECOND: u64 = 1_000_000_000;
        let group = r#"[{"name": "g", "targets": 1000, "seriesPerTarget": 1000, "scrapeInterval": "10s",
            "churn": {"every": "1m", "share": "20%"}}]"#;
        let stages = r#"[{"for": "720h"}]"#;
        let workload = Workload::new(
            &serde_json::from_str::<Vec<_>>(group).unwrap(),
            &serde_json::from_str::<Vec<_>>(stages).unwrap(),
            1,
            "r",
        )
        .unwrap();
        let mut course = Course::under_way(Some(1));
        let seconds = 720 * 3600;
        let point = |at| Point { at_ns: at * SECOND, acknowledged: at * 1000, drops: at / 2 };
        course.rates.points = (1..=seconds / 600).map(|point_at| point(point_at * 600)).collect();
        let series = rate_series(&workload, &course, &HistogramSet::default());
        assert_eq!(series.len() as u64, MAX_POINTS);
        let last = series.last().unwrap();
        assert_eq!(last.second, seconds - seconds / MAX_POINTS);
        // A scrape in ten seconds, and a marker in thirty lifetimes of a scrape.
        assert!((last.target - 1e5 * (1.0 + 1.0 / 30.0)).abs() < 100.0, "{}", last.target);
        assert!((last.acknowledged - 1000.0).abs() < 1e-6 && (last.drops - 0.5).abs() < 1e-6, "{last:?}");

        course.rates.points.truncate(1);
        let series = rate_series(&workload, &course, &HistogramSet::default());
        assert!(series.len() == 600 && series[7].second == 7, "a short run has a point for each second");
    }
}
