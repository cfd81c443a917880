//! What a sink or a test refers to, read and checked.

use api::{Bundle, LoadTestSpec, Object, RemoteWriteSinkSpec};

use super::Context;
use crate::build::plans::Named;
use crate::error::{Error, What};
use crate::kinds::{Kind, Parsed, Receiver, Sink, Test, parse, resource};

/// What was found, and what is wrong with it in words.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resolved {
    pub(crate) sink: Option<Sink>,
    pub(crate) receiver: Option<Receiver>,
    pub(crate) unresolved: Option<String>,
}

impl Resolved {
    pub(crate) fn sink(&self) -> Option<Named<'_, RemoteWriteSinkSpec>> {
        self.sink.as_ref().map(named)
    }

    pub(crate) fn receiver(&self) -> Option<Named<'_, api::RemoteWriteReceiverSpec>> {
        self.receiver.as_ref().map(named)
    }
}

pub(crate) fn named<S, T>(object: &Parsed<S, T>) -> Named<'_, S> {
    Named { name: &object.name, spec: &object.spec }
}

fn document<S: Clone, T>(object: &Parsed<S, T>) -> Object<S> {
    Object {
        name: object.name.clone(),
        namespace: object.namespace.clone(),
        labels: std::collections::BTreeMap::default(),
        annotations: std::collections::BTreeMap::default(),
        spec: object.spec.clone(),
        source: api::Source::default(),
    }
}

/// The receiver behind a sink.
pub(crate) async fn of_sink(context: &Context, namespace: &str, spec: &RemoteWriteSinkSpec) -> Result<Resolved, Error> {
    let mut resolved = Resolved::default();
    if let Some(to) = &spec.backend.receiver_ref {
        receiver(context, namespace, &to.name, "spec.backend.receiverRef.name", &mut resolved).await?;
    }
    Ok(resolved)
}

/// The sink and the receiver of a test, and whether they go together with it.
pub(crate) async fn of_test(context: &Context, test: &Test) -> Result<Resolved, Error> {
    let namespace = &test.namespace;
    let mut resolved = Resolved::default();
    let target = &test.spec.target;
    if let Some(to) = &target.sink_ref {
        let what = || format!("RemoteWriteSink {}", to.name);
        let live = context.cluster.get_object(&resource(Kind::Sink), namespace, &to.name).await.what(what)?;
        match live.as_ref().map(parse::<RemoteWriteSinkSpec, _>) {
            None => {
                resolved.unresolved =
                    Some(format!("spec.target.sinkRef.name: there is no RemoteWriteSink {}", to.name));
                return Ok(resolved);
            }
            Some(Err(invalid)) => {
                resolved.unresolved = Some(format!("RemoteWriteSink {} is not understood: {invalid}", to.name));
                return Ok(resolved);
            }
            Some(Ok(sink)) => {
                if let Some(to) = &sink.spec.backend.receiver_ref {
                    receiver(context, namespace, &to.name, "spec.backend.receiverRef.name", &mut resolved).await?;
                }
                if let Some(problem) = api::check_sink(&sink.spec).first() {
                    let text = format!("RemoteWriteSink {}: {}: {}", sink.name, problem.field, problem.message);
                    resolved.unresolved.get_or_insert(text);
                }
                resolved.sink = Some(sink);
            }
        }
    } else if let Some(to) = receiver_of(&test.spec) {
        receiver(context, namespace, to, "spec.target.receiverRef.name", &mut resolved).await?;
    }
    if resolved.unresolved.is_none() {
        resolved.unresolved = together(test, &resolved);
    }
    Ok(resolved)
}

fn receiver_of(spec: &LoadTestSpec) -> Option<&str> {
    let by_endpoint = spec.target.endpoint.as_ref().and_then(|endpoint| endpoint.receiver_ref.as_ref());
    spec.target.receiver_ref.as_ref().or(by_endpoint).map(|to| to.name.as_str())
}

/// The rules between documents, the same as on one machine.
fn together(test: &Test, resolved: &Resolved) -> Option<String> {
    let bundle = Bundle {
        sinks: resolved.sink.iter().map(document).collect(),
        receivers: resolved.receiver.iter().map(document).collect(),
        load_tests: vec![document(test)],
    };
    let problems = api::check_references(&bundle);
    problems.first().map(|problem| format!("{}: {}", problem.field, problem.message))
}

async fn receiver(
    context: &Context,
    namespace: &str,
    name: &str,
    field: &str,
    resolved: &mut Resolved,
) -> Result<(), Error> {
    let what = || format!("RemoteWriteReceiver {name}");
    let live = context.cluster.get_object(&resource(Kind::Receiver), namespace, name).await.what(what)?;
    let wrong = match live.as_ref().map(parse::<api::RemoteWriteReceiverSpec, _>) {
        None => Some(format!("{field}: there is no RemoteWriteReceiver {name}")),
        Some(Err(invalid)) => Some(format!("RemoteWriteReceiver {name} is not understood: {invalid}")),
        Some(Ok(receiver)) => {
            let problem = api::check_receiver(&receiver.spec).into_iter().next();
            resolved.receiver = Some(receiver);
            problem.map(|problem| format!("RemoteWriteReceiver {name}: {}: {}", problem.field, problem.message))
        }
    };
    if let Some(wrong) = wrong {
        resolved.unresolved.get_or_insert(wrong);
    }
    Ok(())
}
