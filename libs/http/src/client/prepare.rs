//! An endpoint made ready: parsed URL, header map with credentials, TLS configuration.
