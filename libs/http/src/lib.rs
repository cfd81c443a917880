//! HTTP/1.1 for every role: one keep-alive client connection and one bounded server, both over hyper.
//! Knows sockets, TLS (one provider, bundled roots), authentication, deadlines, limits and where secrets lie.
//! Tells "the peer surely did not see it" apart from "the peer may have processed it", because only the first is free to repeat.
//! Refuses to know what a request means: no Remote-Write, no retry policy, no redirect policy, no metrics, no documents.
//! Every byte from outside is counted before it is kept, every wait has an end, and nothing here panics.

pub mod client;
pub mod room;
pub mod server;
mod stream;
pub mod tls;

/// The head of a request, as [`server::Handler::refuse`] sees it.
pub use http::request::Parts;
/// The HTTP vocabulary used in every signature here, so that roles need no `http` of their own.
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
