//! Who may do what: the operator by both sets of manifests, and a worker.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::{Value, json};

use crate::api::{Api, condition};
use crate::process::{Operator, log};
use crate::proxy::{ACCOUNT, Proxy};
use crate::world::{scenario, until};

/// `get pods/exec`, `get configmaps/sink-sink-control` with a `=` before the name: `get configmaps=name`.
async fn may(api: &Api, user: &str, namespace: &str, what: &str) -> bool {
    let (verb, what) = what.split_once(' ').unwrap();
    let (what, name) = what.split_once('=').unwrap_or((what, ""));
    let (what, group) = what.split_once('.').unwrap_or((what, ""));
    let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
    let account = user.strip_prefix("system:serviceaccount:").unwrap().split_once(':').unwrap().0;
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": user,
        "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{account}"), "system:authenticated"],
        "resourceAttributes": {"namespace": namespace, "verb": verb, "group": group, "resource": resource,
                               "subresource": subresource, "name": name}}});
    let at = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer = api.send(Method::POST, at, "application/json", &review.to_string()).await.unwrap();
    answer["status"]["allowed"] == true
}

async fn check(api: &Api, user: &str, namespace: &str, allowed: bool, what: &[&str]) {
    for what in what {
        assert_eq!(may(api, user, namespace, what).await, allowed, "{user} in {namespace}: {what}");
    }
}

const NEEDED: [&str; 12] = [
    "list loadtests.floodmark.dev",
    "patch loadtests/status.floodmark.dev",
    "patch remotewritesinks/scale.floodmark.dev",
    "update configmaps",
    "create services",
    "delete pods",
    "patch pods",
    "create statefulsets.apps",
    "create jobs.batch",
    "create poddisruptionbudgets.policy",
    "create roles.rbac.authorization.k8s.io",
    "create events.events.k8s.io",
];

/// In the namespaces of tests.
const NEVER: [&str; 26] = [
    "get secrets",
    "list secrets",
    "watch secrets",
    "create secrets",
    "create pods",
    "create pods/exec",
    "get pods/exec",
    "create pods/attach",
    "create pods/portforward",
    "get pods/log",
    "create pods/eviction",
    "create serviceaccounts/token",
    "impersonate users",
    "escalate roles.rbac.authorization.k8s.io",
    "bind roles.rbac.authorization.k8s.io",
    "create clusterroles.rbac.authorization.k8s.io",
    "create deployments.apps",
    "delete statefulsets.apps",
    "delete serviceaccounts",
    "delete roles.rbac.authorization.k8s.io",
    "list roles.rbac.authorization.k8s.io",
    "list poddisruptionbudgets.policy",
    "delete namespaces",
    "get nodes",
    "update loadtests.floodmark.dev",
    "delete loadtests.floodmark.dev",
];

#[test]
fn the_operator_may_do_what_it_does_and_nothing_more() {
    scenario("the_operator_may_do_what_it_does_and_nothing_more", |world| async move {
        let api = &world.api;
        check(api, ACCOUNT, "anywhere", true, &NEEDED).await;
        check(api, ACCOUNT, "anywhere", false, &NEVER).await;
        check(api, ACCOUNT, "anywhere", false, &["get leases.coordination.k8s.io"]).await;
        let own = ["get leases.coordination.k8s.io", "update leases.coordination.k8s.io", "get pods"];
        check(api, ACCOUNT, "floodmark-system", true, &own).await;
        check(api, ACCOUNT, "floodmark-system", false, &NEVER).await;
    });
}

/// But for the status, and in no other namespace.
#[test]
fn the_usual_roles_of_a_namespace_reach_our_kinds() {
    const NAME: &str = "users";
    const SEE: [&str; 5] = [
        "get loadtests.floodmark.dev",
        "list remotewritesinks.floodmark.dev",
        "watch remotewritereceivers.floodmark.dev",
        "get remotewritesinks/scale.floodmark.dev",
        "get loadtests/status.floodmark.dev",
    ];
    const CHANGE: [&str; 6] = [
        "create loadtests.floodmark.dev",
        "update remotewritesinks.floodmark.dev",
        "patch remotewritereceivers.floodmark.dev",
        "delete loadtests.floodmark.dev",
        "deletecollection remotewritesinks.floodmark.dev",
        "patch remotewritesinks/scale.floodmark.dev",
    ];
    scenario("the_usual_roles_of_a_namespace_reach_our_kinds", |world| async move {
        let api = &world.api;
        api.namespace(NAME).await;
        // No controller aggregates here: each account gets what the labels would give to the role of its name.
        for usual in ["view", "edit", "admin"] {
            let label = format!("app.kubernetes.io/name=floodmark,rbac.authorization.k8s.io/aggregate-to-{usual}=true");
            let roles = world.server.kubectl(&["get", "clusterroles", "-l", &label, "-o", "name"], "");
            for role in roles.lines().map(|role| role.split_once('/').unwrap().1) {
                let (binding, role) = (format!("{usual}-{role}"), format!("--clusterrole={role}"));
                let account = format!("--serviceaccount={NAME}:{usual}");
                world.server.kubectl(&["-n", NAME, "create", "rolebinding", &binding, &role, &account], "");
            }
        }
        let [view, edit, admin] = ["view", "edit", "admin"].map(|name| format!("system:serviceaccount:{NAME}:{name}"));
        until("the bindings hold", || async { may(api, &admin, NAME, SEE[0]).await.then_some(()) }).await;
        check(api, &view, NAME, true, &SEE).await;
        check(api, &view, NAME, false, &CHANGE).await;
        for user in [&edit, &admin] {
            check(api, user, NAME, true, &SEE).await;
            check(api, user, NAME, true, &CHANGE).await;
            check(api, user, NAME, false, &["patch loadtests/status.floodmark.dev", "create pods", "get secrets"])
                .await;
            check(api, user, "default", false, &SEE).await;
        }
    });
}

/// Its own namespace is all that it may touch, and enough for a test from beginning to end; a worker may read its document.
#[test]
fn for_one_namespace_rights_in_it_are_enough() {
    const NAME: &str = "only-here";
    scenario("for_one_namespace_rights_in_it_are_enough", |world| async move {
        let api = &world.api;
        let manifests = world.server.kubectl(&["kustomize", "manifests/namespaced"], "");
        let manifests = manifests.replace("floodmark-system", NAME);
        assert!(!manifests.contains("ClusterRole"), "nothing beyond the namespace");
        world.server.kubectl(&["create", "namespace", NAME], "");
        world.server.kubectl(&["label", "namespace", NAME, "pod-security.kubernetes.io/enforce=restricted"], "");
        world.server.kubectl(&["apply", "--server-side", "-f", "-"], &manifests);
        let account = ACCOUNT.replace("floodmark-system", NAME);
        check(api, &account, NAME, true, &NEEDED).await;
        check(api, &account, NAME, false, &NEVER).await;
        check(api, &account, "default", false, &NEEDED).await;
        check(api, &account, "floodmark-system", false, &["get leases.coordination.k8s.io", "get pods"]).await;

        let stage = world.puppet.stage(NAME);
        stage.endless.store(true, Ordering::SeqCst);
        let proxy = Proxy::start(api.0.clone(), &account).await;
        let _operator = Operator::start(&proxy, Some(NAME), &["--lease", "only-here/floodmark-operator"]);
        api.create(NAME, &std::fs::read_to_string(crate::root().join("examples/quickstart.yaml")).unwrap()).await;
        // Those who need nothing of the API server have no token.
        for name in ["quickstart-conductor", "quickstart-generator"] {
            let job = until(name, || api.get(NAME, "jobs", name)).await;
            assert_eq!(job["spec"]["template"]["spec"]["automountServiceAccountToken"], false, "{name}");
        }
        stage.endless.store(false, Ordering::SeqCst);
        until("the test is finished", || async {
            let test = api.get(NAME, "loadtests", "quickstart").await?;
            (condition(&test, "Finished")?.0 == "True").then_some(())
        })
        .await;
        let text = log(&proxy);
        assert!(!text.contains("orbidden"), "{text}");
        worker(api, NAME).await;
    });
}

async fn worker(api: &Api, namespace: &str) {
    let set = api.get(namespace, "statefulsets", "sink-sink").await.unwrap();
    let name = set["spec"]["template"]["spec"]["serviceAccountName"].as_str().unwrap();
    assert_ne!(name, "default", "an account of its own");
    let user = format!("system:serviceaccount:{namespace}:{name}");
    let control = ["get configmaps=sink-sink-control", "watch configmaps=sink-sink-control"];
    check(api, &user, namespace, true, &control).await;
    let others = [
        "get configmaps=store-receiver-control",
        "get configmaps=quickstart-plan",
        "get configmaps",
        "list configmaps",
        "list configmaps=sink-sink-control",
        "update configmaps=sink-sink-control",
        "patch configmaps=sink-sink-control",
        "delete configmaps=sink-sink-control",
        "get pods",
        "get remotewritesinks.floodmark.dev",
    ];
    check(api, &user, namespace, false, &others).await;
    check(api, &user, namespace, false, &NEVER).await;
    check(api, &user, "default", false, &control).await;
    // Whatever else there may be: all that the API server says of it.
    let bindings = api.list(namespace, "rolebindings").await;
    let bound: Vec<&Value> =
        bindings.iter().filter(|binding| binding["subjects"][0]["name"] == name).map(|b| &b["roleRef"]).collect();
    assert_eq!(bound.len(), 1, "{bound:?}");
    let role = api.get(namespace, "roles", bound[0]["name"].as_str().unwrap()).await.unwrap();
    let only = json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["sink-sink-control"],
                       "verbs": ["get", "watch"]}]);
    assert_eq!(role["rules"], only);
}
