//! One keep-alive connection.

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::{Endpoint, EndpointError, TransportError};

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

    /// The beginning of the body as text for logs: at most `max` bytes, invalid UTF-8 and control characters replaced.
    pub fn text(&self, max: usize) -> String {
        let head = &self.body[..self.body.len().min(max)];
        String::from_utf8_lossy(head).chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
    }
}

/// One keep-alive connection to one [`Endpoint`]: opened on demand, one request at a time.
pub struct Connection {
    endpoint: Endpoint,
}

impl Connection {
    /// Checks the endpoint and reads its files; does not connect.
    pub fn new(endpoint: &Endpoint) -> Result<Self, EndpointError> {
        Ok(Self { endpoint: endpoint.clone() })
    }

    /// Sends a POST; see [`send`](Self::send).
    pub async fn post(&mut self, path_and_query: Option<&str>, headers: &HeaderMap, body: Bytes) -> Result<Response, TransportError> {
        self.send(Method::POST, path_and_query, headers, body).await
    }

    /// Sends a GET; see [`send`](Self::send).
    pub async fn get(&mut self, path_and_query: Option<&str>) -> Result<Response, TransportError> {
        self.send(Method::GET, path_and_query, &HeaderMap::new(), Bytes::new()).await
    }

    /// Sends one request and reads its whole answer within the endpoint's `request_timeout`.
    pub async fn send(
        &mut self,
        _method: Method,
        _path_and_query: Option<&str>,
        _headers: &HeaderMap,
        _body: Bytes,
    ) -> Result<Response, TransportError> {
        todo!()
    }

    /// The path and query of a `Location` on this endpoint's own origin (scheme, host and port); `None` for any other origin.
    pub fn same_origin(&self, _location: &str) -> Option<String> {
        todo!()
    }

    /// Drops the socket; the next request opens a new one.
    pub fn close(&mut self) {}

    /// How often a connection was established.
    pub fn connects(&self) -> u64 {
        0
    }

    /// What it was made from.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
