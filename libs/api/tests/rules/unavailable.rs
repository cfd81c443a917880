//! What the documents can say and Floodmark cannot do yet.

use super::common::{FULL, RECEIVER, SINK, TEST, problems};
use super::{SINK_ONLY, expect, expect_all};

#[test]
fn what_is_not_available_yet_is_refused_by_name() {
    expect_all(
        SINK,
        &[
            ("ownership: {by: Labels, labels: [job]}", "spec.ownership.by: not available yet: ownership by Labels"),
            ("validation: Drop", "spec.validation: not available yet"),
            ("onRejected: {deadLetter: {}}", "spec.onRejected.deadLetter: not available yet"),
        ],
    );
    expect(
        SINK_ONLY,
        "backend: {url: \"http://h/\", protocol: \"2.0\"}",
        "spec.backend.protocol: not available yet: protocol \"2.0\"; write \"1.0\"",
    );
    expect(
        SINK_ONLY,
        "backend: {url: \"http://h/\", sigv4: {region: r}}",
        "spec.backend.sigv4: not available yet: sigv4",
    );
    let report = problems(&format!("{SINK}  ackPolicy: Durable\n  storage: {{size: 10Gi}}\n"));
    assert!(
        report.contains("spec.ackPolicy: not available yet") && report.contains("spec.storage: not available yet"),
        "{report}"
    );
    expect_all(
        &RECEIVER.replace("  profile: Strict\n", ""),
        &[
            ("profile: Mimir", "spec.profile: not available yet"),
            ("outOfOrderWindow: 5m", "spec.outOfOrderWindow: not available yet"),
            ("forwardTo: {url: \"http://h/\"}", "spec.forwardTo: not available yet"),
            ("answers: [{type: WrittenTooLow}]", "spec.answers[0].type: not available yet"),
            (
                "tlsConfig: {cert: {secret: {name: a, key: b}}, keySecret: {name: a, key: c}, clientCa: {secret: {name: a, key: d}}}",
                "spec.tlsConfig.clientCa: not available yet",
            ),
        ],
    );
    expect_all(
        TEST,
        &[
            ("readBack: {prometheus: {url: \"http://h/\"}, depth: Counts}", "spec.readBack.depth: not available yet"),
            (
                "readBack: {victoriaMetrics: {url: \"http://h/\", protocol: \"2.0\"}}",
                "spec.readBack.victoriaMetrics.protocol: not available yet",
            ),
            ("results: {pushgateway: {endpoint: {url: \"http://h/\"}}}", "spec.results.pushgateway: not available yet"),
            (
                "faults: [{type: Jitter, share: 1%}]",
                "spec.faults[0].type: not available yet: fault Jitter; available are OutOfOrder, ",
            ),
        ],
    );
    let scale = FULL.replace("action: Kill, sinkWorker: 1", "action: Scale, replicas: 5");
    assert!(floodmark_api::load(&[("scale.yaml".to_owned(), scale)]).is_ok(), "Scale is available");
    let available =
        floodmark_api::FaultType::ALL.iter().filter(|fault| floodmark_api::fault_available(**fault)).count();
    assert_eq!((available, floodmark_api::FaultType::ALL.len()), (8, 43 + 26 + 16));
}
