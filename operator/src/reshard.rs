//! What is seen of a sink's workers, and the step that follows (`ownership::drive`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use ownership::drive::{self, Next, Notes, View};
use ownership::{ControlDocument, MAX_REPLICAS};
use protocol::WorkerReport;

use crate::build::names;
use crate::kinds::Sink;
use crate::observe::pods::ready;

/// `reports` are the workers' accounts of this moment by ordinal; who did not answer is not ready and not drained.
pub(crate) fn view(
    sink: &Sink,
    wanted: u32,
    pods: &[Pod],
    reports: &BTreeMap<u32, WorkerReport>,
    doc: &ControlDocument,
) -> View {
    let obeys = |ordinal: u32| reports.get(&ordinal).is_some_and(|report| report.epoch == doc.epoch);
    let is_there = |ordinal: u32| {
        let name = names::worker_pod(&sink.name, ordinal);
        pods.iter().any(|pod| pod.metadata.name.as_deref() == Some(&name) && ready(pod))
    };
    let drained = reports.iter().filter_map(|(&ordinal, report)| Some((ordinal, report.drained?)));
    View {
        wanted,
        generation: u64::try_from(sink.generation).unwrap_or_default(),
        ready: (0..MAX_REPLICAS).take_while(|&ordinal| is_there(ordinal) && obeys(ordinal)).count() as u32,
        drained: drained.collect(),
    }
}

/// What to do next: bring the set to `workers`, then replace document and notes with `publish`.
pub(crate) fn step(sink: &Sink, doc: &ControlDocument, notes: &Notes, view: &View, now_ms: u64) -> Next {
    let timeout = u64::try_from(sink.spec.drain_timeout.0.as_millis()).unwrap_or(u64::MAX);
    drive::step(doc, notes, view, now_ms, timeout, &|ordinal| names::worker_address(&sink.name, ordinal))
}

#[cfg(test)]
mod tests {
    use ownership::Phase;
    use serde_json::json;

    use super::*;
    use crate::build::plans::{Named, first_control};

    fn sink(replicas: u32) -> Sink {
        let object = json!({
            "apiVersion": "floodmark.dev/v1alpha1", "kind": "RemoteWriteSink",
            "metadata": {"name": "s", "namespace": "n", "uid": "u", "generation": 4},
            "spec": {"replicas": replicas, "backend": {"url": "http://a/b"}, "drainTimeout": "10s"},
        });
        crate::kinds::parse(&serde_json::from_value(object).unwrap()).unwrap()
    }

    fn pod(ordinal: u32, ready: &str, leaving: bool) -> Pod {
        let mut pod = json!({
            "metadata": {"name": format!("s-sink-{ordinal}")},
            "status": {"conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": ready}]},
        });
        if leaving {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(pod).unwrap()
    }

    fn report(ordinal: u32, epoch: u64, drained: Option<u64>) -> (u32, WorkerReport) {
        let report = json!({
            "ordinal": ordinal, "epoch": epoch, "drained": drained, "account": ledger_account(), "fatal": null,
            "lastError": null, "stalls": [], "cpu": {},
        });
        (ordinal, serde_json::from_value(report).unwrap())
    }

    fn ledger_account() -> serde_json::Value {
        json!({})
    }

    fn doc(replicas: u32) -> ControlDocument {
        first_control("u", Named { name: "s", spec: &sink(replicas).spec })
    }

    #[test]
    fn ready_are_those_in_a_row_who_obey_the_present_map() {
        let doc = doc(3);
        let all: Vec<Pod> = (0..3).map(|ordinal| pod(ordinal, "True", false)).collect();
        let reports: BTreeMap<_, _> = (0..3).map(|ordinal| report(ordinal, 1, None)).collect();
        assert_eq!(view(&sink(3), 3, &all, &reports, &doc).ready, 3);
        for (pods, reports, ready) in [
            (vec![pod(0, "True", false), pod(1, "False", false), pod(2, "True", false)], reports.clone(), 1),
            (vec![pod(0, "True", false), pod(1, "True", true), pod(2, "True", false)], reports.clone(), 1),
            (all.clone(), BTreeMap::from([report(0, 1, None), report(2, 1, None)]), 1),
            (all.clone(), BTreeMap::from([report(0, 0, None), report(1, 1, None)]), 0),
        ] {
            assert_eq!(view(&sink(3), 3, &pods, &reports, &doc).ready, ready);
        }
    }

    #[test]
    fn a_scale_out_goes_through_three_writes() {
        let (sink, doc, notes) = (sink(3), doc(2), Notes::default());
        let pods: Vec<Pod> = (0..3).map(|ordinal| pod(ordinal, "True", false)).collect();
        let told = |n: u32, drained| (0..n).map(|ordinal| report(ordinal, 1, drained)).collect::<BTreeMap<_, _>>();
        let next = step(&sink, &doc, &notes, &view(&sink, sink.spec.replicas, &pods, &told(2, None), &doc), 1000);
        assert_eq!((next.workers, next.publish), (3, None));
        let next = step(&sink, &doc, &notes, &view(&sink, sink.spec.replicas, &pods, &told(3, None), &doc), 1000);
        let (doc, notes) = next.publish.unwrap();
        assert_eq!((doc.phase, notes.draining_since), (Phase::Draining, Some(1000)));
        assert_eq!(doc.addresses[2], "s-sink-2.s-sink-workers:9400");
        let next = step(&sink, &doc, &notes, &view(&sink, sink.spec.replicas, &pods, &told(2, Some(1)), &doc), 1250);
        let (stable, settled) = next.publish.unwrap();
        assert_eq!((stable.phase, stable.epoch, stable.to, settled.last_pause), (Phase::Stable, 2, 3, Some(250)));
        // Somebody does not drain in time: back, and the edit that wanted it is named.
        let next = step(&sink, &doc, &notes, &view(&sink, sink.spec.replicas, &pods, &told(1, Some(1)), &doc), 11_000);
        let failed = next.publish.unwrap().1.failed.unwrap();
        assert_eq!((failed.to, failed.generation, failed.waiting_for), (3, 4, 1));
    }
}
