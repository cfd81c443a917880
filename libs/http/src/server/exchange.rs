//! One request: admitted or refused by its head, its body collected within bounds, handed to the handler.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::answer::{self, AnswerBody};
use super::phase::{Phase, Watch};
use super::{Abort, Context, Handler};

/// Answers one request. Never returns an error: faults end the connection through its [`Watch`].
pub(super) async fn answer<H: Handler>(
    context: Arc<Context<H>>,
    watch: Arc<Watch>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    watch.enter(Phase::Busy);
    let response = respond(&context, &watch, peer, request).await;
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
    let (head, body) = request.into_parts();
    let refused = match &context.basic {
        Some(basic) if !basic.admits(&head) => Some(unauthorized()),
        _ => context.handler.refuse(&head, peer),
    };
    if let Some(response) = refused {
        return refuse(response, body, limits.max_body, limits.body_timeout, watch).await;
    }
    let collected = if body.is_end_stream() {
        Ok(Ok(Bytes::new()))
    } else {
        timeout(limits.body_timeout, collect(body, limits.max_body)).await
    };
    match collected {
        Ok(Ok(body)) => context.handler.handle(Request::from_parts(head, body), peer).await,
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
    Framing(String),
}

/// The whole body, without a copy when it came in one piece.
async fn collect(mut body: Incoming, max: usize) -> Result<Bytes, Broken> {
    let declared = body.size_hint().exact();
    if declared.is_some_and(|n| n > max as u64) {
        return Err(Broken::TooLarge);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|e| Broken::Framing(e.to_string()))?.into_data() else { continue };
        if first.len() + all.len() + data.len() > max {
            return Err(Broken::TooLarge);
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
    Ok(if all.is_empty() { first } else { all.freeze() })
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
