//! The client against peers that misbehave in every way a network has.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use crate::common::{self, OK, Server, answer, any_port, connection, endpoint, raw_server, read_request};
use bytes::Bytes;
use floodmark_http::client::{
    Authorization, Connection, Endpoint, FetchError, Header, Kind, Response, Secret, TransportError, get_bytes,
    get_json,
};
use floodmark_http::server::Limits;
use floodmark_http::{HeaderMap, HeaderValue, Method, Request};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

const BODY: Bytes = Bytes::from_static(b"twelve bytes");

async fn post(connection: &mut Connection) -> Result<Response, TransportError> {
    connection.post(None, &HeaderMap::new(), BODY).await
}

/// The error a peer provokes that reads the request, answers `bytes` and closes.
async fn error_after(bytes: &'static [u8]) -> TransportError {
    let address = raw_server(move |_, mut socket| async move {
        read_request(&mut socket).await;
        answer(&mut socket, bytes).await;
    })
    .await;
    post(&mut connection(address)).await.unwrap_err()
}

#[tokio::test]
async fn refused_and_unknown_names_were_surely_not_processed() {
    let address = TcpListener::bind(any_port()).await.unwrap().local_addr().unwrap();
    let error = post(&mut connection(address)).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_processed()), (Kind::Refused, false), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    let unknown = Endpoint::new("http://no-such-host.invalid:9090/").with_timeout(Duration::from_secs(3));
    let error = post(&mut Connection::new(&unknown).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_processed()), (Kind::Dns, false), "{error}");
}

#[tokio::test]
async fn a_reset_before_the_answer_is_a_reset() {
    let address = raw_server(|_, mut socket| async move {
        read_request(&mut socket).await;
        socket.set_zero_linger().unwrap();
    })
    .await;
    let error = post(&mut connection(address)).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_processed(), error.status()), (Kind::Reset, true, None), "{error}");
}

#[tokio::test]
async fn an_end_before_or_inside_the_head_is_closed() {
    for bytes in [&b""[..], b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\ncontent-le"] {
        let error = error_after(bytes).await;
        assert_eq!((error.kind(), error.maybe_processed(), error.status()), (Kind::Closed, true, None), "{error}");
    }
}

#[tokio::test]
async fn a_truncated_body_is_never_an_answer() {
    let cases: [(&[u8], u16); 3] = [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", 200),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 10\r\n\r\nhello", 503),
    ];
    for (bytes, status) in cases {
        let error = error_after(bytes).await;
        assert_eq!((error.kind(), error.status()), (Kind::Truncated, Some(status)), "{error}");
        assert!(error.maybe_processed());
    }
}

#[tokio::test]
async fn answers_without_a_length_end_with_the_connection_or_have_no_body() {
    for (bytes, status, body) in [
        (&b"HTTP/1.1 204 No Content\r\n\r\n"[..], 204, ""),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end", 200, "to the end"),
        (b"HTTP/1.1 202 Accepted\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 202, "abcde"),
    ] {
        let address = raw_server(move |_, mut socket| async move {
            read_request(&mut socket).await;
            answer(&mut socket, bytes).await;
        })
        .await;
        let response = post(&mut connection(address)).await.unwrap();
        assert!(response.is_success() && !response.cut);
        assert_eq!((response.status, response.text(100)), (status, body.to_owned()));
    }
}

#[tokio::test]
async fn what_is_not_http_is_a_protocol_error() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
    ] {
        let error = error_after(bytes).await;
        assert_eq!((error.kind(), error.maybe_processed()), (Kind::Protocol, true), "{error}");
    }
}

#[tokio::test]
async fn a_hanging_answer_is_bounded_before_and_inside_its_body() {
    for (bytes, status) in [(&b""[..], None), (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", Some(200))] {
        let address = raw_server(move |_, mut socket| async move {
            read_request(&mut socket).await;
            answer(&mut socket, bytes).await;
            read_request(&mut socket).await;
        })
        .await;
        let mut connection = Connection::new(&endpoint(address).with_timeout(Duration::from_millis(150))).unwrap();
        let started = Instant::now();
        let error = post(&mut connection).await.unwrap_err();
        let took = started.elapsed();
        assert_eq!((error.kind(), error.maybe_processed(), error.status()), (Kind::Timeout, true, status), "{error}");
        assert!(error.is_timeout() && took >= Duration::from_millis(150) && took < Duration::from_secs(5), "{took:?}");
    }
}

#[tokio::test]
async fn a_stalled_tls_handshake_is_bounded_and_surely_not_processed() {
    let address = raw_server(|_, mut socket| async move {
        read_request(&mut socket).await;
    })
    .await;
    let endpoint = Endpoint::new(format!("https://{address}/")).with_timeout(Duration::from_millis(150));
    let error = post(&mut Connection::new(&endpoint).unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_processed()), (Kind::ConnectTimeout, false), "{error}");
    assert!(error.to_string().contains("TLS handshake"), "{error}");
}

#[tokio::test]
async fn a_huge_error_body_is_cut_and_its_connection_dropped() {
    let huge = Bytes::from(vec![b'x'; 10 << 20]);
    let address = raw_server(move |number, mut socket| {
        let huge = huge.clone();
        async move {
            read_request(&mut socket).await;
            if number == 0 {
                answer(&mut socket, format!("HTTP/1.1 500 Oops\r\ncontent-length: {}\r\n\r\n", huge.len()).as_bytes())
                    .await;
                answer(&mut socket, &huge).await;
            } else {
                answer(&mut socket, OK).await;
            }
        }
    })
    .await;
    let mut connection = connection(address);
    let response = post(&mut connection).await.unwrap();
    assert_eq!((response.status, response.body.len(), response.cut), (500, 64 << 10, true));
    assert_eq!(post(&mut connection).await.unwrap().status, 200);
    assert_eq!(connection.connects(), 2);
}

#[tokio::test]
async fn an_early_answer_counts_and_its_clogged_connection_is_left() {
    let address = raw_server(|number, mut socket| async move {
        if number > 0 {
            read_request(&mut socket).await;
            return answer(&mut socket, OK).await;
        }
        socket.readable().await.unwrap();
        answer(&mut socket, b"HTTP/1.1 413 Large\r\ncontent-length: 0\r\n\r\n").await;
        // Neither reads on nor closes.
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(socket);
        });
    })
    .await;
    let mut connection = connection(address);
    let huge = Bytes::from(vec![1; 32 << 20]);
    assert_eq!(connection.post(None, &HeaderMap::new(), huge).await.unwrap().status, 413);
    assert_eq!(post(&mut connection).await.unwrap().status, 200);
    assert_eq!(connection.connects(), 2);
}

#[tokio::test]
async fn one_connection_carries_all_requests() {
    let server = Server::start(common::echo, Limits::default());
    let mut connection = connection(server.address);
    for i in 0..100 {
        let body = Bytes::from(vec![7; i * 1000]);
        let response = connection.post(Some("/other?x=1"), &HeaderMap::new(), body).await.unwrap();
        assert_eq!(response.text(100), format!("POST /other?x=1 {} bytes", i * 1000));
    }
    assert_eq!(connection.connects(), 1);
    assert_eq!(server.stop().await.connections, 1);
}

#[tokio::test]
async fn a_connection_that_closed_while_idle_is_replaced_silently() {
    let (closed, mut is_closed) = mpsc::channel(1);
    let address = raw_server(move |_, mut socket| {
        let closed = closed.clone();
        async move {
            read_request(&mut socket).await;
            answer(&mut socket, OK).await;
            drop(socket);
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let mut connection = connection(address);
    assert_eq!(post(&mut connection).await.unwrap().status, 200);
    is_closed.recv().await.unwrap();
    // A round trip on another socket: the runtime has then seen everything that happened before it.
    TcpStream::connect(address).await.unwrap();
    is_closed.recv().await.unwrap();
    assert_eq!(post(&mut connection).await.unwrap().status, 200);
    assert_eq!(connection.connects(), 2);
}

#[tokio::test]
async fn a_connection_that_closes_after_the_write_is_the_callers_decision() {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let address = raw_server(move |number, mut socket| {
        let seen = Arc::clone(&seen);
        async move {
            while read_request(&mut socket).await {
                if seen.fetch_add(1, SeqCst) == 1 && number == 0 {
                    return;
                }
                answer(&mut socket, OK).await;
            }
        }
    })
    .await;
    let mut connection = connection(address);
    assert_eq!(post(&mut connection).await.unwrap().status, 200);
    let error = post(&mut connection).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_processed()), (Kind::Closed, true), "{error}");
    assert_eq!(requests.load(SeqCst), 2, "never repeated behind the caller's back");
    assert_eq!(post(&mut connection).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_cancelled_request_cannot_be_answered_to_the_next() {
    let arrived = Arc::new(Notify::new());
    let notify = Arc::clone(&arrived);
    let address = raw_server(move |number, mut socket| {
        let notify = Arc::clone(&notify);
        async move {
            read_request(&mut socket).await;
            if number == 0 {
                notify.notify_one();
                // Until the client goes away.
                read_request(&mut socket).await;
                answer(&mut socket, b"HTTP/1.1 500 Late\r\ncontent-length: 0\r\n\r\n").await;
            } else {
                answer(&mut socket, OK).await;
            }
        }
    })
    .await;
    let mut connection = connection(address);
    tokio::select! {
        _ = post(&mut connection) => panic!("nobody answers"),
        () = arrived.notified() => {}
    }
    assert_eq!(post(&mut connection).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_rotated_token_is_read_again_on_401_and_asked_once() {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let check = move |request: Request<Bytes>, _| {
        seen.fetch_add(1, SeqCst);
        let good = request.headers().get("authorization").is_some_and(|v| v == "Bearer new");
        let mut response = floodmark_http::Response::new(request.into_body());
        *response.status_mut() = if good { 200 } else { 401 }.try_into().unwrap();
        std::future::ready(response)
    };
    let server = Server::start(check, Limits::default());
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"old\n").unwrap();
    let mut endpoint = endpoint(server.address);
    endpoint.authorization =
        Some(Authorization { scheme: "Bearer".to_owned(), credentials: Secret::File(file.path().to_owned()) });
    let mut connection = Connection::new(&endpoint).unwrap();
    assert_eq!(post(&mut connection).await.unwrap().status, 401);
    assert_eq!(requests.load(SeqCst), 1, "an unchanged file is no reason to ask again");
    std::fs::write(file.path(), "new\n").unwrap();
    let response = post(&mut connection).await.unwrap();
    assert_eq!((response.status, &response.body), (200, &BODY));
    assert_eq!((requests.load(SeqCst), connection.connects()), (3, 1));

    std::fs::remove_file(file.path()).unwrap();
    connection.close();
    let error = post(&mut connection).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_processed()), (Kind::Setup, false), "{error}");
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
}

#[tokio::test]
async fn headers_are_the_endpoints_unless_the_request_has_its_own() {
    let show = |request: Request<Bytes>, _| {
        let mut lines: Vec<String> =
            request.headers().iter().map(|(n, v)| format!("{n}={}", v.to_str().unwrap())).collect();
        lines.sort();
        std::future::ready(floodmark_http::Response::new(Bytes::from(lines.join(" "))))
    };
    let server = Server::start(show, Limits::default());
    let mut endpoint = endpoint(server.address);
    endpoint.headers = vec![
        Header { name: "X-Scope-OrgID".to_owned(), value: Secret::Value("team".to_owned()) },
        Header { name: "x-b".to_owned(), value: Secret::Value("1".to_owned()) },
    ];
    endpoint.user_agent = Some("agent/1".to_owned());
    let mut extra = HeaderMap::new();
    extra.insert("x-b", HeaderValue::from_static("2"));
    let mut connection = Connection::new(&endpoint).unwrap();
    let response = connection.send(Method::PUT, None, &extra, BODY).await.unwrap();
    let expected = format!("content-length=12 host={} user-agent=agent/1 x-b=2 x-scope-orgid=team", server.address);
    assert_eq!(response.text(1000), expected);
}

#[tokio::test]
async fn names_resolve_where_they_are_told_to() {
    let server = Server::start(common::echo, Limits::default());
    let mut endpoint = Endpoint::new("http://prometheus.example:9090/x");
    endpoint.resolve.insert("prometheus.example".to_owned(), "192.0.2.1".to_owned());
    endpoint.resolve.insert("Prometheus.example:9090".to_owned(), server.address.to_string());
    let response = post(&mut Connection::new(&endpoint).unwrap()).await.unwrap();
    assert_eq!(response.text(100), "POST /x 12 bytes");
}

#[tokio::test]
async fn documents_are_bounded_and_named_when_wrong() {
    let document = |request: Request<Bytes>, _| {
        let mut response = floodmark_http::Response::new(Bytes::from_static(b"{\"a\": [1, 2]}"));
        if request.uri().path() == "/gone" {
            *response.status_mut() = floodmark_http::StatusCode::GONE;
        }
        std::future::ready(response)
    };
    let server = Server::start(document, Limits::default());
    let url = format!("http://{}/doc", server.address);
    let value: serde_json::Value = get_json(&url, 13, common::SOON).await.unwrap();
    assert_eq!(value["a"][1], 2);
    assert!(matches!(get_bytes(&url, 12, common::SOON).await, Err(FetchError::TooLarge { max: 12, .. })));
    assert!(matches!(get_json::<Vec<u8>>(&url, 100, common::SOON).await, Err(FetchError::Json { .. })));
    let gone = get_bytes(&format!("http://{}/gone", server.address), 100, common::SOON).await.unwrap_err();
    assert!(matches!(&gone, FetchError::Status { status: 410, .. }) && gone.to_string().contains("/gone"), "{gone}");
}
