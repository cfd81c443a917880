//! One-shot GETs for documents that roles offer to each other.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{Endpoint, EndpointError, Response, TransportError};

/// Why a document could not be fetched.
#[derive(Debug, Error)]
pub enum FetchError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("{url}: answered {status}: {text}")]
    Status { url: String, status: u16, text: String },
    #[error("{url}: the answer is larger than {max} bytes")]
    TooLarge { url: String, max: usize },
    #[error("{url}: not the JSON expected here: {why}")]
    Json { url: String, why: String },
}

/// GETs `url` on a connection of its own and gives the body of a 200, at most `max_bytes` of it.
pub async fn get_bytes(url: &str, max_bytes: usize, timeout: Duration) -> Result<Bytes, FetchError> {
    Fetch::new(&Endpoint::new(url).with_timeout(timeout).with_max_answer(max_bytes))?.bytes(None).await
}

/// [`get_bytes`], parsed as JSON.
pub async fn get_json<T: DeserializeOwned>(url: &str, max_bytes: usize, timeout: Duration) -> Result<T, FetchError> {
    Fetch::new(&Endpoint::new(url).with_timeout(timeout).with_max_answer(max_bytes))?.json(None).await
}

/// The same over one keep-alive connection, for documents that are polled.
pub struct Fetch {
    connection: super::Connection,
}

impl Fetch {
    /// Checks the endpoint; does not connect.
    pub fn new(endpoint: &Endpoint) -> Result<Self, EndpointError> {
        Ok(Self { connection: super::Connection::new(endpoint)? })
    }

    /// The body of a 200; with `path_and_query` instead of the URL's own.
    pub async fn bytes(&mut self, path_and_query: Option<&str>) -> Result<Bytes, FetchError> {
        let response = self.connection.get(path_and_query).await?;
        self.found(path_and_query, response).map(|response| response.body)
    }

    /// Gives `take` each line of a 200 as it comes; see [`Connection::lines`](super::Connection::lines). Ends with the answer, or
    /// when `take` breaks; the next call makes a new connection, and reads the credentials anew.
    pub async fn lines(
        &mut self,
        path_and_query: Option<&str>,
        idle: Duration,
        take: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), FetchError> {
        let response = self.connection.lines(path_and_query, idle, take).await?;
        self.connection.close();
        self.found(path_and_query, response).map(|_| ())
    }

    /// Only a whole 200 is what was asked for.
    fn found(&self, path_and_query: Option<&str>, response: Response) -> Result<Response, FetchError> {
        let endpoint = self.connection.endpoint();
        let url = || path_and_query.map_or_else(|| endpoint.url.clone(), |path| format!("{} {path}", endpoint.url));
        if response.status != 200 {
            return Err(FetchError::Status { url: url(), status: response.status, text: response.text(256) });
        }
        if response.cut {
            return Err(FetchError::TooLarge { url: url(), max: endpoint.max_answer_bytes });
        }
        Ok(response)
    }

    /// [`bytes`](Self::bytes), parsed as JSON.
    pub async fn json<T: DeserializeOwned>(&mut self, path_and_query: Option<&str>) -> Result<T, FetchError> {
        let body = self.bytes(path_and_query).await?;
        serde_json::from_slice(&body)
            .map_err(|e| FetchError::Json { url: self.connection.endpoint().url.clone(), why: e.to_string() })
    }
}
