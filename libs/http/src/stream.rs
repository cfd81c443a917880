//! A socket, with or without TLS.
