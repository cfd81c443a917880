//! The driver of a lane: one task, one connection, one request in flight.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use floodmark_http::client::{Connection, Response, TransportError};
use http::{HeaderMap, HeaderValue};
use ledger::Repeat;
use remote_write::answer::{Answer as Meaning, Caps, classify};
use remote_write::{Snappy, header, v1};
use telemetry::limit::Limiter;
use telemetry::warn_limited;
use tokio::sync::{mpsc, watch};

use crate::gate::Admitted;
use crate::lane::{Answer, Effects, Lane, MAX_DECODED, Step, Verdict};
use crate::ticket::Slip;
use crate::worker::Shared;

/// Redirects followed for one attempt.
const MAX_REDIRECTS: u32 = 3;
/// While a lane waits it looks this often whether the gate was closed, so that nothing more will come.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of an answer's text that are kept.
const MAX_TEXT: usize = 512;

static DROPS: Limiter = Limiter::new(10, Duration::from_secs(10));
static TROUBLE: Limiter = Limiter::new(3, Duration::from_secs(10));

/// A lane with its connection and those who wait for it.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    /// Which lane of the worker it is.
    number: u32,
    lane: Lane,
    connection: Connection,
    inbox: mpsc::UnboundedReceiver<Admitted<Slip>>,
    kill: watch::Receiver<bool>,
    waiting: HashMap<u64, (u64, Slip)>,
    snappy: Snappy,
    scratch: Vec<u8>,
    /// Batches that all lanes had delivered when this one last looked.
    successes: u64,
}

impl Driver {
    /// Nothing sent yet. What is admitted comes through `inbox`, which the gate bounds.
    pub(crate) fn new(
        shared: Arc<Shared>,
        number: u32,
        lane: Lane,
        connection: Connection,
        inbox: mpsc::UnboundedReceiver<Admitted<Slip>>,
        kill: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shared,
            number,
            lane,
            connection,
            inbox,
            kill,
            waiting: HashMap::new(),
            snappy: Snappy::new(),
            scratch: Vec::new(),
            successes: 0,
        }
    }

    /// Runs until it is killed, or its inbox is closed and everything is settled.
    pub(crate) async fn run(mut self) {
        loop {
            while let Ok(admitted) = self.inbox.try_recv() {
                self.take(admitted);
            }
            self.lane.expect_more(self.shared.gate().closed().is_none());
            let now = self.shared.clock.now();
            let step = self.lane.step(now);
            let killed = killed(self.kill.clone());
            match step {
                Step::Send => {
                    tokio::select! {
                        // A stop is looked at first: what was not sent yet is then known not to be.
                        biased;
                        () = killed => break,
                        () = self.send() => {}
                    }
                }
                Step::Wait(until) => {
                    let until = self.shared.clock.at(until).min(Instant::now() + LOOK);
                    tokio::select! {
                        () = tokio::time::sleep_until(until.into()) => {}
                        // It may make a batch full.
                        Some(admitted) = self.inbox.recv() => self.take(admitted),
                        () = killed => break,
                    }
                }
                Step::Idle | Step::Halted | Step::Busy => {
                    tokio::select! {
                        admitted = self.inbox.recv() => match admitted {
                            Some(admitted) => self.take(admitted),
                            None if step == Step::Idle => return,
                            None => {
                                crate::send::killed(self.kill.clone()).await;
                                break;
                            }
                        },
                        () = killed => break,
                    }
                }
            }
        }
        self.inbox.close();
        while let Ok(admitted) = self.inbox.try_recv() {
            self.take(admitted);
        }
        let (unsent, ambiguous) = self.lane.abandon();
        self.shared.books.abandon(unsent, ambiguous);
        if unsent + ambiguous > 0 {
            warn_limited!(DROPS, unsent, ambiguous, "the worker stops before this was delivered");
        }
        let text = "the worker stops before this was delivered".to_owned();
        for (_, (_, slip)) in self.waiting.drain() {
            slip.settle(Verdict::Unavailable { text: text.clone() });
        }
    }

    fn take(&mut self, admitted: Admitted<Slip>) {
        if self.lane.is_halted() {
            let text = self.shared.books.open().fatal.clone().unwrap_or_default();
            admitted.ticket.settle(Verdict::Unavailable { text });
        }
        self.waiting.insert(admitted.part.id, (admitted.bytes, admitted.ticket));
        self.lane.push(admitted.part);
    }

    async fn send(&mut self) {
        let Some(batch) = self.lane.begin() else { return };
        let body = batch.body(&mut self.snappy, &mut self.scratch);
        self.snappy.release(4 << 20);
        let (samples, attempts) = (batch.samples(), batch.attempts);
        let clock = &self.shared.clock;
        let books = &self.shared.books;
        let began = clock.now();
        books.metrics().bytes.add(body.len() as u64);
        let result = post(&mut self.connection, attempts, body.clone()).await;
        let now = clock.now();
        let timeout = matches!(&result, Err(error) if error.is_timeout());
        books.attempt(clock.run(now), now - began, timeout, samples, attempts > 1);
        let answer = match result {
            Ok(response) => self.meaning(&response),
            Err(error) => Answer::Retry {
                after: None,
                maybe_processed: error.maybe_processed(),
                suspect: None,
                why: error.to_string(),
            },
        };
        let successes = match answer {
            Answer::Delivered => 1 + self.shared.successes.fetch_add(1, Relaxed),
            _ => self.shared.successes.load(Relaxed),
        };
        if std::mem::replace(&mut self.successes, successes) != successes {
            self.lane.elsewhere();
        }
        if let Answer::Retry { why, .. } = &answer {
            warn_limited!(TROUBLE, attempts, samples, "will send again: {why}");
            books.trouble(why.clone());
        }
        let effects = self.lane.answered(now, answer);
        books.settle(clock, now, &effects);
        if effects.repeated > 0 {
            let (from_ms, to_ms) = times(&mut self.snappy, &body);
            books.repeated(Repeat { epoch: 0, lane: self.number, from_ms, to_ms, samples: effects.repeated });
        }
        self.tell(effects);
    }

    fn meaning(&self, response: &Response) -> Answer {
        let caps = Caps { max_retry_after: self.shared.plan.retry.max_retry_after.0 };
        let text = || response.text(MAX_TEXT);
        let status = response.status;
        match classify(status, response.retry_after(), SystemTime::now(), caps) {
            Meaning::Success => Answer::Delivered,
            Meaning::Retry { after } => Answer::Retry {
                after: after.map(|after| after.as_nanos() as u64),
                maybe_processed: status != 429,
                suspect: matches!(status, 500 | 501 | 505..=599).then_some(status),
                why: format!("{status}: {}", text()),
            },
            Meaning::Rejected(status) => Answer::Rejected { status, text: text() },
            Meaning::TooLarge => Answer::TooLarge { text: text() },
            Meaning::Unsupported(status) | Meaning::Fatal(status) => {
                Answer::Fatal { why: format!("the backend answers {status}: {}", text()) }
            }
            Meaning::Redirect { .. } => Answer::Fatal {
                why: format!(
                    "the backend answers {status} to {:?}, which is no place for the same POST: write the final URL",
                    response.location().unwrap_or_default()
                ),
            },
            Meaning::Never(status) => Answer::Fatal {
                why: format!("the backend answers {status}, which is no answer to a write: check the URL"),
            },
        }
    }

    fn tell(&mut self, effects: Effects) {
        if let Some(note) = &effects.note {
            warn_limited!(
                DROPS,
                status = note.status,
                reason = %note.reason,
                series = note.series,
                samples = note.samples,
                "dropped a batch: {}",
                note.text
            );
        }
        let samples = effects.settled.iter().map(|(_, samples)| samples).sum();
        {
            let mut gate = self.shared.gate();
            gate.settled(samples);
            for (part, _) in &effects.finished {
                gate.finished(self.waiting.get(part).map_or(0, |(bytes, _)| *bytes));
            }
        }
        for (part, verdict) in effects.finished {
            if let Some((_, slip)) = self.waiting.remove(&part) {
                slip.settle(verdict);
            }
        }
        if let Some(why) = effects.halted {
            self.shared.fatal(&why);
            for (_, slip) in self.waiting.values() {
                slip.settle(Verdict::Unavailable { text: why.clone() });
            }
        }
    }
}

/// The oldest and the newest timestamp in a request; all time when it does not tell.
fn times(snappy: &mut Snappy, body: &[u8]) -> (i64, i64) {
    let plain = snappy.decompress(body, MAX_DECODED).unwrap_or_default();
    let samples = v1::walk(plain).map_while(Result::ok).flat_map(|series| series.samples());
    let span =
        |span: Option<(i64, i64)>, at: i64| Some(span.map_or((at, at), |(low, high)| (low.min(at), high.max(at))));
    samples.map(|sample| sample.timestamp).fold(None, span).unwrap_or((i64::MIN, i64::MAX))
}

async fn killed(mut kill: watch::Receiver<bool>) {
    // An error means that the worker is gone: the same.
    let _ = kill.wait_for(|kill| *kill).await;
}

/// One attempt, over redirects that keep method and origin.
async fn post(connection: &mut Connection, attempts: u32, body: bytes::Bytes) -> Result<Response, TransportError> {
    let mut headers = headers();
    if attempts > 1 {
        headers.insert(header::RETRY_ATTEMPT, HeaderValue::from(attempts - 1));
    }
    let mut place = None;
    for _ in 0..MAX_REDIRECTS {
        let response = connection.post(place.as_deref(), &headers, body.clone()).await?;
        let same = matches!(response.status, 307 | 308);
        match response.location().filter(|_| same).and_then(|to| connection.same_origin(to)) {
            Some(to) => place = Some(to),
            None => return Ok(response),
        }
    }
    connection.post(place.as_deref(), &headers, body).await
}

/// The headers of every Remote-Write request, which users cannot change.
pub(crate) fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(header::SNAPPY));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(header::CONTENT_TYPE_V1));
    headers.insert(header::VERSION, HeaderValue::from_static(header::VERSION_V1));
    headers
}
