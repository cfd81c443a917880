//! Faults and chaos: what they use, when they run, whom they hit.

use super::common::{FULL, TEST, problems, read};
use super::expect_all;

#[test]
fn faults_and_chaos_take_what_they_use() {
    expect_all(
        TEST,
        &[
            ("faults: [{type: OutOfOrder, share: 26%}]", "spec.faults[0].share: 26% is too much"),
            ("faults: [{type: ConflictingDuplicate, share: 30%}]", "spec.faults[0].share: 30% is too much"),
            ("faults: [{type: DuplicateLabel, share: 0%}]", "spec.faults[0].share: 0% is never"),
            ("faults: [{type: DuplicateLabel, share: 0.5}]", "spec.faults[0].share: \"0.5\" is not a share"),
            (
                "faults: [{type: DuplicateLabel, share: 1%, from: 30s}]",
                "spec.faults[0].from: 30s is not before the end of the stages, 30s",
            ),
            (
                "faults: [{type: DuplicateLabel, share: 1%, from: 20s, for: 11s}]",
                "spec.faults[0].for: 11s from 20s on ends at 31s, after the stages, 30s: write at most 10s, or remove it to go on to the end",
            ),
            (
                "faults: [{type: DuplicateLabel, share: 1%, for: 31s}]",
                "spec.faults[0].for: 31s from 0s on ends at 31s, after the stages, 30s: write at most 30s, or remove it",
            ),
            (
                "faults: [{type: DuplicateLabel, share: 1%, outOfOrder: {}}]",
                "spec.faults[0].outOfOrder: is not used with DuplicateLabel",
            ),
            (
                "faults: [{type: OutOfOrder, share: 1%, outOfOrder: {delay: {distribution: Uniform, max: 1s}}}]",
                "spec.faults[0].outOfOrder.delay.min: Uniform needs it",
            ),
            (
                "faults: [{type: OutOfOrder, share: 1%, outOfOrder: {delay: {distribution: Uniform, min: 2s, max: 1s}}}]",
                "spec.faults[0].outOfOrder.delay.max: 1s is less than 2s",
            ),
            (
                "faults: [{type: OutOfOrder, share: 1%, outOfOrder: {delay: {distribution: Pareto, min: 2s, shape: 0}}}]",
                "spec.faults[0].outOfOrder.delay.shape: 0 is out of range",
            ),
            (
                "faults: [{type: OutOfOrder, share: 1%, outOfOrder: {delay: {distribution: Exponential, mean: 5s, max: 25h}}}]",
                "spec.faults[0].outOfOrder.delay.max: 25h is out of range: write a duration from 1ms to 24h",
            ),
            (
                "faults: [{type: OutOfOrdr, share: 1%}]",
                "spec.faults[0].type: \"OutOfOrdr\" is not known: did you mean OutOfOrder?",
            ),
            ("chaos: [{at: 1s, action: Kill, sinkWorker: 0}]", "spec.chaos: acts on the workers of a sink"),
            ("generator: {parallelism: 11}", "spec.generator.parallelism: 11 generators share 10 targets"),
            ("generator: {connections: 0}", "spec.generator.connections: 0 is out of range"),
            ("seed: -1", "spec.seed: -1 is out of range"),
            ("readBack: {}", "spec.readBack: exactly one of prometheus, victoriaMetrics is needed"),
            ("overload: {maxBacklog: 0s}", "spec.overload.maxBacklog: 0s is out of range"),
        ],
    );
}

#[test]
fn chaos_and_requests_fit_the_sink() {
    let chaos = "[{at: 45s, action: Kill, sinkWorker: 1}, {at: 50s, action: Pause, sinkWorker: 2, for: 10s}]";
    for (from, to, expected) in [
        (
            chaos,
            "[{at: 1s, action: Kill, sinkWorker: 3}]",
            "spec.chaos[0].sinkWorker: worker 3 does not exist: sink sink has 3 replicas: write 0 to 2, or give it more",
        ),
        (
            chaos,
            "[{at: 1s, action: Scale, replicas: 5}, {at: 2s, action: Kill, sinkWorker: 5}]",
            "spec.chaos[1].sinkWorker: worker 5 does not exist: sink sink has at most 5 replicas at that time: write 0 to 4, or give it more",
        ),
        (
            chaos,
            "[{at: 3s, action: Scale, replicas: 5}, {at: 2s, action: Kill, sinkWorker: 4}]",
            "spec.chaos[1].sinkWorker: worker 4 does not exist: sink sink has 3 replicas: write 0 to 2, or give it more",
        ),
        (chaos, "[{at: 1s, action: Kill}]", "spec.chaos[0].sinkWorker: Kill needs the ordinal"),
        (chaos, "[{at: 1s, action: Pause, sinkWorker: 0}]", "spec.chaos[0].for: Pause needs a time"),
        (chaos, "[{at: 1s, action: Kill, sinkWorker: 0, for: 1s}]", "spec.chaos[0].for: is not used with Kill"),
        (
            chaos,
            "[{at: 1s, action: Restart, sinkWorker: 0, replicas: 2}]",
            "spec.chaos[0].replicas: is not used with Restart",
        ),
        (
            chaos,
            "[{at: 150s, action: Kill, sinkWorker: 0}]",
            "spec.chaos[0].at: 2m30s is not before the end of the stages, 2m30s: write less, or have longer stages",
        ),
        (
            chaos,
            "[{at: 140s, action: Pause, sinkWorker: 0, for: 11s}]",
            "spec.chaos[0].for: 11s from 2m20s on ends at 2m31s, after the stages, 2m30s: write at most 10s, or have longer stages",
        ),
        // Where it begins is the one mistake then.
        (
            chaos,
            "[{at: 160s, action: Pause, sinkWorker: 0, for: 11s}]",
            "spec.chaos[0].at: 2m40s is not before the end of the stages, 2m30s",
        ),
        (
            "samplesPerRequest: 2000",
            "samplesPerRequest: 2000, connections: 4",
            "spec.generator.connections: is not used with a sink",
        ),
        (
            "samplesPerRequest: 2000",
            "samplesPerRequest: 5000",
            "spec.generator.samplesPerRequest: 5k samples never fit",
        ),
        (
            "parallelism: 1, ",
            "parallelism: 251, ",
            "spec.generator.parallelism: 251 generators open 1004 connections to each worker of sink sink, one for each of its 4 lanes: \
             parallelism * lanes is more than one server of Floodmark takes connections for: write at most 1000 in all",
        ),
        (
            "sinkRef: {name: sink}",
            "sinkRef: {name: sink}, receiverRef: {name: receiver}",
            "spec.target: exactly one of sinkRef, receiverRef, endpoint",
        ),
    ] {
        assert!(FULL.contains(from));
        let text = FULL.replace(from, to).replace("maxSamples: 1M", "maxSamples: 4k");
        let report = problems(&text);
        assert!(report.contains(expected) && report.lines().count() == 1, "{to}\n{report}\n{expected}");
    }
}

#[test]
fn what_ends_with_the_stages_is_in_time() {
    let chaos = "[{at: 45s, action: Kill, sinkWorker: 1}, {at: 50s, action: Pause, sinkWorker: 2, for: 10s}]";
    assert!(read(&FULL.replace(chaos, "[{at: 140s, action: Pause, sinkWorker: 0, for: 10s}]")).is_ok());
    assert!(read(&format!("{TEST}  faults: [{{type: DuplicateLabel, share: 1%, from: 20s, for: 10s}}]\n")).is_ok());
}

#[test]
fn only_tails_without_an_end_are_cut_at_a_day() {
    for delay in ["Exponential, mean: 24h, max: 24h", "Uniform, min: 25h, max: 8760h", "Constant, mean: 8760h"] {
        let fault = format!("{{type: OutOfOrder, share: 1%, outOfOrder: {{delay: {{distribution: {delay}}}}}}}");
        assert!(read(&format!("{TEST}  faults: [{fault}]\n")).is_ok(), "{delay}");
    }
}

#[test]
fn workers_that_may_be_hit_are_named_as_they_are() {
    let report = problems(&FULL.replace("replicas: 3", "replicas: 1"));
    assert_eq!(
        report.lines().map(|line| line.split_once(": worker ").unwrap().1).collect::<Vec<_>>(),
        [
            "1 does not exist: sink sink has 1 replica: write 0, or give it more",
            "2 does not exist: sink sink has 1 replica: write 0, or give it more"
        ]
    );
}
