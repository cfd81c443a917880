//! TLS both ways, with authorities made for the test.

use std::path::{Path, PathBuf};

use crate::common::{self, SOON, Server};
use floodmark_http::client::{Connection, Endpoint, EndpointError, Kind};
use floodmark_http::server::{Limits, ServerFiles, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority and what it signed, as PEM files.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Certificate and key for a host name (or a client's).
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let file = |end: &str, text: String| {
            let path = self.folder.path().join(format!("{name}.{end}"));
            std::fs::write(&path, text).unwrap();
            path
        };
        (file("crt", certificate.pem()), file("key", key.serialize_pem()))
    }

    fn server(&self, name: &str, clients: Option<&Authority>) -> Server {
        let (cert_file, key_file) = self.sign(name);
        let files = ServerFiles { cert_file, key_file, client_ca_file: clients.map(Authority::ca) };
        Server::start_with(common::echo, Limits::default(), Some(ServerTls::load(&files).unwrap()), None)
    }
}

fn endpoint(server: &Server, host: &str, ca: Option<&Path>) -> Endpoint {
    let mut endpoint = Endpoint::new(format!("https://{host}:{}/w", server.address.port())).with_timeout(SOON);
    endpoint.resolve.insert(host.to_owned(), "127.0.0.1".to_owned());
    endpoint.tls.ca_file = ca.map(Path::to_owned);
    endpoint
}

async fn outcome(endpoint: &Endpoint) -> Result<String, Kind> {
    let mut connection = Connection::new(endpoint).unwrap();
    match connection.post(None, &http::HeaderMap::new(), bytes::Bytes::from(vec![1; 100_000])).await {
        Ok(response) => Ok(response.text(100)),
        Err(error) => {
            assert!(!error.maybe_processed() || error.kind() == Kind::Tls, "{error}");
            Err(error.kind())
        }
    }
}

const FINE: &str = "POST /w 100000 bytes";

#[tokio::test]
async fn who_is_trusted_and_by_which_name() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = ours.server("backend.example", None);
    let trusted = endpoint(&server, "backend.example", Some(&ours.ca()));
    assert_eq!(outcome(&trusted).await, Ok(FINE.to_owned()));
    assert_eq!(outcome(&endpoint(&server, "backend.example", Some(&theirs.ca()))).await, Err(Kind::Tls));
    assert_eq!(
        outcome(&endpoint(&server, "backend.example", None)).await,
        Err(Kind::Tls),
        "public roots do not know it"
    );

    let mut renamed = endpoint(&server, "other.example", Some(&ours.ca()));
    assert_eq!(outcome(&renamed).await, Err(Kind::Tls));
    renamed.tls.server_name = Some("backend.example".to_owned());
    assert_eq!(outcome(&renamed).await, Ok(FINE.to_owned()));

    let mut careless = endpoint(&server, "other.example", None);
    careless.tls.insecure_skip_verify = true;
    assert_eq!(outcome(&careless).await, Ok(FINE.to_owned()));
}

#[tokio::test]
async fn clients_show_who_they_are() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = ours.server("backend.example", Some(&ours));
    let with = |identity: Option<(PathBuf, PathBuf)>| {
        let mut endpoint = endpoint(&server, "backend.example", Some(&ours.ca()));
        (endpoint.tls.cert_file, endpoint.tls.key_file) = identity.unzip();
        endpoint
    };
    assert_eq!(outcome(&with(Some(ours.sign("worker")))).await, Ok(FINE.to_owned()));
    assert_eq!(outcome(&with(Some(theirs.sign("stranger")))).await, Err(Kind::Tls));
    assert_eq!(outcome(&with(None)).await, Err(Kind::Tls));
}

#[tokio::test]
async fn a_renewed_authority_is_read_at_the_next_connect() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let server = new.server("backend.example", None);
    let mut connection = Connection::new(&endpoint(&server, "backend.example", Some(&old.ca()))).unwrap();
    assert_eq!(connection.get(None).await.unwrap_err().kind(), Kind::Tls);
    std::fs::copy(new.ca(), old.ca()).unwrap();
    assert_eq!(connection.get(None).await.unwrap().status, 200);
}

#[tokio::test]
async fn plain_against_tls_is_an_error_on_both_sides() {
    let ours = Authority::new("ours");
    let secure = ours.server("backend.example", None);
    let mut plain = common::connection(secure.address);
    let error = plain.get(None).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Protocol | Kind::Closed | Kind::Reset), "{error}");

    let plain_server = Server::start(common::echo, Limits::default());
    assert_eq!(outcome(&endpoint(&plain_server, "backend.example", Some(&ours.ca()))).await, Err(Kind::Tls));
}

#[test]
fn bad_files_are_named() {
    let ours = Authority::new("ours");
    let (cert, key) = ours.sign("a.example");
    let (_, other_key) = ours.sign("b.example");
    let refused = |change: &dyn Fn(&mut Endpoint)| {
        let mut endpoint = Endpoint::new("https://a.example/");
        change(&mut endpoint);
        match Connection::new(&endpoint) {
            Err(EndpointError::Tls(error)) => error.to_string(),
            other => panic!("{:?}", other.map(|_| ()).map_err(|e| e.to_string())),
        }
    };
    let missing = ours.folder.path().join("missing.pem");
    assert!(refused(&|e| e.tls.ca_file = Some(missing.clone())).contains("missing.pem"));
    assert!(refused(&|e| e.tls.ca_file = Some(key.clone())).contains("no certificate"));
    assert!(refused(&|e| e.tls.cert_file = Some(cert.clone())).contains("go together"));
    assert!(
        refused(&|e| (e.tls.cert_file, e.tls.key_file) = (Some(cert.clone()), Some(cert.clone())))
            .contains("private key")
    );
    assert!(
        refused(&|e| (e.tls.cert_file, e.tls.key_file) = (Some(cert.clone()), Some(other_key.clone())))
            .contains("do not fit")
    );
    assert!(refused(&|e| e.tls.server_name = Some("not a name".to_owned())).contains("not a name"));
}
