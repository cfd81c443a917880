//! Between an operator and the API server: counts its writes, and cuts at one of them.
//!
//! It passes everything on as the operator's `ServiceAccount`, so that what works here works with the rights of the manifests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Of the manifests' operator.
pub(crate) const ACCOUNT: &str = "system:serviceaccount:floodmark-system:floodmark-operator";

/// A write that is told from others by what it does to what, and how often that was done before: `PUT configmaps/s-sink-control 2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) what: String,
    pub(crate) nth: usize,
}

/// What becomes of the write that is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It is done, and nobody hears of it.
    LoseAnswer,
    /// It is not done.
    Refuse,
}

/// A write that was passed on.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) status: u16,
    pub(crate) at: std::time::Instant,
}

#[derive(Default)]
struct Log {
    counts: BTreeMap<String, usize>,
    writes: Vec<Write>,
    /// Events have no names that come again, and are never cut.
    events: usize,
    armed: Option<(Key, Cut)>,
    /// The operator is about to be killed: nothing more of it comes through.
    cut: bool,
}

struct State {
    client: Client,
    account: String,
    log: Mutex<Log>,
    happened: Notify,
}

/// Ends with this value.
pub(crate) struct Proxy {
    /// Names the proxy.
    pub(crate) kubeconfig: PathBuf,
    pub(crate) folder: tempfile::TempDir,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(client: Client, account: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        let server = format!("http://{}", listener.local_addr().unwrap());
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": server}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        let (log, happened) = (Mutex::default(), Notify::new());
        let state = Arc::new(State { client, account: account.to_owned(), log, happened });
        let task = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { kubeconfig, folder, state, task }
    }

    /// From now on writes are counted anew, and the one that is named is cut.
    pub(crate) fn arm(&self, cut: Option<(Key, Cut)>) {
        *self.state.log.lock().unwrap() = Log { armed: cut, ..Log::default() };
    }

    /// Comes back once the write was cut.
    pub(crate) async fn cut(&self) {
        self.state.happened.notified().await;
    }

    /// For an operator that was started anew.
    pub(crate) fn pass(&self) {
        let mut log = self.state.log.lock().unwrap();
        log.cut = false;
        log.armed = None;
    }

    /// What was passed on since it was armed.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.state.log.lock().unwrap().writes.clone()
    }

    /// How many events were passed on since it was armed.
    pub(crate) fn events(&self) -> usize {
        self.state.log.lock().unwrap().events
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Objects that were made more than once, by name.
pub(crate) fn made_twice<'a>(writes: impl IntoIterator<Item = &'a Write>) -> Vec<String> {
    let mut made: BTreeMap<&str, usize> = BTreeMap::new();
    for write in writes.into_iter().filter(|write| write.status == 201) {
        let object = write.key.what.split_once(' ').unwrap().1;
        *made.entry(object).or_default() += 1;
    }
    made.into_iter().filter(|(_, times)| *times > 1).map(|(object, _)| object.to_owned()).collect()
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let state = Arc::clone(&state);
                let service = hyper::service::service_fn(move |request| pass(Arc::clone(&state), request));
                let connection = hyper::server::conn::http1::Builder::new();
                connections.spawn(async move {
                    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A write's name, with that of its object, which a POST has in its body alone; none for what does not count.
fn what(method: &Method, path: &str, body: &[u8]) -> Option<String> {
    if *method == Method::GET {
        return None;
    }
    let (_, rest) = path.split_once("/namespaces/")?;
    let (_, object) = rest.split_once('/')?;
    let plural = object.split('/').next()?;
    if matches!(plural, "leases" | "events") {
        return None;
    }
    let mut what = format!("{method} {object}");
    if *method == Method::POST {
        let name = serde_json::from_slice::<Value>(body).ok()?;
        what = format!("{what}/{}", name["metadata"]["name"].as_str()?);
    }
    Some(what)
}

async fn pass(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { std::future::pending().await };
    let body = body.to_bytes();
    if parts.method == Method::POST && parts.uri.path().ends_with("/events") {
        state.log.lock().unwrap().events += 1;
    }
    let what = what(&parts.method, parts.uri.path(), &body);
    let (key, lose) = match what {
        None => (None, false),
        Some(what) => {
            let verdict = {
                let mut log = state.log.lock().unwrap();
                let count = log.counts.entry(what.clone()).or_default();
                *count += 1;
                let key = Key { what, nth: *count };
                let cut = log.armed.as_ref().filter(|(armed, _)| *armed == key).map(|(_, cut)| *cut);
                let before = log.cut;
                log.cut |= cut.is_some();
                if before { Err(false) } else { Ok((key, cut)) }
            };
            match verdict {
                Err(_) => std::future::pending().await,
                Ok((_, Some(Cut::Refuse))) => {
                    state.happened.notify_one();
                    std::future::pending().await
                }
                Ok((key, cut)) => (Some(key), cut == Some(Cut::LoseAnswer)),
            }
        }
    };
    let mut forward = Request::builder().method(parts.method).uri(parts.uri).header("impersonate-user", &state.account);
    for name in ["accept", "content-type"] {
        if let Some(value) = parts.headers.get(name) {
            forward = forward.header(name, value);
        }
    }
    // Whom nobody answers will try again.
    let Ok(answer) = state.client.send(forward.body(Body::from(body)).unwrap()).await else {
        std::future::pending().await
    };
    let Some(key) = key else { return Ok(answer) };
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    let write = Write { key, status: parts.status.as_u16(), at: std::time::Instant::now() };
    state.log.lock().unwrap().writes.push(write);
    if lose {
        state.happened.notify_one();
        std::future::pending::<()>().await;
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}
