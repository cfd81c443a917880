//! From YAML to plans, with an engine that has a file for every key but one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests end by panics")]

use std::path::PathBuf;
use std::time::Duration;

use floodmark_http::client::Secret;
use floodmark_plans::{
    Files, Kept, Named, ReceiverAt, Test, chaos_entries, conductor_plan, endpoint, first_control, receiver_control,
    sink_plan, store, target,
};
use ownership::{ChaosAction, Phase};
use protocol::{ChaosEvent, ChaosTimeline, Target};

struct Engine;

impl Files for Engine {
    type Error = String;

    fn file(&self, field: &str, kept: Kept, name: &str, key: &str) -> Result<PathBuf, String> {
        let folder = match kept {
            Kept::Secret => "secret",
            Kept::ConfigMap => "map",
        };
        if key == "missing" { Err(field.to_owned()) } else { Ok(PathBuf::from(format!("/{folder}/{name}/{key}"))) }
    }
}

const DOCUMENTS: &str = "
apiVersion: floodmark.dev/v1alpha1
kind: RemoteWriteReceiver
metadata: {name: store}
spec:
  basicAuth: {username: {name: door, key: user}, password: {name: door, key: password}}
  tlsConfig: {cert: {configMap: {name: public, key: crt}}, keySecret: {name: door, key: key}}
---
apiVersion: floodmark.dev/v1alpha1
kind: RemoteWriteSink
metadata: {name: sink}
spec:
  replicas: 2
  lanes: 3
  batching: {maxSamples: 700}
  drainTimeout: 9s
  backend:
    receiverRef: {name: store}
    requestTimeout: 7s
    userAgent: me
    headers: [{name: X-A, value: b}, {name: X-C, valueFrom: {secret: {name: s, key: c}}}]
    authorization: {credentials: {name: s, key: token}}
    tlsConfig: {ca: {configMap: {name: roots, key: pem}}, serverName: store}
---
apiVersion: floodmark.dev/v1alpha1
kind: LoadTest
metadata: {name: test}
spec:
  target: {sinkRef: {name: sink}}
  generator: {parallelism: 2}
  workload: [{name: app, targets: 2, seriesPerTarget: 10, metrics: 1, scrapeInterval: 1s}]
  stages: [{for: 10s}]
";

fn bundle() -> api::Bundle {
    api::load(&[("test.yaml".to_owned(), DOCUMENTS.to_owned())]).unwrap()
}

fn named<S>(object: &api::Object<S>) -> Named<'_, S> {
    Named { name: &object.name, spec: &object.spec }
}

fn store_of(bundle: &api::Bundle) -> ReceiverAt<'_> {
    ReceiverAt { spec: &bundle.receivers[0].spec, base: "https://store:9400" }
}

fn test_of(bundle: &api::Bundle) -> Test<'_> {
    Test {
        name: "test",
        spec: &bundle.load_tests[0].spec,
        run: "0123abcd".to_owned(),
        document: "document".to_owned(),
        command: "command".to_owned(),
        sink: Some(named(&bundle.sinks[0])),
        receiver: Some(named(&bundle.receivers[0])),
        receiver_base: Some("https://store:9400".to_owned()),
        workers: vec!["http://w0:1".to_owned(), "http://w1:1".to_owned()],
        generators: vec!["http://g0:1".to_owned(), "http://g1:1".to_owned()],
        ready_timeout: Duration::from_secs(60),
    }
}

#[test]
fn a_sink_gets_its_plan_and_its_first_document() {
    let bundle = bundle();
    let sink = named(&bundle.sinks[0]);
    let plan = sink_plan(sink, Some(store_of(&bundle)), &Engine).unwrap();
    assert_eq!(plan.name, "sink");
    let backend = &plan.backend;
    assert_eq!((backend.url.as_str(), backend.user_agent.as_deref()), ("https://store:9400/api/v1/write", Some("me")));
    assert_eq!(backend.request_timeout, Duration::from_secs(7));
    assert_eq!(backend.headers[0].value, Secret::Value("b".to_owned()));
    assert_eq!(backend.headers[1].value, Secret::File("/secret/s/c".into()));
    let authorization = backend.authorization.as_ref().unwrap();
    assert_eq!(
        (authorization.scheme.as_str(), &authorization.credentials),
        ("Bearer", &Secret::File("/secret/s/token".into()))
    );
    assert_eq!(backend.tls.ca_file, Some("/map/roots/pem".into()));
    assert_eq!(backend.tls.server_name.as_deref(), Some("store"));
    assert!(backend.basic_auth.is_none() && !backend.tls.insecure_skip_verify, "what the endpoint says itself holds");
    assert_eq!(plan.batching.max_samples.0, 700);
    let document = first_control("uid", sink.spec, vec!["a:1".to_owned(), "b:1".to_owned()]);
    assert_eq!(document.validate(), Ok(()));
    assert_eq!(
        (document.epoch, document.phase, document.from, document.to, document.lanes),
        (1, Phase::Stable, 2, 2, 3)
    );
}

#[test]
fn only_our_own_receivers_are_known_to_keep_the_good_samples() {
    let mut bundle = bundle();
    let of = |bundle: &api::Bundle, receiver: Option<ReceiverAt<'_>>| {
        sink_plan(named(&bundle.sinks[0]), receiver, &Engine).unwrap().partial_writes
    };
    assert_eq!(of(&bundle, Some(store_of(&bundle))), api::PartialWrites::KeepsGood);
    assert_eq!(of(&bundle, None), api::PartialWrites::Unknown);
    bundle.sinks[0].spec.backend.partial_writes = api::PartialWrites::Atomic;
    assert_eq!(of(&bundle, Some(store_of(&bundle))), api::PartialWrites::Atomic);
}

#[test]
fn a_sink_meets_the_demands_of_the_receiver_behind_it() {
    let mut bundle = bundle();
    let backend = &mut bundle.sinks[0].spec.backend;
    (backend.authorization, backend.tls_config) = (None, None);
    let plan = sink_plan(named(&bundle.sinks[0]), Some(store_of(&bundle)), &Engine).unwrap();
    assert!(plan.backend.tls.insecure_skip_verify);
    assert_eq!(plan.backend.basic_auth.unwrap().username, Secret::File("/secret/door/user".into()));
    assert_eq!(plan.backend.headers.len(), 2, "and what it says itself");
}

#[test]
fn a_receiver_gets_files_and_is_asked_with_its_own_credentials() {
    let bundle = bundle();
    let spec = &bundle.receivers[0].spec;
    let control = receiver_control(spec, Some("http://c".to_owned()), &Engine).unwrap();
    let tls = control.tls.unwrap();
    assert_eq!((tls.cert_file.as_str(), tls.key_file.as_str()), ("/map/public/crt", "/secret/door/key"));
    assert_eq!(control.basic_auth.unwrap().password_file, "/secret/door/password");
    assert_eq!((control.conductor.as_deref(), &control.spec), (Some("http://c"), spec));
    let store = store(store_of(&bundle), &Engine).unwrap();
    assert!(store.tls.insecure_skip_verify && store.max_answer_bytes > 1 << 20);
    assert_eq!(store.basic_auth.unwrap().username, Secret::File("/secret/door/user".into()));
}

#[test]
fn a_test_through_a_sink_is_described_for_the_conductor() {
    let bundle = bundle();
    let test = test_of(&bundle);
    let target = target(&test, &Engine).unwrap();
    assert_eq!(target, Target::Sink { workers: test.workers.clone() });
    let plan = conductor_plan(&test, target, &Engine).unwrap();
    assert_eq!(plan.target_text, "sink sink (2 workers × 3 lanes) → store");
    assert_eq!((plan.lanes, plan.batch_samples, plan.drain_timeout), (3, 700, Duration::from_secs(9)));
    assert_eq!(plan.ack_policy, Some(api::AckPolicy::Delivered));
    assert_eq!(plan.receivers[0].url, "https://store:9400");
    assert_eq!((plan.profile, &plan.read_back), (Some(api::Profile::Strict), &None));
    assert_eq!((&plan.generators, &plan.workers, plan.run.as_str()), (&test.generators, &test.workers, "0123abcd"));
    // Conductors of other processes read it.
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<protocol::ConductorPlan>(&json).unwrap(), plan);
}

#[test]
fn a_direct_target_brings_what_its_document_demands() {
    let mut bundle = bundle();
    let spec = &mut bundle.load_tests[0].spec;
    spec.target = api::TargetRef { receiver_ref: Some(api::Ref { name: "store".to_owned() }), ..Default::default() };
    let test = Test { sink: None, workers: Vec::new(), ..test_of(&bundle) };
    let plan = conductor_plan(&test, target(&test, &Engine).unwrap(), &Engine).unwrap();
    let Target::Endpoint { endpoint } = &plan.target else { panic!("{:?}", plan.target) };
    assert_eq!(endpoint.url, "https://store:9400/api/v1/write");
    assert!(endpoint.tls.insecure_skip_verify && endpoint.basic_auth.is_some());
    assert_eq!((plan.target_text.as_str(), plan.lanes, plan.ack_policy), ("receiver store", 0, None));
    // Somebody else's: as its document says, and the rules of the server that is read back.
    let endpoint = api::Endpoint { url: Some("http://vm/write".to_owned()), ..Default::default() };
    bundle.load_tests[0].spec.target = api::TargetRef { endpoint: Some(endpoint), ..Default::default() };
    let server = api::Endpoint { url: Some("http://vm:8428".to_owned()), ..Default::default() };
    bundle.load_tests[0].spec.read_back = Some(api::ReadBack { victoria_metrics: Some(server), ..Default::default() });
    let test = Test { sink: None, receiver: None, receiver_base: None, ..test_of(&bundle) };
    let plan = conductor_plan(&test, target(&test, &Engine).unwrap(), &Engine).unwrap();
    assert_eq!((plan.target_text.as_str(), plan.profile), ("http://vm/write", Some(api::Profile::VictoriaMetrics)));
    assert_eq!(plan.read_back.as_ref().unwrap().endpoint.url, "http://vm:8428");
    assert!(plan.receivers.is_empty());
    bundle.load_tests[0].spec.read_back = None;
    let test = Test { sink: None, receiver: None, receiver_base: None, ..test_of(&bundle) };
    let plan = conductor_plan(&test, target(&test, &Engine).unwrap(), &Engine).unwrap();
    assert_eq!(plan.profile, None, "nobody knows whose rules it plays");
}

#[test]
fn a_reference_without_a_file_names_its_field() {
    let key = || api::SecretKey { name: "s".to_owned(), key: "missing".to_owned() };
    let here = || api::SecretKey { name: "s".to_owned(), key: "here".to_owned() };
    let from = |secret| Some(api::SecretOrConfigMap { secret: Some(secret), config_map: None });
    let header =
        api::Header { name: "X".to_owned(), value: None, value_from: Some(api::HeaderSource { secret: key() }) };
    let base = api::Endpoint::default;
    let tls = |tls| Some(tls);
    for (endpoint_, field) in [
        (api::Endpoint { headers: vec![header], ..base() }, "f.headers[0].valueFrom"),
        (
            api::Endpoint { basic_auth: Some(api::BasicAuth { username: here(), password: key() }), ..base() },
            "f.basicAuth.password",
        ),
        (
            api::Endpoint {
                authorization: Some(api::Authorization { r#type: "Bearer".to_owned(), credentials: key() }),
                ..base()
            },
            "f.authorization.credentials",
        ),
        (
            api::Endpoint { tls_config: tls(api::TlsConfig { ca: from(key()), ..Default::default() }), ..base() },
            "f.tlsConfig.ca",
        ),
        (
            api::Endpoint {
                tls_config: tls(api::TlsConfig { cert: from(here()), key_secret: Some(key()), ..Default::default() }),
                ..base()
            },
            "f.tlsConfig.keySecret",
        ),
    ] {
        assert_eq!(endpoint(&endpoint_, None, "f", &Engine).unwrap_err(), field);
    }
}

#[test]
fn supervisors_get_kills_and_pauses_by_the_wall_clock() {
    let step = |action, ordinal: Option<u32>| api::ChaosStep {
        at: api::Duration::from_secs(1),
        action,
        sink_worker: ordinal,
        r#for: Some(api::Duration::from_millis(1500)),
        replicas: None,
    };
    let events = [
        (0, api::ChaosAction::Kill, Some(1)),
        (1, api::ChaosAction::Terminate, Some(0)),
        (2, api::ChaosAction::Pause, Some(0)),
        (3, api::ChaosAction::Scale, None),
    ];
    let events = events.into_iter().map(|(index, action, ordinal)| ChaosEvent {
        index,
        at_ms: 1000,
        step: step(action, ordinal),
    });
    let mut timeline = ChaosTimeline { t0: None, events: events.collect() };
    assert_eq!(chaos_entries(&timeline), [], "no t0, no wall clock");
    timeline.t0 = Some(1_795_000_000_000_000_000);
    let entries = chaos_entries(&timeline);
    let told: Vec<_> = entries.iter().map(|entry| (entry.id % 1000, entry.ordinal, entry.at_unix_ms)).collect();
    assert_eq!(told, [(0, 1, 1_795_000_001_000), (2, 0, 1_795_000_001_000)]);
    assert_eq!(entries[1].action, ChaosAction::Pause { for_ms: 1500 });
    timeline.t0 = Some(1_795_000_001_000_000_000);
    assert!(chaos_entries(&timeline).iter().all(|later| entries.iter().all(|entry| entry.id != later.id)));
}
