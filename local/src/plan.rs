//! From a test and what it refers to: the processes to start and the conductor's plan.

use std::time::Duration;

use api::{LoadTestSpec, Object};
use ownership::RunRef;
use plans::{Named, Test};
use protocol::{ConductorPlan, ReadBackKind, Target};

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
    let name = test.name_among(&options.bundle.load_tests);
    let (id, conductor_base) = (run.clone(), conductor.to_owned());
    builder.run = Some(RunRef { id, uid: String::new(), load_test: name.clone(), conductor: conductor_base });
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
    let receiver = sink
        .and_then(|sink| sink.spec.backend.receiver_ref.as_ref())
        .or(target.receiver_ref.as_ref())
        .or_else(|| target.endpoint.as_ref().and_then(|endpoint| endpoint.receiver_ref.as_ref()));
    let receiver = match receiver {
        None => None,
        Some(reference) => {
            let found = options.bundle.receiver(&test.namespace, &reference.name);
            Some(found.ok_or_else(|| missing("receiverRef", &reference.name))?)
        }
    };
    if let Some(receiver) = receiver {
        builder.receiver(&mut layout, receiver)?;
    }
    if let Some(sink) = sink {
        let most = spec.chaos.iter().filter_map(|step| step.replicas).max().unwrap_or(0);
        builder.sink(&mut layout, sink, most)?;
    }
    builder.generators(&mut layout, spec.generator.parallelism, conductor)?;
    let test = Test {
        name: &name,
        spec,
        run,
        document: options.document.clone(),
        command: options.command.clone(),
        sink: sink.map(|sink| Named { name: &sink.name, spec: &sink.spec }),
        receiver: receiver.map(|receiver| Named { name: &receiver.name, spec: &receiver.spec }),
        receiver_base: layout.stores.first().map(|store| store.base.clone()),
        workers: Layout::addresses(&layout.workers),
        generators: Layout::addresses(&layout.generators),
        ready_timeout: READY,
    };
    let resolver = builder.resolver;
    let mut target = plans::target(&test, resolver)?;
    if let Target::Endpoint { endpoint } = &mut target {
        resolver.settle(endpoint, "spec.target.endpoint")?;
    }
    let mut plan = plans::conductor_plan(&test, target, resolver)?;
    if let Some(read_back) = &mut plan.read_back {
        let server = match read_back.kind {
            ReadBackKind::Prometheus => "prometheus",
            ReadBackKind::VictoriaMetrics => "victoriaMetrics",
        };
        resolver.settle(&mut read_back.endpoint, &format!("spec.readBack.{server}"))?;
    }
    Ok((layout, plan))
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
