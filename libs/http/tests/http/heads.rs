//! Heads that only few clients send: what is clear is understood, what two readers could take for two things is not.

use crate::common::{self, Server, read_to_end};
use floodmark_http::server::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Everything that is answered to these bytes until the server closes, or says nothing more.
async fn answers(server: &Server, bytes: &str) -> String {
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    read_to_end(&mut socket).await
}

const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

#[tokio::test]
async fn what_ends_a_body_is_never_ambiguous() {
    let server = Server::start(common::echo, Limits::default());
    let hidden = "GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n";
    for head in ["content-length: 4\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 4"] {
        let text = answers(&server, &format!("POST / HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{CHUNKS}{hidden}")).await;
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "the connection ends: {text}");
        assert!(text.contains("connection: close") && text.contains("5 bytes"), "{text}");
    }
    for head in
        ["transfer-encoding: gzip", "transfer-encoding: chunked, gzip", "content-length: 4\r\ncontent-length: 5"]
    {
        let text = answers(&server, &format!("POST / HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{CHUNKS}{hidden}")).await;
        assert!(text.starts_with("HTTP/1.1 400") && text.matches("HTTP/1.1 ").count() == 1, "{head}: {text}");
    }
}

#[tokio::test]
async fn old_clients_and_those_that_ask_first_are_served() {
    let server = Server::start(common::echo, Limits::default());
    let post = |more: &str| format!("POST / HTTP/1.0\r\n{more}content-length: 5\r\n\r\nhello");
    let text = answers(&server, &(post("connection: keep-alive\r\n") + &post(""))).await;
    assert_eq!((text.matches(" 200 OK").count(), text.matches("5 bytes").count()), (2, 2), "{text}");
    let text = answers(&server, &(post("") + &post(""))).await;
    assert_eq!(text.matches(" 200 OK").count(), 1, "it did not ask to be kept: {text}");
    let chunked = "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n";
    let text = answers(&server, &format!("{chunked}{CHUNKS}")).await;
    assert!(text.contains(" 400 "), "{text}");

    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket
        .write_all(
            b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: 5\r\n\r\n",
        )
        .await
        .unwrap();
    let mut go = [0; 25];
    socket.read_exact(&mut go).await.unwrap();
    assert_eq!(&go, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"hello").await.unwrap();
    assert!(read_to_end(&mut socket).await.contains("5 bytes"));
}
