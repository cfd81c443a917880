//! The client side: a plan struct ([`Endpoint`]), one keep-alive [`Connection`], and one-shot helpers.

mod connect;
mod connection;
mod endpoint;
mod error;
mod exchange;
mod prepare;
mod simple;

pub use connection::{Connection, Response};
pub use endpoint::{Authorization, BasicAuth, Endpoint, Header, Secret, Tls};
pub use error::{EndpointError, Kind, TransportError};
pub use simple::{Fetch, FetchError};
pub use simple::{get_bytes, get_json};
