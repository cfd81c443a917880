//! Parts of third parties' requests, on their way to the workers that own their series.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use floodmark_http::client::{Connection, Endpoint};
use http::HeaderValue;

use crate::lane::Verdict;
use crate::send::headers;

/// Idle connections kept for a peer.
const KEEP: usize = 8;

/// Connections to peers, kept for the next request.
#[derive(Default)]
pub(crate) struct Forwarder {
    idle: Mutex<HashMap<String, Vec<Connection>>>,
}

impl Forwarder {
    /// Sends a part to its owner, once: whoever sent it repeats it. Everything but an outcome is a temporary refusal.
    pub(crate) async fn forward(&self, address: &str, epoch: u64, body: Bytes, timeout: Duration) -> Verdict {
        let unavailable = |why: String| Verdict::Unavailable { text: format!("worker at {address}: {why}") };
        let url = write_url(address);
        let idle = self.lock().get_mut(&url).and_then(Vec::pop);
        let connection = match idle {
            Some(connection) => Ok(connection),
            None => Connection::new(&Endpoint::new(url.clone()).with_timeout(timeout)),
        };
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => return unavailable(error.to_string()),
        };
        let mut headers = headers();
        headers.insert(protocol::header::FORWARDED, HeaderValue::from(epoch));
        let response = match connection.post(None, &headers, body).await {
            Ok(response) => response,
            Err(error) => return unavailable(error.to_string()),
        };
        let mut idle = self.lock();
        let kept = idle.entry(url).or_default();
        if kept.len() < KEEP {
            kept.push(connection);
        }
        drop(idle);
        match response.status {
            200..=299 => Verdict::Delivered,
            // Final: the sender would be told to come again for ever.
            status @ (400 | 409 | 413 | 415 | 422) => Verdict::Passed { status, text: response.text(512) },
            status => unavailable(format!("{status} {}", response.text(256))),
        }
    }

    /// Forgets peers that are not in the map any more.
    pub(crate) fn keep(&self, addresses: &[String]) {
        let urls: Vec<_> = addresses.iter().map(|address| write_url(address)).collect();
        self.lock().retain(|url, _| urls.contains(url));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Base address of a worker: as it stands, or `http://` before `host:port`.
pub(crate) fn base_url(address: &str) -> String {
    let address = address.trim_end_matches('/');
    if address.contains("://") { address.to_owned() } else { format!("http://{address}") }
}

fn write_url(address: &str) -> String {
    base_url(address) + protocol::path::WRITE
}
