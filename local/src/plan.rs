//! From a test and what it refers to: the processes to start and the conductor's plan.

use std::time::Duration;

use api::{LoadTestSpec, Object};
use conductor::{ConductorPlan, ReadBackKind, ReadBackPlan};
use ownership::RunRef;
use protocol::Target;

use crate::endpoint::Resolver;
use crate::layout::{Builder, Layout};
use crate::run::{Options, RunError};

/// How long parts and target may take to be ready, unless the test's deadline is earlier.
const READY: Duration = Duration::from_mins(1);

/// Starts nothing, but checks all that can be checked before: every file is read, every address parsed.
pub(crate) fn lay_out(
    options: &Options,
    test: &Object<LoadTestSpec>,
    builder: &mut Builder<'_>,
    conductor: &str,
) -> Result<(Layout, ConductorPlan), RunError> {
    let run = run_id();
    let (id, conductor_base) = (run.clone(), conductor.to_owned());
    builder.run = Some(RunRef { id, uid: String::new(), load_test: test.name.clone(), conductor: conductor_base });
    let mut layout = Layout::default();
    let spec = &test.spec;
    let target = &spec.target;
    let missing = |kind: &str, name: &str| {
        RunError::Usage(format!(
            "{}: {kind} {name:?} is not in the documents: add it to the files after `run`",
            test.name
        ))
    };
    let sink = match &target.sink_ref {
        None => None,
        Some(reference) => Some(
            options.bundle.sink(&test.namespace, &reference.name).ok_or_else(|| missing("sinkRef", &reference.name))?,
        ),
    };
    let receiver_name = sink
        .and_then(|sink| sink.spec.backend.receiver_ref.as_ref())
        .or(target.receiver_ref.as_ref())
        .or_else(|| target.endpoint.as_ref().and_then(|endpoint| endpoint.receiver_ref.as_ref()))
        .map(|reference| reference.name.clone());
    let mut profile = None;
    if let Some(name) = &receiver_name {
        let receiver = options.bundle.receiver(&test.namespace, name).ok_or_else(|| missing("receiverRef", name))?;
        profile = Some(receiver.spec.profile);
        builder.receiver(&mut layout, receiver)?;
    }
    let (plan_target, target_text, ack_policy, lanes, drain) = if let Some(sink) = sink {
        let plan_target = builder.sink(
            &mut layout,
            sink,
            test.spec.chaos.iter().filter_map(|step| step.replicas).max().unwrap_or(0),
        )?;
        let behind = receiver_name.as_deref().or(sink.spec.backend.url.as_deref()).unwrap_or("?");
        let text =
            format!("sink {} ({} workers × {} lanes) → {behind}", sink.name, sink.spec.replicas, sink.spec.lanes);
        (plan_target, text, Some(sink.spec.ack_policy), sink.spec.lanes, sink.spec.drain_timeout.0)
    } else {
        let url = receiver_name.as_deref().and_then(|name| layout.write_url(name));
        let endpoint = target.endpoint.clone().unwrap_or_default();
        let mut endpoint = builder.resolver.endpoint(&endpoint, url.as_deref(), "spec.target.endpoint")?;
        if target.receiver_ref.is_some() {
            // Our own child on loopback: what its document demands is known here.
            if let Some(store) = layout.stores.first() {
                endpoint.tls = store.tls.clone();
                endpoint.basic_auth.clone_from(&store.basic_auth);
            }
        }
        let text = receiver_name.map_or_else(|| endpoint.url.clone(), |name| format!("receiver {name}"));
        (Target::Endpoint { endpoint: Box::new(endpoint) }, text, None, 0, Duration::ZERO)
    };
    let read_back = match &spec.read_back {
        None => None,
        Some(read_back) => Some(read_back_plan(builder.resolver, read_back)?),
    };
    if let (Some(plan), true) = (&read_back, layout.receivers.is_empty()) {
        // Refined by the conductor, which asks the server for its version.
        profile = Some(match plan.kind {
            ReadBackKind::Prometheus => api::Profile::Prometheus3,
            ReadBackKind::VictoriaMetrics => api::Profile::VictoriaMetrics,
        });
    }
    builder.generators(&mut layout, spec.generator.parallelism, conductor)?;
    let plan = ConductorPlan {
        name: test.name.clone(),
        run,
        document: options.document.clone(),
        command: options.command.clone(),
        test: spec.clone(),
        profile,
        target: plan_target,
        target_text,
        ack_policy,
        lanes,
        batch_samples: sink.map_or(0, |sink| sink.spec.batching.max_samples.0.try_into().unwrap_or(u32::MAX)),
        generators: Layout::addresses(&layout.generators),
        workers: Layout::addresses(&layout.workers),
        receivers: layout.stores.clone(),
        read_back,
        ready_timeout: READY,
        drain_timeout: drain,
    };
    Ok((layout, plan))
}

fn read_back_plan(resolver: &Resolver, read_back: &api::ReadBack) -> Result<ReadBackPlan, RunError> {
    let (kind, endpoint, field) = match (&read_back.prometheus, &read_back.victoria_metrics) {
        (Some(endpoint), _) => (ReadBackKind::Prometheus, endpoint, "spec.readBack.prometheus"),
        (None, Some(endpoint)) => (ReadBackKind::VictoriaMetrics, endpoint, "spec.readBack.victoriaMetrics"),
        (None, None) => return Err(RunError::Usage("spec.readBack names no server".into())),
    };
    Ok(ReadBackPlan { kind, endpoint: resolver.endpoint(endpoint, None, field)? })
}

/// Eight hexadecimal digits: the label `floodmark_run`.
fn run_id() -> String {
    telemetry::cpu::incarnation().chars().cycle().take(4).chain(format!("{:04x}", run_number()).chars()).collect()
}

/// Differs between the tests of one process and, with the incarnation, between processes.
fn run_number() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    (now >> 4) as u16 ^ NEXT.fetch_add(1, Ordering::Relaxed)
}
