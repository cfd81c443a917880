//! One keep-alive connection.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::connect::connect;
use super::exchange::{Failed, Lines, Live};
use super::prepare::{self, Origin, TlsState};
use super::{Endpoint, EndpointError, Kind, TransportError};

/// A whole answer. Its body is cut (and says so) above the endpoint's bound.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// At most the endpoint's `max_answer_bytes`.
    pub body: Bytes,
    /// True when there was more body than is kept; the connection was dropped then.
    pub cut: bool,
}

impl Response {
    /// 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header as text; `None` also when it is not visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// `Retry-After` as it came.
    pub fn retry_after(&self) -> Option<&str> {
        self.header("retry-after")
    }

    /// `Location` as it came; see [`Connection::same_origin`].
    pub fn location(&self) -> Option<&str> {
        self.header("location")
    }

    /// The beginning of the body as text for logs: at most `max` bytes, invalid UTF-8 and control characters replaced. The
    /// status's own words stand in for an empty one that refuses.
    pub fn text(&self, max: usize) -> String {
        let head = &self.body[..self.body.len().min(max)];
        let text: String =
            String::from_utf8_lossy(head).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match text.trim() {
            "" if !self.is_success() => {
                StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
            }
            text => text,
        }
        .to_owned()
    }
}

/// Reaching the peer may take this long at most, whatever the request timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One keep-alive connection to one [`Endpoint`]: opened on demand, one request at a time, driven by the caller's task alone.
///
/// Dropping the future of a request drops the socket with it, so that a late answer can never be taken for the next one's.
pub struct Connection {
    endpoint: Endpoint,
    origin: Origin,
    headers: HeaderMap,
    tls: Option<TlsState>,
    live: Option<Live>,
    connects: u64,
    fresh_files: bool,
}

impl Connection {
    /// Checks the endpoint and reads its files; does not connect.
    pub fn new(endpoint: &Endpoint) -> Result<Self, EndpointError> {
        let origin = Origin::new(endpoint)?;
        let headers = prepare::headers(endpoint, &origin)?;
        let tls = TlsState::new(endpoint, &origin)?;
        Ok(Self { endpoint: endpoint.clone(), origin, headers, tls, live: None, connects: 0, fresh_files: true })
    }

    /// Sends a POST; see [`send`](Self::send).
    pub async fn post(
        &mut self,
        path_and_query: Option<&str>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, TransportError> {
        self.send(Method::POST, path_and_query, headers, body).await
    }

    /// Sends a GET; see [`send`](Self::send).
    pub async fn get(&mut self, path_and_query: Option<&str>) -> Result<Response, TransportError> {
        self.send(Method::GET, path_and_query, &HeaderMap::new(), Bytes::new()).await
    }

    /// Sends one request and reads its whole answer within the endpoint's `request_timeout`, connecting first when needed.
    ///
    /// `path_and_query` replaces the URL's own; `headers` replace the endpoint's of the same name. Any status is an `Ok`; redirects
    /// are not followed. A 401 makes the secrets' files be read again and, when they changed, the request be sent once more. A
    /// kept connection that the peer had closed before the request was written is replaced silently; one that closes after
    /// that is [`Kind::Closed`], for the caller to repeat if it dares.
    pub async fn send(
        &mut self,
        method: Method,
        path_and_query: Option<&str>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response, TransportError> {
        let deadline = Instant::now() + self.endpoint.request_timeout;
        let ask = Ask { method, target: self.target(path_and_query)?, headers, body };
        let begun = self.begin(&ask, deadline).await?;
        let response = self.whole(begun, deadline).await?;
        if response.status == 401 && self.reload_secrets()? {
            let begun = self.begin(&ask, deadline).await?;
            return self.whole(begun, deadline).await;
        }
        Ok(response)
    }

    /// Sends a GET and gives `take` each line of a 2xx answer as it comes, until the answer ends or `take` breaks.
    ///
    /// The answer's head has the endpoint's `request_timeout`; after that every `idle` has to bring a byte, however long the
    /// whole takes. The response comes back without a body, and is `cut` when a line was longer than the endpoint's
    /// `max_answer_bytes`; any other status has its body as with [`send`](Self::send), a 401 included.
    pub async fn lines(
        &mut self,
        path_and_query: Option<&str>,
        idle: Duration,
        take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<Response, TransportError> {
        let deadline = Instant::now() + self.endpoint.request_timeout;
        let headers = HeaderMap::new();
        let target = self.target(path_and_query)?;
        let ask = Ask { method: Method::GET, target, headers: &headers, body: Bytes::new() };
        let mut begun = self.begin(&ask, deadline).await?;
        if begun.head.status == StatusCode::UNAUTHORIZED && self.reload_secrets()? {
            begun = self.begin(&ask, deadline).await?;
        }
        if !begun.head.status.is_success() {
            return self.whole(begun, deadline).await;
        }
        let Begun { mut live, head, body } = begun;
        let read = live.lines(body, idle, self.endpoint.max_answer_bytes, take).await;
        let end = read.map_err(|failed| self.failed(&live, failed))?;
        if end == Lines::Ended && live.is_open() {
            self.live = Some(live);
        }
        Ok(Response {
            status: head.status.as_u16(),
            headers: head.headers,
            body: Bytes::new(),
            cut: end == Lines::TooLong,
        })
    }

    fn target(&self, path_and_query: Option<&str>) -> Result<Uri, TransportError> {
        match path_and_query {
            None => Ok(self.origin.target.clone()),
            Some(path) => path
                .parse::<PathAndQuery>()
                .map(Uri::from)
                .map_err(|e| self.error(Kind::Setup, false, format!("path {path:?}: {e}"))),
        }
    }

    /// Until the answer's head is there.
    async fn begin(&mut self, ask: &Ask<'_>, deadline: Instant) -> Result<Begun, TransportError> {
        loop {
            // Taken out: it comes back only after a whole answer.
            let kept = self.live.take();
            let reused = kept.is_some();
            let mut live = match kept {
                Some(live) => live,
                None => self.open(deadline).await?,
            };
            let request = self.request(ask);
            match timeout_at(deadline, live.head(request)).await {
                Ok(Ok((head, body))) => return Ok(Begun { live, head, body }),
                Ok(Err(Failed::NotSent)) if reused => {}
                Ok(Err(failed)) => return Err(self.failed(&live, failed)),
                Err(_) => return Err(self.late(&live)),
            }
        }
    }

    /// Reads the rest of the answer.
    async fn whole(&mut self, begun: Begun, deadline: Instant) -> Result<Response, TransportError> {
        let Begun { mut live, head, body } = begun;
        let (body, cut) = match timeout_at(deadline, live.body(body, self.endpoint.max_answer_bytes)).await {
            Ok(Ok(read)) => read,
            Ok(Err(failed)) => return Err(self.failed(&live, failed)),
            Err(_) => return Err(self.late(&live)),
        };
        if !cut && live.is_open() {
            self.live = Some(live);
        }
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body, cut })
    }

    fn failed(&self, live: &Live, failed: Failed) -> TransportError {
        told(
            live,
            match failed {
                Failed::NotSent => self.error(Kind::Closed, false, "closed right after it was accepted".to_owned()),
                Failed::Sent(kind, detail) => self.error(kind, true, detail),
            },
        )
    }

    fn late(&self, live: &Live) -> TransportError {
        let detail = format!("no whole answer within {:?}", self.endpoint.request_timeout);
        told(live, self.error(Kind::Timeout, live.sent, detail))
    }

    async fn open(&mut self, deadline: Instant) -> Result<Live, TransportError> {
        if !std::mem::take(&mut self.fresh_files) {
            self.reload_secrets()?;
            if let Some(tls) = &mut self.tls
                && let Err(e) = tls.refresh(&self.endpoint)
            {
                return Err(self.error(Kind::Setup, false, e.to_string()));
            }
        }
        let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let stream = connect(&self.origin, self.tls.as_ref(), deadline).await?;
        let live = Live::new(stream).await.map_err(|e| self.error(Kind::Protocol, false, e.to_string()))?;
        self.connects += 1;
        Ok(live)
    }

    fn request(&self, ask: &Ask<'_>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.target.clone();
        let mut headers = self.headers.clone();
        for (name, value) in ask.headers {
            headers.insert(name, value.clone());
        }
        *request.headers_mut() = headers;
        request
    }

    /// True when a file's content changed.
    fn reload_secrets(&mut self) -> Result<bool, TransportError> {
        let headers = prepare::headers(&self.endpoint, &self.origin)
            .map_err(|e| self.error(Kind::Setup, false, e.to_string()))?;
        let changed = headers != self.headers;
        self.headers = headers;
        Ok(changed)
    }

    fn error(&self, kind: Kind, sent: bool, detail: String) -> TransportError {
        TransportError::new(kind, sent, &self.origin.display, detail)
    }

    /// The path and query of a `Location` on this endpoint's own origin (scheme, host and port); `None` for any other origin.
    pub fn same_origin(&self, location: &str) -> Option<String> {
        self.origin.same_origin(location)
    }

    /// Opens the connection, TLS included, without sending a request: is anybody there? The next request uses it.
    pub async fn connect(&mut self) -> Result<(), TransportError> {
        if self.live.is_none() {
            self.live = Some(self.open(Instant::now() + self.endpoint.request_timeout).await?);
        }
        Ok(())
    }

    /// Drops the socket; the next request opens a new one.
    pub fn close(&mut self) {
        self.live = None;
    }

    /// How often a connection was established.
    pub fn connects(&self) -> u64 {
        self.connects
    }

    /// What it was made from.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// A request whose answer has begun.
struct Begun {
    live: Live,
    head: http::response::Parts,
    body: Incoming,
}

/// One request before its headers are joined with the endpoint's.
struct Ask<'a> {
    method: Method,
    target: Uri,
    headers: &'a HeaderMap,
    body: Bytes,
}

/// With the status, where one came.
fn told(live: &Live, error: TransportError) -> TransportError {
    match live.status {
        Some(status) => error.with_status(status),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_body_has_the_words_of_its_status() {
        let answer = |status, body: &'static str| Response {
            status,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            cut: false,
        };
        assert_eq!(answer(401, "").text(100), "Unauthorized");
        assert_eq!(answer(503, " \n").text(100), "Service Unavailable");
        assert_eq!(answer(401, "go\naway").text(100), "go away");
        assert_eq!(answer(799, "").text(100), "");
        assert_eq!(answer(204, "").text(100), "");
    }
}
