//! A cluster with the operator in it, and what the scenarios do there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::Api;
use crate::guardian::Guarded;
use crate::shared::root;

const FLOODMARK: &str = env!("CARGO_BIN_EXE_floodmark");
/// The operator in `manifests/kind`.
const OPERATOR: [&str; 3] = ["-n", "floodmark-system", "deployment/floodmark-operator"];

pub struct Cluster {
    api: Api,
    place: Place,
    /// What the scenarios made.
    namespaces: Mutex<Vec<String>>,
}

enum Place {
    /// Started for these tests, and ended with them.
    Own(Guarded),
    /// Somebody's, with what was there before.
    Given { kubeconfig: PathBuf, operator: bool, definitions: bool },
}

impl Cluster {
    /// With the operator at work; the error says what this machine lacks for it.
    pub fn start() -> Result<Self, String> {
        let place = if let Some(path) = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty()) {
            Place::Given { kubeconfig: path.into(), operator: false, definitions: false }
        } else {
            Place::Own(own(&binaries()?))
        };
        let api = Api::start(command(&place, "sh"));
        let mut cluster = Self { api, place, namespaces: Mutex::default() };
        if let Place::Given { kubeconfig, .. } = &cluster.place {
            let server = "jsonpath={.clusters[0].cluster.server}";
            let server = cluster.kubectl(&["config", "view", "--minify", "--output", server]);
            println!("the cluster at {server} is used: KUBECONFIG={}", kubeconfig.display());
        }
        let found = cluster.run("kubectl", &[&["get"][..], &OPERATOR].concat(), "").status.success();
        let defined = cluster.run("kubectl", &["get", "crd", "loadtests.floodmark.dev"], "").status.success();
        if let Place::Given { operator, definitions, .. } = &mut cluster.place {
            (*operator, *definitions) = (found, defined);
        }
        if !found {
            cluster.kubectl(&["apply", "--server-side", "-k", "manifests/kind"]);
        }
        cluster.kubectl(&[&["rollout", "status", "--timeout=90s"][..], &OPERATOR].concat());
        Ok(cluster)
    }

    pub fn is_own(&self) -> bool {
        matches!(self.place, Place::Own(_))
    }

    pub fn name(&self) -> String {
        match &self.place {
            Place::Own(_) => "a cluster of their own".to_owned(),
            Place::Given { kubeconfig, .. } => format!("the cluster of KUBECONFIG={}", kubeconfig.display()),
        }
    }

    /// A command in the cluster's network.
    pub fn run(&self, program: &str, arguments: &[&str], input: &str) -> Output {
        let pipes = [Stdio::piped(), Stdio::piped(), Stdio::piped()];
        let [stdin, stdout, stderr] = pipes;
        let mut command = command(&self.place, program);
        let mut child = command.args(arguments).stdin(stdin).stdout(stdout).stderr(stderr).spawn().unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Its standard output; panics with kubectl's own words when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.run("kubectl", arguments, "");
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn apply(&self, namespace: &str, documents: &str) {
        let output = self.run("kubectl", &["-n", namespace, "apply", "-f", "-"], documents);
        assert!(output.status.success(), "{}\n{documents}", String::from_utf8_lossy(&output.stderr));
    }

    /// One that admits restricted pods only.
    pub fn namespace(&self, name: &str) {
        self.kubectl(&["create", "namespace", name]);
        self.namespaces.lock().unwrap().push(name.to_owned());
        self.kubectl(&["label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"]);
    }

    pub fn get(&self, namespace: &str, kind: &str, name: &str) -> Option<Value> {
        self.api.get(namespace, kind, name)
    }

    /// `floodmark wait`: its exit code, and what it printed.
    pub fn wait(&self, namespace: &str, test: &str) -> (i32, String) {
        let output = self.run(FLOODMARK, &["wait", "-n", namespace, test, "--timeout", "4m"], "");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
    }

    /// Waits for `Passed`, fetches everything, gives the summary.
    pub fn passed(&self, namespace: &str, test: &str) -> Value {
        let (code, text) = self.wait(namespace, test);
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().to_str().unwrap();
        let fetched = self.run(FLOODMARK, &["results", "-n", namespace, test, "-o", target], "");
        assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
        for file in ["report.html", "junit.xml", "response.hlog", "response.hgrm"] {
            assert!(folder.path().join(file).metadata().is_ok_and(|m| m.len() > 100), "{file} is missing or empty");
        }
        let summary = std::fs::read(folder.path().join("summary.json")).unwrap();
        let summary: Value = serde_json::from_slice(&summary).unwrap();
        assert_eq!(code, 0, "{text}\n{}\n{}", summary["reasons"], summary["findings"]);
        summary
    }

    /// Ends what a scenario made, and gives the node back to the next.
    pub fn clear(&self) {
        let namespaces = std::mem::take(&mut *self.namespaces.lock().unwrap());
        if !namespaces.is_empty() {
            let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
            self.run("kubectl", &[&["delete", "namespace", "--timeout=90s"][..], &names].concat(), "");
        }
    }

    /// Logs of all parts and pods, for a scenario that failed.
    pub fn logs(&self, scenario: &str) {
        if let Place::Own(cluster) = &self.place {
            let logs = std::env::temp_dir().join(format!("floodmark-{scenario}"));
            let _ = hack(cluster, &["logs", logs.to_str().unwrap()]).output();
            println!("logs are in {}", logs.display());
        }
    }
}

impl Drop for Cluster {
    /// Leaves nothing behind in somebody's cluster.
    fn drop(&mut self) {
        let Place::Given { operator, definitions, .. } = &self.place else { return };
        self.clear();
        if !operator {
            let made = self.run("kubectl", &["kustomize", "manifests/kind"], "").stdout;
            let made = String::from_utf8_lossy(&made);
            // With the definitions all objects would go, whoever made them.
            let ours = |object: &&str| !definitions || !object.contains("\nkind: CustomResourceDefinition\n");
            let ours: Vec<&str> = made.split("\n---\n").filter(ours).collect();
            self.run("kubectl", &["delete", "--ignore-not-found", "-f", "-"], &ours.join("\n---\n"));
        }
    }
}

/// Kubernetes as `hack/setup` built it, if this machine has the rest of what a whole node needs too.
fn binaries() -> Result<PathBuf, String> {
    let built = std::env::var_os("FLOODMARK_CONTROLPLANE").map(PathBuf::from);
    let built = built.filter(|folder| folder.join("kubelet").exists());
    let built = built.ok_or("Kubernetes is not built: run hack/test, or set FLOODMARK_CONTROLPLANE")?;
    for program in ["buildah", "containerd", "etcd"] {
        let found = Command::new(program).arg("--version").output().is_ok();
        if !found {
            return Err(format!("{program} is not installed: hack/setup installs it on Debian as root"));
        }
    }
    Ok(built)
}

/// A whole node by `hack/cluster`, with the image that `hack/image` makes of this tree.
fn own(binaries: &Path) -> Guarded {
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let archive = folder.path().join("floodmark.tar");
    let image = Command::new(root().join("hack/image")).arg(&archive).output().unwrap();
    assert!(image.status.success(), "hack/image: {}", String::from_utf8_lossy(&image.stderr));
    let cluster = Guarded::start(&[], binaries).unwrap_or_else(|why| panic!("{why}"));
    let loaded = hack(&cluster, &["load", archive.to_str().unwrap()]).output().unwrap();
    assert!(loaded.status.success(), "hack/cluster load: {}", String::from_utf8_lossy(&loaded.stderr));
    cluster
}

fn hack(cluster: &Guarded, arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join("hack/cluster"));
    command.args(arguments).env("FLOODMARK_CLUSTER_DIR", cluster.folder()).current_dir(root());
    command
}

/// A program in the cluster's network, with its kubeconfig.
fn command(place: &Place, program: &str) -> Command {
    match place {
        Place::Own(cluster) => hack(cluster, &["enter", program]),
        Place::Given { kubeconfig, .. } => {
            let mut command = Command::new(program);
            command.env("KUBECONFIG", kubeconfig).current_dir(root());
            command
        }
    }
}

/// Polls until it gives a value.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Status, reason and message.
pub fn condition(object: &Value, kind: &str) -> Option<(String, String, String)> {
    let one = object.pointer("/status/conditions")?.as_array()?.iter().find(|condition| condition["type"] == kind)?;
    let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}
