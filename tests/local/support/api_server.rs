//! As much of the Kubernetes API as one pod may use: `GET` of config maps, with the right token.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

const TOKEN: &str = "a-token";

/// By name: revision and data.
type Objects = Arc<Mutex<BTreeMap<String, (u64, Value)>>>;

pub struct ApiServer {
    objects: Objects,
    address: String,
    account: TempDir,
}

impl ApiServer {
    pub fn start() -> Self {
        let account = TempDir::new().expect("a temporary folder");
        std::fs::write(account.path().join("namespace"), "team").expect("namespace");
        std::fs::write(account.path().join("token"), TOKEN).expect("token");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("its address"));
        let objects = Objects::default();
        let served = Arc::clone(&objects);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || serve(&stream, &served));
            }
        });
        Self { objects, address, account }
    }

    pub fn url(&self) -> &str {
        &self.address
    }

    pub fn service_account(&self) -> PathBuf {
        self.account.path().to_owned()
    }

    /// Replaces an object; gives its new revision.
    pub fn put(&self, name: &str, documents: &[(&str, &Value)]) -> u64 {
        let data: serde_json::Map<String, Value> =
            documents.iter().map(|(key, document)| ((*key).to_owned(), Value::from(document.to_string()))).collect();
        let mut objects = self.objects.lock().expect("the objects");
        let revision = 1 + objects.values().map(|(revision, _)| *revision).max().unwrap_or(100);
        objects.insert(name.to_owned(), (revision, Value::Object(data)));
        revision
    }
}

/// One connection, kept alive as clients like it.
fn serve(stream: &TcpStream, objects: &Objects) {
    let mut lines = BufReader::new(stream).lines();
    loop {
        let head: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let Some(request) = head.first() else { return };
        let token = head
            .iter()
            .filter_map(|line| line.split_once(": "))
            .any(|(name, value)| name.eq_ignore_ascii_case("authorization") && value == format!("Bearer {TOKEN}"));
        let (status, body) = if token { answer(request, objects) } else { ("401 Unauthorized", Value::Null) };
        let body = body.to_string();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut out = stream;
        if out.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(request: &str, objects: &Objects) -> (&'static str, Value) {
    let name = request.strip_prefix("GET ").and_then(|rest| Path::new(rest.split(' ').next()?).file_name()?.to_str());
    let known = objects.lock().expect("the objects");
    match name.and_then(|name| known.get(name)) {
        Some((revision, data)) if request.starts_with("GET /api/v1/namespaces/team/configmaps/") => (
            "200 OK",
            json!({"kind": "ConfigMap", "metadata": {"resourceVersion": revision.to_string()}, "data": data}),
        ),
        _ => ("404 Not Found", json!({"kind": "Status", "reason": "NotFound"})),
    }
}
