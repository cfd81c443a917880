//! Name look-up, TCP connect and TLS handshake, inside one deadline.
