//! What the API server refuses, and what happens to objects that got past it.

use http::Method;
use serde_json::json;

use crate::api::{condition, documents, path};
use crate::process::{Operator, log};
use crate::proxy::{ACCOUNT, Proxy};
use crate::world::{DEFINITIONS, scenario, until};

const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/remotewritesinks.floodmark.dev";

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

fn sink(name: &str, more: &str) -> String {
    format!(
        "apiVersion: floodmark.dev/v1alpha1\nkind: RemoteWriteSink\nmetadata: {{name: {name}}}\nspec:\n  \
         backend: {{url: \"http://backend/write\"}}\n{more}"
    )
}

/// As after a downgrade: an object of a version that knows more.
#[test]
fn an_object_that_does_not_parse_does_not_stop_its_neighbours() {
    scenario("an_object_that_does_not_parse_does_not_stop_its_neighbours", |world| async move {
        let definitions = DEFINITIONS.lock().await;
        let (api, name) = (&world.api, "neighbours");
        api.namespace(name).await;
        world.puppet.stage(name);
        let before = api.send(Method::GET, CRD, "application/json", "").await.unwrap();
        let schema = "/spec/versions/0/schema/openAPIV3Schema";
        let mut wide = before.pointer(schema).unwrap().clone();
        wide.as_object_mut().unwrap().remove("x-kubernetes-validations");
        wide["properties"]["spec"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let patch = json!([{"op": "replace", "path": schema, "value": wide}]).to_string();
        api.send(Method::PATCH, CRD, "application/json-patch+json", &patch).await.unwrap();
        let at = path(name, "remotewritesinks", "");
        until("the other version takes it", || async {
            api.send(Method::POST, &at, "application/yaml", &sink("newer", "  ackPolicy: Later\n")).await.ok()
        })
        .await;
        let restore = ["apply", "--server-side", "--force-conflicts", "-k", "crds"];
        tokio::task::block_in_place(|| world.server.kubectl(&restore, ""));
        until("our version is back", || async {
            let dry = format!("{at}?dryRun=All");
            api.send(Method::POST, &dry, "application/yaml", &sink("other", "  ackPolicy: Later\n")).await.err()
        })
        .await;
        drop(definitions);
        api.create(name, &sink("good", "  replicas: 1\n")).await;
        let proxy = Proxy::start(api.0.clone(), ACCOUNT).await;
        let _operator = Operator::start(&proxy, Some(name), &[]);
        let found = until("each has its condition", || async {
            let mut all = Vec::new();
            for (sink, ready) in [("good", "True"), ("newer", "False")] {
                let object = api.get(name, "remotewritesinks", sink).await?;
                let told = condition(&object, "Ready").is_some_and(|told| told.0 == ready);
                all.push((sink, told, object));
            }
            all.iter().all(|(_, told, _)| *told).then_some(all)
        });
        let found = tokio::select! {
            found = found => found,
            () = tokio::time::sleep(std::time::Duration::from_secs(60)) => panic!("{}", log(&proxy)),
        };
        let conditions = found[1].2["status"]["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready").unwrap();
        assert_eq!(ready["reason"], "InvalidSpec", "{ready}");
        assert!(ready["message"].as_str().unwrap().starts_with("spec.ackPolicy"), "{ready}");
    });
}
