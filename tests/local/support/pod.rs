//! A part as a pod runs it: the supervisor and under it the role, both ended with the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{free_port, http, run, wait_until};

const LIMIT: Duration = Duration::from_secs(30);

pub struct Pod {
    child: Child,
    folder: TempDir,
    supervisor: String,
    /// Where the role answers, as host and port.
    pub address: String,
}

/// Where a pod finds the documents of its role.
pub trait Api {
    fn url(&self) -> String;
    fn service_account(&self) -> PathBuf;
}

/// What may differ between pods.
#[derive(Default)]
pub struct Spec<'a> {
    /// The API and the object with the role's documents.
    pub control: Option<(&'a dyn Api, &'a str)>,
    pub environment: &'a [(&'a str, &'a str)],
    /// The folder that outlives containers: of a pod whose container is started again.
    pub folder: Option<TempDir>,
    /// Address for the role; left out: a free one.
    pub address: Option<String>,
}

/// `{into}` in an argument is the pod's folder.
pub fn start(spec: Spec<'_>, role: &[&str]) -> Pod {
    let folder = spec.folder.unwrap_or_else(|| TempDir::new().expect("a temporary folder"));
    let into = folder.path().to_str().expect("a path").to_owned();
    let address = spec.address.unwrap_or_else(|| format!("127.0.0.1:{}", free_port()));
    let supervisor = format!("127.0.0.1:{}", free_port());
    let (_, port) = address.split_once(':').expect("a port");
    let mut command = Command::new(env!("CARGO_BIN_EXE_floodmark"));
    command.args(["supervise", "--end-with-stdin", "--listen", &supervisor, "--into", &into, "--port", port]);
    if let Some((api, object)) = spec.control {
        command
            .args(["--configmap", object, "--api-server", &api.url(), "--service-account"])
            .arg(api.service_account());
    }
    command.args(["--", role[0], "--end-with-stdin", "--listen", &address]);
    command.args(role[1..].iter().map(|argument| argument.replace("{into}", &into)));
    command.envs(spec.environment.iter().copied());
    let log = File::options().create(true).append(true).open(folder.path().join("log")).expect("the log");
    let child = command
        .stdin(Stdio::piped())
        .stdout(log.try_clone().expect("the log"))
        .stderr(log)
        .spawn()
        .expect("the supervisor starts");
    Pod { child, folder, supervisor, address }
}

impl Pod {
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn supervisor(&self) -> String {
        format!("http://{}", self.supervisor)
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the supervisor tells.
    pub fn report(&self) -> Option<Value> {
        let (status, body) = http::get(&self.supervisor, "/supervisor").ok()?;
        (status == 200).then(|| serde_json::from_slice(&body).expect("JSON"))
    }

    /// A document of the role.
    pub fn get(&self, path: &str) -> Option<Value> {
        let (status, body) = http::get(&self.address, path).ok()?;
        (status == 200).then(|| serde_json::from_slice(&body).expect("JSON"))
    }

    pub fn wait_for_role(&self) {
        wait_until(&format!("{} answers", self.address), LIMIT, || http::get(&self.address, "/healthz").is_ok());
    }

    /// The process of the role.
    pub fn role(&self) -> Option<Pid> {
        let (pid, _) = run::children_of(self.child.id()).into_iter().next()?;
        Pid::from_raw(i32::try_from(pid).ok()?)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the signal is delivered");
    }

    /// The end of the container; its folder goes on.
    pub fn ended(mut self) -> (ExitStatus, TempDir) {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            assert!(Instant::now() < deadline, "the supervisor did not end:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(20));
        };
        let folder = std::mem::replace(&mut self.folder, TempDir::new().expect("a temporary folder"));
        (status, folder)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.address, self.log());
        }
        // The role ends with standard input.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
