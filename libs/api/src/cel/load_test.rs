//! Tests: what is sent, what is broken, and what has to hold.

use serde_json::Value;

use super::{Rules, SECOND, among, positive};
use crate::GeneratorSpec;
use crate::scalar::Duration;
use crate::validate::{
    DAY, MAX_CONNECTIONS, MAX_TOTAL, MILLISECOND, MIN_AHEAD, NOT_READ_BACK, YEAR, out_of_ahead, too_connected,
};

/// All rules but those on the size of numbers, which need sums: they are written out, since CEL has no variables.
pub(crate) fn load_test() -> Value {
    let total = "self.stages.map(s, duration(s.__for__)).sum()";
    let within =
        |list: &str, rule: &str| format!("!has(self.{list}) || [{total}].all(total, self.{list}.all(x, {rule}))");
    let ours = "(has(self.target.receiverRef) || (has(self.target.endpoint) && has(self.target.endpoint.receiverRef)))";
    Rules::default()
        .rule(
            "!has(self.target.sinkRef) || !has(self.generator.connections)",
            "generator.connections is not used with a sink, where each worker has lanes: remove it",
        )
        .rule(
            format!(
                "!{ours} || (has(self.generator.connections) \
                 ? self.generator.parallelism * self.generator.connections <= {MAX_CONNECTIONS} \
                 : self.generator.parallelism <= {})",
                MAX_CONNECTIONS / u32::from(GeneratorSpec::CONNECTIONS)
            ),
            too_connected("parallelism * connections"),
        )
        .rule(format!("!{ours} || !has(self.readBack)"), format!("readBack {NOT_READ_BACK}"))
        .rule(
            "!has(self.chaos) || size(self.chaos) == 0 || has(self.target.sinkRef)",
            "chaos acts on the workers of a sink: set target.sinkRef, or remove chaos",
        )
        .rule(
            "self.workload.all(g, self.workload.exists_one(other, other.name == g.name))",
            "workload has a group whose name is given twice: rename one",
        )
        .rule(
            "self.workload.map(g, g.targets * g.seriesPerTarget).sum() <= 100000000",
            "all series (targets * seriesPerTarget) are too many: 100M are allowed",
        )
        .rule(
            "self.generator.parallelism <= self.workload.map(g, g.targets).sum()",
            "generator.parallelism is more than there are targets, and a target belongs to one: write at most as many",
        )
        .rule(
            format!("{total} <= duration('{MAX_TOTAL}')"),
            format!("stages: the time in all is too long: {MAX_TOTAL} are allowed"),
        )
        .rule(
            format!("!has(self.deadline) || duration(self.deadline) > {total}"),
            "deadline has to be more than all stages take",
        )
        .rule(
            within("chaos", "duration(x.at) < total"),
            "chaos: at is not before the end of the stages: write less, or have longer stages",
        )
        .rule(
            within(
                "chaos",
                "!has(x.__for__) || duration(x.at) >= total || duration(x.at) + duration(x.__for__) <= total",
            ),
            "chaos: at + for ends after the stages: write less, or have longer stages",
        )
        .rule(
            within("faults", "!has(x.from) || duration(x.from) < total"),
            "faults: from is not before the end of the stages: write less, or have longer stages",
        )
        .rule(
            within(
                "faults",
                "!has(x.__for__) || (has(x.from) && duration(x.from) >= total) \
                 || (has(x.from) ? duration(x.from) : duration('0s')) + duration(x.__for__) <= total",
            ),
            "faults: from + for ends after the stages: write less, or remove for to go on to the end",
        )
        .between("deadline", MILLISECOND, Duration(MAX_TOTAL.0.saturating_mul(2)))
        .end()
}

const ONLY_SINKS: &str = "partialWrites is only used in a sink's backend: remove it";

fn whole(endpoint: &str) -> String {
    format!("!has(self.{endpoint}) || self.{endpoint}.partialWrites == 'Unknown'")
}

pub(crate) fn target() -> Value {
    Rules::default()
        .rule(
            "(has(self.sinkRef) ? 1 : 0) + (has(self.receiverRef) ? 1 : 0) + (has(self.endpoint) ? 1 : 0) == 1",
            "exactly one of sinkRef, receiverRef, endpoint is needed",
        )
        .rule(whole("endpoint"), format!("endpoint: {ONLY_SINKS}"))
        .end()
}

pub(crate) fn group() -> Value {
    Rules::default()
        .rule(
            "self.name.matches('^[a-zA-Z0-9._-]+$')",
            "name is not a name of a group: write letters, digits, _, - and .",
        )
        .rule(
            "self.metrics <= self.seriesPerTarget",
            "metrics: more metric names than series of a target: write at most seriesPerTarget",
        )
        .between("scrapeInterval", MILLISECOND, DAY)
        .end()
}

pub(crate) fn churn() -> Value {
    Rules::default()
        .between("every", SECOND, MAX_TOTAL)
        .rule(positive("share"), "share: 0% is no churn: write a share above 0%, or remove churn")
        .end()
}

pub(crate) fn stage() -> Value {
    Rules::default()
        .between("__for__", MILLISECOND, MAX_TOTAL)
        .given("rate", &positive("rate"), "0 sends nothing: write at least 1 (samples a second), or remove it")
        .end()
}

pub(crate) fn overload() -> Value {
    Rules::default().between("maxBacklog", MILLISECOND, DAY).end()
}

pub(crate) fn fault() -> Value {
    Rules::default()
        .rule(positive("share"), "share: 0% is never: write a share above 0%, or remove the fault")
        .rule(
            "!(self.type in ['OutOfOrder', 'ConflictingDuplicate']) \
             || string(self.share).matches('^(0*([0-9]|1[0-9]|2[0-4])([.][0-9]+)?|0*25([.]0+)?)%$|^0$')",
            "share is too much: OutOfOrder and ConflictingDuplicate need a good sample before each, write at most 25%",
        )
        .given(
            "__for__",
            "duration(self.__for__) > duration('0s')",
            "0s is never: write a time, or remove it to go on to the end",
        )
        .only("outOfOrder", "type", &["OutOfOrder"])
        .only("futureTimestamp", "type", &["FutureTimestamp"])
        .end()
}

pub(crate) fn delay() -> Value {
    let needs = |names: &str, field: &str| format!("{field}: {names} needs it: write a duration");
    let open_ended = among("distribution", &["Exponential", "Pareto"]);
    let mut rules = Rules::default();
    for field in ["mean", "min", "max"] {
        let value = format!("duration(self.{field})");
        rules = rules.given(
            field,
            &format!("!({open_ended}) || ({value} >= duration('{MILLISECOND}') && {value} <= duration('{DAY}'))"),
            &format!("is out of range: write a duration from {MILLISECOND} to {DAY} with Exponential and Pareto"),
        );
    }
    rules
        .only("mean", "distribution", &["Constant", "Exponential"])
        .only("min", "distribution", &["Uniform", "Pareto"])
        .only("max", "distribution", &["Uniform", "Exponential", "Pareto"])
        .only("shape", "distribution", &["Pareto"])
        .demanded("mean", "distribution", &["Constant"], &needs("Constant", "mean"))
        .demanded("mean", "distribution", &["Exponential"], &needs("Exponential", "mean"))
        .demanded("min", "distribution", &["Uniform"], &needs("Uniform", "min"))
        .demanded("min", "distribution", &["Pareto"], &needs("Pareto", "min"))
        .demanded("max", "distribution", &["Uniform"], &needs("Uniform", "max"))
        .rule(
            "!has(self.max) || !has(self.min) || duration(self.max) >= duration(self.min)",
            "max is less than min: write at least that",
        )
        .given("shape", "double(self.shape) > 0.0", "is out of range: write a number above 0 up to 100")
        .end()
}

pub(crate) fn future_timestamp() -> Value {
    let enough =
        format!("duration(self.ahead) >= duration('{MIN_AHEAD}') && duration(self.ahead) <= duration('{YEAR}')");
    Rules::default().given("ahead", &enough, &out_of_ahead()).end()
}

pub(crate) fn chaos() -> Value {
    let worker = ["Kill", "Pause", "Terminate", "Restart"];
    Rules::default()
        .only("__for__", "action", &["Pause"])
        .demanded("__for__", "action", &["Pause"], "for: Pause needs a time: write for: 10s")
        .only("replicas", "action", &["Scale"])
        .demanded("replicas", "action", &["Scale"], "replicas: Scale needs the new number of workers")
        .only("sinkWorker", "action", &worker)
        .demanded(
            "sinkWorker",
            "action",
            &worker,
            "sinkWorker: the action needs the ordinal of a worker: write one from 0",
        )
        .between("__for__", MILLISECOND, DAY)
        .end()
}

pub(crate) fn read_back() -> Value {
    let own = "a receiver of Floodmark is read back by itself: remove readBack, or write a url";
    Rules::default()
        .one_of("prometheus", "victoriaMetrics")
        .rule("!has(self.prometheus) || !has(self.prometheus.receiverRef)", format!("prometheus: {own}"))
        .rule("!has(self.victoriaMetrics) || !has(self.victoriaMetrics.receiverRef)", format!("victoriaMetrics: {own}"))
        .rule(whole("prometheus"), format!("prometheus: {ONLY_SINKS}"))
        .rule(whole("victoriaMetrics"), format!("victoriaMetrics: {ONLY_SINKS}"))
        .end()
}

pub(crate) fn results() -> Value {
    Rules::default().between("ttlAfterFinished", Duration::default(), YEAR).end()
}

pub(crate) fn threshold() -> Value {
    let latency = "self.metric.matches('^(response|service|delivery|queued|late)[.]')";
    let share = "self.metric.matches('[.]share$')";
    let limits = |texts: &str| {
        let limit = |name: &str| format!("(!has(self.{name}) || string(self.{name}).matches('{texts}'))");
        format!("{} && {}", limit("max"), limit("min"))
    };
    Rules::default()
        .rule("has(self.max) || has(self.min)", "the metric needs max or min")
        .rule(
            format!("!{latency} || ({})", limits("[hms]$|^0$")),
            "max and min: a latency takes a duration such as 250ms",
        )
        .rule(format!("!{share} || ({})", limits("%$|^0$")), "max and min: a share takes a percentage such as 1%")
        .rule(
            format!("{latency} || {share} || ({})", limits("^[0-9.]+[kMGT]?$")),
            "max and min: this metric takes a count such as 0 or 10k",
        )
        .end()
}
