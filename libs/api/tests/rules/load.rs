//! What is sent, how fast, and what has to hold.

use super::common::{RECEIVER, SINK, TEST, problems, read};
use super::expect_all;

#[test]
fn a_workload_is_bounded_and_well_named() {
    let group = |group: &str| TEST.replace("{name: app, targets: 10, seriesPerTarget: 100, scrapeInterval: 1s}", group);
    for (fields, expected) in [
        ("{name: app, targets: 0, seriesPerTarget: 100}", "spec.workload[0].targets: 0 is out of range"),
        ("{name: a b, targets: 1, seriesPerTarget: 100}", "spec.workload[0].name: \"a b\" is not a name of a group"),
        (
            "{name: app, targets: 1, seriesPerTarget: 5}",
            "spec.workload[0].metrics: 10 metric names for 5 series of a target: write at most 5",
        ),
        (
            "{name: app, targets: 1M, seriesPerTarget: 5}",
            "spec.workload[0].targets: the text \"1M\" was found: write a whole number",
        ),
        ("{name: app, targets: 1000000, seriesPerTarget: 101}", "spec.workload[0]: 101M series"),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, scrapeInterval: 0s}",
            "spec.workload[0].scrapeInterval: 0s is out of range",
        ),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, labels: {count: 4}}",
            "spec.workload[0].labels.count: 4 is out of range",
        ),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, labels: {count: 41}}",
            "spec.workload[0].labels.count: 41 is out of range",
        ),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, churn: {every: 1m, share: 0%}}",
            "spec.workload[0].churn.share: 0% is no churn",
        ),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, churn: {every: 1m, share: 101%}}",
            "spec.workload[0].churn.share: \"101%\" is not a share",
        ),
        (
            "{name: app, targets: 1, seriesPerTarget: 100, values: Conter}",
            "spec.workload[0].values: \"Conter\" is not one of",
        ),
        (
            "{name: a, targets: 1, seriesPerTarget: 10}\n    - {name: a, targets: 1, seriesPerTarget: 10}",
            "spec.workload[1].name: a is given twice",
        ),
        (
            "{name: a, targets: 600000, seriesPerTarget: 100}\n    - {name: b, targets: 600000, seriesPerTarget: 100}",
            "spec.workload: 120M series",
        ),
    ] {
        let report = problems(&group(fields));
        assert!(report.contains(expected) && report.lines().count() == 1, "{fields}\n{report}\n{expected}");
    }
}

#[test]
fn stages_stay_below_a_sample_a_millisecond_and_series() {
    let stages = |stages: &str| TEST.replace("[{for: 30s}]", stages);
    // 1000 series: one million samples a second are 1000 a second each.
    assert!(read(&stages("[{for: 1s, rate: 999999}]")).is_ok());
    let report = problems(&stages("[{for: 1s}, {for: 1s, rate: 1000001}]"));
    assert!(
        report.contains("spec.stages[1].rate: 1000001 samples a second are 1000 a second for each series of group app"),
        "{report}"
    );
    for (text, expected) in [
        ("[]", "spec.stages: has 0 entries: at least 1"),
        ("[{for: 0s}]", "spec.stages[0].for: 0s is out of range"),
        ("[{for: 1s, rate: 0}]", "spec.stages[0].rate: 0 sends nothing"),
        ("[{for: 400h}, {for: 400h}]", "spec.stages: 800h in all is too long"),
        ("[{rate: 1}]", "spec.stages[0].for: is missing"),
        ("{for: 1s}", "spec.stages: a map was found: write a list"),
        ("[{for: 30s}]\n  deadline: 30s", "spec.deadline: 30s has to be more than all stages take, 30s"),
    ] {
        let report = problems(&stages(text));
        assert!(report.contains(expected) && report.lines().count() == 1, "{text}\n{report}\n{expected}");
    }
}

#[test]
fn rates_count_the_fastest_group() {
    let text = TEST.replace(
        "scrapeInterval: 1s}",
        "scrapeInterval: 1s}\n    - {name: fast, targets: 1, seriesPerTarget: 10, scrapeInterval: 10ms}",
    );
    // Natural: 1000 + 1000 a second; ten times that is 1000 a second for each fast series.
    assert!(read(&text.replace("{for: 30s}", "{for: 30s, rate: 19999}")).is_ok());
    let report = problems(&text.replace("{for: 30s}", "{for: 30s, rate: 20001}"));
    assert!(report.contains("each series of group fast") && report.contains("write at most 19999,"), "{report}");
}

#[test]
fn a_request_fits_into_what_a_server_takes() {
    let wide = TEST.replace(
        "targets: 10, seriesPerTarget: 100",
        "targets: 1000, seriesPerTarget: 100, labels: {count: 40, valueLength: 200}",
    );
    assert!(read(&format!("{wide}  generator: {{samplesPerRequest: 4k}}\n").replace("4k", "4000")).is_ok());
    super::expect(
        &wide,
        "generator: {samplesPerRequest: 5000}",
        "spec.generator.samplesPerRequest: 5k samples of up to 8050 bytes with their labels are more than a request may have, 32Mi: \
         write at most 4168, or fewer and shorter labels in spec.workload[0].labels",
    );
    // It has no more samples than there are series.
    assert!(read(&format!("{TEST}  generator: {{samplesPerRequest: 1000000}}\n")).is_ok());
}

#[test]
fn a_receiver_has_connections_for_all_generators() {
    let test = TEST.replace("endpoint: {url: \"http://p:9090/api/v1/write\"}", "receiverRef: {name: receiver}");
    let both = |more: &str| format!("{RECEIVER}---\n{test}  generator: {more}\n");
    assert!(read(&both("{parallelism: 5, connections: 200}")).is_ok());
    let report = problems(&both("{parallelism: 5, connections: 201}"));
    let expected =
        "spec.generator.connections: 5 generators open 1005 connections to the receiver: parallelism * connections is";
    assert!(report.contains(expected) && report.lines().count() == 1, "{report}");
    assert!(
        read(&format!("{TEST}  generator: {{parallelism: 5, connections: 201}}\n")).is_ok(),
        "somebody else's server"
    );
}

#[test]
fn a_receiver_of_ours_is_asked_itself() {
    let to = |target: &str| {
        let sink = SINK.replace("url: \"http://p:9090/api/v1/write\"", "receiverRef: {name: receiver}");
        let test = TEST.replace("endpoint: {url: \"http://p:9090/api/v1/write\"}", target);
        format!("{RECEIVER}---\n{sink}---\n{test}")
    };
    for (target, behind) in [
        ("receiverRef: {name: receiver}", ""),
        ("endpoint: {receiverRef: {name: receiver}}", ""),
        ("sinkRef: {name: sink}", " (sink sink sends to receiver receiver)"),
    ] {
        assert!(read(&to(target)).is_ok(), "{target}");
        let report = problems(&format!("{}  readBack: {{prometheus: {{url: \"http://h/\"}}}}\n", to(target)));
        let expected = format!(
            "spec.readBack: is not used with a receiver of Floodmark, which is asked itself what it holds: remove it{behind}\n"
        );
        assert!(format!("{report}\n").contains(&expected) && report.lines().count() == 1, "{target}: {report}");
    }
    let elsewhere = format!(
        "{SINK}---\n{}",
        TEST.replace("endpoint: {url: \"http://p:9090/api/v1/write\"}", "sinkRef: {name: sink}")
    );
    assert!(read(&format!("{elsewhere}  readBack: {{prometheus: {{url: \"http://h/\"}}}}\n")).is_ok());
}

#[test]
fn only_a_sink_says_what_a_refusal_keeps() {
    expect_all(
        TEST,
        &[
            (
                "readBack: {prometheus: {url: \"http://h/\", partialWrites: Atomic}}",
                "spec.readBack.prometheus.partialWrites: partialWrites is only used in a sink's backend: remove it",
            ),
            (
                "readBack: {victoriaMetrics: {url: \"http://h/\", partialWrites: Atomic}}",
                "spec.readBack.victoriaMetrics.partialWrites: partialWrites is only used",
            ),
        ],
    );
}

#[test]
fn thresholds_have_limits_of_their_unit() {
    expect_all(
        TEST,
        &[
            ("thresholds: [{metric: response.p99}]", "spec.thresholds[0]: needs max or min: write max with a duration"),
            (
                "thresholds: [{metric: response.p99, max: 250}]",
                "spec.thresholds[0].max: \"250\" is not a duration: response.p99 takes a duration",
            ),
            (
                "thresholds: [{metric: drops.total, max: 1s}]",
                "spec.thresholds[0].max: \"1s\" is not a count: drops.total takes a count",
            ),
            (
                "thresholds: [{metric: errors.share, max: 5}]",
                "spec.thresholds[0].max: \"5\" is not a share: errors.share takes a percentage",
            ),
            ("thresholds: [{metric: response.p99, max: banana}]", "spec.thresholds[0].max: \"banana\" is not a limit"),
            (
                "thresholds: [{metric: response.p98, max: 1s}]",
                "spec.thresholds[0].metric: \"response.p98\" is not known: did you mean response.p9",
            ),
            ("thresholds: [{metric: rate.achieved, min: 2k, max: 1k}]", "spec.thresholds[0].min: is more than max"),
        ],
    );
    let all: String = floodmark_api::ThresholdMetric::all()
        .map(|metric| {
            let limit = match metric.unit() {
                floodmark_api::Unit::Duration => "1s",
                floodmark_api::Unit::Count | floodmark_api::Unit::Rate => "1k",
                floodmark_api::Unit::Share => "1%",
            };
            format!("    - {{metric: {metric}, max: {limit}}}\n")
        })
        .collect();
    assert_eq!(all.lines().count(), 5 * 6 + 5 + 12);
    assert!(read(&format!("{TEST}  thresholds:\n{all}")).is_ok());
}
