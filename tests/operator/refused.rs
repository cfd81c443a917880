//! What the API server refuses, and what happens to objects that got past it.

use http::Method;
use serde_json::json;

use crate::api::{KINDS, condition, documents, path};
use crate::process::{Operator, log};
use crate::proxy::{ACCOUNT, Proxy};
use crate::world::{DEFINITIONS, alone, scenario, until};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Each begins with the words that it is refused with: those of `floodmark validate`.
#[test]
fn invalid_documents_are_refused_with_the_words_that_we_wrote() {
    scenario("invalid_documents_are_refused_with_the_words_that_we_wrote", |world| async move {
        let _definitions = DEFINITIONS.lock().await;
        let mut files: Vec<_> = std::fs::read_dir(crate::root().join("libs/api/tests/invalid")).unwrap().collect();
        files.sort_by_key(|file| file.as_ref().unwrap().file_name());
        let mut wrong = Vec::new();
        let mut refused = 0;
        for file in files {
            let file = file.unwrap().path();
            let text = std::fs::read_to_string(&file).unwrap();
            let expected = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap();
            let (plural, document) = documents(&text).next().unwrap();
            let at = format!("{}?dryRun=All&fieldValidation=Strict", path("default", plural, ""));
            match world.api.send(Method::POST, &at, "application/yaml", document).await {
                Err((422, words)) if words.contains(expected) => refused += 1,
                other => wrong.push(format!("{}: {expected:?}, not {other:?}", file.display())),
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(refused >= 100, "{refused}");
    });
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: floodmark.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

/// Name, kind, spec, and the field that is said to be wrong. One has a value that is not known, the others are of another type than
/// ours, which server-side apply cannot even read. None is the subject of a CEL rule: where one fails for its type, the API server
/// takes no status at all.
const NEWER: [[&str; 4]; 4] = [
    ["value", "RemoteWriteSink", "{backend: {url: 'http://b/write'}, ackPolicy: Later}", "spec.ackPolicy"],
    ["typed", "RemoteWriteSink", "{backend: {url: 'http://b/write'}, lanes: many}", "spec.lanes"],
    ["typed", "RemoteWriteReceiver", "{profile: [Strict]}", "spec.profile"],
    [
        "typed",
        "LoadTest",
        "{target: {sinkRef: {name: good}}, stages: [{for: 1s}], seed: many, \
         workload: [{name: a, targets: 1, seriesPerTarget: 1}]}",
        "spec.seed",
    ],
];

fn plural(kind: &str) -> &'static str {
    KINDS.iter().find(|known| known.2 == kind).unwrap().0
}

/// As after a downgrade: objects of a version that knows more.
#[test]
fn an_object_that_does_not_parse_does_not_stop_its_neighbours() {
    alone("an_object_that_does_not_parse_does_not_stop_its_neighbours", |world| async move {
        let definitions = DEFINITIONS.lock().await;
        let (api, name) = (&world.api, "neighbours");
        api.namespace(name).await;
        world.puppet.stage(name);
        for kind in ["RemoteWriteSink", "RemoteWriteReceiver", "LoadTest"] {
            let crd = format!("{CRDS}/{}.floodmark.dev", plural(kind));
            let before = api.send(Method::GET, &crd, "application/json", "").await.unwrap();
            let schema = "/spec/versions/0/schema/openAPIV3Schema";
            let mut wide = before.pointer(schema).unwrap().clone();
            wide.as_object_mut().unwrap().remove("x-kubernetes-validations");
            wide["properties"]["spec"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
            let patch = json!([{"op": "replace", "path": schema, "value": wide}]).to_string();
            api.send(Method::PATCH, &crd, "application/json-patch+json", &patch).await.unwrap();
        }
        for [newer, kind, spec, _] in NEWER {
            let at = path(name, plural(kind), "");
            until("the other version takes it", || async {
                api.send(Method::POST, &at, "application/yaml", &object(kind, newer, spec)).await.ok()
            })
            .await;
        }
        let restore = ["apply", "--server-side", "--force-conflicts", "-k", "crds"];
        tokio::task::block_in_place(|| world.server.kubectl(&restore, ""));
        for [_, kind, spec, _] in NEWER {
            let dry = format!("{}?dryRun=All", path(name, plural(kind), ""));
            until("our version is back", || async {
                api.send(Method::POST, &dry, "application/yaml", &object(kind, "other", spec)).await.err()
            })
            .await;
        }
        drop(definitions);
        api.create(name, &object("RemoteWriteSink", "good", "{backend: {url: 'http://b/write'}, replicas: 1}")).await;
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(name), &[]);
        let found = until("each has its condition", || async {
            let good = api.get(name, "remotewritesinks", "good").await?;
            let mut all = vec![condition(&good, "Ready")?.0 == "True"];
            for [newer, kind, _, field] in NEWER {
                let (told, status) = if kind == "LoadTest" { ("Finished", "True") } else { ("Ready", "False") };
                let object = api.get(name, plural(kind), newer).await?;
                let conditions = object["status"]["conditions"].as_array()?.clone();
                let told = conditions.iter().find(|condition| condition["type"] == told)?;
                let words = told["message"].as_str()?.starts_with(field);
                all.push(told["status"] == status && told["reason"] == "InvalidSpec" && words);
            }
            all.iter().all(|told| *told).then_some(())
        });
        tokio::select! {
            () = found => {}
            () = tokio::time::sleep(std::time::Duration::from_secs(60)) => panic!("{}", log(&proxy)),
        }
    });
}
