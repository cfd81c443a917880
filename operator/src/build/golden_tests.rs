//! All children of the quickstart, as files to read and to compare. `FLOODMARK_UPDATE_GOLDEN=1` writes them anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use api::Bundle;
use serde_json::{Value, json};

use super::load_test::{TestInput, load_test, summary_map};
use super::meta::tests::owner;
use super::meta::{Component, Owner, selector};
use super::names;
use super::plans::{Named, SinkPlan, TestPlan, receiver_control, sink_plan, test_plan};
use super::receiver::{ReceiverInput, receiver};
use super::sink::{SinkInput, sink, waits};
use crate::apply::{Child, covers, needed};
use crate::kinds::{Invalid, Kind};

const IMAGE: &str = "floodmark:0.0.0-test";

fn quickstart() -> Bundle {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    api::load(&[("quickstart.yaml".to_owned(), text)]).unwrap()
}

/// The children of all three documents with the plans that they were made of.
struct Built {
    bundle: Bundle,
    sink: SinkPlan,
    test: TestPlan,
    children: Vec<(Owner, Vec<Child>)>,
}

fn named<S>(object: &api::Object<S>) -> Named<'_, S> {
    Named { name: &object.name, spec: &object.spec }
}

fn build(bundle: Bundle) -> Result<Built, Invalid> {
    let (r, s, t) = (&bundle.receivers[0], &bundle.sinks[0], &bundle.load_tests[0]);
    let owners = [owner(Kind::Receiver, &r.name), owner(Kind::Sink, &s.name), owner(Kind::LoadTest, &t.name)];
    let (_, mounts) = receiver_control(&r.spec, None);
    let receiver_input =
        ReceiverInput { owner: &owners[0], spec: &r.spec, mounts: &mounts, image: IMAGE, live: None, held: false };
    let sink_plan = sink_plan(named(s), Some(named(r)));
    let sink_input = SinkInput {
        owner: &owners[1],
        spec: &s.spec,
        plan: &sink_plan,
        replicas: s.spec.replicas,
        image: IMAGE,
        live: None,
        held: false,
    };
    let uid = &owners[2].uid;
    let test = test_plan(uid, named(t), Some(named(s)), s.spec.replicas, Some(named(r)), "# quickstart\n".to_owned());
    let test_input = TestInput { owner: &owners[2], spec: &t.spec, plan: &test, image: IMAGE };
    let mut of_test = load_test(&test_input)?;
    of_test.push(summary_map(&owners[2], "{}\n".to_owned()));
    let all = [receiver(&receiver_input)?, sink(&sink_input)?, of_test];
    let children = owners.clone().into_iter().zip(all).collect();
    Ok(Built { sink: sink_plan, test, children, bundle })
}

fn all(built: &Built) -> impl Iterator<Item = (&Owner, &Child)> {
    built.children.iter().flat_map(|(owner, children)| children.iter().map(move |child| (owner, child)))
}

/// Pod templates with the child that they are of.
fn templates(built: &Built) -> Vec<(String, Value)> {
    let workloads = all(built).filter_map(|(_, child)| match child {
        Child::StatefulSet(_) | Child::Job(_) => {
            Some((child.name().to_owned(), child.value()["spec"]["template"].clone()))
        }
        _ => None,
    });
    workloads.collect()
}

fn file(child: &Child) -> PathBuf {
    let name = format!("{}-{}.yaml", child.name(), child.kind().to_lowercase());
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Without the hashes and the plan's own text, which say nothing to a reader and change with every field of a plan.
fn legible(child: &Child) -> Value {
    let mut value = child.value();
    for at in ["/metadata/annotations", "/spec/template/metadata/annotations", "/data"] {
        let Some(texts) = value.pointer_mut(at).and_then(Value::as_object_mut) else { continue };
        for (key, text) in texts {
            let hash = [names::APPLIED_ANNOTATION, names::TEMPLATE_ANNOTATION, names::PLAN_HASH_ANNOTATION];
            if hash.contains(&key.as_str()) || key == names::PLAN_KEY {
                *text = json!("...");
            }
        }
    }
    value
}

#[test]
fn the_children_of_the_quickstart_are_what_is_written_down() {
    let update = std::env::var_os("FLOODMARK_UPDATE_GOLDEN").is_some();
    let built = build(quickstart()).unwrap();
    let mut files = BTreeSet::new();
    for (_, child) in all(&built) {
        let (path, text) = (file(child), api::to_yaml(&legible(child)));
        if update {
            std::fs::write(&path, &text).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, kept, "{}: see what changed, then FLOODMARK_UPDATE_GOLDEN=1 writes it anew", path.display());
        assert!(files.insert(path), "two children of one name and kind");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(files.contains(&path), "{} is no child any more: remove it", path.display());
    }
    assert_eq!(files.len(), 6 + 7 + 7);
}

#[test]
fn the_same_documents_give_the_same_bytes_and_settle() {
    let (one, two) = (build(quickstart()).unwrap(), build(quickstart()).unwrap());
    for ((_, a), (_, b)) in all(&one).zip(all(&two)) {
        assert_eq!(a.value().to_string(), b.value().to_string());
        assert!(!needed(Some(&a.value()), &b.value()), "{}", a.name());
    }
}

#[test]
fn every_pod_passes_the_restricted_level() {
    let built = build(quickstart()).unwrap();
    let templates = templates(&built);
    assert_eq!(templates.len(), 4);
    for (name, template) in templates {
        let spec = &template["spec"];
        let pod = &spec["securityContext"];
        assert_eq!(pod["runAsNonRoot"], true, "{name}");
        assert_eq!(pod["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_ne!(pod["runAsUser"], 0, "{name}");
        for key in ["hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"] {
            assert_eq!(spec[key], Value::Null, "{name} {key}");
        }
        for volume in spec["volumes"].as_array().unwrap() {
            let kinds: Vec<&str> =
                volume.as_object().unwrap().keys().map(String::as_str).filter(|key| *key != "name").collect();
            let allowed = ["configMap", "secret", "emptyDir", "downwardAPI", "projected", "persistentVolumeClaim"];
            assert!(kinds.len() == 1 && allowed.contains(&kinds[0]), "{name}: {volume}");
        }
        let containers = spec["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 1);
        let container = &containers[0];
        let own = &container["securityContext"];
        assert_eq!(own["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(own["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(own["capabilities"], json!({"drop": ["ALL"]}), "{name}");
        assert_eq!(container["resources"].get("limits"), None, "{name}: no CPU limit");
        assert_eq!(container["terminationMessagePolicy"], "FallbackToLogsOnError", "{name}");
        // Only who watches a control map may speak to the API server.
        let watches = container["args"].as_array().unwrap().contains(&json!("--configmap"));
        assert_eq!(spec["automountServiceAccountToken"], watches, "{name}");
        // Every mount has its volume, and every volume is used.
        let names = |list: &Value| -> BTreeSet<String> {
            list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&spec["volumes"]), names(&container["volumeMounts"]), "{name}");
    }
}

#[test]
fn children_have_one_owner_and_are_found_by_their_labels() {
    let built = build(quickstart()).unwrap();
    for (owner, child) in all(&built) {
        let value = child.value();
        let meta = &value["metadata"];
        let references = meta["ownerReferences"].as_array().unwrap();
        assert_eq!(references.len(), 1);
        assert_eq!(references[0]["uid"], owner.uid, "{}", child.name());
        assert_eq!(references[0]["controller"], true);
        assert_eq!(references[0]["blockOwnerDeletion"], false);
        assert_eq!(meta["labels"][owner.kind.label()], owner.name, "{}", child.name());
        assert_eq!(meta["labels"]["app.kubernetes.io/managed-by"], "floodmark-operator");
        assert!(meta["name"].as_str().unwrap().len() <= 63);
        // A selector is part of the labels of the pods of one template at least.
        let selector = match child {
            Child::Service(_) => &value["spec"]["selector"],
            Child::StatefulSet(_) | Child::PodDisruptionBudget(_) => &value["spec"]["selector"]["matchLabels"],
            _ => continue,
        };
        let templates = templates(&built);
        let found = templates.iter().filter(|(_, template)| covers(&template["metadata"]["labels"], selector));
        let expected = if child.name() == names::run("quickstart") { 2 } else { 1 };
        assert_eq!(found.count(), expected, "{}: {selector}", child.name());
    }
}

#[test]
fn parts_are_told_where_the_others_are() {
    let built = build(quickstart()).unwrap();
    let plan: protocol::RolePlan = serde_json::from_str(&built.test.json).unwrap();
    assert_eq!(plan.supervisors.workers[2], "http://sink-sink-2.sink-sink-workers:9401");
    assert_eq!(plan.supervisors.receivers, ["http://store-receiver:9401"]);
    assert_eq!(plan.plan.workers[0], "http://sink-sink-0.sink-sink-workers:9400");
    assert_eq!(plan.plan.generators, ["http://quickstart-generator-0.quickstart-generator:9400"]);
    assert_eq!(plan.plan.target, protocol::Target::Sink { workers: plan.plan.workers.clone() });
    assert_eq!(plan.plan.run, names::run_id(&built.children[2].0.uid));
    assert!(built.sink.json.contains("http://store-receiver:9400/api/v1/write"));
    let Child::ConfigMap(map) = &built.children[2].1[0] else { panic!("the plan comes first") };
    assert_eq!(super::plans::Targets::of_plan(map), built.test.targets);
    assert_eq!(built.test.targets.sink.as_deref(), Some("sink"));
    // Each host of a plan is a Service of ours, or a pod of one.
    let services: BTreeSet<String> = all(&built)
        .filter(|(_, child)| matches!(child, Child::Service(_)))
        .map(|(_, child)| child.name().to_owned())
        .collect();
    for url in plan.plan.workers.iter().chain(&plan.plan.generators).chain(&plan.supervisors.receivers) {
        let host = url.split("//").nth(1).unwrap().split(':').next().unwrap();
        assert!(services.contains(host.split('.').next_back().unwrap()), "{url}");
    }
}

#[test]
fn what_the_user_asks_for_comes_on_top() {
    let mut bundle = quickstart();
    let pod = json!({
        "image": "mirror/floodmark:1", "serviceAccountName": "ours", "nodeSelector": {"disk": "ssd"},
        "resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": {"memory": "2Gi"}},
        "labels": {"team": "a", "floodmark.dev/sink": "stolen"}, "annotations": {"floodmark.dev/plan-hash": "x", "note": "y"},
        "tolerations": [{"key": "load", "operator": "Exists"}], "terminationGracePeriodSeconds": 7,
        "securityContext": {"fsGroup": 5, "seccompProfile": {"type": "Localhost", "localhostProfile": "p"}, "runAsGroup": null},
    });
    bundle.sinks[0].spec.pod = serde_json::from_value(pod).unwrap();
    let built = build(bundle).unwrap();
    let (_, template) = templates(&built).into_iter().find(|(name, _)| name == "sink-sink").unwrap();
    let (meta, spec) = (&template["metadata"], &template["spec"]);
    assert_eq!(meta["labels"]["team"], "a");
    assert_eq!(meta["labels"]["floodmark.dev/sink"], "sink");
    assert_eq!(meta["annotations"]["note"], "y");
    assert_eq!(meta["annotations"]["floodmark.dev/plan-hash"], built.sink.hash());
    assert_eq!(spec["containers"][0]["image"], "mirror/floodmark:1");
    let resources = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}});
    assert_eq!(spec["containers"][0]["resources"], resources);
    assert_eq!(spec["terminationGracePeriodSeconds"], 7);
    assert_eq!(spec["serviceAccountName"], "ours");
    assert_eq!(spec["tolerations"][0]["key"], "load");
    let context = &spec["securityContext"];
    assert_eq!(
        (&context["fsGroup"], &context["runAsNonRoot"], &context["runAsGroup"]),
        (&json!(5), &json!(true), &Value::Null)
    );
    assert_eq!(context["seccompProfile"]["type"], "Localhost");
    // The user's account is bound, and none is made.
    let of_sink = &built.children[1].1;
    assert!(!of_sink.iter().any(|child| matches!(child, Child::ServiceAccount(_))));
    let binding = of_sink.iter().find(|child| matches!(child, Child::RoleBinding(_))).unwrap().value();
    assert_eq!(binding["subjects"][0]["name"], "ours");
}

#[test]
fn the_parts_of_a_run_leave_a_lost_node_soon_unless_the_user_says_otherwise() {
    let seconds = |asked: Value, name: &str| {
        let mut bundle = quickstart();
        bundle.load_tests[0].spec.generator.pod = serde_json::from_value(json!({"tolerations": asked})).unwrap();
        let all = templates(&build(bundle).unwrap());
        let (_, template) = all.into_iter().find(|(of, _)| of == name).unwrap();
        let told = template["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
        told.iter().map(|one| one["tolerationSeconds"].as_u64()).collect::<Vec<_>>()
    };
    let unreachable =
        json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 900}]);
    for part in ["quickstart-generator", "quickstart-conductor"] {
        assert_eq!(seconds(json!([{"key": "load", "operator": "Exists"}]), part), [None, Some(30), Some(30)]);
        assert_eq!(seconds(unreachable.clone(), part), [Some(900), Some(30)]);
        assert_eq!(seconds(json!([{"operator": "Exists"}]), part), [None]);
        assert_eq!(seconds(json!([{"operator": "Exists", "effect": "NoSchedule"}]), part), [None, Some(30), Some(30)]);
    }
    assert_eq!(seconds(json!([]), "sink-sink"), [], "a set makes its pods again where the cluster says");
}

#[test]
fn what_is_no_piece_of_a_pod_is_named() {
    for (pod, field) in [
        (json!({"tolerations": [{"tolerationSeconds": "soon"}]}), "spec.pod.tolerations[0].tolerationSeconds"),
        (json!({"affinity": {"nodeAffinity": 7}}), "spec.pod.affinity.nodeAffinity"),
        (json!({"securityContext": {"runAsUser": "root"}}), "spec.pod.securityContext.runAsUser"),
        (json!({"resources": {"limit": {"memory": "1Gi"}}}), "spec.pod.resources.limit"),
        (json!({"tolerations": [{"key": "a"}, {"keys": "a"}]}), "spec.pod.tolerations[1].keys"),
        (json!({"securityContext": {"runAsUzer": 7}}), "spec.pod.securityContext.runAsUzer"),
        (json!({"imagePullSecrets": [{"nam": "a"}]}), "spec.pod.imagePullSecrets[0].nam"),
    ] {
        let mut bundle = quickstart();
        bundle.sinks[0].spec.pod = serde_json::from_value(pod).unwrap();
        let error = build(bundle).map(|_| ()).unwrap_err();
        assert_eq!(error.field, field, "{error}");
    }
}

/// A namespace may want limits of every pod.
#[test]
fn the_conductor_has_resources_of_its_own() {
    let limits = json!({"requests": {"cpu": "50m"}, "limits": {"cpu": "1", "memory": "512Mi"}});
    let mut bundle = quickstart();
    let test = &mut bundle.load_tests[0].spec;
    test.conductor.resources = serde_json::from_value(limits.clone()).unwrap();
    test.generator.pod = serde_json::from_value(json!({"resources": {"limits": {"memory": "4Gi"}}})).unwrap();
    let all = templates(&build(bundle.clone()).unwrap());
    let of = |name: &str| {
        all.iter().find(|(found, _)| found == name).unwrap().1["spec"]["containers"][0]["resources"].clone()
    };
    assert_eq!(of("quickstart-conductor"), limits);
    assert_eq!(of("quickstart-generator"), json!({"limits": {"memory": "4Gi"}}));
    bundle.load_tests[0].spec.conductor.resources = serde_json::from_value(json!({"limit": {"cpu": 1}})).unwrap();
    assert_eq!(build(bundle).map(|_| ()).unwrap_err().field, "spec.conductor.resources.limit");
}

/// A template edit waits for the end of the run that holds the sink, a new number of workers does not.
#[test]
fn pods_are_not_replaced_under_a_run() {
    let built = build(quickstart()).unwrap();
    let (owner, children) = &built.children[1];
    let Some(Child::StatefulSet(live)) = children.last() else { panic!("the workers come last") };
    let same = &built.bundle.sinks[0].spec;
    let mut spec = same.clone();
    spec.pod.annotations.insert("new".to_owned(), "yes".to_owned());
    let (plan, live) = (&built.sink, Some(live));
    let input = |spec, held| SinkInput { owner, spec, plan, replicas: 5, image: IMAGE, live, held };
    assert_eq!(waits(&input(same, true)), Ok(false));
    assert_eq!((waits(&input(&spec, true)), waits(&input(&spec, false))), (Ok(true), Ok(false)));
    let set = |held| match sink(&input(&spec, held)).unwrap().pop() {
        Some(Child::StatefulSet(set)) => set.spec.unwrap(),
        other => panic!("{other:?}"),
    };
    let now = live.and_then(|live| live.spec.clone()).unwrap();
    assert_eq!((set(true).template == now.template, set(true).replicas), (true, Some(5)));
    assert_ne!(set(false).template, now.template);
}

#[test]
fn generators_of_one_job_do_not_end_each_other() {
    let built = build(quickstart()).unwrap();
    let jobs: Vec<Value> =
        built.children[2].1.iter().filter(|child| matches!(child, Child::Job(_))).map(Child::value).collect();
    assert_eq!(jobs[0]["spec"]["backoffLimit"], 0);
    assert_eq!(jobs[1]["spec"]["backoffLimitPerIndex"], 0);
    assert_eq!(jobs[1]["spec"].get("backoffLimit"), None);
    assert_eq!(jobs[1]["spec"]["completionMode"], "Indexed");
    for job in &jobs {
        assert_eq!(job["spec"]["template"]["spec"]["restartPolicy"], "Never");
    }
    let component = selector(&built.children[2].0, Some(Component::Generator));
    assert!(covers(&jobs[1]["spec"]["template"]["metadata"]["labels"], &json!(component)));
    assert!(
        built.children[2]
            .1
            .iter()
            .all(|child| child.once() == matches!(child, Child::Job(_)) || child.name() == "quickstart-plan")
    );
}
