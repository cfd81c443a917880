//! Answers that are read line by line as they come.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crate::common::{SOON, Server, answer, endpoint, raw_server, read_request};
use bytes::Bytes;
use floodmark_http::Request;
use floodmark_http::client::{Authorization, Connection, Kind, Response, Secret, TransportError};
use floodmark_http::server::Limits;

/// Lines of a stream, however it is cut into chunks; and what ended them.
async fn lines_of(
    address: SocketAddr,
    idle: Duration,
    enough: usize,
) -> (Vec<String>, Result<Response, TransportError>) {
    let mut lines = Vec::new();
    let mut connection = Connection::new(&endpoint(address).with_max_answer(16)).unwrap();
    let ended = connection
        .lines(Some("/watch?x=1"), idle, |line| {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
            if lines.len() == enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await;
    (lines, ended)
}

const STREAM: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn lines_come_as_they_are_sent_and_are_bounded() {
    let long = SOON;
    let cases: [(&str, &[&str], bool); 4] = [
        ("5\r\none\nt\r\n3\r\nwo\n\r\n5\r\nthree\r\n0\r\n\r\n", &["one", "two", "three"], false),
        ("2\r\n\n\n\r\n0\r\n\r\n", &["", ""], false),
        ("11\r\n0123456789abcdef\n\r\n0\r\n\r\n", &["0123456789abcdef"], false),
        ("4\r\nok\n0\r\n10\r\n123456789abcdef0\r\n", &["ok"], true),
    ];
    for (body, expected, cut) in cases {
        let address = raw_server(move |_, mut socket| async move {
            read_request(&mut socket).await;
            answer(&mut socket, format!("{STREAM}{body}").as_bytes()).await;
            read_request(&mut socket).await;
        })
        .await;
        let (lines, ended) = lines_of(address, long, 9).await;
        assert_eq!(
            (lines.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), ended.unwrap().cut),
            (expected, cut),
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn a_stream_is_ended_by_the_reader_by_silence_or_by_a_cut() {
    let address = raw_server(|_, mut socket| async move {
        read_request(&mut socket).await;
        answer(&mut socket, format!("{STREAM}8\r\none\ntwo\n\r\n").as_bytes()).await;
        read_request(&mut socket).await;
    })
    .await;
    let (lines, ended) = lines_of(address, SOON, 1).await;
    assert_eq!((lines.len(), ended.unwrap().status), (1, 200), "the reader had enough");
    let (lines, ended) = lines_of(address, Duration::from_millis(100), 9).await;
    let error = ended.unwrap_err();
    assert_eq!((lines.len(), error.kind(), error.status()), (2, Kind::Timeout, Some(200)), "{error}");

    let address = raw_server(|_, mut socket| async move {
        read_request(&mut socket).await;
        answer(&mut socket, format!("{STREAM}8\r\none\ntw").as_bytes()).await;
    })
    .await;
    let (lines, ended) = lines_of(address, SOON, 9).await;
    assert_eq!((lines, ended.unwrap_err().kind()), (vec!["one".to_owned()], Kind::Truncated), "half a line is none");
}

#[tokio::test]
async fn a_stream_may_last_longer_than_the_request_timeout_and_a_refusal_is_an_answer() {
    let address = raw_server(|number, mut socket| async move {
        read_request(&mut socket).await;
        if number > 0 {
            return answer(&mut socket, b"HTTP/1.1 410 Gone\r\ncontent-length: 3\r\n\r\nold").await;
        }
        answer(&mut socket, STREAM.as_bytes()).await;
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer(&mut socket, b"2\r\nx\n\r\n").await;
        }
        answer(&mut socket, b"0\r\n\r\n").await;
    })
    .await;
    let mut connection = Connection::new(&endpoint(address).with_timeout(Duration::from_millis(300))).unwrap();
    let mut seen = 0;
    let mut count = |_: &[u8]| {
        seen += 1;
        ControlFlow::Continue(())
    };
    connection.lines(None, SOON, &mut count).await.unwrap();
    connection.close();
    let refused = connection.lines(None, SOON, &mut count).await.unwrap();
    assert_eq!((refused.status, refused.text(9), seen), (410, "old".to_owned(), 6));
}

#[tokio::test]
async fn a_stream_refused_with_401_is_asked_for_again_with_the_rotated_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "old").unwrap();
    let (rotated, asked) = (token.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&asked);
    let server = Server::start(
        move |request: Request<Bytes>, _| {
            let fresh = request.headers().get("authorization").is_some_and(|value| value == "Bearer new");
            std::fs::write(&rotated, "new").unwrap();
            counted.fetch_add(1, SeqCst);
            let status = if fresh { 200 } else { 401 };
            let mut response = floodmark_http::Response::new(Bytes::from_static(b"line\n"));
            *response.status_mut() = status.try_into().unwrap();
            async move { response }
        },
        Limits::default(),
    );
    let mut endpoint = endpoint(server.address);
    endpoint.authorization = Some(Authorization { scheme: "Bearer".to_owned(), credentials: Secret::File(token) });
    let mut connection = Connection::new(&endpoint).unwrap();
    let mut lines = 0;
    let take = |_: &[u8]| {
        lines += 1;
        ControlFlow::Continue(())
    };
    assert_eq!(connection.lines(None, SOON, take).await.unwrap().status, 200);
    assert_eq!((asked.load(SeqCst), lines), (2, 1));
}
