//! Endpoints: one address, headers, authentication, TLS.

use super::common::{RECEIVER, problems};
use super::{SINK_ONLY, expect, expect_all};

#[test]
fn a_backend_is_one_usable_address() {
    expect_all(
        SINK_ONLY,
        &[
            ("backend: {}", "spec.backend: exactly one of url, receiverRef is needed: none is given"),
            ("backend: {url: \" \"}", "spec.backend.url: the URL is blank"),
            ("backend: {url: \"\"}", "spec.backend.url: is empty"),
            ("backend: {url: \"http://h:x/\"}", "spec.backend.url: \"x\" is not a port"),
            ("backend: {url: \"http://h/\", requestTimeout: 0s}", "spec.backend.requestTimeout: 0s is out of range"),
            (
                "backend: {url: \"http://h/\", requestTimeout: -1s}",
                "spec.backend.requestTimeout: \"-1s\" is not a duration",
            ),
            ("backend: {url: \"http://h/\", userAgent: \" \"}", "spec.backend.userAgent: is blank"),
            ("backend: {url: \"http://h/\", tlsConfig: {}}", "spec.backend.tlsConfig: needs an https URL"),
            (
                "backend: {url: \"https://h/\", tlsConfig: {ca: {}}}",
                "spec.backend.tlsConfig.ca: exactly one of secret, configMap",
            ),
            (
                "backend: {url: \"https://h/\", tlsConfig: {keySecret: {name: a, key: b}}}",
                "spec.backend.tlsConfig: cert and keySecret belong together",
            ),
            (
                "backend: {url: \"http://h/\", authorization: {type: Basic, credentials: {name: a, key: b}}}",
                "spec.backend.authorization.type: Basic is not possible",
            ),
            (
                "backend: {url: \"http://h/\", authorization: {credentials: {name: A, key: b}}}",
                "spec.backend.authorization.credentials.name: \"A\" is not",
            ),
            (
                "backend: {url: \"http://h/\", authorization: {credentials: {name: a, key: ../b}}}",
                "spec.backend.authorization.credentials.key: \"../b\" is not",
            ),
            (
                "backend: {url: \"http://h/\", authorization: {credentials: {name: a, key: b}}, basicAuth: {username: {name: a, key: b}, password: {name: a, key: b}}}",
                "spec.backend: at most one of basicAuth, authorization, sigv4 is possible",
            ),
            ("backend: {receiverRef: {name: r}}", "spec.backend.receiverRef.name: no RemoteWriteReceiver \"r\""),
        ],
    );
}

#[test]
fn a_backend_has_one_address_only() {
    let both = "  backend: {url: \"http://h/\", receiverRef: {name: receiver}}\n";
    let report = problems(&format!("{SINK_ONLY}{both}---\n{RECEIVER}"));
    assert_eq!(
        report,
        "file.yaml:5:3: spec.backend: exactly one of url, receiverRef is needed: url and receiverRef are given, remove all but one"
    );
}

#[test]
fn headers_of_the_protocol_are_reserved() {
    let header = |header: &str| format!("backend: {{url: \"http://h/\", headers: [{header}]}}");
    for (text, expected) in [
        ("{name: content-ENCODING, value: x}", "spec.backend.headers[0].name: content-ENCODING is reserved"),
        ("{name: X-Prometheus-Remote-Write-Version, value: x}", "spec.backend.headers[0].name: X-Prometheus"),
        (
            "{name: User-Agent, value: x}",
            "spec.backend.headers[0].name: User-Agent is reserved (write it in userAgent)",
        ),
        ("{name: Floodmark-Epoch, value: x}", "spec.backend.headers[0].name: Floodmark-Epoch is reserved"),
        ("{name: \"a b\", value: x}", "spec.backend.headers[0].name: \"a b\" is not the name"),
        ("{name: a, value: \"x\\r\\ny: z\"}", "spec.backend.headers[0].value: has characters"),
        ("{name: a}", "spec.backend.headers[0]: exactly one of value, valueFrom"),
        ("{name: a, value: x}, {name: A, value: z}", "spec.backend.headers[1].name: A is given twice"),
    ] {
        expect(SINK_ONLY, &header(text), expected);
    }
}
