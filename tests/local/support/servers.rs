//! Real servers on loopback, ended when dropped.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{free_port, http, wait_until};

/// A server that was started by this test.
pub struct Server {
    pub address: String,
    pub child: Child,
    pub folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be stopped: SIGKILL works all the same.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(mut command: Command, address: String, folder: TempDir, ready: &str) -> Self {
        let log = File::create(folder.path().join("log")).expect("a log");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the server starts");
        let server = Self { address, child, folder };
        wait_until(&format!("{command:?} answers {ready}"), Duration::from_secs(60), || {
            http::get(&server.address, ready).is_ok_and(|(status, _)| status == 200)
        });
        server
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Samples of a run, counted by the server's own query engine: name by name, since `count_over_time` drops the name and the
    /// series of one histogram differ by little else.
    pub fn count_samples(&self, run: &str, at_seconds: f64) -> f64 {
        let matcher = http::escape(&format!("{{floodmark_run=\"{run}\"}}"));
        let (_, body) =
            http::get(&self.address, &format!("/api/v1/label/__name__/values?match[]={matcher}")).expect("names");
        let names: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let names = names["data"].as_array().expect("names").iter().filter_map(serde_json::Value::as_str);
        names
            .map(|name| {
                let query = format!("sum(count_over_time({name}{{floodmark_run=\"{run}\"}}[30m]))");
                self.query(&query, at_seconds).unwrap_or_else(|| panic!("no answer to {query}"))
            })
            .sum()
    }

    /// The value of an instant query's only result.
    pub fn query(&self, expression: &str, at_seconds: f64) -> Option<f64> {
        let body = format!("query={}&time={at_seconds}", http::escape(expression));
        let (_, body) = http::post_form(&self.address, "/api/v1/query", &body).ok()?;
        let answer: serde_json::Value = serde_json::from_slice(&body).ok()?;
        answer.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
    }
}

/// A program of the search path.
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Versions of Prometheus that tests may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prometheus {
    /// Debian's 2.42.
    Two,
    /// 3.8.1, built from its module.
    Three,
}

impl Prometheus {
    pub fn program(self) -> Option<PathBuf> {
        match self {
            Self::Two => installed("prometheus"),
            Self::Three => std::env::var_os("FLOODMARK_PROMETHEUS3").map(PathBuf::from).filter(|path| path.exists()),
        }
    }

    /// Starts a receiver of Remote-Write; `None` when the program is absent.
    pub fn start(self, configuration: &str, more: &[&str]) -> Option<Server> {
        self.start_with(free_port(), configuration, more)
    }

    /// The same on a port that the configuration already names.
    pub fn start_on(self, port: u16, configuration: &str) -> Option<Server> {
        self.start_with(port, configuration, &[])
    }

    fn start_with(self, port: u16, configuration: &str, more: &[&str]) -> Option<Server> {
        let program = self.program()?;
        let folder = TempDir::new().expect("a temporary folder");
        let address = format!("127.0.0.1:{port}");
        fs::write(folder.path().join("prometheus.yml"), configuration).expect("the configuration");
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--web.enable-remote-write-receiver")
            .args(more);
        Some(Server::start(command, address, folder, "/-/ready"))
    }
}

/// Starts a single VictoriaMetrics; `None` when the program is absent.
pub fn victoria() -> Option<Server> {
    let program = installed("victoria-metrics")?;
    let folder = TempDir::new().expect("a temporary folder");
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(program);
    command
        .arg(format!("-httpListenAddr={address}"))
        .arg(format!("-storageDataPath={}", folder.path().join("data").display()))
        // Queries see the newest samples, too.
        .args(["-retentionPeriod=1y", "-search.latencyOffset=1ms"]);
    Some(Server::start(command, address, folder, "/health"))
}
