//! `--resolve HOST=ADDR`: addresses that stand for the host names of documents.

use std::collections::BTreeMap;

use floodmark_http::client::{Connection, Endpoint, EndpointError};

use crate::secrets::Used;

/// Addresses by host, or by host and port.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    addresses: BTreeMap<String, String>,
    used: Used<String>,
}

/// Why an argument of `--resolve` cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("--resolve {argument}: {why}; write HOST=IP or HOST=IP:PORT, for example mimir.monitoring=127.0.0.1:9009")]
pub struct HostError {
    argument: String,
    why: String,
}

impl Hosts {
    /// Takes the arguments of `--resolve` as the user wrote them; all of them are checked.
    pub fn parse(arguments: &[String]) -> Result<Self, HostError> {
        let mut hosts = Self::default();
        for argument in arguments {
            let wrong = |why: &str| HostError { argument: argument.clone(), why: why.to_owned() };
            let (host, address) = argument.split_once('=').ok_or_else(|| wrong("it has no ="))?;
            if host.is_empty() || host.contains(['/', ' ', '@']) {
                return Err(wrong("the host is not a name"));
            }
            let mut probe = Endpoint::new("http://localhost/");
            probe.resolve.insert(host.to_owned(), address.to_owned());
            match Connection::new(&probe) {
                Ok(_) => {}
                Err(EndpointError::Resolve { why, .. }) => return Err(wrong(&why)),
                Err(error) => return Err(wrong(&error.to_string())),
            }
            if hosts.addresses.insert(host.to_ascii_lowercase(), address.to_owned()).is_some() {
                return Err(wrong("this host has an address already; keep one of them"));
            }
        }
        Ok(hosts)
    }

    /// For an endpoint at `url`, which counts as a use of what stands for its host.
    pub(crate) fn for_url(&self, url: &str) -> BTreeMap<String, String> {
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = authority.split(['/', '?']).next().unwrap_or_default().to_ascii_lowercase();
        let name = authority.rsplit_once(':').map_or(authority.as_str(), |(name, _)| name);
        for key in self.addresses.keys().filter(|key| **key == authority || **key == name) {
            self.used.add(key.clone());
        }
        self.addresses.clone()
    }

    /// Arguments whose host no endpoint has named until now.
    pub(crate) fn unused(&self) -> Vec<String> {
        let unused = self.addresses.iter().filter(|(host, _)| !self.used.has(host));
        unused.map(|(host, address)| format!("--resolve {host}={address}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Hosts, HostError> {
        Hosts::parse(&arguments.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn refuses_what_is_no_address_and_names_the_argument() {
        for wrong in
            ["a", "=127.0.0.1", "a=", "a=b", "a=127.0.0.1:x", "a=127.0.0.1:70000", "http://a=127.0.0.1", "a:x=::1"]
        {
            let error = parse(&[wrong]).unwrap_err().to_string();
            assert!(error.contains(&format!("--resolve {wrong}: ")) && error.contains("HOST=IP"), "{error}");
        }
        assert!(parse(&["a=127.0.0.1", "A=127.0.0.2"]).unwrap_err().to_string().contains("already"));
        assert!(parse(&["a=127.0.0.1", "b=::1", "c:80=[::1]:90"]).is_ok());
    }

    #[test]
    fn knows_what_was_not_used() {
        let hosts = parse(&["mimir=127.0.0.1:9009", "Other.example:80=127.0.0.1", "typo=127.0.0.1"]).unwrap();
        hosts.for_url("http://MIMIR:8080/api");
        hosts.for_url("http://other.example:80?x");
        assert_eq!(hosts.unused(), ["--resolve typo=127.0.0.1"]);
    }
}
