//! What is seen of a sink's workers, and the step that follows (`ownership::drive`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use ownership::drive::{self, Next, Notes, View};
use ownership::{ControlDocument, MAX_REPLICAS, Phase};
use protocol::WorkerReport;

use crate::build::names;
use crate::kinds::Sink;
use crate::observe::pods::{placed, ready};

/// `reports` are the workers' accounts of this moment by ordinal; who did not answer is not ready and not drained.
///
/// A pod that no node has taken, or that does not exist, has no process. If `pods` were read after `doc`, the next process of that
/// ordinal finds this document or a newer one, since supervisors read it from the API server before they start a worker: of one that
/// drains, there is nobody left to wait for.
pub(crate) fn view(
    sink: &Sink,
    wanted: u32,
    pods: &[Pod],
    reports: &BTreeMap<u32, WorkerReport>,
    doc: &ControlDocument,
) -> View {
    let obeys = |ordinal: u32| reports.get(&ordinal).is_some_and(|report| report.epoch == doc.epoch);
    let pod = |ordinal: u32| {
        let name = names::worker_pod(&sink.name, ordinal);
        pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(&name))
    };
    let is_ready = |ordinal: u32| pod(ordinal).is_some_and(ready) && obeys(ordinal);
    let absent = |ordinal: u32| !pod(ordinal).is_some_and(placed);
    let drained = reports.iter().filter_map(|(&ordinal, report)| Some((ordinal, report.drained?)));
    let gone = (0..doc.from).filter(|_| doc.phase == Phase::Draining).filter(|&ordinal| absent(ordinal));
    View {
        wanted,
        generation: u64::try_from(sink.generation).unwrap_or_default(),
        ready: (0..MAX_REPLICAS).take_while(|&ordinal| is_ready(ordinal)).count() as u32,
        known: (0..doc.from).take_while(|&ordinal| is_ready(ordinal) || absent(ordinal)).count() as u32,
        drained: drained.chain(gone.map(|ordinal| (ordinal, doc.epoch))).collect(),
    }
}

/// What to do next: bring the set to `workers`, then replace document and notes with `publish`.
pub(crate) fn step(sink: &Sink, doc: &ControlDocument, notes: &Notes, view: &View, now_ms: u64) -> Next {
    let timeout = u64::try_from(sink.spec.drain_timeout.0.as_millis()).unwrap_or(u64::MAX);
    drive::step(doc, notes, view, now_ms, timeout, &|ordinal| names::worker_address(&sink.name, ordinal))
}

#[cfg(test)]
mod tests {
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
            "spec": {"nodeName": "node", "containers": []},
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
    fn owners_without_a_process_are_known_to_be_gone_and_hold_nothing_up() {
        let mut waits = pod(1, "False", false);
        waits.spec.as_mut().unwrap().node_name = None;
        let three = [pod(0, "True", false), waits.clone(), pod(2, "True", false)];
        let told = |drained| BTreeMap::from([report(0, 1, drained), report(2, 1, drained)]);
        let (sink, stable, notes) = (sink(2), doc(4), Notes::default());
        // Number 3 does not exist at all.
        let seen = view(&sink, 2, &three, &told(None), &stable);
        assert_eq!((seen.ready, seen.known, seen.drained.len()), (1, 4, 0));
        let (draining, notes) = step(&sink, &stable, &notes, &seen, 1000).publish.unwrap();
        assert_eq!((draining.phase, draining.from, draining.to), (Phase::Draining, 4, 2));
        let seen = view(&sink, 2, &three, &told(None), &draining);
        assert_eq!(seen.drained.iter().copied().collect::<Vec<_>>(), [(1, 1), (3, 1)]);
        let seen = view(&sink, 2, &three, &told(Some(1)), &draining);
        let (settled, _) = step(&sink, &draining, &notes, &seen, 1100).publish.unwrap();
        assert_eq!((settled.phase, settled.epoch, settled.to), (Phase::Stable, 2, 2));
        // Whoever has a node may run, whatever was heard of it.
        for (other, ready, leaving) in [(1, "False", false), (1, "True", true)] {
            let pods = [three[0].clone(), pod(other, ready, leaving), three[2].clone()];
            let seen = view(&sink, 2, &pods, &told(None), &stable);
            assert_eq!((seen.known, step(&sink, &stable, &notes, &seen, 0).publish), (1, None));
            assert_eq!(view(&sink, 2, &pods, &told(None), &draining).drained, [(3, 1)].into());
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
