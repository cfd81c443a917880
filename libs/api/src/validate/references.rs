//! References between documents, and the rules between a test and what it refers to.

use std::collections::{BTreeMap, BTreeSet};

use crate::bundle::{Bundle, Object};
use crate::problem::Problem;
use crate::validate::{MAX_CONNECTIONS, NOT_READ_BACK, too_connected, within};
use crate::{ChaosStep, Count, Duration, LoadTestSpec, RemoteWriteSinkSpec};

/// What could not be read of a set of files: a reference to it is no mistake, and nothing follows from its values.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// Whole documents are unknown.
    pub(crate) unread: bool,
    /// Kinds of which an object has no usable name or namespace.
    nameless: BTreeSet<String>,
    /// (kind, namespace, name) to the fields that are wrong; an object that is given without a mistake has none.
    objects: BTreeMap<(String, String, String), Vec<String>>,
}

impl Doubts {
    pub(crate) fn nameless(&mut self, kind: &str) {
        self.nameless.insert(kind.to_owned());
    }

    /// An object was given, with these fields wrong.
    pub(crate) fn add(&mut self, kind: &str, namespace: &str, name: &str, fields: &[String]) {
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        self.objects.entry(key).or_default().extend_from_slice(fields);
    }

    /// May there be such an object?
    fn may_exist(&self, kind: &str, namespace: &str, name: &str) -> bool {
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        self.unread || self.nameless.contains(kind) || self.objects.contains_key(&key)
    }

    /// Is the value of that field uncertain?
    fn touch(&self, kind: &str, namespace: &str, name: &str, field: &str) -> bool {
        let key = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        let fields = self.objects.get(&key).map_or(&[][..], Vec::as_slice);
        fields.iter().any(|wrong| within(wrong, field) || within(field, wrong))
    }
}

/// References that point to nothing in the bundle, and rules between documents. On one machine everything has to be in the files.
pub fn check_references(bundle: &Bundle) -> Vec<Problem> {
    check_with_doubts(bundle, &Doubts::default())
}

/// Like [`check_references`], but says nothing that only follows from what could not be read.
pub(crate) fn check_with_doubts(bundle: &Bundle, doubts: &Doubts) -> Vec<Problem> {
    let mut check = Check { bundle, doubts, problems: Vec::new() };
    for sink in &bundle.sinks {
        if let Some(to) = &sink.spec.backend.receiver_ref {
            check.receiver(sink, &to.name, "spec.backend.receiverRef.name");
        }
    }
    for from in &bundle.receivers {
        if let Some(to) = from.spec.forward_to.as_ref().and_then(|endpoint| endpoint.receiver_ref.as_ref()) {
            let field = "spec.forwardTo.receiverRef.name";
            check.receiver(from, &to.name, field);
            if to.name == from.name {
                let message = "a receiver cannot forward to itself: name another one";
                check.problems.push(from.source.problem(field, message));
            }
        }
    }
    for test in &bundle.load_tests {
        check.load_test(test);
    }
    check.problems
}

struct Check<'a> {
    bundle: &'a Bundle,
    doubts: &'a Doubts,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn load_test(&mut self, test: &Object<LoadTestSpec>) {
        let target = &test.spec.target;
        if let Some(to) = &target.receiver_ref {
            self.receiver(test, &to.name, "spec.target.receiverRef.name");
        }
        if let Some(to) = target.endpoint.as_ref().and_then(|endpoint| endpoint.receiver_ref.as_ref()) {
            self.receiver(test, &to.name, "spec.target.endpoint.receiverRef.name");
        }
        let Some(to) = &target.sink_ref else { return };
        let Some(sink) = self.bundle.sink(&test.namespace, &to.name) else {
            let known = self.bundle.sinks.iter().map(|o| (o.namespace.as_str(), o.name.as_str()));
            self.missing("RemoteWriteSink", test, &to.name, known, "spec.target.sinkRef.name");
            return;
        };
        let sound = |field: &str| !self.doubts.touch("RemoteWriteSink", &sink.namespace, &sink.name, field);
        if sound("spec.replicas") {
            for (i, step) in test.spec.chaos.iter().enumerate() {
                let most = most_workers(&test.spec.chaos, step.at, sink.spec.replicas);
                if let Some(worker) = step.sink_worker.filter(|worker| *worker >= most) {
                    let held = match most {
                        1 => "1 replica: write 0".to_owned(),
                        _ if most == sink.spec.replicas => format!("{most} replicas: write 0 to {}", most - 1),
                        _ => format!("at most {most} replicas at that time: write 0 to {}", most - 1),
                    };
                    let held = format!("sink {} has {held}, or give it more", sink.name);
                    let message = format!("worker {worker} does not exist: {held}");
                    self.problems.push(test.source.problem(format!("spec.chaos[{i}].sinkWorker"), message));
                }
            }
        }
        let own = |field: &str| !self.doubts.touch("LoadTest", &test.namespace, &test.name, field);
        if let (Some(_), Some(to)) = (&test.spec.read_back, &sink.spec.backend.receiver_ref)
            && own("spec.readBack")
            && sound("spec.backend")
        {
            let message = format!("{NOT_READ_BACK} (sink {} sends to receiver {})", sink.name, to.name);
            self.problems.push(test.source.problem("spec.readBack", message));
        }
        self.connections(test, sink);
        let (request, buffer) = (u64::from(test.spec.generator.samples_per_request), sink.spec.buffer.max_samples);
        if request > buffer.0 && own("spec.generator.samplesPerRequest") && sound("spec.buffer.maxSamples") {
            let message = format!(
                "{} samples never fit into the buffer of sink {}, {buffer}: write at most that",
                Count(request),
                sink.name
            );
            self.problems.push(test.source.problem("spec.generator.samplesPerRequest", message));
        }
    }

    /// A generator opens a connection to each lane of each worker, a worker one to the receiver for each of its lanes.
    fn connections(&mut self, test: &Object<LoadTestSpec>, sink: &Object<RemoteWriteSinkSpec>) {
        let sound = |field: &str| !self.doubts.touch("RemoteWriteSink", &sink.namespace, &sink.name, field);
        let parallel = !self.doubts.touch("LoadTest", &test.namespace, &test.name, "spec.generator.parallelism");
        if !sound("spec.lanes") {
            return;
        }
        let (name, lanes) = (&sink.name, u32::from(sink.spec.lanes));
        let all = test.spec.generator.parallelism.saturating_mul(lanes);
        let mut found = Vec::new();
        if all > MAX_CONNECTIONS && parallel {
            let text = format!(
                "{} generators open {all} connections to each worker of sink {name}, one for each of its {lanes} lanes: {}",
                test.spec.generator.parallelism,
                too_connected("parallelism * lanes")
            );
            found.push(("spec.generator.parallelism".to_owned(), text));
        }
        if sink.spec.backend.receiver_ref.is_some() {
            for (i, replicas) in test.spec.chaos.iter().enumerate().filter_map(|(i, step)| Some((i, step.replicas?))) {
                let all = replicas.saturating_mul(lanes);
                if all > MAX_CONNECTIONS {
                    let text = format!(
                        "{replicas} workers of sink {name} with {lanes} lanes open {all} connections to its receiver: {}",
                        too_connected("replicas * lanes")
                    );
                    found.push((format!("spec.chaos[{i}].replicas"), text));
                }
            }
        }
        self.problems.extend(found.into_iter().map(|(field, text)| test.source.problem(field, text)));
    }

    fn receiver<S>(&mut self, from: &Object<S>, name: &str, field: &str) {
        if self.bundle.receiver(&from.namespace, name).is_none() {
            let known = self.bundle.receivers.iter().map(|o| (o.namespace.as_str(), o.name.as_str()));
            self.missing("RemoteWriteReceiver", from, name, known, field);
        }
    }

    /// Reports a reference to what is not there; `known` are the (namespace, name) of what is.
    fn missing<'b, S>(
        &mut self,
        kind: &str,
        from: &Object<S>,
        name: &str,
        known: impl Iterator<Item = (&'b str, &'b str)>,
        field: &str,
    ) {
        let namespace = &from.namespace;
        if self.doubts.may_exist(kind, namespace, name) {
            return;
        }
        let known: Vec<&str> = known.filter(|(at, _)| at == namespace).map(|(_, name)| name).take(16).collect();
        let hint = if known.is_empty() {
            format!("the files hold no {kind} of that namespace")
        } else {
            format!("there are {}", known.join(", "))
        };
        let message = format!("no {kind} {name:?} in namespace {namespace}: {hint}");
        self.problems.push(from.source.problem(field, message));
    }
}

/// How many workers there can be at a time: those that the sink begins with, or that an earlier `Scale` asks for.
fn most_workers(chaos: &[ChaosStep], at: Duration, replicas: u32) -> u32 {
    chaos.iter().filter(|step| step.at.0 <= at.0).filter_map(|step| step.replicas).fold(replicas, u32::max)
}
