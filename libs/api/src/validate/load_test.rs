//! The rules of a test.

use std::collections::BTreeSet;

use super::{
    DAY, FieldProblem, MAX_CONNECTIONS, MAX_REQUEST, MAX_TOTAL, MILLISECOND, NOT_READ_BACK, Rules, YEAR, endpoint,
    faults, too_connected,
};
use crate::{Bytes, Count, Duration, LoadTestSpec, Threshold, Unit, WorkloadGroup, unavailable};

/// All series of a test, and those of one group.
const MAX_SERIES: u64 = 100_000_000;

/// Samples a second and series: their timestamps are milliseconds, so more would collide.
const MAX_PER_SERIES: f64 = 1000.0;

/// All that is wrong with a test, what is not available yet included; references are not looked up.
pub fn check_load_test(spec: &LoadTestSpec) -> Vec<FieldProblem> {
    let mut rules = Rules::default();
    target(&mut rules, spec);
    groups(&mut rules, &spec.workload);
    stages(&mut rules, spec);
    rates(&mut rules, spec);
    request_size(&mut rules, spec);
    faults::check(&mut rules, spec);
    if let Some(read_back) = &spec.read_back {
        let stores = [("prometheus", &read_back.prometheus), ("victoriaMetrics", &read_back.victoria_metrics)];
        rules.exactly_one("spec.readBack", &stores.map(|(name, endpoint)| (name, endpoint.is_some())));
        for (name, endpoint) in stores.into_iter().filter_map(|(name, e)| e.as_ref().map(|e| (name, e))) {
            let path = format!("spec.readBack.{name}");
            endpoint::check(&mut rules, endpoint, &path);
            endpoint::no_partial_writes(&mut rules, endpoint, &path);
            rules.need(
                endpoint.receiver_ref.is_none(),
                || format!("{path}.receiverRef"),
                || "a receiver of Floodmark is read back by itself: remove readBack, or write a url".into(),
            );
        }
    }
    for (i, threshold) in spec.thresholds.iter().enumerate() {
        check_threshold(&mut rules, threshold, &format!("spec.thresholds[{i}]"));
    }
    if let Some(push) = &spec.results.pushgateway {
        endpoint::check(&mut rules, &push.endpoint, "spec.results.pushgateway.endpoint");
        endpoint::no_partial_writes(&mut rules, &push.endpoint, "spec.results.pushgateway.endpoint");
    }
    rules
        .between(spec.results.ttl_after_finished, Duration::default(), YEAR, || "spec.results.ttlAfterFinished".into());
    rules.between(spec.overload.max_backlog, MILLISECOND, DAY, || "spec.overload.maxBacklog".into());
    unavailable::load_test(spec, &mut rules.0);
    rules.found()
}

fn target(rules: &mut Rules, spec: &LoadTestSpec) {
    let target = &spec.target;
    rules.exactly_one(
        "spec.target",
        &[
            ("sinkRef", target.sink_ref.is_some()),
            ("receiverRef", target.receiver_ref.is_some()),
            ("endpoint", target.endpoint.is_some()),
        ],
    );
    if let Some(endpoint) = &target.endpoint {
        endpoint::check(rules, endpoint, "spec.target.endpoint");
        endpoint::no_partial_writes(rules, endpoint, "spec.target.endpoint");
    }
    rules.agree(
        spec.generator.connections.is_none() || target.sink_ref.is_none(),
        || "spec.generator.connections".into(),
        &["spec.target"],
        || "is not used with a sink, where each worker has lanes: remove it".into(),
    );
    let targets: u64 = spec.workload.iter().map(|group| u64::from(group.targets)).sum();
    let parallelism = spec.generator.parallelism;
    let ours = target.receiver_ref.is_some() || target.endpoint.as_ref().is_some_and(|to| to.receiver_ref.is_some());
    let connections = spec.generator.direct_connections();
    rules.agree(
        !ours || parallelism.saturating_mul(connections.into()) <= MAX_CONNECTIONS,
        || "spec.generator.connections".into(),
        &["parallelism", "spec.target"],
        || {
            format!(
                "{} open {} connections to the receiver: {}",
                many(parallelism, "generator"),
                parallelism.saturating_mul(connections.into()),
                too_connected("parallelism * connections")
            )
        },
    );
    rules.agree(
        !ours || spec.read_back.is_none(),
        || "spec.readBack".into(),
        &["spec.target"],
        || NOT_READ_BACK.into(),
    );
    rules.agree(
        targets == 0 || u64::from(parallelism) <= targets,
        || "spec.generator.parallelism".into(),
        &["spec.workload"],
        || {
            format!(
                "{parallelism} generators share {targets} targets, and a target belongs to one: write at most {targets}"
            )
        },
    );
}

/// `1 generator`, `2 generators`.
fn many(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn groups(rules: &mut Rules, groups: &[WorkloadGroup]) {
    rules.need(!groups.is_empty(), || "spec.workload".into(), || "has no group: write at least one".into());
    let mut names = BTreeSet::new();
    for (i, group) in groups.iter().enumerate() {
        let at = format!("spec.workload[{i}]");
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        rules.need(
            !group.name.is_empty() && group.name.bytes().all(plain),
            || format!("{at}.name"),
            || format!("{:?} is not a name of a group: write letters, digits, _, - and .", group.name),
        );
        rules.need(
            names.insert(&group.name),
            || format!("{at}.name"),
            || format!("{} is given twice: rename one", group.name),
        );
        rules.need(group.targets > 0, || format!("{at}.targets"), || "0 targets send nothing: write at least 1".into());
        rules.need(
            group.series_per_target > 0,
            || format!("{at}.seriesPerTarget"),
            || "0 series send nothing: write at least 1".into(),
        );
        rules.need(group.series() <= MAX_SERIES, || at.clone(), || too_many(group.series()));
        rules.between(group.scrape_interval, MILLISECOND, DAY, || format!("{at}.scrapeInterval"));
        rules.need(
            group.metrics > 0,
            || format!("{at}.metrics"),
            || "0 is out of range: write a number of at least 1".into(),
        );
        rules.agree(
            group.metrics <= group.series_per_target,
            || format!("{at}.metrics"),
            &["seriesPerTarget"],
            || {
                let (metrics, series) = (group.metrics, group.series_per_target);
                format!("{metrics} metric names for {series} series of a target: write at most {series}")
            },
        );
        let labels = &group.labels;
        rules.need(
            (5..=40).contains(&labels.count),
            || format!("{at}.labels.count"),
            || format!("{} is out of range: write a number from 5 (those that are always there) to 40", labels.count),
        );
        rules.need(
            (1..=256).contains(&labels.value_length),
            || format!("{at}.labels.valueLength"),
            || format!("{} is out of range: write a number from 1 to 256", labels.value_length),
        );
        if let Some(churn) = &group.churn {
            rules.between(churn.every, Duration::from_secs(1), MAX_TOTAL, || format!("{at}.churn.every"));
            rules.need(
                churn.share.0 > 0.0,
                || format!("{at}.churn.share"),
                || "0% is no churn: write a share above 0%, or remove churn".into(),
            );
        }
    }
    let total = groups.iter().fold(0_u64, |sum, group| sum.saturating_add(group.series()));
    rules.need(total <= MAX_SERIES || groups.len() < 2, || "spec.workload".into(), || too_many(total));
}

fn too_many(series: u64) -> String {
    format!("{} series (targets * seriesPerTarget) are too many: {} are allowed", Count(series), Count(MAX_SERIES))
}

fn stages(rules: &mut Rules, spec: &LoadTestSpec) {
    rules.need(!spec.stages.is_empty(), || "spec.stages".into(), || "has no stage: write at least one".into());
    for (i, stage) in spec.stages.iter().enumerate() {
        rules.between(stage.r#for, MILLISECOND, MAX_TOTAL, || format!("spec.stages[{i}].for"));
        rules.need(
            stage.rate != Some(Count(0)),
            || format!("spec.stages[{i}].rate"),
            || {
                "0 sends nothing: write at least 1 (samples a second), or remove it for what the scrape intervals give"
                    .into()
            },
        );
    }
    let total = Duration(spec.stages_total());
    rules.need(
        total <= MAX_TOTAL,
        || "spec.stages".into(),
        || format!("{total} in all is too long: {MAX_TOTAL} are allowed"),
    );
    if let Some(deadline) = spec.deadline {
        rules.between(deadline, MILLISECOND, Duration(MAX_TOTAL.0 * 2), || "spec.deadline".into());
        rules.agree(
            deadline > total,
            || "spec.deadline".into(),
            &["stages"],
            || format!("{deadline} has to be more than all stages take, {total}"),
        );
    }
}

/// No series may get more than one sample a millisecond; a stage's rate speeds all groups up alike.
fn rates(rules: &mut Rules, spec: &LoadTestSpec) {
    let usable = |group: &&WorkloadGroup| group.series() > 0 && !group.scrape_interval.is_zero();
    let natural: f64 =
        spec.workload.iter().filter(usable).map(|g| g.series() as f64 / g.scrape_interval.0.as_secs_f64()).sum();
    let fastest = spec.workload.iter().filter(usable).min_by_key(|group| group.scrape_interval);
    let Some(fastest) = fastest.filter(|_| natural > 0.0) else { return };
    for (i, stage) in spec.stages.iter().enumerate() {
        let Some(rate) = stage.rate else { continue };
        let per_series = rate.0 as f64 / natural / fastest.scrape_interval.0.as_secs_f64();
        // The greatest rate that is allowed, a little below where rounding could tip over.
        let most = (MAX_PER_SERIES * fastest.scrape_interval.0.as_secs_f64() * natural * (1.0 - 1e-9)) as u64;
        rules.agree(per_series <= MAX_PER_SERIES, || format!("spec.stages[{i}].rate"), &["spec.workload"], || {
            format!(
                "{rate} samples a second are {per_series:.0} a second for each series of group {}, and 1000 are allowed: write at most {most}, or have more series",
                fastest.name
            )
        });
    }
}

/// A request holds one sample a series at most.
fn request_size(rules: &mut Rules, spec: &LoadTestSpec) {
    let widest = spec.workload.iter().enumerate().max_by_key(|(_, group)| group.sample_bytes());
    let Some((at, group)) = widest else { return };
    let series = spec.workload.iter().fold(0_u64, |sum, group| sum.saturating_add(group.series()));
    let samples = u64::from(spec.generator.samples_per_request).min(series);
    let most = MAX_REQUEST / group.sample_bytes();
    rules.agree(samples <= most, || "spec.generator.samplesPerRequest".into(), &["spec.workload"], || {
        format!(
            "{} samples of up to {} bytes with their labels are more than a request may have, {}: write at most {most}, or \
             fewer and shorter labels in spec.workload[{at}].labels",
            Count(samples),
            group.sample_bytes(),
            Bytes(MAX_REQUEST)
        )
    });
}

fn check_threshold(rules: &mut Rules, threshold: &Threshold, path: &str) {
    let metric = threshold.metric;
    let wanted = match metric.unit() {
        Unit::Duration => "a duration such as 250ms",
        Unit::Count => "a count such as 0 or 10k",
        Unit::Rate => "samples a second such as 950k",
        Unit::Share => "a percentage such as 1%",
    };
    rules.need(
        threshold.max.is_some() || threshold.min.is_some(),
        || path.to_owned(),
        || format!("needs max or min: write max with {wanted}"),
    );
    let (max, min) = (threshold.max_value(), threshold.min_value());
    for (name, limit) in [("max", &max), ("min", &min)] {
        if let Err(error) = limit {
            let text = error.to_string();
            let text = text.split(':').next().unwrap_or("").to_owned();
            rules.add(format!("{path}.{name}"), format!("{text}: {metric} takes {wanted}"));
        }
    }
    if let (Ok(Some(max)), Ok(Some(min))) = (max, min) {
        rules.need(
            min.as_f64() <= max.as_f64(),
            || format!("{path}.min"),
            || "is more than max: nothing could pass".into(),
        );
    }
}
