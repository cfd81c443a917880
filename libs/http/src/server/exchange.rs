//! One request: admitted or refused by its head, its body collected within bounds, handed to the handler.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::answer::{self, AnswerBody};
use super::phase::{Phase, Watch};
use super::{Abort, Context, Handler, Held, Room};
use crate::room::Growing;

/// Answers up to this are not counted: the number of connections bounds them.
const SMALL: usize = 64 << 10;

/// Answers one request. Never returns an error: faults end the connection through its [`Watch`].
pub(super) async fn answer<H: Handler>(
    context: Arc<Context<H>>,
    watch: Arc<Watch>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    watch.enter(Phase::Busy);
    let response = within(&context.answers, respond(&context, &watch, peer, request).await, &watch);
    let abort = response.extensions().get::<Abort>().cloned();
    let response = match abort {
        None => answer::whole(response, &watch),
        Some(Abort::MidBody(keep)) => answer::cut(response, keep, &watch),
        Some(other) => {
            match other {
                Abort::Reset => watch.reset(),
                Abort::Raw(bytes) => watch.send_raw(bytes),
                Abort::Hang => watch.enter(Phase::Hanging),
                Abort::BeforeAnswer | Abort::MidBody(_) => watch.close_now(),
            }
            std::future::pending().await
        }
    };
    watch.enter(Phase::Answering);
    Ok(response)
}

async fn respond<H: Handler>(
    context: &Context<H>,
    watch: &Watch,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Response<Bytes> {
    let limits = &context.limits;
    let (mut head, mut body) = request.into_parts();
    let refused = match &context.basic {
        Some(basic) if !basic.admits(&head) => Some(unauthorized()),
        _ => context.handler.refuse(&head, peer),
    };
    if let Some(response) = refused {
        return refuse(response, body, limits.max_body, limits.body_timeout, watch).await;
    }
    let collected = if body.is_end_stream() {
        Ok(Ok((Bytes::new(), None)))
    } else {
        timeout(limits.body_timeout, collect(&mut body, limits.max_body, &context.bodies)).await
    };
    match collected {
        Ok(Ok((whole, held))) => {
            drop(body);
            if let Some(held) = held {
                head.extensions.insert(held);
            }
            context.handler.handle(Request::from_parts(head, whole), peer).await
        }
        Ok(Err(Broken::NoRoom)) => {
            refuse(context.handler.crowded(), body, limits.max_body, limits.body_timeout, watch).await
        }
        Ok(Err(Broken::TooLarge)) => {
            watch.linger();
            let text = format!("the body is larger than {} bytes\n", limits.max_body);
            closing(text_response(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        // Nobody reads it when the peer is gone; when its framing is wrong, it does.
        Ok(Err(Broken::Framing(why))) => {
            closing(text_response(StatusCode::BAD_REQUEST, format!("the body is broken: {why}\n")))
        }
        Err(_) => {
            watch.linger();
            let text = format!("the body did not come within {:?}\n", limits.body_timeout);
            closing(text_response(StatusCode::REQUEST_TIMEOUT, text))
        }
    }
}

enum Broken {
    TooLarge,
    NoRoom,
    Framing(String),
}

/// The whole body and its share of the room, without a copy when it came in one piece.
async fn collect(body: &mut Incoming, max: usize, room: &Room) -> Result<(Bytes, Option<Held>), Broken> {
    let declared = body.size_hint().exact();
    let mut room = Growing::new(room);
    if declared.is_some_and(|n| n > max as u64) {
        return Err(Broken::TooLarge);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|e| Broken::Framing(e.to_string()))?.into_data() else { continue };
        let seen = first.len() + all.len() + data.len();
        if seen > max {
            return Err(Broken::TooLarge);
        }
        if !room.cover(seen, declared.map(|n| n as usize)).await {
            return Err(Broken::NoRoom);
        }
        if all.is_empty() && first.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            // `declared` is within `max` here.
            all.reserve(declared.map_or(2 * (first.len() + data.len()), |n| n as usize));
            all.extend_from_slice(&first);
            first = Bytes::new();
        }
        all.extend_from_slice(&data);
    }
    Ok((if all.is_empty() { first } else { all.freeze() }, room.held()))
}

/// Throws the body away so that the connection can be kept; a body that is too large or too slow closes it after the answer.
async fn refuse(
    response: Response<Bytes>,
    mut body: Incoming,
    max: usize,
    limit: Duration,
    watch: &Watch,
) -> Response<Bytes> {
    let fits = body.size_hint().exact().is_none_or(|n| n <= max as u64);
    let drained = async {
        let mut seen = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > max {
                return false;
            }
        }
        true
    };
    if fits && timeout(limit, drained).await.unwrap_or(false) {
        return response;
    }
    watch.linger();
    closing(response)
}

/// The answer, if there is room for it until its peer has taken it. One that is shared occupies nothing of its own.
fn within(room: &Room, response: Response<Bytes>, watch: &Watch) -> Response<Bytes> {
    let body = response.body();
    if body.len() <= SMALL || !body.is_unique() {
        return response;
    }
    match room.try_take(body.len()) {
        Some(held) => {
            watch.hold(held);
            response
        }
        None => busy(),
    }
}

/// A refusal for now. Nobody takes it for a loss, as some do with 429.
pub(super) fn busy() -> Response<Bytes> {
    let text = "too many bytes are in flight; send it again in a moment\n".to_owned();
    let mut response = text_response(StatusCode::SERVICE_UNAVAILABLE, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn unauthorized() -> Response<Bytes> {
    let mut response = text_response(StatusCode::UNAUTHORIZED, "user and password, please\n".to_owned());
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"floodmark\""));
    response
}

fn text_response(status: StatusCode, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    let headers: [(HeaderName, &'static str); 2] =
        [(CONTENT_TYPE, "text/plain; charset=utf-8"), (http::header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn closing(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
