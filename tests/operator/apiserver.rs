//! etcd and kube-apiserver, started by `hack/cluster` and ended with this value.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::root;

pub(crate) struct ApiServer {
    pub(crate) kubeconfig: PathBuf,
    folder: tempfile::TempDir,
    kubectl: PathBuf,
}

/// The kubectl that `hack/setup` built; never builds one, which takes minutes.
pub(crate) fn kubectl() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("FLOODMARK_CONTROLPLANE") {
        return Some(PathBuf::from(folder).join("kubectl")).filter(|path| path.exists());
    }
    let cache = PathBuf::from(std::env::var_os("HOME")?).join(".cache/floodmark");
    let folders = std::fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path());
    let built =
        folders.filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("controlplane-")));
    built.map(|path| path.join("kubectl")).find(|path| path.exists())
}

impl ApiServer {
    /// Says why there is none.
    pub(crate) fn start() -> Result<Self, String> {
        let kubectl = kubectl().ok_or("kube-apiserver is not built: run hack/setup")?;
        let folder = tempfile::tempdir_in("/var/tmp").map_err(|error| error.to_string())?;
        let server = Self { kubeconfig: folder.path().join("cluster/kubeconfig"), folder, kubectl };
        let up = server.cluster("up").output().map_err(|error| error.to_string())?;
        if !up.status.success() {
            return Err(format!("hack/cluster --api-only up: {}", String::from_utf8_lossy(&up.stderr)));
        }
        Ok(server)
    }

    fn cluster(&self, command: &str) -> Command {
        let mut cluster = Command::new(root().join("hack/cluster"));
        cluster.args(["--api-only", command]).env("FLOODMARK_CLUSTER_DIR", self.folder.path().join("cluster"));
        cluster.env("FLOODMARK_CONTROLPLANE", self.kubectl.parent().unwrap()).stdin(Stdio::null());
        cluster
    }

    /// With standard input; panics with kubectl's own words when it fails.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn output(&self, arguments: &[&str], input: &str) -> std::process::Output {
        let mut child = Command::new(&self.kubectl)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// With the account that its controller would make.
    pub(crate) fn namespace(&self, name: &str) {
        self.kubectl(&["create", "namespace", name], "");
        self.kubectl(&["-n", name, "create", "serviceaccount", "default"], "");
    }

    pub(crate) fn get(&self, namespace: &str, kind: &str, name: &str) -> Option<Value> {
        let output = self.output(&["-n", namespace, "get", kind, name, "-o", "json", "--ignore-not-found"], "");
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The document in a control map.
    pub(crate) fn control(&self, namespace: &str, name: &str) -> Option<Value> {
        let map = self.get(namespace, "configmap", name)?;
        serde_json::from_str(map["data"]["control.json"].as_str()?).ok()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let _ = self.cluster("down").output();
    }
}
