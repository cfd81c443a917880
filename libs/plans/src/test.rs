//! A test: where its generators send, and all that its conductor needs to know.

use std::time::Duration;

use api::{LoadTestSpec, Profile, ReadBack, RemoteWriteReceiverSpec, RemoteWriteSinkSpec};
use ownership::{ChaosAction, ChaosEntry};
use protocol::conductor::chaos_id;
use protocol::{ChaosTimeline, ConductorPlan, ReadBackKind, ReadBackPlan, Target};

use crate::{Files, Named, ReceiverAt, endpoint, store};

/// A test with what it refers to, resolved by the engine.
#[derive(Debug, Clone)]
pub struct Test<'a> {
    pub name: &'a str,
    pub spec: &'a LoadTestSpec,
    /// Value of the label `floodmark_run`.
    pub run: String,
    /// The documents as YAML and the command that runs them, for reports.
    pub document: String,
    pub command: String,
    /// What `target.sinkRef` names.
    pub sink: Option<Named<'a, RemoteWriteSinkSpec>>,
    /// The receiver of ours at the end: behind the sink, or the target itself.
    pub receiver: Option<Named<'a, RemoteWriteReceiverSpec>>,
    /// Its base address.
    pub receiver_base: Option<String>,
    /// Base addresses by ordinal; empty without a sink.
    pub workers: Vec<String>,
    /// Base addresses by index.
    pub generators: Vec<String>,
    /// How long all parts may take to come up, the target included.
    pub ready_timeout: Duration,
}

impl Test<'_> {
    fn receiver_at(&self) -> Option<ReceiverAt<'_>> {
        let (receiver, base) = self.receiver.zip(self.receiver_base.as_deref())?;
        Some(ReceiverAt { spec: receiver.spec, base })
    }
}

/// Where the generators send; `files` are those of the generators.
///
/// # Errors
/// A reference without a file.
pub fn target<F: Files>(test: &Test<'_>, files: &F) -> Result<Target, F::Error> {
    if test.sink.is_some() {
        return Ok(Target::Sink { workers: test.workers.clone() });
    }
    let direct = test.spec.target.endpoint.clone().unwrap_or_default();
    let plan = endpoint(&direct, test.receiver_at(), "spec.target.endpoint", files)?;
    Ok(Target::Endpoint { endpoint: Box::new(plan) })
}

/// `files` are those of the conductor.
///
/// # Errors
/// A reference without a file.
pub fn conductor_plan<F: Files>(test: &Test<'_>, target: Target, files: &F) -> Result<ConductorPlan, F::Error> {
    let read_back = match &test.spec.read_back {
        None => None,
        Some(read_back) => Some(read_back_plan(read_back, files)?),
    };
    let receivers = test.receiver_at().map(|receiver| store(receiver, files)).transpose()?.into_iter().collect();
    let sink = test.sink.map(|sink| sink.spec);
    Ok(ConductorPlan {
        name: test.name.to_owned(),
        run: test.run.clone(),
        document: test.document.clone(),
        command: test.command.clone(),
        test: test.spec.clone(),
        profile: profile(test, read_back.as_ref()),
        target_text: target_text(test, &target),
        target,
        ack_policy: sink.map(|sink| sink.ack_policy),
        lanes: sink.map_or(0, |sink| sink.lanes),
        batch_samples: sink.map_or(0, |sink| sink.batching.max_samples.0.try_into().unwrap_or(u32::MAX)),
        generators: test.generators.clone(),
        workers: test.workers.clone(),
        receivers,
        read_back,
        ready_timeout: test.ready_timeout,
        drain_timeout: sink.map_or(Duration::ZERO, |sink| sink.drain_timeout.0),
    })
}

/// Where the store is read back from. A document names exactly one server; without one the plan's URL is empty.
///
/// # Errors
/// A reference without a file.
pub fn read_back_plan<F: Files>(read_back: &ReadBack, files: &F) -> Result<ReadBackPlan, F::Error> {
    let (kind, server, field) = match (&read_back.prometheus, &read_back.victoria_metrics) {
        (None, Some(server)) => (ReadBackKind::VictoriaMetrics, Some(server), "spec.readBack.victoriaMetrics"),
        (server, _) => (ReadBackKind::Prometheus, server.as_ref(), "spec.readBack.prometheus"),
    };
    let server = server.cloned().unwrap_or_default();
    Ok(ReadBackPlan { kind, endpoint: endpoint(&server, None, field, files)? })
}

/// Of a server that is read back the conductor refines it: it asks for the version.
fn profile(test: &Test<'_>, read_back: Option<&ReadBackPlan>) -> Option<Profile> {
    let read = |plan: &ReadBackPlan| match plan.kind {
        ReadBackKind::Prometheus => Profile::Prometheus3,
        ReadBackKind::VictoriaMetrics => Profile::VictoriaMetrics,
    };
    test.receiver.map(|receiver| receiver.spec.profile).or(read_back.map(read))
}

fn target_text(test: &Test<'_>, target: &Target) -> String {
    let receiver = test.receiver.map(|receiver| receiver.name);
    match (test.sink, target) {
        (Some(sink), _) => {
            let behind = receiver.or(sink.spec.backend.url.as_deref()).unwrap_or("?");
            format!("sink {} ({} workers × {} lanes) → {behind}", sink.name, sink.spec.replicas, sink.spec.lanes)
        }
        (None, Target::Endpoint { endpoint }) => {
            receiver.map_or_else(|| endpoint.url.clone(), |name| format!("receiver {name}"))
        }
        (None, Target::Sink { .. }) => String::new(),
    }
}

/// What the supervisors of workers carry out by themselves: Kill and Pause. The rest takes an engine. Nothing before t0 is known.
pub fn chaos_entries(timeline: &ChaosTimeline) -> Vec<ChaosEntry> {
    let Some(t0) = timeline.t0 else { return Vec::new() };
    let entries = timeline.events.iter().filter_map(|event| {
        let action = match event.step.action {
            api::ChaosAction::Kill => ChaosAction::Kill,
            api::ChaosAction::Pause => {
                let length = event.step.r#for.map_or(Duration::ZERO, |length| length.0);
                ChaosAction::Pause { for_ms: u64::try_from(length.as_millis()).unwrap_or(u64::MAX) }
            }
            api::ChaosAction::Terminate | api::ChaosAction::Restart | api::ChaosAction::Scale => return None,
        };
        Some(ChaosEntry {
            id: chaos_id(t0, event.index),
            at_unix_ms: t0 / 1_000_000 + event.at_ms,
            ordinal: event.step.sink_worker?,
            action,
        })
    });
    entries.collect()
}
