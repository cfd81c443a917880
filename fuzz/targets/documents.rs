//! YAML through parse and validation: always a message with its place, or documents that every part takes and that read back the same.
#![no_main]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use api::{
    Bundle, LoadTestSpec, Object, Problems, RemoteWriteReceiverSpec, RemoteWriteSinkSpec, load, load_without_references,
};
use faults::FaultPlan;
use floodmark_http::client::{Connection, Endpoint, EndpointError};
use libfuzzer_sys::fuzz_target;
use plans::{Files, Kept, Named, ReceiverAt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use workload::Workload;

struct NoFiles;

impl Files for NoFiles {
    type Error = Infallible;

    fn file(&self, _: &str, _: Kept, _: &str, _: &str) -> Result<PathBuf, Infallible> {
        Ok("/nowhere".into())
    }
}

fuzz_target!(|text: &str| {
    let whole = load(&files(text));
    match load_without_references(&files(text)) {
        Err(problems) => {
            assert!(whole.is_err());
            told(&problems, text);
        }
        Ok(bundle) => {
            let _ = whole.map_err(|problems| told(&problems, text));
            let _ = api::local_warnings(&bundle);
            bundle.sinks.iter().for_each(sink);
            bundle.receivers.iter().for_each(receiver);
            bundle.load_tests.iter().for_each(load_test);
        }
    }
});

fn files(text: &str) -> [(String, String); 1] {
    [("f.yaml".into(), text.into())]
}

fn told(problems: &Problems, text: &str) {
    assert!(!problems.shown.is_empty() && problems.total >= problems.shown.len());
    // What is missing at the end is missing behind the last line.
    let lines = text.split(['\n', '\r']).count() + 1;
    for problem in &problems.shown {
        assert!(!problem.message.is_empty() && problem.line <= lines, "{problem:?} of {lines} lines");
        assert!(!problem.to_string().contains(char::is_control), "{problem:?}");
    }
}

fn sink(object: &Object<RemoteWriteSinkSpec>) {
    same_again(object, "RemoteWriteSink", |bundle| bundle.sinks);
    let Ok(plan) = plans::sink_plan(Named { name: &object.name, spec: &object.spec }, Some(ours()), &NoFiles);
    connects(&plan.backend);
    let addresses = vec!["a:1".into(); object.spec.replicas as usize];
    assert_eq!(plans::first_control("uid", &object.spec, addresses).validate(), Ok(()));
}

fn ours() -> ReceiverAt<'static> {
    static PLAIN: LazyLock<RemoteWriteReceiverSpec> = LazyLock::new(RemoteWriteReceiverSpec::default);
    ReceiverAt { spec: &PLAIN, base: "http://a" }
}

fn receiver(object: &Object<RemoteWriteReceiverSpec>) {
    same_again(object, "RemoteWriteReceiver", |bundle| bundle.receivers);
    let Ok(control) = plans::receiver_control(&object.spec, None, &NoFiles);
    assert_eq!(receiver::fuzzing::refuses(&control), None);
}

fn load_test(object: &Object<LoadTestSpec>) {
    same_again(object, "LoadTest", |bundle| bundle.load_tests);
    let LoadTestSpec { workload, stages, seed, faults, target, .. } = &object.spec;
    if let Some(endpoint) = &target.endpoint {
        let Ok(endpoint) = plans::endpoint(endpoint, Some(ours()), "spec.target.endpoint", &NoFiles);
        connects(&endpoint);
    }
    // What takes seconds to prepare is left to those who run it.
    if workload.iter().map(|group| u64::from(group.metrics)).sum::<u64>() < 1000 {
        let workload = Arc::new(Workload::new(workload, stages, *seed, "run").unwrap());
        FaultPlan::new(faults, *seed, &workload).unwrap();
    }
}

/// Nothing is wrong with an endpoint but that its files are not there.
fn connects(endpoint: &Endpoint) {
    let error = Connection::new(endpoint).err();
    assert!(matches!(error, None | Some(EndpointError::File { .. } | EndpointError::Tls(_))), "{error:?}");
}

fn same_again<S: Serialize + DeserializeOwned + PartialEq + Debug>(
    object: &Object<S>,
    kind: &str,
    of_kind: fn(Bundle) -> Vec<Object<S>>,
) {
    let Object { name, namespace, labels, annotations, spec, .. } = object;
    let json = serde_json::to_value(spec).unwrap();
    assert_eq!(serde_json::from_value::<S>(json.clone()).as_ref().ok(), Some(spec), "{json}");
    let text: BTreeMap<_, _> = [
        ("apiVersion", api::API_VERSION.into()),
        ("kind", kind.into()),
        (
            "metadata",
            serde_json::json!({"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}),
        ),
        ("spec", json),
    ]
    .into();
    let text = api::to_yaml(&serde_json::to_value(text).unwrap());
    let bundle = load_without_references(&files(&text)).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let [again] = of_kind(bundle).try_into().unwrap_or_else(|_| panic!("{text}"));
    assert_eq!((name, namespace, spec), (&again.name, &again.namespace, &again.spec), "{text}");
    assert_eq!((labels, annotations), (&again.labels, &again.annotations), "{text}");
}
