//! Endpoints: addresses, headers, authentication and TLS.

use std::collections::BTreeSet;

use super::{DAY, HOUR, MILLISECOND, Rules, url};
use crate::{BasicAuth, Endpoint, Header, PartialWrites, SecretKey, SecretOrConfigMap, ServerTlsConfig, TlsConfig};

/// Headers that the protocol or the connection sets; lower case.
pub(crate) const RESERVED: [(&str, &str); 18] = [
    ("content-encoding", "the protocol sets it"),
    ("content-type", "the protocol sets it"),
    ("x-prometheus-remote-write-version", "the protocol sets it"),
    ("user-agent", "write it in userAgent"),
    ("authorization", "write it in authorization or basicAuth"),
    ("host", "it follows from the URL"),
    ("content-length", "it follows from the body"),
    ("transfer-encoding", "it follows from the body"),
    ("connection", "the connection sets it"),
    ("keep-alive", "the connection sets it"),
    ("proxy-connection", "the connection sets it"),
    ("proxy-authorization", "the connection sets it"),
    ("upgrade", "the connection sets it"),
    ("te", "the connection sets it"),
    ("trailer", "the connection sets it"),
    ("expect", "the connection sets it"),
    ("accept-encoding", "answers are read uncompressed"),
    ("retry-attempt", "retries set it"),
];

/// What a refusal does with good samples is what a sink has to know; anybody else does not take requests apart.
pub(crate) fn no_partial_writes(rules: &mut Rules, endpoint: &Endpoint, path: &str) {
    rules.need(
        endpoint.partial_writes == PartialWrites::Unknown,
        || format!("{path}.partialWrites"),
        || "partialWrites is only used in a sink's backend: remove it".into(),
    );
}

/// Checks an endpoint at a field path.
pub(crate) fn check(rules: &mut Rules, endpoint: &Endpoint, path: &str) {
    rules.exactly_one(path, &[("url", endpoint.url.is_some()), ("receiverRef", endpoint.receiver_ref.is_some())]);
    let scheme = endpoint.url.as_deref().and_then(|text| match url::check(text) {
        Ok(scheme) => Some(scheme),
        Err(why) => {
            rules.add(format!("{path}.url"), why);
            None
        }
    });
    rules.between(endpoint.request_timeout, MILLISECOND, HOUR, || format!("{path}.requestTimeout"));
    if let Some(agent) = &endpoint.user_agent {
        rules.need(
            !agent.trim().is_empty() && visible(agent),
            || format!("{path}.userAgent"),
            || {
                "is blank or has characters that a header may not have: write visible ASCII, or remove the field"
                    .to_owned()
            },
        );
    }
    headers(rules, &endpoint.headers, path);
    authentication(rules, endpoint, path);
    if let Some(tls) = &endpoint.tls_config {
        let at = format!("{path}.tlsConfig");
        rules.agree(
            scheme != Some(url::Scheme::Http),
            || at.clone(),
            &["url"],
            || "needs an https URL: write https://, or remove tlsConfig".to_owned(),
        );
        client_tls(rules, tls, &at);
    }
}

/// Can this text stand in a header?
fn visible(text: &str) -> bool {
    text.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) && text.trim() == text
}

/// A token of HTTP.
fn token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn headers(rules: &mut Rules, headers: &[Header], path: &str) {
    let mut seen = BTreeSet::new();
    for (i, header) in headers.iter().enumerate() {
        let at = format!("{path}.headers[{i}]");
        let name = header.name.to_ascii_lowercase();
        rules.need(
            token(&name),
            || format!("{at}.name"),
            || format!("{:?} is not the name of a header: write letters, digits and -", header.name),
        );
        let reserved = RESERVED.iter().find(|(reserved, _)| *reserved == name).map(|(_, why)| *why);
        let reserved = reserved.or(name.starts_with("floodmark-").then_some("Floodmark sets it"));
        if let Some(why) = reserved {
            rules.add(format!("{at}.name"), format!("{} is reserved ({why}): remove the header", header.name));
        }
        rules.need(
            seen.insert(name),
            || format!("{at}.name"),
            || format!("{} is given twice: remove one", header.name),
        );
        rules.exactly_one(&at, &[("value", header.value.is_some()), ("valueFrom", header.value_from.is_some())]);
        if let Some(value) = &header.value {
            rules.need(
                visible(value),
                || format!("{at}.value"),
                || {
                    "has characters that a header may not have: write visible ASCII without spaces at the ends"
                        .to_owned()
                },
            );
        }
        if let Some(from) = &header.value_from {
            secret(rules, &from.secret, &format!("{at}.valueFrom.secret"));
        }
    }
}

fn authentication(rules: &mut Rules, endpoint: &Endpoint, path: &str) {
    let ways = [
        ("basicAuth", endpoint.basic_auth.is_some()),
        ("authorization", endpoint.authorization.is_some()),
        ("sigv4", endpoint.sigv4.is_some()),
    ];
    let given: Vec<&str> = ways.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if given.len() > 1 {
        rules.add(
            path,
            format!(
                "at most one of basicAuth, authorization, sigv4 is possible: {} are given, remove all but one",
                given.join(" and ")
            ),
        );
    }
    if let Some(auth) = &endpoint.basic_auth {
        basic_auth(rules, auth, &format!("{path}.basicAuth"));
    }
    if let Some(auth) = &endpoint.authorization {
        rules.need(
            token(&auth.r#type),
            || format!("{path}.authorization.type"),
            || format!("{:?} is not a scheme: write one word such as Bearer", auth.r#type),
        );
        rules.need(
            !auth.r#type.eq_ignore_ascii_case("basic"),
            || format!("{path}.authorization.type"),
            || "Basic is not possible here: use basicAuth".to_owned(),
        );
        secret(rules, &auth.credentials, &format!("{path}.authorization.credentials"));
    }
    if let Some(sigv4) = &endpoint.sigv4 {
        let at = format!("{path}.sigv4");
        rules.need(
            sigv4.access_key.is_some() == sigv4.secret_key.is_some(),
            || at.clone(),
            || "accessKey and secretKey belong together: give both or none".to_owned(),
        );
        for (name, key) in [("accessKey", &sigv4.access_key), ("secretKey", &sigv4.secret_key)] {
            if let Some(key) = key {
                secret(rules, key, &format!("{at}.{name}"));
            }
        }
    }
}

/// Checks basic authentication at a field path.
pub(crate) fn basic_auth(rules: &mut Rules, auth: &BasicAuth, path: &str) {
    secret(rules, &auth.username, &format!("{path}.username"));
    secret(rules, &auth.password, &format!("{path}.password"));
}

fn client_tls(rules: &mut Rules, tls: &TlsConfig, path: &str) {
    rules.need(
        tls.cert.is_some() == tls.key_secret.is_some(),
        || path.to_owned(),
        || "cert and keySecret belong together: give both or none".to_owned(),
    );
    for (name, source) in [("ca", &tls.ca), ("cert", &tls.cert)] {
        if let Some(source) = source {
            either(rules, source, &format!("{path}.{name}"));
        }
    }
    if let Some(key) = &tls.key_secret {
        secret(rules, key, &format!("{path}.keySecret"));
    }
    if let Some(name) = &tls.server_name {
        let right = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:".contains(&b));
        rules.need(right, || format!("{path}.serverName"), || format!("{name:?} is not a host name"));
    }
}

/// Checks the TLS of a server at a field path.
pub(crate) fn server_tls(rules: &mut Rules, tls: &ServerTlsConfig, path: &str) {
    either(rules, &tls.cert, &format!("{path}.cert"));
    secret(rules, &tls.key_secret, &format!("{path}.keySecret"));
    if let Some(ca) = &tls.client_ca {
        either(rules, ca, &format!("{path}.clientCa"));
    }
}

fn either(rules: &mut Rules, source: &SecretOrConfigMap, path: &str) {
    rules.exactly_one(path, &[("secret", source.secret.is_some()), ("configMap", source.config_map.is_some())]);
    for (name, key) in [("secret", &source.secret), ("configMap", &source.config_map)] {
        if let Some(key) = key {
            secret(rules, key, &format!("{path}.{name}"));
        }
    }
}

fn secret(rules: &mut Rules, key: &SecretKey, path: &str) {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let name = &key.name;
    let right = name.bytes().all(|b| letters(b) || b == b'-' || b == b'.')
        && name.bytes().next().is_some_and(letters)
        && name.bytes().next_back().is_some_and(letters);
    rules.need(
        right,
        || format!("{path}.name"),
        || format!("{name:?} is not the name of an object: write lower-case letters, digits, - and ."),
    );
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    rules.need(
        key.key.bytes().all(plain) && !key.key.is_empty() && key.key != "." && key.key != "..",
        || format!("{path}.key"),
        || format!("{:?} is not a key of a Secret: write letters, digits, -, _ and .", key.key),
    );
}

/// How long a delay may be that a user asks for.
pub(crate) fn delay(rules: &mut Rules, value: crate::Duration, path: impl FnOnce() -> String) {
    rules.between(value, MILLISECOND, DAY, path);
}
