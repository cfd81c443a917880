//! What can go wrong on the way, and whether the peer may have seen the request.

use std::error::Error;
use std::fmt;

use thiserror::Error;

/// Why an [`Endpoint`](super::Endpoint) cannot be used as it is written.
#[derive(Debug, Error)]
pub enum EndpointError {
    #[error("url {url:?}: {why}; write http://host[:port]/path or https://host[:port]/path")]
    Url { url: String, why: String },
    #[error("header {name:?}: {why}")]
    Header { name: String, why: String },
    #[error("basicAuth and authorization exclude each other: keep one")]
    TwoAuthorizations,
    #[error("basicAuth: the user name holds a colon, which the scheme cannot express")]
    ColonInUser,
    #[error("resolve {host}={address}: {why}; write HOST=IP or HOST:PORT=IP:PORT")]
    Resolve { host: String, address: String, why: String },
    #[error("{what}: cannot read {path}: {why}")]
    File { what: String, path: String, why: String },
    #[error("tls: {0}")]
    Tls(#[from] crate::tls::TlsError),
}

/// The kind of a transport error, for reasons and metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A file of the endpoint (secret, certificate) cannot be used.
    Setup,
    /// The name has no address, or the look-up took too long.
    Dns,
    /// Nobody listens.
    Refused,
    /// No route, network down, or any other failure to connect.
    Unreachable,
    /// This process, or the machine, may open no more files.
    TooManyFiles,
    /// TCP connect or TLS handshake took longer than the connect timeout.
    ConnectTimeout,
    /// The TLS handshake failed: certificate, name, version or not TLS at all.
    Tls,
    /// The total time passed after the request was (partly) sent.
    Timeout,
    /// The peer reset the connection.
    Reset,
    /// The peer closed the connection before any byte of the answer was complete.
    Closed,
    /// The answer's body ended early. The status is known, the answer is not to be trusted.
    Truncated,
    /// What came back is not HTTP/1.1.
    Protocol,
}

impl Kind {
    /// `snake_case` name for metric labels and reasons.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TooManyFiles => "too_many_files",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Truncated => "truncated",
            Self::Protocol => "protocol",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request that got no whole answer.
#[derive(Debug)]
pub struct TransportError(pub(crate) Box<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) kind: Kind,
    pub(crate) sent: bool,
    pub(crate) status: Option<u16>,
    pub(crate) target: String,
    pub(crate) detail: String,
}

impl TransportError {
    pub(crate) fn new(kind: Kind, sent: bool, target: &str, detail: impl fmt::Display) -> Self {
        Self(Box::new(Inner { kind, sent, status: None, target: target.to_owned(), detail: detail.to_string() }))
    }

    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// What happened.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// False only when no byte of the request can have reached the peer, so that repeating it cannot double anything.
    pub fn maybe_processed(&self) -> bool {
        self.0.sent
    }

    /// The status of an answer whose body never came whole ([`Kind::Truncated`], or [`Kind::Timeout`] in the body). Not an answer.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// True when the time ran out, wherever it did: what a censored latency is recorded for.
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, Kind::Timeout | Kind::ConnectTimeout)
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, target, detail, status, .. } = &*self.0;
        let hint = match kind {
            Kind::Setup => "mend the file",
            Kind::Dns => "check the host name",
            Kind::Refused => "is it running, and is the port right?",
            Kind::Unreachable | Kind::ConnectTimeout => "check address, network policy and firewall",
            Kind::TooManyFiles => "raise the number of files that may be open: ulimit -n",
            Kind::Tls => "check CA, server name and client certificate",
            Kind::Timeout => "raise the request timeout or look at the peer's load",
            Kind::Reset | Kind::Closed | Kind::Truncated => "the peer or something in between ended the connection",
            Kind::Protocol => "check that the port speaks HTTP/1.1, and http against https",
        };
        write!(f, "{target}: {kind}: {detail}")?;
        if let Some(status) = status {
            write!(f, " (after status {status})")?;
        }
        write!(f, "; {hint}")
    }
}

impl Error for TransportError {}
