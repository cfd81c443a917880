//! What all peers of a server may occupy together.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{self, SOON, Server, connection};
use bytes::Bytes;
use floodmark_http::client::Response as Answer;
use floodmark_http::server::{Held, Limits};
use floodmark_http::{HeaderMap, Request, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const ALL: usize = 1 << 20;

fn limits() -> Limits {
    Limits { max_body: ALL, in_flight: ALL, ..Limits::default() }
}

async fn post(address: SocketAddr, bytes: usize) -> Answer {
    connection(address).post(None, &HeaderMap::new(), Bytes::from(vec![1; bytes])).await.unwrap()
}

/// Announces as much as there is, and sends part of it. All but one byte: no two more have room.
async fn stall(address: SocketAddr, bytes: usize) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {ALL}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![1; bytes]).await.unwrap();
    socket
}

#[tokio::test]
async fn who_finds_no_room_is_told_to_come_again_and_not_turned_away_for_good() {
    let server = Server::start(common::echo, limits());
    let address = server.address;
    let announced = stall(address, 0).await;
    assert_eq!(post(address, ALL / 2).await.status, 200, "an announcement occupies nothing");
    drop(announced);
    let mut stalled = stall(address, ALL - 1).await;
    let mut client = connection(address);
    // Its last bytes may still be on their way when the others come.
    let refused = tokio::time::timeout(SOON, async {
        loop {
            let answer = client.post(None, &HeaderMap::new(), Bytes::from_static(b"xx")).await.unwrap();
            if answer.status != 200 {
                return answer;
            }
        }
    });
    let refused = refused.await.unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(client.post(None, &HeaderMap::new(), Bytes::new()).await.unwrap().status, 200, "it is still connected");
    stalled.write_all(&[1]).await.unwrap();
    assert!(common::read_to_end_of_head(&mut stalled).await.contains("200 OK"));
    assert_eq!(post(address, ALL).await.status, 200, "everything was given back");
}

#[tokio::test]
async fn who_waits_gets_what_comes_free() {
    let server = Server::start(common::echo, limits());
    let address = server.address;
    let mut stalled = stall(address, ALL - 1).await;
    let waiting = tokio::spawn(async move { post(address, 2).await.status });
    stalled.write_all(&[1]).await.unwrap();
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test]
async fn a_body_that_is_kept_keeps_its_room() {
    let kept: Arc<Mutex<Vec<Held>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let handler = move |mut request: Request<Bytes>, _: SocketAddr| {
        keep.lock().unwrap().extend(request.extensions_mut().remove::<Held>());
        std::future::ready(Response::new(Bytes::new()))
    };
    let server = Server::start(handler, limits());
    assert_eq!(post(server.address, ALL).await.status, 200);
    assert_eq!(post(server.address, 1).await.status, 503);
    kept.lock().unwrap().clear();
    assert_eq!(post(server.address, 1).await.status, 200);
}

#[tokio::test]
async fn answers_that_nobody_takes_are_bounded_too() {
    const ANSWER: usize = 16 << 20;
    let handler = |_: Request<Bytes>, _: SocketAddr| std::future::ready(Response::new(Bytes::from(vec![b'x'; ANSWER])));
    let server = Server::start(handler, Limits { in_flight: 2 * ANSWER, ..Limits::default() });
    let mut peers = Vec::new();
    for _ in 0..3 {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let head = common::read_to_end_of_head(&mut socket).await;
        peers.push((socket, head));
    }
    let statuses: Vec<_> = peers.iter().map(|(_, head)| head.split(' ').nth(1).unwrap()).collect();
    assert_eq!(statuses, ["200", "200", "503"]);
    assert!(peers[2].1.contains("retry-after: 1"), "{}", peers[2].1);
    drop(peers);
    // The server notices that its peers are gone.
    let again = tokio::time::timeout(SOON, async {
        while connection(server.address).get(None).await.is_ok_and(|answer| answer.status == 503) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    again.await.unwrap();
}

#[tokio::test]
async fn an_answer_that_all_share_occupies_nothing() {
    let shared = Bytes::from(vec![b'x'; 4 << 20]);
    let handler = move |_: Request<Bytes>, _: SocketAddr| std::future::ready(Response::new(shared.clone()));
    let server = Server::start(handler, limits());
    let mut peers = Vec::new();
    for _ in 0..8 {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(common::read_to_end_of_head(&mut socket).await.contains("200 OK"));
        peers.push(socket);
    }
}
