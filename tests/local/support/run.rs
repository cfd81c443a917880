//! Runs of the command under test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// A run in a folder of its own: `test.yaml` in, `results/` out.
pub struct Run {
    pub folder: TempDir,
    child: Tied,
}

/// Ends with the test that started it, however that ends.
struct Tied(Child);

impl Drop for Tied {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a run ended.
pub struct Ended {
    pub folder: TempDir,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Starts `floodmark run test.yaml -o results MORE…` with this document.
    pub fn start(document: &str, more: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self::start_in(folder, document, Path::new("results"), more)
    }

    pub fn start_in(folder: TempDir, document: &str, results: &Path, more: &[&str]) -> Self {
        fs::write(folder.path().join("test.yaml"), document).expect("the document");
        let child = Command::new(env!("CARGO_BIN_EXE_floodmark"))
            .args([OsStr::new("run"), OsStr::new("test.yaml"), OsStr::new("-o"), results.as_os_str()])
            .args(more)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("stdout")).expect("stdout"))
            .stderr(File::create(folder.path().join("stderr")).expect("stderr"))
            // As a shell with a terminal has it: Ctrl-C goes to all of this group.
            .process_group(0)
            .spawn()
            .expect("the command starts");
        Self { folder, child: Tied(child) }
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child.0)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("the signal is delivered");
    }

    /// What the terminal does with Ctrl-C.
    pub fn signal_all(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process_group(self.pid(), signal).expect("the signal is delivered");
    }

    pub fn output(&self) -> String {
        read(self.folder.path(), "stdout") + &read(self.folder.path(), "stderr")
    }

    /// Processes that this run started, direct children only, with their command lines.
    pub fn children(&self) -> Vec<(u32, String)> {
        children_of(self.child.0.id())
    }

    /// Waits for the end; panics after `limit`.
    pub fn end(mut self, limit: Duration) -> Ended {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.0.try_wait().expect("wait") {
                break status;
            }
            assert!(Instant::now() <= deadline, "the run did not end within {limit:?}:\n{}", self.output());
            std::thread::park_timeout(Duration::from_millis(50));
        };
        let path = self.folder.path();
        let (stdout, stderr) = (read(path, "stdout"), read(path, "stderr"));
        Ended { folder: self.folder, status, stdout, stderr }
    }
}

impl Ended {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    pub fn results(&self) -> PathBuf {
        self.folder.path().join("results")
    }

    pub fn summary(&self) -> Value {
        let path = self.results().join("summary.json");
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), self.all()));
        serde_json::from_slice(&text).expect("summary.json is JSON")
    }

    /// Panics with all that was printed unless the run ended with this code.
    pub fn expect_code(self, code: i32) -> Self {
        if self.code() != Some(code) {
            let summary = fs::read_to_string(self.results().join("summary.json")).unwrap_or_default();
            panic!("exit {:?}, not {code}\n{}\n{}", self.status, self.all(), &summary[..summary.len().min(4000)]);
        }
        self
    }
}

fn read(folder: &Path, name: &str) -> String {
    String::from_utf8_lossy(&fs::read(folder.join(name)).unwrap_or_default()).into_owned()
}

/// Direct children of a process, from /proc.
pub fn children_of(parent: u32) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some(rest) = stat.rsplit_once(')').map(|(_, rest)| rest) else { continue };
        if rest.split_whitespace().nth(1) == Some(&parent.to_string()) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}

/// Whether a process still exists (a zombie does not count).
pub fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(')').map(|(_, rest)| !rest.trim_start().starts_with('Z')))
        .unwrap_or(false)
}

/// A number in a JSON document, by pointer.
pub fn number(document: &Value, pointer: &str) -> u64 {
    document
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{pointer} is not a whole number: {:?}", document.pointer(pointer)))
}
