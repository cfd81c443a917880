//! Reads every sample of a run back from a backend and feeds it to the same store that the receiver keeps.

mod added;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod portion;
mod probe;
mod prometheus;
mod victoria;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use faults::FaultPlan;
use floodmark_http::client::{Connection, EndpointError, TransportError};
use floodmark_http::{HeaderMap, HeaderValue, Method};
use ledger::Store;
use remote_write::answer::{Answer, Caps, classify};
use remote_write::{Label, Snappy};
use serde::Deserialize;
use thiserror::Error;
use workload::{BUCKETS, Workload};

use added::Added;
use portion::Portion;
use protocol::{ReadBackKind, ReadBackPlan};

pub(crate) use probe::look;

/// Where a server of Prometheus' kind tells its version.
pub(crate) const BUILD_INFO: &str = "/api/v1/status/buildinfo";
/// An answer to one portion.
const MAX_ANSWER: usize = 256 << 20;
/// Milliseconds before a server that was too busy for a portion, or away, is asked for it again.
const PAUSES_MS: [u64; 6] = [250, 500, 1000, 2000, 4000, 8000];
/// Longest wait that its `Retry-After` can order.
const CAPS: Caps = Caps { max_retry_after: Duration::from_secs(10) };

/// Milliseconds since the Unix epoch, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from_ms: i64,
    pub(crate) to_ms: i64,
}

/// Why the backend could not be read.
#[derive(Debug, Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("{path} answered {status}: {text}")]
    Status { path: String, status: u16, text: String, retry: Option<Duration> },
    #[error("{0}")]
    Answer(String),
}

impl ReadError {
    /// What the same question may be asked again after; at least so long.
    fn passes(&self) -> Option<Duration> {
        match self {
            // One that took a minute already would take all the time there is.
            Self::Transport(error) => (!error.is_timeout()).then_some(Duration::ZERO),
            Self::Status { retry, .. } => *retry,
            Self::Endpoint(_) | Self::Answer(_) => None,
        }
    }
}

/// A backend that is asked for the samples of one run.
pub(crate) struct Reader {
    kind: ReadBackKind,
    connection: Connection,
    prefix: String,
    snappy: Snappy,
    added: Added,
}

impl Reader {
    pub(crate) fn new(plan: &ReadBackPlan) -> Result<Self, ReadError> {
        let mut endpoint = plan.endpoint.clone().with_max_answer(MAX_ANSWER);
        // A portion may be large, and the server slow after a flood.
        endpoint.request_timeout = endpoint.request_timeout.max(Duration::from_mins(1));
        let prefix = path_of(&endpoint.url);
        Ok(Self {
            kind: plan.kind,
            connection: Connection::new(&endpoint)?,
            prefix,
            snappy: Snappy::new(),
            added: Added::default(),
        })
    }

    /// Asks for one portion of next to no time: whether the server is there, lets us in and answers as it should.
    async fn probe(&mut self, run: &str) -> Result<(), ReadError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let answer = self.fetch(run, Portion::Bucket(0), Window { from_ms: now, to_ms: now }).await?;
        match self.kind {
            ReadBackKind::Prometheus => prometheus::parse(&answer, &mut self.snappy, |_| {}),
            ReadBackKind::VictoriaMetrics => victoria::parse(&answer, |_| {}),
        }
    }

    /// Which profile's rules the server plays: asked once it is up, so that faults are judged by the right ones. None: it
    /// does not tell, as a server that only offers remote read, or tells a version that no profile is of.
    async fn profile(&mut self) -> Result<Option<api::Profile>, ReadError> {
        if self.kind == ReadBackKind::VictoriaMetrics {
            return Ok(Some(api::Profile::VictoriaMetrics));
        }
        let body = match self.get(BUILD_INFO).await {
            Err(ReadError::Status { status: 404, .. }) => return Ok(None),
            body => body?,
        };
        profile(&body)
    }

    /// The labels that the server was found to add to every series, for people; None when there are none.
    pub(crate) fn added(&self) -> Option<String> {
        self.added.text()
    }

    /// Reads all portions into a new store, again when it turns out that series were taken for what they are not. `portion` is
    /// told after each.
    pub(crate) async fn read(
        &mut self,
        run: &str,
        window: Window,
        workload: &Arc<Workload>,
        faults: &Arc<FaultPlan>,
        t0: u64,
        mut portion: impl FnMut(u32, u32),
    ) -> Result<Store, ReadError> {
        self.make_visible().await;
        let buckets = BUCKETS.min(workload.series());
        // What bears the run's label and none of its buckets is none of the workload's, but has arrived all the same.
        let portions = || (0..buckets).map(Portion::Bucket).chain([Portion::Other { buckets }]);
        'again: loop {
            let mut store = Store::new(Arc::clone(workload), Arc::clone(faults), t0);
            for (done, part) in (1..).zip(portions()) {
                let answer = self.fetch_patiently(run, part, window).await?;
                self.take(&answer, &mut store)?;
                portion(done, buckets + 1);
                if self.added.refuted() {
                    continue 'again;
                }
            }
            return Ok(store);
        }
    }

    /// The answer to one portion; one that fails for a moment does not lose the others.
    async fn fetch_patiently(&mut self, run: &str, portion: Portion, window: Window) -> Result<Bytes, ReadError> {
        for pause in PAUSES_MS.map(Duration::from_millis) {
            match self.fetch(run, portion, window).await {
                Err(error) if let Some(least) = error.passes() => {
                    tracing::info!(%error, "the store is asked again");
                    tokio::time::sleep(pause.max(least)).await;
                }
                answer => return answer,
            }
        }
        self.fetch(run, portion, window).await
    }

    /// The answer to one portion.
    async fn fetch(&mut self, run: &str, portion: Portion, window: Window) -> Result<Bytes, ReadError> {
        let matchers = portion.matchers(run);
        if self.kind == ReadBackKind::VictoriaMetrics {
            return self.get(&victoria::path(&matchers, window)).await;
        }
        let body = prometheus::request(&matchers, window, &mut self.snappy);
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/x-protobuf"));
        headers.insert("content-encoding", HeaderValue::from_static("snappy"));
        headers.insert("x-prometheus-remote-read-version", HeaderValue::from_static("0.1.0"));
        self.ask(Method::POST, "/api/v1/read", &headers, body.into()).await
    }

    /// Puts all that an answer holds into the store.
    fn take(&mut self, answer: &[u8], store: &mut Store) -> Result<(), ReadError> {
        let added = &mut self.added;
        match self.kind {
            ReadBackKind::Prometheus => prometheus::parse(answer, &mut self.snappy, |series| {
                let samples = series.samples().map(|sample| (sample.timestamp, sample.value.to_bits()));
                take(store, added, &series.labels(), samples);
            }),
            ReadBackKind::VictoriaMetrics => victoria::parse(answer, |series| {
                let labels =
                    series.labels.iter().map(|(name, value)| Label { name: name.as_bytes(), value: value.as_bytes() });
                let samples = series.samples.iter().map(|(timestamp, value)| (*timestamp, value.to_bits()));
                take(store, added, &labels, samples);
            }),
        }
    }

    /// `VictoriaMetrics` keeps the last seconds out of queries unless it is told to flush; a refusal only costs time.
    async fn make_visible(&mut self) {
        if self.kind == ReadBackKind::VictoriaMetrics
            && let Err(error) = self.get("/internal/force_flush").await
        {
            tracing::debug!(%error, "the flush was refused");
        }
    }

    async fn get(&mut self, path: &str) -> Result<Bytes, ReadError> {
        self.ask(Method::GET, path, &HeaderMap::new(), Bytes::new()).await
    }

    /// Asks again once when an idle connection turns out to have been closed.
    async fn ask(&mut self, method: Method, path: &str, headers: &HeaderMap, body: Bytes) -> Result<Bytes, ReadError> {
        let full = format!("{}{path}", self.prefix);
        let mut answer = self.connection.send(method.clone(), Some(&full), headers, body.clone()).await;
        if answer.is_err() {
            answer = self.connection.send(method, Some(&full), headers, body).await;
        }
        let answer = answer?;
        if answer.status / 100 != 2 {
            let retry = match classify(answer.status, answer.retry_after(), SystemTime::now(), CAPS) {
                Answer::Retry { after } => Some(after.unwrap_or_default()),
                _ => None,
            };
            return Err(ReadError::Status { path: full, status: answer.status, text: answer.text(300), retry });
        }
        if answer.cut {
            return Err(ReadError::Answer(format!("{full}: the answer is larger than {MAX_ANSWER} bytes")));
        }
        Ok(answer.body)
    }
}

/// Whose rules a server of Prometheus' kind plays, by what it answers to [`BUILD_INFO`]; None where the version is that of another.
pub(crate) fn profile(answer: &[u8]) -> Result<Option<api::Profile>, ReadError> {
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        #[serde(default)]
        application: String,
        version: String,
    }
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| ReadError::Answer(error.to_string()))?;
    if answer.data.application.contains("Mimir") {
        return Ok(Some(api::Profile::Mimir));
    }
    let version = answer.data.version.as_str();
    Ok(match version.strip_prefix('v').unwrap_or(version).split_once('.') {
        Some(("2", _)) => Some(api::Profile::Prometheus2),
        Some(("3", _)) => Some(api::Profile::Prometheus3),
        _ => None,
    })
}

/// Takes what the server holds of one series, as (timestamp, bits).
fn take<'a>(
    store: &mut Store,
    added: &mut Added,
    labels: &(impl Iterator<Item = Label<'a>> + Clone),
    samples: impl Iterator<Item = (i64, u64)>,
) {
    let series = store.find(added::own(labels.clone())).filter(|_| added.explains(labels.clone()));
    for (timestamp_ms, bits) in samples {
        match series {
            Some(series) => _ = store.observe(series, timestamp_ms, bits),
            None => _ = store.observe_other(labels.clone(), timestamp_ms, bits, true),
        }
    }
}

/// The path of a base URL, without its last slash: `http://host/prometheus/` gives `/prometheus`.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn base_urls_keep_their_path() {
        assert_eq!(path_of("http://a:1"), "");
        assert_eq!(path_of("http://a:1/"), "");
        assert_eq!(path_of("https://a/prometheus/"), "/prometheus");
        assert_eq!(path_of("http://a/x/y?z=1"), "/x/y");
    }
}
