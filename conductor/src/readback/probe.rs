//! The first look at the server of `spec.readBack`, before anything is sent: what cannot be read back then, cannot be after the flood.

use std::time::Duration;

use protocol::{Progress, RunPhase};
use telemetry::Stop;
use tokio::time::{Instant, sleep, timeout};

use super::{ReadError, Reader};
use crate::progress::Held;
use protocol::ReadBackKind;

/// How long one question may take: it asks for nothing that takes time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two questions to a server that is not up yet.
const PAUSE: Duration = Duration::from_millis(500);

/// Reads next to nothing until the server answers, and then asks it whose rules it plays if `rules` have to be known. A server may
/// come up late, for as long as `limit`; one that answers 401, 403 or 404, or what no such server sends, is not waited for.
///
/// The rules are None where nobody asked, and where the server does not tell. The error is the reason why nothing is sent.
pub(crate) async fn look(
    reader: &mut Reader,
    run: &str,
    rules: bool,
    limit: Duration,
    stop: &Stop,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Option<api::Profile>, String> {
    tokio::select! {
        found = until(Instant::now() + limit, reader, run, rules, progress) => found,
        _ = stop.requested() => Err("interrupted: this is a partial report".into()),
    }
}

async fn until(
    limit: Instant,
    reader: &mut Reader,
    run: &str,
    rules: bool,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Option<api::Profile>, String> {
    let field = field(reader.kind);
    let mut held = Held::default();
    loop {
        let patience = PATIENCE.min(limit.saturating_duration_since(Instant::now()));
        let asked = async {
            reader.probe(run).await?;
            if rules { reader.profile().await } else { Ok(None) }
        };
        let why = match timeout(patience, asked).await {
            Ok(Ok(profile)) => return Ok(profile),
            Ok(Err(error)) => match fix(&error, reader.kind) {
                Some(fix) => return Err(format!("nothing was sent: {field}: {error}; {fix}")),
                None => error.to_string(),
            },
            Err(_) => format!("no answer within {} s", patience.as_secs()),
        };
        if Instant::now() + PAUSE >= limit {
            return Err(format!("not ready in time, so nothing was sent: {field}: {why}"));
        }
        held.tell(format!("the server of {field}: {why}"), RunPhase::Preparing, progress);
        sleep(PAUSE).await;
    }
}

/// What has to be mended where waiting does not help.
fn fix(error: &ReadError, kind: ReadBackKind) -> Option<&'static str> {
    match error {
        ReadError::Status { status: 401 | 403, .. } => {
            Some("give it the basicAuth or authorization of somebody who may read there")
        }
        ReadError::Status { status: 404, .. } | ReadError::Answer(_) => Some(match kind {
            ReadBackKind::Prometheus => {
                "its url is what stands before /api/v1/read: http://HOST:PORT/prometheus for Mimir"
            }
            ReadBackKind::VictoriaMetrics => {
                "its url is what stands before /api/v1/export: http://HOST:PORT/select/0/prometheus for a cluster"
            }
        }),
        _ => None,
    }
}

fn field(kind: ReadBackKind) -> &'static str {
    match kind {
        ReadBackKind::Prometheus => "spec.readBack.prometheus",
        ReadBackKind::VictoriaMetrics => "spec.readBack.victoriaMetrics",
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use floodmark_http::client::Endpoint;
    use floodmark_http::server::{self, Limits, text};
    use floodmark_http::{Request, Response, StatusCode};
    use remote_write::Snappy;

    use super::super::Window;
    use super::super::portion::Portion;
    use super::*;
    use protocol::ReadBackPlan;

    /// A server that answers reads with these statuses, the last of them for ever, and this to who asks for its version.
    struct Server {
        url: String,
        /// Paths that were asked for.
        asked: Arc<Mutex<Vec<String>>>,
        stop: Stop,
    }

    impl Server {
        fn start(reads: &'static [u16], version: &'static str) -> Self {
            let (stop, asked) = (Stop::new(), Arc::new(Mutex::new(Vec::new())));
            let listener = server::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let seen = Arc::clone(&asked);
            let handler = move |request: Request<Bytes>, _: SocketAddr| {
                let mut seen = seen.lock().unwrap();
                let status = reads[seen.len().min(reads.len() - 1)];
                seen.push(request.uri().path().to_owned());
                let read = matches!(request.uri().path(), "/api/v1/read" | "/api/v1/export");
                let answer = match (read, version) {
                    (true, _) if status != 200 => text(StatusCode::from_u16(status).unwrap(), "the server's words"),
                    (true, _) if request.uri().path().ends_with("read") => {
                        // One result, without series.
                        Response::new(Bytes::from(Snappy::new().compress(b"\x0a\x00").to_vec()))
                    }
                    (true, _) => text(StatusCode::OK, ""),
                    (false, "") => text(StatusCode::NOT_FOUND, ""),
                    (false, version) => text(StatusCode::OK, version),
                };
                async move { answer }
            };
            tokio::spawn(server::serve(listener, Arc::new(handler), Limits::default(), None, None, stop.wait()));
            Self { url, asked, stop }
        }

        async fn look(&self, kind: ReadBackKind, rules: bool, limit: u64) -> Result<Option<api::Profile>, String> {
            let plan = ReadBackPlan { kind, endpoint: Endpoint::new(self.url.clone()) };
            let mut reader = Reader::new(&plan).unwrap();
            look(&mut reader, "r1", rules, Duration::from_millis(limit), &self.stop, &|_| {}).await
        }
    }

    #[tokio::test]
    async fn who_is_not_let_in_hears_it_at_once_with_the_field_and_the_fix() {
        for (status, fix) in [(401, "basicAuth"), (403, "basicAuth"), (404, "before /api/v1/")] {
            for (kind, field) in [
                (ReadBackKind::Prometheus, "spec.readBack.prometheus: "),
                (ReadBackKind::VictoriaMetrics, "spec.readBack.victoriaMetrics: "),
            ] {
                let server = Server::start(Box::leak(Box::new([status])), "");
                let why = server.look(kind, false, 60_000).await.unwrap_err();
                for part in [field, fix, &status.to_string(), "the server's words"] {
                    assert!(why.contains(part), "{part:?} is not in {why:?}");
                }
                assert_eq!(server.asked.lock().unwrap().len(), 1);
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_comes_up_late_is_waited_for() {
        let server = Server::start(&[503, 503, 200], "");
        assert_eq!(server.look(ReadBackKind::Prometheus, false, 60_000).await, Ok(None));
        assert_eq!(*server.asked.lock().unwrap(), ["/api/v1/read"; 3], "nobody asked for its version");
    }

    #[tokio::test]
    async fn a_portion_is_asked_for_again_while_the_server_is_busy_and_no_longer() {
        let window = Window { from_ms: 0, to_ms: 1 };
        for (reads, succeeds, asked) in [(&[503, 429, 200][..], true, 3), (&[400, 200], false, 1)] {
            let server = Server::start(reads, "");
            let plan = ReadBackPlan { kind: ReadBackKind::Prometheus, endpoint: Endpoint::new(server.url.clone()) };
            let mut reader = Reader::new(&plan).unwrap();
            assert_eq!(reader.fetch_patiently("r1", Portion::Bucket(0), window).await.is_ok(), succeeds);
            assert_eq!(server.asked.lock().unwrap().len(), asked);
        }
    }

    #[tokio::test]
    async fn one_that_never_comes_up_leaves_its_last_words() {
        let server = Server::start(&[503], "");
        let why = server.look(ReadBackKind::Prometheus, true, 700).await.unwrap_err();
        assert!(why.contains("not ready in time") && why.contains("503: the server's words"), "{why}");
        let closed = Server { url: "http://127.0.0.1:1".into(), ..Server::start(&[200], "") };
        let why = closed.look(ReadBackKind::VictoriaMetrics, true, 700).await.unwrap_err();
        assert!(why.contains("spec.readBack.victoriaMetrics") && why.contains("refused"), "{why}");
    }

    #[tokio::test]
    async fn the_version_tells_the_rules_and_none_is_no_reason_to_wait() {
        use api::Profile::{Mimir, Prometheus2, Prometheus3};
        for (answer, profile) in [
            (r#"{"status":"success","data":{"version":"2.42.0+ds"}}"#, Some(Prometheus2)),
            (r#"{"status":"success","data":{"version":"3.8.1"}}"#, Some(Prometheus3)),
            (r#"{"data":{"application":"Grafana Mimir","version":"2.14.0"}}"#, Some(Mimir)),
            (r#"{"data":{"version":"v2.53.1"}}"#, Some(Prometheus2)),
            (r#"{"data":{"application":"Cortex","version":"1.18.0"}}"#, None),
            (r#"{"data":{"version":"20.1"}}"#, None),
            (r#"{"data":{"version":""}}"#, None),
            ("", None),
        ] {
            let server = Server::start(&[200], answer);
            assert_eq!(server.look(ReadBackKind::Prometheus, true, 60_000).await, Ok(profile), "{answer}");
        }
    }
}
