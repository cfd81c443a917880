//! An operator as users run it: a process of its own.

use std::process::{Child, Command};

use telemetry::parent::Lifeline;

use crate::proxy::Proxy;

/// Killed with this value, and with this process.
pub(crate) struct Operator {
    child: Child,
    _lifeline: Lifeline,
}

impl Operator {
    /// For this namespace alone, or for all; with further arguments.
    pub(crate) fn start(proxy: &Proxy, namespace: Option<&str>, arguments: &[&str]) -> Self {
        let log = std::fs::File::options().append(true).create(true).open(proxy.folder.path().join("log")).unwrap();
        let (lifeline, stdin) = Lifeline::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_floodmark"));
        command.args(["operator", "--image", "floodmark:test", "--end-with-stdin", "--kubeconfig"]);
        command.arg(&proxy.kubeconfig).args(arguments);
        if let Some(namespace) = namespace {
            command.args(["--namespace", namespace]);
        }
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let child = command.stdin(stdin).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { child, _lifeline: lifeline }
    }

    /// As the kernel or a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asked to stop; true when it ended well.
    pub(crate) fn stop(&mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The end of what all operators behind this proxy logged.
pub(crate) fn log(proxy: &Proxy) -> String {
    let text = std::fs::read_to_string(proxy.folder.path().join("log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
