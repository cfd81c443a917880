//! Basic authentication of the server side.

use base64::Engine;
use http::header::AUTHORIZATION;
use http::request;

/// The one user who may ask. Compared in constant time.
#[derive(Clone)]
pub struct BasicAuth {
    /// The base64 of `user:password`.
    token: Vec<u8>,
    open: Vec<String>,
}

impl BasicAuth {
    /// Everything but `/healthz` and `/readyz`, which a kubelet asks, needs this user and password.
    pub fn new(username: &str, password: &str) -> Self {
        let token = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}")).into_bytes();
        Self { token, open: vec!["/healthz".to_owned(), "/readyz".to_owned()] }
    }

    /// The same with other paths that need no credentials.
    #[must_use]
    pub fn with_open_paths(mut self, paths: &[&str]) -> Self {
        self.open = paths.iter().map(|&p| p.to_owned()).collect();
        self
    }

    pub(super) fn admits(&self, head: &request::Parts) -> bool {
        if self.open.iter().any(|path| path == head.uri.path()) {
            return true;
        }
        let Some(given) = head.headers.get(AUTHORIZATION) else { return false };
        let Some((scheme, token)) = given.as_bytes().split_at_checked(6) else { return false };
        scheme.eq_ignore_ascii_case(b"basic ") && equal(token, &self.token)
    }
}

/// Equality whose duration tells no more than the length.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && std::hint::black_box(a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(path: &str, authorization: Option<&str>) -> request::Parts {
        let mut builder = http::Request::builder().uri(path);
        if let Some(value) = authorization {
            builder = builder.header(AUTHORIZATION, value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_the_very_token_is_admitted() {
        // RFC 7617's own example.
        let auth = BasicAuth::new("Aladdin", "open sesame");
        assert!(auth.admits(&head("/", Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="))));
        assert!(auth.admits(&head("/", Some("bAsIc QWxhZGRpbjpvcGVuIHNlc2FtZQ=="))));
        for wrong in [
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic",
            "",
            "Basic \u{20ac}€€€€€",
        ] {
            assert!(!auth.admits(&head("/", Some(wrong))), "{wrong}");
        }
        assert!(!auth.admits(&head("/", None)));
        assert!(auth.admits(&head("/readyz?x=1", None)));
        assert!(!auth.with_open_paths(&[]).admits(&head("/readyz", None)));
    }
}
