//! Objects of the cluster, read without a process for each look: the looks would take the processors from what is looked at.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Serves until its standard input closes, which the kernel does for it at the latest.
const PROXY: &str = r#"
kubectl proxy --unix-socket "$0" >/dev/null &
cat >/dev/null
kill $!
"#;
/// For one answer, and for the proxy to come up.
const LIMIT: Duration = Duration::from_secs(30);

/// `kubectl proxy` on a socket of its own.
pub struct Api {
    folder: tempfile::TempDir,
    proxy: Child,
}

impl Api {
    /// `shell` runs `sh` where the API server can be reached.
    pub fn start(mut shell: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api");
        let proxy = shell.args(["-c", PROXY]).arg(&socket).stdin(Stdio::piped()).spawn().unwrap();
        let api = Self { folder, proxy };
        let begun = Instant::now();
        while UnixStream::connect(api.socket()).is_err() {
            assert!(begun.elapsed() < LIMIT, "kubectl proxy does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        api
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("api")
    }

    /// Nothing when it does not exist.
    pub fn get(&self, namespace: &str, kind: &str, name: &str) -> Option<Value> {
        let (group, plural) = resource(kind);
        let path = format!("/apis/{group}/namespaces/{namespace}/{plural}/{name}");
        let begun = Instant::now();
        loop {
            match self.read(&path) {
                Ok((200, object)) => return serde_json::from_str(&object).ok(),
                Ok((404, _)) => return None,
                // Too much at once, or a server that comes back.
                other => assert!(begun.elapsed() < LIMIT, "GET {path}: {other:?}"),
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn read(&self, path: &str) -> std::io::Result<(u16, String)> {
        let mut stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(LIMIT))?;
        // In HTTP/1.0 an answer ends with its connection.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Ok((status, body.to_owned()))
    }
}

/// Group with version, and plural.
fn resource(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "lt" => ("floodmark.dev/v1alpha1", "loadtests"),
        "rws" => ("floodmark.dev/v1alpha1", "remotewritesinks"),
        "rwr" => ("floodmark.dev/v1alpha1", "remotewritereceivers"),
        "statefulset" => ("apps/v1", "statefulsets"),
        "deployment" => ("apps/v1", "deployments"),
        "job" => ("batch/v1", "jobs"),
        "lease" => ("coordination.k8s.io/v1", "leases"),
        _ => panic!("{kind}: of which group?"),
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        drop(self.proxy.stdin.take());
        let _ = self.proxy.wait();
    }
}
