use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use floodmark_http::server::{self, Limits};
use floodmark_http::{Request, Response, StatusCode};

use super::*;

/// An API server that holds one object, or none, and lets in one token.
#[derive(Default)]
struct Api {
    object: Mutex<Option<serde_json::Value>>,
}

impl Api {
    fn put(&self, revision: u64, data: &serde_json::Value) {
        let object = serde_json::json!({"metadata": {"resourceVersion": revision.to_string()}, "data": data});
        *self.object.lock().unwrap() = Some(object);
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let refuse = |status| server::text(status, "refused");
        if request.headers().get("authorization").is_none_or(|token| token != "Bearer secret") {
            return refuse(StatusCode::UNAUTHORIZED);
        }
        if request.uri().path() != "/api/v1/namespaces/team/configmaps/sink-control" {
            return refuse(StatusCode::FORBIDDEN);
        }
        self.object.lock().unwrap().as_ref().map_or_else(|| refuse(StatusCode::NOT_FOUND), server::json)
    }
}

struct Setup {
    api: Arc<Api>,
    folder: tempfile::TempDir,
    relay: Relay,
}

impl Setup {
    fn new() -> Self {
        let api = Arc::new(Api::default());
        let listener = server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let served = Arc::clone(&api);
        let handler = Arc::new(move |request: Request<Bytes>, _peer: SocketAddr| {
            let answer = served.answer(&request);
            async move { answer }
        });
        tokio::spawn(server::serve(listener, handler, Limits::default(), None, None, std::future::pending()));
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
}

#[tokio::test]
async fn nothing_stale_is_left_and_nothing_is_started_before_the_object_was_read() {
    let mut setup = Setup::new();
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
async fn every_later_state_is_handed_on_unless_it_cannot_be_read() {
    let mut setup = Setup::new();
    setup.api.put(1, &serde_json::json!({"control.json": "{}"}));
    let first = setup.relay.fresh().await;
    let (news, mut latest) = watch::channel(first);
    let relay = Relay::new(&setup.relay.control, &setup.relay.into);
    let following = tokio::spawn(relay.follow(news));
    let next = async |latest: &mut watch::Receiver<Relayed>| {
        tokio::time::timeout(Duration::from_secs(30), latest.changed()).await.unwrap().unwrap();
        latest.borrow_and_update().clone()
    };

    setup.api.put(2, &serde_json::json!({"control.json": "{", "plan.json": "half"}));
    setup.api.put(
        3,
        &serde_json::json!({"control.json": r#"{"chaos":[{"id":5,"atUnixMs":6,"ordinal":1,"action":"Kill"}]}"#}),
    );
    let third = next(&mut latest).await;
    assert_eq!((third.revision.as_str(), third.chaos.len()), ("3", 1));
    assert_eq!(setup.file("plan.json"), None);
    following.abort();
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
