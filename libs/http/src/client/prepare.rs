//! An endpoint made ready: parsed URL, address overrides, header map with credentials, TLS configuration.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base64::Engine;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;

use super::endpoint::{Endpoint, Secret};
use super::error::EndpointError;
use crate::tls::{Material, TlsError, read_small};

/// A token or password is small; more than this is a mistake.
const MAX_SECRET: u64 = 64 << 10;

/// Scheme, host and port of an endpoint, and the path it names.
pub(super) struct Origin {
    pub(super) secure: bool,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Request target of the URL itself, in origin form.
    pub(super) target: Uri,
    pub(super) host_header: HeaderValue,
    /// `scheme://host:port` for messages.
    pub(super) display: String,
    overrides: Vec<Override>,
}

struct Override {
    host: String,
    port: Option<u16>,
    to_ip: IpAddr,
    to_port: Option<u16>,
}

/// `https://host:port` taken apart; the same for an endpoint's URL and for a `Location`.
struct Parsed {
    secure: bool,
    host: String,
    port: u16,
    path: PathAndQuery,
    authority: String,
}

fn parse(url: &str) -> Result<Parsed, String> {
    if url.contains('#') {
        return Err("a fragment has no meaning here".to_owned());
    }
    let parts = url.parse::<Uri>().map_err(|e| e.to_string())?.into_parts();
    let secure = match parts.scheme.as_ref().map(http::uri::Scheme::as_str) {
        Some("http") => false,
        Some("https") => true,
        Some(other) => return Err(format!("the scheme {other} is not spoken here")),
        None => return Err("it has no scheme".to_owned()),
    };
    let authority = parts.authority.ok_or("it has no host")?;
    if authority.as_str().contains('@') {
        return Err("credentials do not belong into a URL: use basicAuth".to_owned());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    let port = match (
        authority.port_u16(),
        authority.as_str().rsplit_once(']').map_or(authority.as_str(), |(_, rest)| rest).contains(':'),
    ) {
        (Some(port), _) => port,
        (None, true) => return Err("its port is not a number below 65536".to_owned()),
        (None, false) => {
            if secure {
                443
            } else {
                80
            }
        }
    };
    let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
    Ok(Parsed { secure, host, port, path, authority: authority.to_string() })
}

impl Origin {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, EndpointError> {
        let error = |why: String| EndpointError::Url { url: endpoint.url.clone(), why };
        let parsed = parse(&endpoint.url).map_err(error)?;
        let scheme = if parsed.secure { "https" } else { "http" };
        let host_header = HeaderValue::from_str(&parsed.authority).map_err(|e| error(e.to_string()))?;
        let display = if parsed.host.contains(':') {
            format!("{scheme}://[{}]:{}", parsed.host, parsed.port)
        } else {
            format!("{scheme}://{}:{}", parsed.host, parsed.port)
        };
        Ok(Self {
            secure: parsed.secure,
            target: Uri::from(parsed.path),
            host: parsed.host,
            port: parsed.port,
            host_header,
            display,
            overrides: overrides(&endpoint.resolve)?,
        })
    }

    /// The address that an override or the URL itself names, without asking anybody.
    pub(super) fn literal_address(&self) -> Option<SocketAddr> {
        let named = self.overrides.iter().filter(|o| o.host == self.host);
        let found = named.filter(|o| o.port.is_none_or(|p| p == self.port)).max_by_key(|o| o.port.is_some());
        if let Some(found) = found {
            return Some(SocketAddr::new(found.to_ip, found.to_port.unwrap_or(self.port)));
        }
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// The path and query of `location` when it stays on this origin.
    pub(super) fn same_origin(&self, location: &str) -> Option<String> {
        if location.starts_with('/') && !location.starts_with("//") {
            let path = location.split('#').next().unwrap_or_default();
            return path.parse::<PathAndQuery>().ok().map(|p| p.to_string());
        }
        let parsed = parse(location.split('#').next().unwrap_or_default()).ok()?;
        let same = parsed.secure == self.secure && parsed.host == self.host && parsed.port == self.port;
        same.then(|| parsed.path.to_string())
    }

    pub(super) fn server_name(&self, endpoint: &Endpoint) -> Result<ServerName<'static>, TlsError> {
        let name = endpoint.tls.server_name.as_deref().unwrap_or(&self.host);
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
    }
}

fn overrides(resolve: &BTreeMap<String, String>) -> Result<Vec<Override>, EndpointError> {
    let one = |host: &String, address: &String| -> Result<Override, String> {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') => {
                (name, Some(port.parse::<u16>().map_err(|_| "the host's port is not a number below 65536".to_owned())?))
            }
            _ => (host.as_str(), None),
        };
        let (to_ip, to_port) = match (address.parse::<SocketAddr>(), address.parse::<IpAddr>()) {
            (Ok(socket), _) => (socket.ip(), Some(socket.port())),
            (_, Ok(ip)) => (ip, None),
            _ => return Err("the address is neither an IP nor IP:PORT".to_owned()),
        };
        Ok(Override { host: name.to_ascii_lowercase(), port, to_ip, to_port })
    };
    resolve
        .iter()
        .map(|(host, address)| {
            one(host, address).map_err(|why| EndpointError::Resolve {
                host: host.clone(),
                address: address.clone(),
                why,
            })
        })
        .collect()
}

fn secret(what: &str, secret: &Secret) -> Result<String, EndpointError> {
    match secret {
        Secret::Value(value) => Ok(value.clone()),
        Secret::File(path) => {
            let error =
                |why: String| EndpointError::File { what: what.to_owned(), path: path.display().to_string(), why };
            let bytes = read_small(path, MAX_SECRET).map_err(error)?;
            let text = String::from_utf8(bytes).map_err(|_| error("it is not UTF-8".to_owned()))?;
            Ok(text.trim().to_owned())
        }
    }
}

/// Every header that does not change from request to request, with the secrets as they are now.
pub(super) fn headers(endpoint: &Endpoint, origin: &Origin) -> Result<HeaderMap, EndpointError> {
    let mut map = HeaderMap::with_capacity(16);
    map.insert(HOST, origin.host_header.clone());
    let agent = endpoint.user_agent.as_deref().unwrap_or(concat!("floodmark/", env!("CARGO_PKG_VERSION")));
    map.insert(USER_AGENT, value("User-Agent", agent, false)?);
    for header in &endpoint.headers {
        let error = |why: &str| EndpointError::Header { name: header.name.clone(), why: why.to_owned() };
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| error("not a header name"))?;
        if [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION].contains(&name) {
            return Err(error("reserved: the connection sets it"));
        }
        let text = secret(&format!("header {}", header.name), &header.value)?;
        map.append(name, value(&header.name, &text, true)?);
    }
    match (&endpoint.basic_auth, &endpoint.authorization) {
        (Some(_), Some(_)) => return Err(EndpointError::TwoAuthorizations),
        (Some(basic), None) => {
            let user = secret("basicAuth username", &basic.username)?;
            if user.contains(':') {
                return Err(EndpointError::ColonInUser);
            }
            let password =
                basic.password.as_ref().map(|p| secret("basicAuth password", p)).transpose()?.unwrap_or_default();
            let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            map.insert(AUTHORIZATION, value("Authorization", &format!("Basic {token}"), true)?);
        }
        (None, Some(authorization)) => {
            let token = secret("authorization credentials", &authorization.credentials)?;
            map.insert(AUTHORIZATION, value("Authorization", &format!("{} {token}", authorization.scheme), true)?);
        }
        (None, None) => {}
    }
    Ok(map)
}

fn value(name: &str, text: &str, sensitive: bool) -> Result<HeaderValue, EndpointError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| EndpointError::Header {
        name: name.to_owned(),
        why: "its value holds control characters".to_owned(),
    })?;
    value.set_sensitive(sensitive);
    Ok(value)
}

/// The TLS configuration with the files it was made from, kept as long as they do not change (and with it the session tickets).
pub(super) struct TlsState {
    material: Material,
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl TlsState {
    pub(super) fn new(endpoint: &Endpoint, origin: &Origin) -> Result<Option<Self>, TlsError> {
        if !origin.secure {
            return Ok(None);
        }
        let material = Material::read(&endpoint.tls)?;
        let config = material.client_config(&endpoint.tls)?;
        Ok(Some(Self { material, config, name: origin.server_name(endpoint)? }))
    }

    pub(super) fn refresh(&mut self, endpoint: &Endpoint) -> Result<(), TlsError> {
        let material = Material::read(&endpoint.tls)?;
        if material != self.material {
            self.config = material.client_config(&endpoint.tls)?;
            self.material = material;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Authorization, BasicAuth, Header};

    fn origin(url: &str) -> Result<Origin, String> {
        Origin::new(&Endpoint::new(url)).map_err(|e| e.to_string())
    }

    #[test]
    fn urls_are_taken_apart_or_refused_with_the_fix() {
        for (url, secure, host, port, target) in [
            ("http://a", false, "a", 80, "/"),
            ("https://A.Example/x?y=1", true, "a.example", 443, "/x?y=1"),
            ("http://[::1]:9090/w", false, "::1", 9090, "/w"),
            ("https://[::1]/w", true, "::1", 443, "/w"),
        ] {
            let origin = origin(url).unwrap();
            assert_eq!((origin.secure, origin.host.as_str(), origin.port), (secure, host, port), "{url}");
            assert_eq!(origin.target.to_string(), target, "{url}");
        }
        for url in [
            "",
            "/x",
            "a:80",
            "ftp://a/",
            "http://",
            "http://u:p@a/",
            "http://a:99999/",
            "http://a:/",
            "http://a/#f",
            "http://a b/",
        ] {
            let error = origin(url).err().unwrap_or_else(|| panic!("{url} was taken"));
            assert!(error.contains("write http://host"), "{error}");
        }
    }

    #[test]
    fn only_the_same_origin_is_followed() {
        let origin = origin("https://a.example/api/v1/write").unwrap();
        for (location, path) in [
            ("/other?x=1#f", Some("/other?x=1")),
            ("https://A.example:443/b", Some("/b")),
            ("https://a.example", Some("/")),
            ("http://a.example/b", None),
            ("https://a.example:8443/b", None),
            ("https://b.example/b", None),
            ("//b.example/b", None),
            ("relative", None),
            ("", None),
        ] {
            assert_eq!(origin.same_origin(location).as_deref(), path, "{location}");
        }
    }

    #[test]
    fn overrides_name_addresses_and_the_port_decides() {
        let address = |url: &str, resolve: &[(&str, &str)]| {
            let mut endpoint = Endpoint::new(url);
            endpoint.resolve = resolve.iter().map(|(h, a)| ((*h).to_owned(), (*a).to_owned())).collect();
            Origin::new(&endpoint).map(|o| o.literal_address().map(|a| a.to_string())).map_err(|e| e.to_string())
        };
        let both = [("h", "10.0.0.1"), ("h:90", "[::1]:91")];
        assert_eq!(address("http://h:80/", &both), Ok(Some("10.0.0.1:80".to_owned())));
        assert_eq!(address("http://H:90/", &both), Ok(Some("[::1]:91".to_owned())));
        assert_eq!(address("http://other/", &both), Ok(None));
        assert_eq!(address("http://127.0.0.1:5/", &both), Ok(Some("127.0.0.1:5".to_owned())));
        for (host, to) in [("h", "name"), ("h:x", "10.0.0.1"), ("h", "10.0.0.1:x")] {
            assert!(address("http://h/", &[(host, to)]).unwrap_err().contains("HOST=IP"));
        }
    }

    #[test]
    fn credentials_become_headers_and_nonsense_does_not() {
        let literal = |text: &str| Secret::Value(text.to_owned());
        let made = |change: &dyn Fn(&mut Endpoint)| {
            let mut endpoint = Endpoint::new("http://a/");
            change(&mut endpoint);
            let origin = Origin::new(&endpoint).unwrap();
            headers(&endpoint, &origin)
                .map(|h| h.get(AUTHORIZATION).map(|v| v.to_str().unwrap().to_owned()))
                .map_err(|e| e.to_string())
        };
        let basic = |user: &str| Some(BasicAuth { username: literal(user), password: Some(literal("open sesame")) });
        let bearer = || Some(Authorization { scheme: "Bearer".to_owned(), credentials: literal("t") });
        assert_eq!(
            made(&|e| e.basic_auth = basic("Aladdin")),
            Ok(Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".to_owned()))
        );
        assert_eq!(made(&|e| e.authorization = bearer()), Ok(Some("Bearer t".to_owned())));
        assert!(made(&|e| (e.basic_auth, e.authorization) = (basic("a"), bearer())).unwrap_err().contains("exclude"));
        assert!(made(&|e| e.basic_auth = basic("a:b")).unwrap_err().contains("colon"));
        for (name, value, why) in
            [("Host", "x", "reserved"), ("a b", "x", "not a header name"), ("x", "a\nb", "control")]
        {
            let error =
                made(&|e| e.headers = vec![Header { name: name.to_owned(), value: literal(value) }]).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
