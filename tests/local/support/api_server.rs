//! As much of the Kubernetes API as one pod may use: to get and to watch a config map, with the right token.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::pod::Api;

const TOKEN: &str = "a-token";

#[derive(Default)]
struct Objects {
    /// By name: revision and data.
    known: Mutex<BTreeMap<String, (u64, Value)>>,
    changed: Condvar,
}

pub struct ApiServer {
    objects: Arc<Objects>,
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
        let objects = Arc::<Objects>::default();
        let served = Arc::clone(&objects);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                std::thread::spawn(move || serve(&stream, &served));
            }
        });
        Self { objects, address, account }
    }

    /// Replaces an object; gives its new revision.
    pub fn put(&self, name: &str, documents: &[(&str, &Value)]) -> u64 {
        let data: serde_json::Map<String, Value> =
            documents.iter().map(|(key, document)| ((*key).to_owned(), Value::from(document.to_string()))).collect();
        let mut known = self.objects.known.lock().expect("the objects");
        let revision = 1 + known.values().map(|(revision, _)| *revision).max().unwrap_or(100);
        known.insert(name.to_owned(), (revision, Value::Object(data)));
        self.objects.changed.notify_all();
        revision
    }
}

impl Api for ApiServer {
    fn url(&self) -> String {
        self.address.clone()
    }

    fn service_account(&self) -> PathBuf {
        self.account.path().to_owned()
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
        if token && request.contains("?watch=1&") {
            let _ = watch(stream, request, objects);
            return;
        }
        let (status, body) = if token { answer(request, objects) } else { ("401 Unauthorized", Value::Null) };
        let body = body.to_string();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut out = stream;
        if out.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

const COLLECTION: &str = "/api/v1/namespaces/team/configmaps";

fn object(revision: u64, data: &Value) -> Value {
    json!({"kind": "ConfigMap", "metadata": {"resourceVersion": revision.to_string()}, "data": data})
}

fn answer(request: &str, objects: &Objects) -> (&'static str, Value) {
    let path = request.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).map(Path::new);
    let known = objects.known.lock().expect("the objects");
    let name = path.filter(|path| path.parent() == Some(Path::new(COLLECTION))).and_then(Path::file_name);
    match name.and_then(|name| known.get(name.to_str()?)) {
        Some((revision, data)) => ("200 OK", object(*revision, data)),
        None => ("404 Not Found", json!({"kind": "Status", "reason": "NotFound"})),
    }
}

/// Every later state of one object, until nobody listens.
fn watch(mut stream: &TcpStream, request: &str, objects: &Objects) -> std::io::Result<()> {
    let of = |key: &str| request.split(key).nth(1).and_then(|rest| rest.split(['&', ' ']).next());
    let name = of("fieldSelector=metadata.name%3D").expect("one object is watched");
    let mut told: u64 = of("resourceVersion=").and_then(|text| text.parse().ok()).expect("from a revision on");
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    loop {
        let known = objects.known.lock().expect("the objects");
        let news =
            |known: &mut BTreeMap<String, (u64, Value)>| known.get(name).is_none_or(|(revision, _)| *revision <= told);
        let known = objects.changed.wait_while(known, news).expect("the objects");
        let (revision, data) = known[name].clone();
        drop(known);
        told = revision;
        let line = json!({"type": "MODIFIED", "object": object(revision, &data)}).to_string();
        stream.write_all(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes())?;
    }
}
