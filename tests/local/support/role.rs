//! One role as a process of its own, without anything around it.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{free_port, http, wait_until};

pub struct Role {
    child: Child,
    folder: TempDir,
    pub address: String,
}

impl Role {
    /// Starts it with these files in its folder; `{into}` in an argument is the folder, `{address}` in a file where it listens.
    pub fn start(role: &str, files: &[(&str, String)], arguments: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let address = format!("127.0.0.1:{}", free_port());
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text.replace("{address}", &address)).expect("a file");
        }
        let into = folder.path().to_str().expect("a path").to_owned();
        let log = File::create(folder.path().join("log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_floodmark"))
            .args([role, "--end-with-stdin", "--listen", &address])
            .args(arguments.iter().map(|argument| argument.replace("{into}", &into)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the role starts");
        let role = Self { child, folder, address };
        wait_until(&format!("{} is ready", role.address), Duration::from_secs(30), || {
            http::get(&role.address, "/readyz").is_ok_and(|(status, _)| status == 200)
        });
        role
    }

    /// The most memory that it ever had, in bytes.
    pub fn peak(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") << 10
    }

    /// Files and sockets that it has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it lives").count()
    }

    /// A document.
    pub fn get(&self, path: &str) -> serde_json::Value {
        let (status, body) = http::get(&self.address, path).expect("it answers");
        assert_eq!(status, 200, "{path}");
        serde_json::from_slice(&body).expect("JSON")
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- {}\n{log}", self.address);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
