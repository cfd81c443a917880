//! The HTTP side: which path is what, and how a Remote-Write request is answered, honestly or not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use floodmark_http::server::{Abort, Handler, PATIENCE, json};
use floodmark_http::{HeaderValue, Method, Request, Response, StatusCode, header};
use protocol::path;
use telemetry::{Limiter, Ops, Stop, warn_limited};

use crate::answers::{Act, RefuseOne, Reply};
use crate::state::{Run, State};
use crate::strict::Refusals;
use crate::tables::Rules;
use crate::write::{self, Need, Part, Refused, Scratch, Undecoded};

/// How long a request of a run waits for the run's t0.
const AWAIT_RUN: Duration = Duration::from_secs(2);
static REFUSED: Limiter = Limiter::new(3, Duration::from_secs(10));

pub(crate) struct Service {
    state: Arc<State>,
    ops: Ops,
    stop: Stop,
}

impl Handler for Service {
    async fn handle(&self, request: Request<Bytes>, _peer: SocketAddr) -> Response<Bytes> {
        if let Some(response) = self.ops.handle(&request) {
            return response;
        }
        match (request.uri().path(), request.method()) {
            (path::WRITE, &Method::POST) => self.write(request).await,
            (path::WRITE, _) => not_allowed("POST"),
            (path::STORE, &Method::GET) => {
                let _alone = self.state.reporting.lock().await;
                // Serialised after the lock is free again.
                let report = self.state.tables().report();
                json(&report)
            }
            (path::STORE_SERIES, &Method::GET) => self.series(request.uri().query().unwrap_or("")).await,
            (path::HISTOGRAMS, &Method::GET) => match self.state.metrics.handling() {
                Ok(set) => json(&set),
                Err(error) => text(500, format!("{error}\n")),
            },
            (path::STORE | path::STORE_SERIES | path::HISTOGRAMS, _) => not_allowed("GET"),
            _ => text(404, format!("nothing here; Remote-Write is POST {}\n", path::WRITE)),
        }
    }
}

impl Service {
    pub(crate) fn new(state: Arc<State>, ops: Ops, stop: Stop) -> Self {
        Self { state, ops, stop }
    }

    async fn series(&self, query: &str) -> Response<Bytes> {
        let slots = query.split('&').find_map(|pair| pair.strip_prefix("slots="));
        let parse = |slot: &str| slot.parse::<u16>().ok().filter(|slot| usize::from(*slot) < ledger::SLOTS);
        let slots: Option<Vec<u16>> = slots.map(|list| list.split(',').map(parse).collect()).unwrap_or_default();
        match slots {
            Some(slots) => {
                let state = Arc::clone(&self.state);
                let alone = Arc::clone(&state.reporting).lock_owned().await;
                // With churn this takes a while: the first time every series that ever was is hashed.
                let look = move || {
                    let _alone = alone;
                    let seen = state.tables().seen_in(&slots);
                    json(&seen)
                };
                tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| text(500, format!("{error}\n")))
            }
            None => text(400, format!("ask for ?slots=1,2: numbers below {}\n", ledger::SLOTS)),
        }
    }

    async fn write(&self, request: Request<Bytes>) -> Response<Bytes> {
        let started = Instant::now();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let state = &self.state;
        state.metrics.bytes.add(request.body().len() as u64);
        let policy = state.policy();
        let run = state.run.borrow().clone();
        let first = state.first_request();
        // Nothing is due before t0; without a run the schedule starts with the first request.
        let (at, seed) = match run {
            Run::Known { t0_ns, seed } => (now.checked_sub(Duration::from_nanos(t0_ns)), seed),
            Run::None => (Some(started.saturating_duration_since(first)), 0),
            Run::Awaited => (None, 0),
        };
        let act = if policy.answers.is_empty() { None } else { at.and_then(|at| policy.answers.draw(at, seed)) };
        let response = match act {
            None => self.honest(request, now, Part::Whole, None).await,
            Some((act, delay)) => {
                state.metrics.injected.inc();
                let response = self.act(act, request, now).await;
                if let Some(delay) = delay {
                    self.silence(delay).await;
                }
                response
            }
        };
        let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let at_ns = at.map_or(0, |at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
        state.metrics.answered(response.status().as_u16(), at_ns, took);
        response
    }

    /// Carries out a bad answer.
    async fn act(&self, act: Act, request: Request<Bytes>, now: Duration) -> Response<Bytes> {
        match act {
            Act::Reply(reply) => reply_with(reply),
            Act::CommitThen(reply) => {
                self.honest(request, now, Part::Whole, None).await;
                reply_with(reply)
            }
            Act::Succeed(reply) => {
                let honest = self.honest(request, now, Part::Whole, None).await;
                if honest.status().is_success() { reply_with(reply) } else { honest }
            }
            Act::HalfThen(reply) => {
                self.honest(request, now, Part::Half, None).await;
                reply_with(reply)
            }
            Act::Hang { commit, silence } => {
                if commit {
                    self.honest(request, now, Part::Whole, None).await;
                } else {
                    drop(request);
                }
                self.silence(silence).await;
                abort(Abort::BeforeAnswer)
            }
            Act::Close => abort(Abort::BeforeAnswer),
            Act::CloseMid => {
                self.honest(request, now, Part::Whole, None).await;
                let mut response = text(200, "stored, but you will not read all of this\n");
                response.extensions_mut().insert(Abort::MidBody(8));
                response
            }
            Act::RefuseOne(how) => self.honest(request, now, Part::Whole, Some(how)).await,
        }
    }

    async fn silence(&self, length: Duration) {
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            _ = self.stop.requested() => {}
        }
    }

    /// The answer of the profile. The request is gone by then: who is kept waiting for an answer occupies nothing.
    async fn honest(
        &self,
        request: Request<Bytes>,
        now: Duration,
        part: Part,
        refuse_one: Option<RefuseOne>,
    ) -> Response<Bytes> {
        match self.judge(&request, now, part, refuse_one.is_some()).await {
            Ok(refusals) => {
                for (reason, count) in refusals.counts() {
                    self.state.metrics.refused(reason, count);
                }
                match refusals.status() {
                    204 => status(204),
                    code => {
                        let on_purpose = refuse_one.filter(|_| refusals.on_purpose());
                        let code = on_purpose.as_ref().map_or(code, |how| how.status);
                        warn_limited!(REFUSED, code, why = refusals.text(), "samples refused");
                        text(code, on_purpose.and_then(|how| how.body).unwrap_or_else(|| refusals.text().into()))
                    }
                }
            }
            Err(Refused(code, why)) => {
                warn_limited!(REFUSED, code, why, "request refused");
                let mut response = text(code, why);
                if code == 503 {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                }
                response
            }
        }
    }

    /// Decodes and judges. Nothing decoded is kept while something is waited for: it is decoded again.
    async fn judge(
        &self,
        request: &Request<Bytes>,
        now: Duration,
        part: Part,
        refuse_one: bool,
    ) -> Result<Refusals, Refused> {
        write::check_headers(request.headers())?;
        let (mut dense, mut known) = (false, false);
        loop {
            let need = Need::of(request.body(), dense)?;
            let Some(room) = self.state.decoding.take(need.bytes, PATIENCE).await else {
                return Err(Refused(503, "too many requests are being decoded; send it again in a moment\n".into()));
            };
            let policy = self.state.policy();
            let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
            let rules = Rules { policy: &policy, now_ms, part, refuse_one };
            let mut scratch = self.state.scratch();
            let judged = self.judge_within(&mut scratch, request.body(), need, known, &rules);
            self.state.give_back(scratch);
            drop(room);
            match judged {
                Ok(refusals) => return Ok(refusals),
                Err(Unjudged::Refused(refused)) => return Err(refused),
                Err(Unjudged::Dense) => dense = true,
                Err(Unjudged::Awaited) if self.await_run().await => known = true,
                Err(Unjudged::Awaited) => {
                    let why = "the conductor has not told yet when the run begins; send it again\n";
                    return Err(Refused(503, why.into()));
                }
            }
        }
    }

    /// `known`: the run was waited for.
    fn judge_within(
        &self,
        scratch: &mut Scratch,
        body: &[u8],
        need: Need,
        known: bool,
        rules: &Rules<'_>,
    ) -> Result<Refusals, Unjudged> {
        let decoded = scratch.decode(body, need).map_err(|why| match why {
            Undecoded::Refused(refused) => Unjudged::Refused(refused),
            Undecoded::Dense => Unjudged::Dense,
        })?;
        if !known && *self.state.run.borrow() == Run::Awaited && decoded.run_label().is_some() {
            return Err(Unjudged::Awaited);
        }
        let metrics = &self.state.metrics;
        metrics.samples.add(decoded.samples.len() as u64);
        metrics.histograms.add(decoded.histograms);
        let mut tables = self.state.tables();
        let refusals = tables.take(decoded.plain, decoded.samples, rules);
        metrics.series.set(tables.series() as f64);
        Ok(refusals)
    }

    /// Asks the conductor at once; true when the run is known.
    async fn await_run(&self) -> bool {
        let mut run = self.state.run.subscribe();
        self.state.ask.notify_one();
        let known = run.wait_for(|run| *run != Run::Awaited);
        tokio::time::timeout(AWAIT_RUN, known).await.is_ok_and(|known| known.is_ok())
    }
}

/// Why a request has no verdict yet.
enum Unjudged {
    Refused(Refused),
    /// It needs more room.
    Dense,
    /// It is of a run whose t0 is not known.
    Awaited,
}

fn status(code: u16) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn text(code: u16, text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = status(code);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    *response.body_mut() = text.into();
    response
}

fn not_allowed(method: &'static str) -> Response<Bytes> {
    let mut response = text(405, format!("use {method}\n"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(method));
    response
}

fn abort(how: Abort) -> Response<Bytes> {
    let mut response = status(500);
    response.extensions_mut().insert(how);
    response
}

fn reply_with(reply: Reply) -> Response<Bytes> {
    let mut response = status(reply.status);
    let headers = [(header::RETRY_AFTER, reply.retry_after), (header::LOCATION, reply.location)];
    for (name, value) in headers {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    *response.body_mut() = reply.body;
    response
}
