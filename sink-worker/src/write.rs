//! `POST /api/v1/write`: what a request is, who takes its series, and what its sender is told.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use api::AckPolicy;
use bytes::Bytes;
use floodmark_http::room::Held;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use protocol::header::{EPOCH, FAULT, FORWARDED, INTENDED, MIXED, REQUEST};
use remote_write::{Snappy, SnappyError, header};

use crate::admit::{Decoder, Map, Pure, Refusal, Share, SplitRules};
use crate::gate::{Key, Offer, Refused};
use crate::idempotency::RequestId;
use crate::lane::{MAX_DECODED, Payload, Verdict};
use crate::metrics::raise;
use crate::room::{Need, fields_need, kept};
use crate::ticket::Slip;
use crate::worker::{HOLD, Shared};

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::default());
}

/// Never keeps more of a request than the next one needs.
fn decode<T>(with: impl FnOnce(&mut Decoder) -> T) -> T {
    DECODER.with_borrow_mut(|decoder| {
        let decoded = with(decoder);
        decoder.release();
        decoded
    })
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    text: String,
    epoch: Option<u64>,
}

impl Reply {
    fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), epoch: None }
    }

    /// A refusal for now: the only kind that no sender takes for a loss. Something of the request may have been taken.
    fn later(text: impl Into<String>) -> Self {
        Self::new(503, text)
    }

    /// The same, of all of it.
    pub(crate) fn none_taken(epoch: u64, text: impl Into<String>) -> Self {
        Self { epoch: Some(epoch), ..Self::later(text) }
    }

    fn done() -> Self {
        Self::new(204, "")
    }

    /// As HTTP.
    pub(crate) fn response(self) -> Response<Bytes> {
        let mut response =
            Response::new(if self.text.is_empty() { Bytes::new() } else { Bytes::from(self.text + "\n") });
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        if self.status == 503 {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(epoch) = self.epoch {
            headers.insert(EPOCH, HeaderValue::from(epoch));
        }
        response
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let status = match &refusal {
            Refusal::Snappy(SnappyError::TooLarge { .. }) | Refusal::TooMany { .. } | Refusal::TooLarge { .. } => 413,
            _ => 400,
        };
        Self::new(status, refusal.to_string())
    }
}

/// A body and its share of what may be in flight, which goes with it: the buffer counts for itself.
struct Body {
    bytes: Bytes,
    held: Option<Held>,
}

/// Handles one request.
pub(crate) async fn write(shared: &Arc<Shared>, request: Request<Bytes>) -> Response<Bytes> {
    let (mut head, body) = request.into_parts();
    let sent = Body { bytes: body, held: head.extensions.remove() };
    let reply = match answer(shared, &head.headers, sent).await {
        Ok(reply) | Err(reply) => reply,
    };
    shared.books.metrics().answered(reply.status);
    reply.response()
}

async fn answer(shared: &Arc<Shared>, headers: &HeaderMap, body: Body) -> Result<Reply, Reply> {
    accepted_kind(headers)?;
    let map = {
        let gate = shared.gate();
        if let Some(why) = gate.closed() {
            return Err(Reply::none_taken(gate.map().ownership.epoch, why));
        }
        gate.map()
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text(REQUEST) {
        Some(id) => {
            let mixed = text(FAULT) == Some(MIXED);
            let id = RequestId::parse(id, text(FAULT).filter(|_| !mixed));
            let id =
                id.ok_or_else(|| Reply::new(400, format!("{REQUEST}: write generator/incarnation/lane/sequence")))?;
            let intended = text(INTENDED).and_then(|value| value.parse().ok());
            let epoch = text(EPOCH).and_then(|value| value.parse().ok());
            generator(shared, &map, id, epoch, Sent { mixed, intended_us: intended }, body).await
        }
        None => third_party(shared, &map, text(FORWARDED), body).await,
    }
}

/// What the headers say of a generator's request besides its name.
struct Sent {
    /// Faults among good samples: labels may not tell the lane.
    mixed: bool,
    intended_us: Option<u64>,
}

/// A generator's request is one lane's and is passed on as it came.
async fn generator(
    shared: &Arc<Shared>,
    map: &Map,
    id: RequestId,
    epoch: Option<u64>,
    sent: Sent,
    body: Body,
) -> Result<Reply, Reply> {
    let Body { bytes: body, held } = body;
    let here = map.ownership.epoch;
    let moved =
        || Reply { epoch: Some(here), ..Reply::new(421, format!("the map of epoch {here} holds; fetch /ownership")) };
    if epoch != Some(here) {
        return Err(moved());
    }
    let fault = id.fault.is_some();
    // With the same map a series that is not this worker's is a mistake, which fetching the map again would not mend.
    let named = fault || sent.mixed;
    let most = shared.plan.buffer.max_samples.0;
    let size = Snappy::size(&body, MAX_DECODED).map_err(Refusal::from)?;
    let room = shared.rooms.decode(size).await.ok_or_else(|| crowded(here))?;
    let pure = decode(|decoder| decoder.pure(&body, map, named, most))?;
    drop(room);
    let lanes = u32::from(map.ownership.lanes);
    let lane = if named {
        if id.lane / lanes != map.ordinal {
            return Err(Reply::new(
                400,
                format!("lane {} is another worker's, this is worker {}", id.lane, map.ordinal),
            ));
        }
        (id.lane % lanes) as u16
    } else {
        match pure.lane {
            Some(lane) if pure.samples > 0 => lane,
            _ => return Ok(Reply::done()),
        }
    };
    let Pure { series, samples, newest, .. } = pure;
    let most = shared.rules.max_samples;
    let small = shared.plan.ack_policy == AckPolicy::Buffered && samples.saturating_mul(2) <= most;
    // The verdict on faults must be on them alone, and the bytes of some cannot be read.
    let (slices, bytes) = if (small && !named) || (samples > most && !fault) {
        let room = shared.rooms.decode(fields_need(size, series)).await.ok_or_else(|| crowded(here))?;
        let fields = decode(|decoder| decoder.fields(&body))?;
        drop((room, body));
        let bytes = fields.occupies();
        (fields.cut(most), bytes)
    } else {
        let body = kept(body, shared.gate().is_crowded());
        let bytes = body.len() as u64;
        (VecDeque::from([Payload::Original { body, series, samples }]), bytes)
    };
    // The outcome is what faults are sent for.
    let wait = named || shared.plan.ack_policy != AckPolicy::Buffered;
    let offer = Offer {
        lane,
        key: Key::Request(id),
        alone: !small || named,
        slices,
        once: true,
        fault,
        promised: !wait,
        intended_us: sent.intended_us,
        newest,
        bytes,
    };
    let tickets = admit(shared, here, vec![offer]).map_err(|refused| match refused {
        Refused::Epoch(epoch) => Reply { epoch: Some(epoch), ..moved() },
        other => refuse(here, other),
    })?;
    drop(held);
    raise(&shared.books.metrics().highest, newest);
    settled(wait, &tickets, Vec::new()).await
}

/// Anybody else's request is split by owner and lane.
async fn third_party(shared: &Arc<Shared>, map: &Map, forwarded: Option<&str>, body: Body) -> Result<Reply, Reply> {
    let epoch = map.ownership.epoch;
    if forwarded.is_some_and(|theirs| theirs.parse() != Ok(epoch)) {
        return Err(Reply::later(format!("this worker has the map of epoch {epoch}, the forwarding one another")));
    }
    let rules = &shared.rules;
    let (most, max_bytes) = (shared.plan.buffer.max_samples.0, shared.plan.buffer.max_bytes.0);
    let mut dense = false;
    let split = loop {
        let need = Need::of(&body.bytes, dense, most, max_bytes).map_err(Refusal::from)?;
        let room = shared.rooms.split(need).await.ok_or_else(|| crowded(epoch))?;
        let split_rules =
            SplitRules { once: rules.once, max_samples: rules.max_samples, most: need.samples, max_bytes: need.slices };
        let split = decode(|decoder| decoder.split(&body.bytes, map, forwarded.is_some(), split_rules));
        drop(room);
        match split {
            Err(Refusal::TooMany { .. } | Refusal::TooLarge { .. }) if need.is_usual() => dense = true,
            Err(refusal @ Refusal::NotOwned { .. }) => return Err(Reply::later(refusal.to_string())),
            other => break other?,
        }
    };
    drop(body);
    let Some(on_their_way) = shared.rooms.forward(split.others.iter().map(|(_, body)| body)) else {
        return Err(Reply::none_taken(epoch, "too much is on its way to other workers"));
    };
    let wait = shared.plan.ack_policy != AckPolicy::Buffered;
    if split.series == 0 {
        shared.books.metrics().metadata.inc();
    }
    let offers = split.own.into_iter().map(|Share { lane, key, sliced }| Offer {
        lane,
        key: Key::Bytes(key),
        alone: false,
        once: sliced.once,
        fault: false,
        promised: !wait,
        intended_us: None,
        newest: split.newest,
        bytes: sliced.bytes,
        slices: sliced.slices,
    });
    let tickets = admit(shared, epoch, offers.collect()).map_err(|refused| refuse(epoch, refused))?;
    raise(&shared.books.metrics().highest, split.newest);
    let addresses = shared.document().addresses;
    let mut others = Vec::with_capacity(split.others.len());
    for ((owner, body), held) in split.others.into_iter().zip(on_their_way) {
        let address = addresses.get(owner as usize).cloned();
        let shared = Arc::clone(shared);
        // In a task of its own, so that owners work at the same time.
        others.push(tokio::spawn(async move {
            let _held = held;
            match address {
                Some(address) => shared.forwarder.forward(&address, epoch, body, HOLD).await,
                None => Verdict::Unavailable { text: format!("the address of worker {owner} is not known") },
            }
        }));
    }
    settled(wait, &tickets, others).await
}

fn admit(shared: &Shared, epoch: u64, offers: Vec<Offer>) -> Result<Vec<Slip>, Refused> {
    let mut gate = shared.gate();
    let (tickets, admitted) = gate.admit(epoch, offers, shared.clock.now())?;
    shared.books.metrics().repeats.add((tickets.len() - admitted.len()) as u64);
    shared.dispatch(admitted);
    Ok(tickets)
}

/// Makes one answer of all outcomes. `wait`: of the parts that this worker took, too; other workers wait themselves.
async fn settled(wait: bool, tickets: &[Slip], others: Vec<tokio::task::JoinHandle<Verdict>>) -> Result<Reply, Reply> {
    let all = async {
        let mut verdicts = Vec::with_capacity(tickets.len() + others.len());
        if wait {
            for ticket in tickets {
                verdicts.push(ticket.settled().await);
            }
        }
        for other in others {
            let lost = |_| Verdict::Unavailable { text: "forwarding failed".to_owned() };
            verdicts.push(other.await.unwrap_or_else(lost));
        }
        verdicts
    };
    let Ok(verdicts) = tokio::time::timeout(HOLD, all).await else {
        return Err(Reply::later("the backend has not taken it yet; a repeat joins what is on its way"));
    };
    let mut reply = Reply::done();
    for verdict in verdicts {
        match verdict {
            Verdict::Unavailable { text } => return Err(Reply::later(text)),
            // Any other status could be taken for something else: 421 for a new map, 5xx for a reason to come again.
            Verdict::Rejected { status, text } => {
                let shown = if matches!(status, 409 | 422) { status } else { 400 };
                reply = Reply::new(shown, format!("the backend answers {status}: {text}"));
            }
            Verdict::Passed { status, text } => reply = Reply::new(status, text),
            // A generator tries its good samples first, and then again.
            Verdict::Undecided { text } => {
                return Err(Reply::new(504, format!("cannot tell a refusal from an outage: {text}")));
            }
            Verdict::Discarded { text } if reply.status == 204 => reply = Reply::new(400, text),
            Verdict::Delivered | Verdict::Discarded { .. } => {}
        }
    }
    Ok(reply)
}

fn crowded(here: u64) -> Reply {
    Reply::none_taken(here, "too many requests are being decoded; send it again in a moment")
}

fn refuse(here: u64, refused: Refused) -> Reply {
    match refused {
        Refused::Closed(why) => Reply::none_taken(here, why),
        Refused::Epoch(epoch) => Reply::none_taken(epoch, format!("the map changed to epoch {epoch} meanwhile")),
        Refused::Full => Reply::none_taken(here, "the buffer is full"),
        Refused::Unmemorable => Reply::none_taken(here, "too many requests are remembered to know this one again"),
        Refused::TooLarge => Reply::new(413, "the request is larger than the whole buffer; send smaller ones"),
        Refused::Older => {
            Reply::new(400, "a newer request of this lane was taken before; this one was overtaken on the way")
        }
    }
}

/// Protocol 1.0 in snappy, or headers that say nothing.
pub(crate) fn accepted_kind(headers: &HeaderMap) -> Result<(), Reply> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());
    if let Some(encoding) = text(header::CONTENT_ENCODING)
        && encoding.trim() != header::SNAPPY
    {
        return Err(Reply::new(415, format!("content-encoding {encoding}: send snappy")));
    }
    if let Some(kind) = text(header::CONTENT_TYPE) {
        let mut parameters = kind.split(';').map(str::trim);
        let version_2 =
            |parameter: &str| parameter.starts_with("proto=") && parameter != "proto=prometheus.writerequest";
        if parameters.next() != Some(header::CONTENT_TYPE_V1) || parameters.any(version_2) {
            return Err(Reply::new(
                415,
                format!("content-type {kind}: send protocol 1.0, {}", header::CONTENT_TYPE_V1),
            ));
        }
    }
    Ok(())
}
