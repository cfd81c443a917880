//! One request to its last answer: sent again, in order, until the target says something final or the run is over.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use floodmark_http::client::{Connection, Response, TransportError};
use floodmark_http::{HeaderMap, HeaderName, HeaderValue};
use ledger::Repeat;
use protocol::{OwnershipDoc, header as ours};
use remote_write::answer::{Answer, Caps, classify};
use telemetry::{Limiter, cpu};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::epoch::Epoch;
use crate::meaning::{Taken, UNDECIDED, given_up, maybe_taken, ruling};
use crate::outcome::Measured;
use crate::parcel::{Contents, Parcel};
use crate::poison::Streak;
use crate::prepare::protocol_headers;
use crate::shared::{Halt, Shared};

/// First and longest pause before the same request is sent again.
const FIRST_PAUSE: Duration = Duration::from_millis(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait that `Retry-After` can order.
const CAPS: Caps = Caps { max_retry_after: Duration::from_secs(10) };
/// Redirects followed for one request.
const REDIRECTS: u32 = 3;

static REFUSALS: Limiter = Limiter::new(5, Duration::from_secs(10));
static TROUBLES: Limiter = Limiter::new(5, Duration::from_secs(10));

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivered {
    Acknowledged,
    Refused(u16),
    /// Sent, but without a final answer when the run was halted.
    Unresolved,
    /// A fault that got the same 5xx again and again, while nothing shows that the target is alive. To be sent once more
    /// behind the lane's next good request.
    Undecided(Streak),
    /// Never sent: the run was halted before.
    NotSent,
    /// The sink's map moved before there was a final answer; the old workers may have taken it.
    Moved {
        taken: bool,
    },
}

/// The connection of one lane.
pub(crate) struct Link {
    lane: u32,
    connection: Connection,
    headers: HeaderMap,
    /// Number of the map that requests name; 0 when they name none.
    named: u64,
    /// When this lane's latest acknowledged good request left, ns since t0.
    good: u64,
    epoch: Arc<Epoch>,
    shared: Arc<Shared>,
    clock: Clock,
    halt: watch::Receiver<Halt>,
    next_map: watch::Receiver<Option<Arc<OwnershipDoc>>>,
    jitter: u64,
}

/// The end of a delivery: what came of it and how many times it was sent.
pub(crate) struct Receipt {
    pub(crate) delivered: Delivered,
    pub(crate) attempts: u32,
    /// When the final answer came, ns since t0.
    pub(crate) at: u64,
    /// Why the lane cannot go on. The request is accounted for all the same.
    pub(crate) fatal: Option<anyhow::Error>,
}

impl Receipt {
    /// Of a request that is not sent any more.
    pub(crate) fn not_sent(at: u64) -> Self {
        Self { delivered: Delivered::NotSent, attempts: 0, at, fatal: None }
    }
}

enum Next {
    Final(Delivered),
    After(Duration),
    /// The lane cannot go on.
    Fatal(anyhow::Error),
}

impl Link {
    /// `good`: when the latest good request left that the backend is known to have.
    pub(crate) fn new(
        lane: u32,
        good: u64,
        epoch: Arc<Epoch>,
        shared: Arc<Shared>,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let connection =
            Connection::new(&epoch.route.endpoint(lane)).context("the target's endpoint cannot be used")?;
        let (halt, next_map) = (shared.halted(), shared.following.next());
        let jitter = 0x9e37_79b9_7f4a_7c15 ^ u64::from(lane) << 32 ^ u64::from(shared.index);
        Ok(Self {
            lane,
            connection,
            headers: protocol_headers(),
            named: 0,
            good,
            epoch,
            shared,
            clock,
            halt,
            next_map,
            jitter,
        })
    }

    /// Delivers, however often it takes.
    pub(crate) async fn deliver(&mut self, parcel: Parcel<'_>) -> Receipt {
        self.address(&parcel);
        let sink = self.epoch.route.is_sink();
        let mut pause = FIRST_PAUSE;
        let (mut attempts, mut redirects) = (0u32, 0u32);
        // The target may have taken an attempt; and one after which it would not know the next one again.
        let mut maybe = false;
        let mut unknown: Option<Taken> = None;
        let mut streak = match parcel.contents {
            Contents::Fault { before, .. } => before.unwrap_or_default(),
            _ => Streak::default(),
        };
        let mut path: Option<String> = None;
        let mut fatal = None;
        let begun = self.clock.now();
        let mut refused_at = None;
        let delivered = loop {
            if self.halt.borrow().is_some() {
                break if attempts == 0 { Delivered::NotSent } else { Delivered::Unresolved };
            }
            if self.next_map.borrow().is_some() {
                if let Some(at) = refused_at {
                    self.shared.books().waits(at);
                }
                break Delivered::Moved { taken: maybe };
            }
            self.set_epoch();
            if unknown.is_some_and(|taken| taken.comes_twice(self.named)) {
                self.again(&parcel);
                unknown = None;
            }
            let good = self.latest_good(sink);
            let sent = self.clock.now();
            let mut halt = self.halt.clone();
            let answer = tokio::select! {
                answer = self.connection.post(path.as_deref(), &self.headers, parcel.body.clone()) => Some(answer),
                () = last_words(&mut halt) => None,
            };
            let now = self.clock.now();
            self.record(&parcel, answer.as_ref(), now, now.saturating_sub(sent), attempts > 0);
            attempts += 1;
            let Some(answer) = answer else { break Delivered::Unresolved };
            let status = answer.as_ref().map_or(0, |r| r.status);
            if maybe_taken(&answer, sink) {
                maybe = true;
                unknown = Some(Taken { epoch: self.named, known_again: sink && status != UNDECIDED });
            }
            streak.answered(status, now, sink);
            if sink && matches!(status, 421 | 503) {
                refused_at = refused_at.or(Some(now));
            }
            if let Ok(response) = &answer
                && let Some(place) = self.redirected(response).filter(|_| redirects < REDIRECTS)
            {
                redirects += 1;
                path = Some(place);
                continue;
            }
            let next = match ruling(&parcel, &streak, now, good) {
                Some(delivered) => Next::Final(delivered),
                None => self.judge(&answer, &parcel),
            };
            match next {
                Next::Final(delivered) => {
                    if delivered == Delivered::Acknowledged && !parcel.is_fault() {
                        self.good = sent;
                        self.shared.latest_good.fetch_max(sent, Relaxed);
                    }
                    break delivered;
                }
                Next::After(wait) => {
                    let wait = wait.max(self.jittered(pause));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    self.rest(wait).await;
                }
                Next::Fatal(error) => {
                    fatal = Some(error);
                    break given_up(maybe, status);
                }
            }
        };
        // These are sent once more, by other lanes or later.
        if unknown.is_some() && matches!(delivered, Delivered::Moved { .. } | Delivered::Undecided(_)) {
            self.again(&parcel);
        }
        let at = self.clock.now();
        self.shared.books().busy_ns += at.saturating_sub(begun);
        Receipt { delivered, attempts, at, fatal }
    }

    /// The parcel goes out again, and may come twice.
    fn again(&self, parcel: &Parcel<'_>) {
        let at = |ns| self.clock.unix_us(ns).cast_signed() / 1000;
        self.shared.books().account.repeats.add(Repeat {
            epoch: self.epoch.step,
            lane: self.lane,
            from_ms: at(parcel.due.0),
            to_ms: at(parcel.due.1),
            samples: parcel.samples,
        });
    }

    /// When the latest good request left that is known to be acknowledged. A sink may acknowledge what its backend does not
    /// have yet; only in one lane it keeps the order.
    fn latest_good(&self, sink: bool) -> u64 {
        if sink { self.good } else { self.good.max(self.shared.latest_good.load(Relaxed)) }
    }

    fn judge(&self, answer: &Result<Response, TransportError>, parcel: &Parcel<'_>) -> Next {
        match answer {
            Err(error) => {
                self.trouble(&error.to_string());
                Next::After(Duration::ZERO)
            }
            // Whoever follows the map will tell.
            Ok(response) if response.status == 421 && self.epoch.route.is_sink() => Next::After(Duration::ZERO),
            Ok(response) => match classify(response.status, response.retry_after(), SystemTime::now(), CAPS) {
                Answer::Success => Next::Final(Delivered::Acknowledged),
                Answer::Retry { after } => {
                    self.trouble(&format!("{} {}", response.status, response.text(200)));
                    Next::After(after.unwrap_or_default())
                }
                Answer::Fatal(status) | Answer::Unsupported(status) | Answer::Never(status) if !parcel.is_fault() => {
                    let url = &self.connection.endpoint().url;
                    let text = response.text(200);
                    Next::Fatal(anyhow!(
                        "{url} answered {status} {text}: check the address, the credentials and the protocol"
                    ))
                }
                // What may be followed was.
                Answer::Redirect { .. } if !parcel.is_fault() => {
                    let (url, status) = (&self.connection.endpoint().url, response.status);
                    let place = response.location().unwrap_or("nowhere");
                    Next::Fatal(anyhow!(
                        "{url} answers {status} to {place:?}, which is no place for the same POST: write the final URL"
                    ))
                }
                _ => {
                    if !parcel.is_fault() {
                        self.refused(response, parcel.samples);
                    }
                    Next::Final(Delivered::Refused(response.status))
                }
            },
        }
    }

    /// Where a 307 or 308 sends the same POST, if that is the same origin.
    fn redirected(&self, response: &Response) -> Option<String> {
        matches!(response.status, 307 | 308).then(|| self.connection.same_origin(response.location()?)).flatten()
    }

    fn record(
        &self,
        parcel: &Parcel<'_>,
        answer: Option<&Result<Response, TransportError>>,
        at: u64,
        took: u64,
        repeated: bool,
    ) {
        let (censored, succeeded) = match answer {
            None => (true, false),
            Some(Err(error)) => (error.is_timeout(), false),
            Some(Ok(response)) => (false, response.is_success()),
        };
        let measured = if parcel.warm_up { Measured::Not } else { Measured::Service { censored } };
        self.shared.books().attempt(at, took, measured, succeeded, repeated);
        let metrics = &self.shared.metrics;
        metrics.samples.add(parcel.samples);
        metrics.bytes.add(parcel.body.len() as u64);
        metrics.duration.observe(took as f64 / 1e9);
        if repeated {
            metrics.retried.add(parcel.samples);
        }
    }

    /// Headers that name the request.
    fn address(&mut self, parcel: &Parcel<'_>) {
        let name = format!("{}/{}/{}/{}", self.shared.index, cpu::incarnation(), self.lane, parcel.sequence);
        if let Ok(name) = HeaderValue::try_from(name) {
            self.headers.insert(HeaderName::from_static(ours::REQUEST), name);
        }
        // Without it the worker measures no delivery: a warm-up is in no histogram.
        let intended = (!parcel.warm_up).then(|| HeaderValue::from(self.clock.unix_us(parcel.intended_ns)));
        self.set(ours::INTENDED, intended);
        let fault = match parcel.contents {
            Contents::Good => None,
            Contents::Mixed => Some(ours::MIXED),
            Contents::Fault { kind, .. } => Some(kind.name()),
        };
        self.set(ours::FAULT, fault.map(HeaderValue::from_static));
    }

    fn set(&mut self, name: &'static str, value: Option<HeaderValue>) {
        match value {
            Some(value) => self.headers.insert(HeaderName::from_static(name), value),
            None => self.headers.remove(name),
        };
    }

    fn set_epoch(&mut self) {
        let epoch = self.shared.following.epoch();
        if self.epoch.route.is_sink() && epoch != self.named {
            self.named = epoch;
            self.headers.insert(HeaderName::from_static(ours::EPOCH), HeaderValue::from(epoch));
        }
    }

    /// Until it may be sent again, the run is halted, or another map holds.
    async fn rest(&mut self, wait: Duration) {
        let _waiting = self.shared.following.wait();
        tokio::select! {
            () = sleep(wait) => {}
            _ = self.halt.wait_for(Option::is_some) => {}
            _ = self.next_map.wait_for(Option::is_some) => {}
        }
    }

    /// Between half of the pause and all of it.
    fn jittered(&mut self, pause: Duration) -> Duration {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        pause / 2 + (pause / 2).mul_f64((self.jitter >> 11) as f64 / (1u64 << 53) as f64)
    }

    fn trouble(&self, what: &str) {
        telemetry::warn_limited!(TROUBLES, lane = self.lane, what, "sending again");
        self.shared.books().last_error = Some(what.to_owned());
    }

    fn refused(&self, response: &Response, samples: u64) {
        let text = format!("{} {}", response.status, response.text(300));
        telemetry::warn_limited!(REFUSALS, lane = self.lane, samples, answer = text, "refused for good");
        self.shared.books().last_error = Some(text);
    }
}

/// Completes a while after the run was halted.
async fn last_words(halt: &mut watch::Receiver<Halt>) {
    // The sender lives as long as the process' shared state; an error would mean the same.
    let words = halt.wait_for(Option::is_some).await.ok().and_then(|halt| *halt);
    sleep(words.unwrap_or_default()).await;
}
