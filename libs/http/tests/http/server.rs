//! The server against peers that are slow, greedy or gone, and its own misbehaviour on purpose.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{self, OK, SOON, Server, connection, endpoint, read_to_end};
use bytes::Bytes;
use floodmark_http::client::{BasicAuth as ClientAuth, Connection, Kind, Secret};
use floodmark_http::server::{self, Abort, BasicAuth, Handler, Limits};
use floodmark_http::{HeaderMap, Method, Parts, Request, Response, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

fn quick() -> Limits {
    let short = Duration::from_millis(100);
    Limits { header_timeout: short, body_timeout: short, idle_timeout: short, ..Limits::default() }
}

async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    socket
}

fn unlimited() -> Limits {
    Limits { max_body: 1000, ..Limits::default() }
}

#[tokio::test]
async fn slow_heads_are_closed_and_others_served_meanwhile() {
    let limits = Limits { header_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = Server::start(common::echo, limits);
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = send(server.address, b"POST / HTTP/1.1\r\nhost: x\r\n").await;
    assert_eq!(connection(server.address).get(Some("/")).await.unwrap().status, 200);
    // One byte now and then does not buy time.
    let started = Instant::now();
    while slow.write_all(b"x").await.is_ok() && started.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(started.elapsed() < SOON);
    assert_eq!(read_to_end(&mut silent).await, "");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_head_timeout_but_not_its_own() {
    let limits = Limits {
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let server = Server::start(common::echo, limits);
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 8];
    tokio::io::AsyncReadExt::read_exact(&mut socket, &mut answer).await.unwrap();
    // Passing time is what is tested here.
    tokio::time::sleep(Duration::from_millis(200)).await;
    socket.write_all(b"GET /second HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let started = Instant::now();
    let rest = read_to_end(&mut socket).await;
    assert!(rest.contains("GET /second 0 bytes"), "{rest}");
    assert!(started.elapsed() >= Duration::from_millis(400), "{:?}", started.elapsed());
}

#[tokio::test]
async fn slow_bodies_get_408() {
    let server = Server::start(common::echo, quick());
    let mut socket = send(server.address, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhel").await;
    let answer = read_to_end(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_peer_that_does_not_take_its_answer_is_closed() {
    let big = Bytes::from(vec![b'x'; 64 << 20]);
    let server = Server::start(move |_: Request<Bytes>, _| std::future::ready(Response::new(big.clone())), quick());
    let socket = send(server.address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    // The stop waits for requests in flight, so its end shows that this one was given up.
    socket.readable().await.unwrap();
    let served = server.stop().await;
    assert_eq!((served.connections, served.cut), (1, 0));
}

#[tokio::test]
async fn bodies_up_to_the_limit_and_not_beyond() {
    let server = Server::start(common::echo, unlimited());
    let mut client = connection(server.address);
    let post = async |client: &mut Connection, size: usize| {
        client.post(None, &HeaderMap::new(), Bytes::from(vec![1; size])).await.unwrap().status
    };
    assert_eq!(post(&mut client, 1000).await, 200);
    assert_eq!(post(&mut client, 1001).await, 413);
    // More than any socket buffer: the answer must survive the rest of the body.
    assert_eq!(post(&mut client, 32 << 20).await, 413);

    let chunk = format!("{:x}\r\n{}\r\n", 400, "y".repeat(400));
    for (chunks, status, text) in [(2, "200 OK", "800 bytes"), (3, "413 Payload", "larger than 1000 bytes")] {
        let head = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut socket = send(server.address, format!("{head}{}0\r\n\r\n", chunk.repeat(chunks)).as_bytes()).await;
        let answer = read_to_end(&mut socket).await;
        assert!(answer.contains(status) && answer.contains(text), "{answer}");
    }
    // Without an end: only counting helps.
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    while socket.write_all(chunk.as_bytes()).await.is_ok() {
        if socket.try_read(&mut [0; 12]).is_ok() {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_length_that_lies_is_no_request() {
    let server = Server::start(common::echo, unlimited());
    let mut socket = send(server.address, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhello").await;
    socket.shutdown().await.unwrap();
    let answer = read_to_end(&mut socket).await;
    assert!(!answer.contains("200"), "{answer}");
    let mut socket =
        send(server.address, b"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello").await;
    assert!(read_to_end(&mut socket).await.starts_with("HTTP/1.1 400"));
    let many = "x-many: 1\r\n".repeat(100);
    let mut socket = send(server.address, format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes()).await;
    assert!(read_to_end(&mut socket).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let server = Server::start(common::echo, Limits { max_connections: 1, ..Limits::default() });
    let mut first = connection(server.address);
    assert_eq!(first.get(None).await.unwrap().status, 200);
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let answer = read_to_end(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 1"), "{answer}");
    assert_eq!(first.get(None).await.unwrap().status, 200);
    let served = server.stop().await;
    assert_eq!((served.connections, served.refused), (1, 1));
}

/// Answers `/slow` when told to, `/never` never.
struct Slow {
    arrived: Notify,
    go: Notify,
}

struct Shared(Arc<Slow>);

impl Handler for Shared {
    async fn handle(&self, request: Request<Bytes>, _peer: SocketAddr) -> Response<Bytes> {
        if request.uri().path() != "/quick" {
            self.0.arrived.notify_one();
            self.0.go.notified().await;
        }
        Response::new(Bytes::from_static(b"done"))
    }
}

#[tokio::test]
async fn a_stop_lets_requests_finish_and_closes_what_is_idle() {
    let slow = Arc::new(Slow { arrived: Notify::new(), go: Notify::new() });
    let server = Server::start(Shared(Arc::clone(&slow)), Limits::default());
    let address = server.address;
    let mut fresh = TcpStream::connect(address).await.unwrap();
    let mut idle = connection(address);
    idle.get(Some("/quick")).await.unwrap();
    let in_flight = tokio::spawn(async move { connection(address).get(Some("/slow")).await });
    slow.arrived.notified().await;
    let stopped = tokio::spawn(server.stop());
    assert_eq!(read_to_end(&mut fresh).await, "");
    assert_eq!(idle.get(Some("/quick")).await.unwrap_err().kind(), Kind::Refused);
    assert!(!stopped.is_finished());
    slow.go.notify_one();
    assert_eq!(in_flight.await.unwrap().unwrap().text(10), "done");
    assert_eq!(stopped.await.unwrap().cut, 0);
}

#[tokio::test]
async fn grace_has_an_end() {
    let slow = Arc::new(Slow { arrived: Notify::new(), go: Notify::new() });
    let server =
        Server::start(Shared(Arc::clone(&slow)), Limits { grace: Duration::from_millis(50), ..Limits::default() });
    let address = server.address;
    let in_flight = tokio::spawn(async move { connection(address).get(Some("/never")).await });
    slow.arrived.notified().await;
    assert_eq!(server.stop().await.cut, 1);
    let error = in_flight.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.maybe_processed()), (Kind::Closed, true), "{error}");
}

#[tokio::test]
async fn faults_on_purpose_look_as_they_should() {
    let misbehave = |request: Request<Bytes>, _| {
        let abort = match request.uri().path() {
            "/close" => Abort::BeforeAnswer,
            "/reset" => Abort::Reset,
            "/head-only" => Abort::MidBody(0),
            "/half" => Abort::MidBody(3),
            "/beyond" => Abort::MidBody(1000),
            "/raw" => Abort::Raw(Bytes::from_static(b"220 mail.example ESMTP\r\n")),
            "/proper" => Abort::Raw(Bytes::from_static(OK)),
            _ => Abort::Hang,
        };
        let mut response = Response::new(Bytes::from_static(b"abcdef"));
        response.extensions_mut().insert(abort);
        std::future::ready(response)
    };
    let server = Server::start(misbehave, Limits::default());
    let mut client = connection(server.address);
    for (path, kind, status) in [
        ("/close", Kind::Closed, None),
        ("/reset", Kind::Reset, None),
        ("/head-only", Kind::Truncated, Some(200)),
        ("/half", Kind::Truncated, Some(200)),
        ("/beyond", Kind::Truncated, Some(200)),
        ("/raw", Kind::Protocol, None),
    ] {
        let error = client.post(Some(path), &HeaderMap::new(), Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, status), "{path}: {error}");
    }
    assert_eq!(client.get(Some("/proper")).await.unwrap().text(10), "ok");
    let mut half = send(server.address, b"GET /half HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let text = read_to_end(&mut half).await;
    assert!(text.contains("content-length: 6\r\n") && text.ends_with("\r\n\r\nabc"), "{text}");

    let mut hasty = Connection::new(&endpoint(server.address).with_timeout(Duration::from_millis(100))).unwrap();
    assert_eq!(hasty.get(Some("/hang")).await.unwrap_err().kind(), Kind::Timeout);
    let mut hanging = send(server.address, b"GET /hang HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.get(Some("/proper")).await.unwrap().status, 200);
    let served = server.stop().await;
    assert_eq!(served.cut, 0, "a hanging fault does not hold up a stop");
    assert_eq!(read_to_end(&mut hanging).await, "");
}

#[tokio::test]
async fn only_the_right_user_is_heard_and_probes_need_none() {
    let server = Server::start_with(common::echo, unlimited(), None, Some(BasicAuth::new("me", "secret")));
    let mut anonymous = connection(server.address);
    let refused = anonymous.post(None, &HeaderMap::new(), Bytes::from_static(b"data")).await.unwrap();
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Basic realm=\"floodmark\"")));
    assert_eq!(anonymous.get(Some("/readyz")).await.unwrap().status, 200);
    assert_eq!(anonymous.connects(), 1, "a refused body that fits does not cost the connection");

    let mut endpoint = endpoint(server.address);
    let literal = |text: &str| Secret::Value(text.to_owned());
    endpoint.basic_auth = Some(ClientAuth { username: literal("me"), password: Some(literal("secret")) });
    assert!(!format!("{endpoint:?}").contains("secret"));
    let mut known = Connection::new(&endpoint).unwrap();
    assert_eq!(known.get(None).await.unwrap().status, 200);
    assert!(!format!("{:?}", known.endpoint()).contains("secret"));
}

/// Refuses by the head what has `/no`.
struct Picky;

impl Handler for Picky {
    async fn handle(&self, request: Request<Bytes>, peer: SocketAddr) -> Response<Bytes> {
        common::echo(request, peer).await
    }

    fn refuse(&self, head: &Parts, peer: SocketAddr) -> Option<Response<Bytes>> {
        assert!(peer.ip().is_loopback());
        (head.uri.path() == "/no").then(|| {
            let mut response = Response::new(Bytes::from_static(b"draining"));
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        })
    }
}

#[tokio::test]
async fn a_head_can_be_refused_whatever_its_body() {
    let server = Server::start(Picky, unlimited());
    let mut client = connection(server.address);
    for size in [10, 900, 32 << 20] {
        let response = client.post(Some("/no"), &HeaderMap::new(), Bytes::from(vec![1; size])).await.unwrap();
        assert_eq!((response.status, response.text(100)), (503, "draining".to_owned()), "{size}");
    }
    let head = client.send(Method::HEAD, Some("/yes"), &HeaderMap::new(), Bytes::new()).await.unwrap();
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("17"), 0));
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let panicky = |request: Request<Bytes>, _| async move {
        assert!(request.uri().path() != "/panic", "on purpose");
        Response::new(Bytes::new())
    };
    let server = Server::start(panicky, Limits::default());
    let mut client = connection(server.address);
    assert_eq!(client.get(Some("/panic")).await.unwrap_err().kind(), Kind::Closed);
    assert_eq!(client.get(Some("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let listener = server::bind(common::any_port()).unwrap();
    let address = listener.local_addr().unwrap();
    let error = server::bind(address).unwrap_err();
    assert!(error.in_use);
    assert!(error.to_string().contains(&format!("port {} is in use", address.port())), "{error}");
    let error = server::bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
    assert!(!error.in_use && error.to_string().contains("no address of this machine"), "{error}");
}
