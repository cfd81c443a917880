//! Name look-up, TCP connect and TLS handshake, inside one deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::error::{Kind, TransportError};
use super::prepare::{Origin, TlsState};
use crate::stream::Stream;

/// Opens a socket to the origin. No error from here can have let the peer see a request.
pub(super) async fn connect(
    origin: &Origin,
    tls: Option<&TlsState>,
    deadline: Instant,
) -> Result<Stream, TransportError> {
    let fail = |kind, detail: String| TransportError::new(kind, false, &origin.display, detail);
    let addresses = match origin.literal_address() {
        Some(address) => vec![address],
        None => match timeout_at(deadline, tokio::net::lookup_host((origin.host.as_str(), origin.port))).await {
            Err(_) => return Err(fail(Kind::Dns, "the name look-up took too long".to_owned())),
            Ok(Err(e)) => return Err(fail(Kind::Dns, e.to_string())),
            Ok(Ok(found)) => found.collect::<Vec<SocketAddr>>(),
        },
    };
    let mut last = fail(Kind::Dns, "the name has no address".to_owned());
    let mut socket = None;
    for (i, address) in addresses.iter().enumerate() {
        // A black hole behind one address must leave time for the others.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = Instant::now() + left / u32::try_from(addresses.len() - i).unwrap_or(1);
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                socket = Some(tcp);
                break;
            }
            Ok(Err(e)) => last = fail(connect_kind(&e), format!("connect to {address}: {e}")),
            Err(_) => last = fail(Kind::ConnectTimeout, format!("connect to {address} took too long")),
        }
    }
    let Some(tcp) = socket else { return Err(last) };
    tcp.set_nodelay(true).map_err(|e| fail(Kind::Unreachable, e.to_string()))?;
    let Some(tls) = tls else { return Ok(Stream::Plain(tcp)) };
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    match timeout_at(deadline, connector.connect(tls.name.clone(), tcp)).await {
        Err(_) => Err(fail(Kind::ConnectTimeout, "the TLS handshake took too long".to_owned())),
        Ok(Err(e)) => Err(fail(handshake_kind(&e), format!("TLS handshake: {e}"))),
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream.into()))),
    }
}

fn connect_kind(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Kind::Refused,
        io::ErrorKind::TimedOut => Kind::ConnectTimeout,
        io::ErrorKind::ConnectionReset => Kind::Reset,
        _ if is_out_of_files(error) => Kind::TooManyFiles,
        _ => Kind::Unreachable,
    }
}

/// EMFILE and ENFILE, which the standard library has no kinds for.
fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

fn handshake_kind(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Kind::Reset,
        io::ErrorKind::UnexpectedEof => Kind::Closed,
        _ => Kind::Tls,
    }
}
