//! Whether a URL can be used as an endpoint.

/// Checks an absolute `http` or `https` URL; gives the scheme.
///
/// # Errors
/// What is wrong and the fix.
pub(crate) fn check(url: &str) -> Result<Scheme, String> {
    if url.trim().is_empty() {
        return Err("the URL is blank: write http://HOST:PORT/PATH".to_owned());
    }
    let (scheme, rest) = if let Some(rest) = url.strip_prefix("http://") {
        (Scheme::Http, rest)
    } else if let Some(rest) = url.strip_prefix("https://") {
        (Scheme::Https, rest)
    } else {
        return Err(format!("{url:?} is not a URL of http or https: write http://HOST:PORT/PATH"));
    };
    if let Some(odd) = url.chars().find(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c)) {
        return Err(format!("{url:?} has the character {odd:?}, which a URL may not have: write it as %XX"));
    }
    if url.contains('#') {
        return Err("a fragment (#...) is never sent: remove it".to_owned());
    }
    let authority = rest.split(['/', '?']).next().unwrap_or("");
    if authority.contains('@') {
        return Err("a URL may not hold credentials: use basicAuth or authorization".to_owned());
    }
    host_and_port(authority)?;
    percent(rest)?;
    Ok(scheme)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

fn host_and_port(authority: &str) -> Result<(), String> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return Err("an IPv6 address needs brackets on both sides: http://[::1]:9090/".to_owned());
        };
        if address.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(format!("{address:?} is not an IPv6 address"));
        }
        (
            address,
            port.strip_prefix(':')
                .or(port.is_empty().then_some(""))
                .ok_or("what follows the address has to be :PORT")?,
        )
    } else {
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        if host.is_empty() {
            return Err("the host is missing: write http://HOST:PORT/PATH".to_owned());
        }
        if !host.bytes().all(letters) || host.starts_with('.') || host.contains("..") || host.len() > 253 {
            return Err(format!("{host:?} is not a host name or an address"));
        }
        let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if numeric && host.parse::<std::net::Ipv4Addr>().is_err() {
            return Err(format!("{host:?} is not an IPv4 address"));
        }
        if port == Some("") {
            return Err("the port after the colon is missing".to_owned());
        }
        (host, port.unwrap_or(""))
    };
    let plain = port.bytes().all(|b| b.is_ascii_digit());
    let right = port.is_empty() || (plain && port.parse::<u16>().is_ok_and(|port| port > 0));
    if !right {
        return Err(format!("{port:?} is not a port of {host}: write a number from 1 to 65535"));
    }
    Ok(())
}

fn percent(text: &str) -> Result<(), String> {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|b| *b == b'%') {
        let hex = rest.get(at + 1..at + 3);
        if !hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            return Err("a % in a URL needs two hexadecimal digits: write %25 for the sign itself".to_owned());
        }
        rest = &rest[at + 3..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usable_urls_pass() {
        for url in [
            "http://prometheus:9090/api/v1/write",
            "https://a.b-c.example/x?y=z",
            "http://127.0.0.1:1/",
            "http://[::1]:9090/w",
            "http://[::1]",
            "https://h",
            "http://svc.ns.svc.cluster.local:80/a%20b",
            "http://my_service:80/",
        ] {
            assert!(check(url).is_ok(), "{url}");
        }
        assert_eq!(check("https://h/"), Ok(Scheme::Https));
    }

    #[test]
    fn unusable_urls_say_why() {
        for (url, why) in [
            ("", "blank"),
            ("  ", "blank"),
            ("ftp://h/", "not a URL"),
            ("prometheus:9090", "not a URL"),
            ("http://", "host is missing"),
            ("http:///x", "host is missing"),
            ("http://h:0/", "not a port"),
            ("http://h:70000/", "not a port"),
            ("http://h:/", "port"),
            ("http://h:1x/", "not a port"),
            ("http://h:+1/", "not a port"),
            ("http://a b/", "character"),
            ("http://u:p@h/", "credentials"),
            ("http://h/#f", "fragment"),
            ("http://[::1/", "brackets"),
            ("http://[zz]/", "IPv6"),
            ("http://1.2.3/", "IPv4"),
            ("http://h/%2", "hexadecimal"),
            ("http://h/%zz", "hexadecimal"),
            ("http://h/é", "character"),
            ("http://[::1]x/", ":PORT"),
        ] {
            let error = check(url).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
