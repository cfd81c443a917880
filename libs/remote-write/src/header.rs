//! HTTP headers of Remote-Write and our own, in lower case as HTTP libraries want them.

/// How the body is compressed: [`SNAPPY`].
pub const CONTENT_ENCODING: &str = "content-encoding";
/// What the body is: [`CONTENT_TYPE_V1`] or [`CONTENT_TYPE_V2`].
pub const CONTENT_TYPE: &str = "content-type";
/// Version of the protocol: [`VERSION_V1`] or [`VERSION_V2`].
pub const VERSION: &str = "x-prometheus-remote-write-version";
/// Who sends.
pub const USER_AGENT: &str = "user-agent";
/// When to come back: see [`crate::answer::parse_retry_after`].
pub const RETRY_AFTER: &str = "retry-after";
/// Prometheus' count of repetitions of the same body, from 1.
pub const RETRY_ATTEMPT: &str = "retry-attempt";
/// Protocol 2.0: samples that the receiver wrote.
pub const SAMPLES_WRITTEN: &str = "x-prometheus-remote-write-samples-written";
/// Protocol 2.0: histograms that the receiver wrote.
pub const HISTOGRAMS_WRITTEN: &str = "x-prometheus-remote-write-histograms-written";
/// Protocol 2.0: exemplars that the receiver wrote.
pub const EXEMPLARS_WRITTEN: &str = "x-prometheus-remote-write-exemplars-written";

/// Only content encoding of the protocol.
pub const SNAPPY: &str = "snappy";
/// Content type of protocol 1.0.
pub const CONTENT_TYPE_V1: &str = "application/x-protobuf";
/// Content type of protocol 2.0; no space after the semicolon, Prometheus would read it as 1.0.
pub const CONTENT_TYPE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
/// Value of [`VERSION`] for protocol 1.0.
pub const VERSION_V1: &str = "0.1.0";
/// Value of [`VERSION`] for protocol 2.0.
pub const VERSION_V2: &str = "2.0.0";

/// Prefix of all headers between Floodmark's own parts.
pub const FLOODMARK_PREFIX: &str = "floodmark-";
/// Ownership epoch a sender routed by; in a 421 the epoch in force.
pub const FLOODMARK_EPOCH: &str = "floodmark-epoch";
/// `generator/incarnation/lane/sequence`: makes a repeated request recognisable.
pub const FLOODMARK_REQUEST: &str = "floodmark-request";
/// Intended instant of the request, nanoseconds since the run's t0.
pub const FLOODMARK_INTENDED: &str = "floodmark-intended";
/// Fault that the request carries on purpose, by its name.
pub const FLOODMARK_FAULT: &str = "floodmark-fault";

/// Header names that a user's document may not set, in order: the protocol, the connection or the dedicated fields of
/// the document decide them. The list holds what Prometheus refuses too.
pub const RESERVED: [&str; 22] = [
    "accept-encoding",
    "authorization",
    "connection",
    CONTENT_ENCODING,
    "content-length",
    CONTENT_TYPE,
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    USER_AGENT,
    "www-authenticate",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-prometheus-remote-read-version",
    VERSION,
];

/// Whether a user's document may not set this header. Case does not matter.
pub fn is_reserved(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    name.starts_with(FLOODMARK_PREFIX) || RESERVED.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_headers_are_reserved_in_any_case() {
        for name in [
            "Content-Encoding",
            "CONTENT-TYPE",
            "X-Prometheus-Remote-Write-Version",
            "user-agent",
            " Host ",
            "Floodmark-Epoch",
            FLOODMARK_REQUEST,
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["X-Scope-OrgID", "THANOS-TENANT", "x-floodmark-", ""] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn the_list_is_lower_case_and_sorted() {
        assert!(RESERVED.is_sorted());
        assert!(RESERVED.iter().all(|name| *name == name.to_ascii_lowercase()));
    }
}
