//! Endpoints: addresses, headers, authentication and TLS.

use serde_json::Value;

use super::Rules;
use crate::validate::{HOUR, MILLISECOND, RESERVED};

pub(crate) fn endpoint() -> Value {
    Rules::default()
        .one_of("url", "receiverRef")
        .rule(
            "(has(self.basicAuth) ? 1 : 0) + (has(self.authorization) ? 1 : 0) + (has(self.sigv4) ? 1 : 0) <= 1",
            "at most one of basicAuth, authorization, sigv4 is possible",
        )
        .given("url", "self.url.matches('^https?://')", "is not a URL of http or https: write http://HOST:PORT/PATH")
        .given("url", "!self.url.contains('#')", "is not usable: a fragment (#...) is never sent: remove it")
        .given(
            "url",
            "!self.url.matches('^https?://[^/?]*@')",
            "is not usable: a URL may not hold credentials: use basicAuth or authorization",
        )
        .given(
            "url",
            "!self.url.matches('^https?://([:/?]|$)')",
            "is not usable: the host is missing: write http://HOST:PORT/PATH",
        )
        .between("requestTimeout", MILLISECOND, HOUR)
        .given(
            "userAgent",
            "self.userAgent.matches('^[!-~]([ -~]*[!-~])?$')",
            "is blank or has characters that a header may not have: write visible ASCII, or remove the field",
        )
        .given(
            "headers",
            "self.headers.all(h, self.headers.exists_one(other, other.name == h.name))",
            "has a header that is given twice: remove one",
        )
        .rule(
            "!has(self.tlsConfig) || !has(self.url) || !self.url.startsWith('http://')",
            "tlsConfig needs an https URL: write https://, or remove tlsConfig",
        )
        .end()
}

pub(crate) fn header() -> Value {
    let names: Vec<&str> = RESERVED.iter().map(|(name, _)| *name).collect();
    Rules::default()
        .one_of("value", "valueFrom")
        .rule(
            "self.name.matches('^[a-zA-Z0-9!#$%&*+.^_`|~-]+$')",
            "name is not the name of a header: write letters, digits and -",
        )
        .rule(
            format!("!self.name.matches('(?i)^({}|floodmark-.*)$')", names.join("|")),
            "name is reserved (the protocol, the connection or Floodmark sets it): remove the header",
        )
        .given(
            "value",
            "self.value == '' || self.value.matches('^[!-~]([ -~\\t]*[!-~])?$')",
            "has characters that a header may not have: write visible ASCII without spaces at the ends",
        )
        .end()
}

pub(crate) fn authorization() -> Value {
    Rules::default()
        .rule(
            "self.type.matches('^[a-zA-Z0-9!#$%&*+.^_`|~-]+$')",
            "type is not a scheme: write one word such as Bearer",
        )
        .rule("!self.type.matches('(?i)^basic$')", "type Basic is not possible here: use basicAuth")
        .end()
}

pub(crate) fn sigv4() -> Value {
    Rules::default()
        .rule(
            "has(self.accessKey) == has(self.secretKey)",
            "accessKey and secretKey belong together: give both or none",
        )
        .end()
}

pub(crate) fn secret_key() -> Value {
    Rules::default()
        .rule(
            "self.name.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",
            "name is not the name of an object: write lower-case letters, digits, - and .",
        )
        .rule(
            "self.key.matches('^[a-zA-Z0-9._-]+$') && self.key != '.' && self.key != '..'",
            "key is not a key of a Secret: write letters, digits, -, _ and .",
        )
        .end()
}

pub(crate) fn secret_or_config_map() -> Value {
    Rules::default().one_of("secret", "configMap").end()
}

pub(crate) fn tls() -> Value {
    Rules::default()
        .rule("has(self.cert) == has(self.keySecret)", "cert and keySecret belong together: give both or none")
        .given("serverName", "self.serverName.matches('^[a-zA-Z0-9._:-]+$')", "is not a host name")
        .end()
}
