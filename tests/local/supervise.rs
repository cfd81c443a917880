//! A supervisor and a real Kubernetes API, with the rights of its Role and no others.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::shared::{root, skip};
use super::support::pod::{Api, Spec, start};
use super::support::wait_until;

const LIMIT: Duration = Duration::from_secs(30);

/// etcd and kube-apiserver, and a pod's view of them.
struct Cluster {
    folder: TempDir,
    binaries: PathBuf,
}

impl Cluster {
    fn start() -> Result<Self, String> {
        let binaries = std::env::var_os("FLOODMARK_CONTROLPLANE").map(PathBuf::from);
        let binaries = binaries.filter(|folder| folder.join("kubectl").exists());
        let binaries = binaries.ok_or("FLOODMARK_CONTROLPLANE names no built control plane: source hack/setup")?;
        let folder = TempDir::new_in("/var/tmp").map_err(|error| error.to_string())?;
        std::fs::create_dir(folder.path().join("account")).map_err(|error| error.to_string())?;
        let cluster = Self { folder, binaries };
        let up = cluster.command("up").output().map_err(|error| error.to_string())?;
        if !up.status.success() {
            return Err(format!("hack/cluster --api-only up: {}", String::from_utf8_lossy(&up.stderr)));
        }
        Ok(cluster)
    }

    fn command(&self, command: &str) -> Command {
        let mut cluster = Command::new(root().join("hack/cluster"));
        cluster.args(["--api-only", command]).env("FLOODMARK_CLUSTER_DIR", self.folder.path().join("cluster"));
        cluster.env("FLOODMARK_CONTROLPLANE", &self.binaries).stdin(Stdio::null());
        cluster
    }

    fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(self.binaries.join("kubectl"))
            .args(arguments)
            .env("KUBECONFIG", self.folder.path().join("cluster/kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl");
        child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
        child.wait_with_output().expect("it ends")
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Gives the object's new revision.
    fn put(&self, name: &str, document: &Value) -> String {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "team"},
            "data": {"control.json": document.to_string()},
        });
        self.kubectl(&["apply", "-f", "-", "-o", "jsonpath={.metadata.resourceVersion}"], &object.to_string())
    }

    /// What the kubelet mounts into a pod.
    fn mount(&self, account: &str) {
        let token = self.kubectl(&["-n", "team", "create", "token", account], "");
        let template = "{{range .clusters}}{{index .cluster \"certificate-authority-data\" | base64decode}}{{end}}";
        let authority = self.kubectl(&["config", "view", "--raw", "-o", &format!("go-template={template}")], "");
        let folder = self.service_account();
        for (name, text) in [("token", &*token), ("ca.crt", &authority), ("namespace", "team")] {
            std::fs::write(folder.join(name), text).expect(name);
        }
    }
}

impl Api for Cluster {
    fn url(&self) -> String {
        self.kubectl(&["config", "view", "--raw", "-o", "jsonpath={.clusters[0].cluster.server}"], "")
    }

    fn service_account(&self) -> PathBuf {
        self.folder.path().join("account")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.command("down").output();
    }
}

/// As the operator makes it for a sink's workers.
const ROLE: &str = include_str!("../../operator/tests/golden/sink-sink-role.yaml");

#[test]
fn a_supervisor_watches_its_one_object_of_a_real_api_server() {
    let cluster = match Cluster::start() {
        Ok(cluster) => cluster,
        Err(why) => return skip("a_supervisor_watches_its_one_object_of_a_real_api_server", &why),
    };
    cluster.kubectl(&["create", "namespace", "team"], "");
    cluster.kubectl(&["-n", "team", "create", "serviceaccount", "worker"], "");
    let rules = &ROLE[ROLE.find("rules:").expect("rules")..];
    let role = format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: worker}}\n{rules}");
    cluster.kubectl(&["-n", "team", "apply", "-f", "-"], &role);
    cluster.kubectl(
        &["-n", "team", "create", "rolebinding", "worker", "--role=worker", "--serviceaccount=team:worker"],
        "",
    );
    cluster.mount("worker");
    let document = |window: &str| json!({"spec": {"profile": "Strict", "outOfOrderWindow": window}, "conductor": null});
    let first = cluster.put("sink-sink-control", &document("1m"));
    cluster.put("other", &document("9m"));

    let spec = Spec { control: Some((&cluster, "sink-sink-control")), ..Spec::default() };
    let pod = start(spec, &["receiver", "--control", "{into}/control.json"]);
    pod.wait_for_role();
    let revision = || pod.report().map(|report| report["revision"].as_str().unwrap_or_default().to_owned());
    assert_eq!(revision(), Some(first));

    for window in ["2m", "3m"] {
        let next = cluster.put("sink-sink-control", &document(window));
        let begun = Instant::now();
        wait_until("the change arrives", LIMIT, || revision().as_deref() == Some(&next));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?} for what was written", begun.elapsed());
    }
    let log = pod.log();
    assert!(log.contains("handed on a new control document") && !log.contains("goes on with what it has"), "{log}");

    // Another object is none of its business.
    let spec = Spec { control: Some((&cluster, "other")), ..Spec::default() };
    let refused = start(spec, &["receiver", "--control", "{into}/control.json"]);
    wait_until("it is refused", LIMIT, || refused.log().contains("answered 403"));
    assert!(refused.role().is_none());
}
