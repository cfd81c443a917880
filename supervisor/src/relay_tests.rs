use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Nothing here takes as long, unless it hangs.
const SOON: Duration = Duration::from_secs(20);

/// What the API server does with those who watch.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Manners {
    #[default]
    Tells,
    /// Leaves the stream open and says nothing any more.
    Silent,
    /// Answers nothing but 503, a GET too.
    Down,
    /// Ends the stream in order.
    Ends,
    /// Ends it with the event that a revision is too old.
    Expired,
    /// The same, by the status of the answer.
    Gone,
    /// Says what is no event.
    Garbage,
}

#[derive(Clone, Default)]
struct State {
    revision: u64,
    data: Option<serde_json::Value>,
    manners: Manners,
    /// Streams that began before the last cut are dropped in the middle.
    cuts: u64,
}

impl State {
    fn object(&self) -> Option<serde_json::Value> {
        let data = self.data.as_ref()?;
        Some(
            serde_json::json!({"kind": "ConfigMap", "metadata": {"resourceVersion": self.revision.to_string()}, "data": data}),
        )
    }
}

/// An API server that holds one object, or none, and lets in one token.
#[derive(Clone)]
struct Api {
    state: watch::Sender<State>,
    gets: Arc<AtomicUsize>,
    watches: Arc<AtomicUsize>,
    /// How often it did what its manners, or a cut, are about.
    offences: Arc<AtomicUsize>,
}

impl Api {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (gets, watches, offences) = Default::default();
        let api = Self { state: watch::Sender::default(), gets, watches, offences };
        let served = api.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(served.clone().serve(socket));
            }
        });
        (api, address)
    }

    fn put(&self, revision: u64, data: &serde_json::Value) {
        self.state.send_modify(|state| (state.revision, state.data) = (revision, Some(data.clone())));
    }

    fn behave(&self, manners: Manners) {
        self.state.send_modify(|state| state.manners = manners);
    }

    /// Drops every stream.
    fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    async fn serve(self, socket: TcpStream) {
        let mut socket = BufReader::new(socket);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if socket.read_line(&mut head).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let target = head.split(' ').nth(1).unwrap();
            let down = self.state.borrow().manners == Manners::Down;
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let refused = if down {
                self.offences.fetch_add(1, SeqCst);
                Some("503 Service Unavailable")
            } else if !head.to_lowercase().contains("authorization: bearer secret\r") {
                Some("401 Unauthorized")
            } else if self.state.borrow().data.is_none() {
                Some("404 Not Found")
            } else if query.contains("watch=1") {
                assert_eq!(path, "/api/v1/namespaces/team/configmaps");
                self.watches.fetch_add(1, SeqCst);
                let _ = self.stream(socket, query).await;
                return;
            } else {
                None
            };
            assert_eq!((path, query), ("/api/v1/namespaces/team/configmaps/sink-control", ""));
            self.gets.fetch_add(1, SeqCst);
            let body = self.state.borrow().object().map(|object| object.to_string()).unwrap_or_default();
            let status = refused.unwrap_or("200 OK");
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            if socket.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    /// Everything after the revision that is asked from.
    async fn stream(&self, mut socket: BufReader<TcpStream>, query: &str) -> std::io::Result<()> {
        assert!(query.contains("fieldSelector=metadata.name%3Dsink-control"), "{query}");
        let revision = query.split("resourceVersion=").nth(1).and_then(|rest| rest.split('&').next()).unwrap();
        let mut told: u64 = revision.parse().unwrap();
        let mut state = self.state.subscribe();
        let began = state.borrow_and_update().clone();
        if began.manners == Manners::Gone {
            self.offences.fetch_add(1, SeqCst);
            return socket.write_all(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").await;
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        loop {
            let now = state.borrow_and_update().clone();
            if now.cuts > began.cuts || now.manners != Manners::Tells {
                self.offences.fetch_add(1, SeqCst);
            }
            let line = match now.manners {
                _ if now.cuts > began.cuts => return socket.write_all(b"ff\r\n{\"type\":").await,
                Manners::Ends => return socket.write_all(b"0\r\n\r\n").await,
                Manners::Expired => Some(
                    serde_json::json!({"type": "ERROR", "object": {"kind": "Status", "metadata": {}, "code": 410, "message": "too old"}})
                        .to_string(),
                ),
                Manners::Garbage => Some("<html>".to_owned()),
                Manners::Tells if now.revision > told => {
                    told = now.revision;
                    now.object().map(|object| serde_json::json!({"type": "MODIFIED", "object": object}).to_string())
                }
                _ => None,
            };
            if let Some(line) = line {
                socket.write_all(format!("{:x}\r\n{line}\n\r\n", line.len() + 1).as_bytes()).await?;
            }
            if state.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

struct Setup {
    api: Api,
    folder: tempfile::TempDir,
    relay: Relay,
}

impl Setup {
    async fn new() -> Self {
        let (api, address) = Api::start().await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("namespace"), "team\n").unwrap();
        std::fs::write(folder.path().join("token"), "secret\n").unwrap();
        let control = Control {
            config_map: "sink-control".to_owned(),
            api_server: Some(format!("http://{address}/")),
            service_account: folder.path().to_owned(),
        };
        let relay = Relay::new(&control, &folder.path().join("run"));
        Self { api, folder, relay }
    }

    fn file(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join("run").join(name)).ok()
    }

    /// Puts the first state and follows from there.
    async fn follow(&mut self, watch: Watch) -> watch::Receiver<Relayed> {
        self.api.put(1, &document(1));
        let (news, latest) = watch::channel(self.relay.fresh().await);
        let mut relay = Relay::new(&self.relay.control, &self.relay.into);
        relay.watch = watch;
        tokio::spawn(relay.follow(news));
        until("a watch", || self.api.watches.load(SeqCst) > 0).await;
        latest
    }
}

fn document(epoch: u64) -> serde_json::Value {
    serde_json::json!({"control.json": format!(r#"{{"epoch":{epoch}}}"#)})
}

async fn until(what: &str, mut there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !there() {
        assert!(begun.elapsed() < SOON, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// How long it takes until a revision is there.
async fn arrives(latest: &mut watch::Receiver<Relayed>, revision: &str) -> Duration {
    let begun = Instant::now();
    tokio::time::timeout(SOON, latest.wait_for(|relayed| relayed.revision == revision)).await.expect(revision).unwrap();
    begun.elapsed()
}

#[tokio::test]
async fn nothing_stale_is_left_and_nothing_is_started_before_the_object_was_read() {
    let mut setup = Setup::new().await;
    std::fs::create_dir(setup.folder.path().join("run")).unwrap();
    std::fs::write(setup.folder.path().join("run/control.json"), "stale").unwrap();
    let error = setup.relay.try_fresh().await.unwrap_err();
    assert!(format!("{error:#}").contains("404"), "{error:#}");
    assert_eq!(setup.file("control.json"), None, "the earlier document is gone");

    setup.api.put(7, &serde_json::json!({"control.json": r#"{"spec": {}}"#, "plan.json": "{}", "other": "x"}));
    let relayed = setup.relay.try_fresh().await.unwrap();
    assert_eq!(relayed, Relayed { revision: "7".to_owned(), chaos: Vec::new() });
    assert_eq!(setup.file("control.json").as_deref(), Some(r#"{"spec": {}}"#));
    assert_eq!(setup.file("plan.json").as_deref(), Some("{}"));
    assert_eq!(setup.file("other"), None);

    // A rotated token is read when the old one is refused.
    std::fs::write(setup.folder.path().join("token"), "other").unwrap();
    setup.relay.fetch = None;
    assert!(setup.relay.try_fresh().await.is_err());
    std::fs::write(setup.folder.path().join("token"), "secret").unwrap();
    assert!(setup.relay.try_fresh().await.is_ok());
}

#[tokio::test]
async fn every_later_state_is_handed_on_at_once_unless_it_cannot_be_read() {
    let mut setup = Setup::new().await;
    let mut latest = setup.follow(WATCH).await;
    let gets = setup.api.gets.load(SeqCst);

    setup.api.put(2, &document(2));
    assert!(arrives(&mut latest, "2").await < Duration::from_secs(1));
    assert_eq!(setup.file("control.json").as_deref(), Some(r#"{"epoch":2}"#));

    setup.api.put(3, &serde_json::json!({"control.json": "{", "plan.json": "half"}));
    let chaos = r#"{"chaos":[{"id":5,"atUnixMs":6,"ordinal":1,"action":"Kill"}]}"#;
    setup.api.put(4, &serde_json::json!({"control.json": chaos}));
    assert!(arrives(&mut latest, "4").await < Duration::from_secs(1));
    assert_eq!(latest.borrow().chaos.len(), 1);
    assert_eq!(setup.file("plan.json"), None);
    let asked = (setup.api.gets.load(SeqCst), setup.api.watches.load(SeqCst));
    assert_eq!(asked, (gets, 1), "it is told, and does not ask");
}

#[tokio::test]
async fn however_a_watch_ends_the_newest_state_arrives() {
    let mut setup = Setup::new().await;
    let mut latest = setup.follow(WATCH).await;
    let mut revision = 1;
    for manners in [Manners::Tells, Manners::Ends, Manners::Expired, Manners::Gone, Manners::Garbage, Manners::Down] {
        // Two changes while nobody is told.
        let offences = setup.api.offences.load(SeqCst);
        setup.api.behave(manners);
        if matches!(manners, Manners::Tells | Manners::Gone | Manners::Down) {
            setup.api.cut();
        }
        until("trouble", || setup.api.offences.load(SeqCst) > offences + usize::from(manners == Manners::Gone)).await;
        setup.api.put(revision + 1, &document(revision + 1));
        setup.api.put(revision + 2, &document(revision + 2));
        revision += 2;
        let watches = setup.api.watches.load(SeqCst);
        setup.api.behave(Manners::Tells);
        arrives(&mut latest, &revision.to_string()).await;
        assert_eq!(setup.file("control.json"), Some(format!(r#"{{"epoch":{revision}}}"#)));
        // And it is told again.
        until("the next watch", || setup.api.watches.load(SeqCst) > watches).await;
        revision += 1;
        setup.api.put(revision, &document(revision));
        assert!(arrives(&mut latest, &revision.to_string()).await < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_is_given_up_after_the_end_that_it_should_have_had() {
    let mut setup = Setup::new().await;
    let mut latest = setup.follow(Watch { seconds: 0, slack: Duration::from_millis(500) }).await;
    setup.api.behave(Manners::Silent);
    setup.api.put(2, &document(2));
    let after = arrives(&mut latest, "2").await;
    assert!(after < Duration::from_secs(5), "{after:?}");
    // The roles are left alone while there is nothing new.
    let watches = setup.api.watches.load(SeqCst);
    until("more watches", || setup.api.watches.load(SeqCst) > watches).await;
    assert!(!latest.has_changed().unwrap());
}

#[tokio::test]
async fn a_deleted_object_is_waited_for() {
    let mut setup = Setup::new().await;
    let mut latest = setup.follow(WATCH).await;
    setup.api.state.send_modify(|state| state.data = None);
    setup.api.cut();
    let gets = setup.api.gets.load(SeqCst);
    until("it is looked for", || setup.api.gets.load(SeqCst) > gets).await;
    assert_eq!(setup.file("control.json").as_deref(), Some(r#"{"epoch":1}"#), "the role goes on with what it has");
    setup.api.put(9, &document(9));
    arrives(&mut latest, "9").await;
}

#[test]
fn the_api_server_is_where_the_environment_says() {
    let with = |host: &'static str| {
        api_server(move |name| match name {
            "KUBERNETES_SERVICE_HOST" => Some(host.to_owned()),
            "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
            _ => None,
        })
    };
    assert_eq!(with("10.96.0.1").unwrap(), "https://10.96.0.1:443");
    assert_eq!(with("fd00::1").unwrap(), "https://[fd00::1]:443");
    assert!(with("").unwrap_err().to_string().contains("--api-server"));
}
