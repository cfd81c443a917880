//! Ports for child processes: below the kernel's ephemeral range, so that a killed worker finds its port free again.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

const LOW: u16 = 18_000;
const HIGH: u16 = 31_999;

/// Hands out loopback ports that were free when asked, each once.
#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
    left: u16,
}

impl Ports {
    pub(crate) fn new() -> Self {
        let span = HIGH - LOW + 1;
        // Two runs side by side start at different places.
        let start = (std::process::id().wrapping_mul(2_654_435_761) >> 8) % u32::from(span);
        Self { next: LOW + start as u16, left: span }
    }

    pub(crate) fn take(&mut self) -> io::Result<SocketAddr> {
        while self.left > 0 {
            let candidate = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.next);
            self.next = if self.next == HIGH { LOW } else { self.next + 1 };
            self.left -= 1;
            match TcpListener::bind(candidate) {
                Ok(_) => return Ok(candidate),
                Err(taken) if matches!(taken.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("no free loopback port between {LOW} and {HIGH}: end other runs on this machine first"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_a_port_in_use_and_never_repeats() {
        let mut probe = Ports::new();
        let held = probe.take().unwrap();
        let _listener = TcpListener::bind(held).unwrap();
        let mut ports = Ports { next: held.port(), left: 3 };
        let first = ports.take().unwrap();
        assert_ne!(first, held);
        let second = ports.take();
        assert!(second.is_err() || second.unwrap() != first);
    }
}
