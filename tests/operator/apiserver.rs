//! etcd and kube-apiserver, started by `hack/cluster`. They end with this process, however it ends.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::guardian::Guarded;
use crate::root;

pub(crate) struct ApiServer {
    pub(crate) kubeconfig: PathBuf,
    kubectl: PathBuf,
    _guarded: Guarded,
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
        let guarded = Guarded::start(&["--api-only"], kubectl.parent().unwrap())?;
        Ok(Self { kubeconfig: guarded.folder().join("kubeconfig"), kubectl, _guarded: guarded })
    }

    /// An administrator's.
    pub(crate) async fn client(&self) -> Client {
        let file = Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        config.default_retry = false;
        config.read_timeout = None;
        Client::try_from(config).unwrap()
    }

    /// What kubectl remembers of the API is from before our definitions.
    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_dir_all(self.kubeconfig.with_file_name("kubectl"));
    }

    /// With standard input; panics with kubectl's own words when it fails.
    pub(crate) fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let output = self.output(arguments, input);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn output(&self, arguments: &[&str], input: &str) -> std::process::Output {
        let mut child = Command::new(&self.kubectl)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            // What it remembers of a server at this port may be of an earlier one.
            .env("KUBECACHEDIR", self.kubeconfig.with_file_name("kubectl"))
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}
