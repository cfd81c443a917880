//! Somebody on the network who keeps to HTTP and to nothing else, and a backend that he may need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// A connection that is kept.
pub struct Stranger(BufReader<TcpStream>);

/// What he is told.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    pub head: String,
    pub text: String,
}

impl Stranger {
    pub fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self(BufReader::new(stream))
    }

    /// A request whose body is announced with `length` bytes, as far as it goes. False when the other side has closed.
    pub fn send(&mut self, headers: &str, length: usize, body: &[u8]) -> bool {
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nHost: x\r\nUser-Agent: stranger\r\nContent-Encoding: snappy\r\n\
             Content-Type: application/x-protobuf\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n\
             {headers}Content-Length: {length}\r\n\r\n"
        );
        let stream = self.0.get_mut();
        stream.write_all(&[head.as_bytes(), body].concat()).is_ok()
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }

    /// Whether an answer has come.
    pub fn is_answered(&self) -> bool {
        let stream = self.0.get_ref();
        stream.set_nonblocking(true).expect("a socket");
        let answered = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).expect("a socket");
        answered
    }

    /// The next answer.
    pub fn told(&mut self) -> Told {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).expect("an answer"), 0, "closed after {head:?}");
        }
        let head = head.to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
        self.0.read_exact(&mut body).expect("a body");
        Told { status, head, text: String::from_utf8_lossy(&body).into_owned() }
    }

    /// Sends a whole request and waits for the answer.
    pub fn post(&mut self, headers: &str, body: &[u8]) -> Told {
        assert!(self.send(headers, body.len(), body), "closed");
        self.told()
    }
}

/// A backend that answers 204 to everything, or nothing to anything.
pub struct Backend {
    pub address: String,
    silent: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
}

impl Backend {
    pub fn start(silent: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let silent = Arc::new(AtomicBool::new(silent));
        let requests = Arc::new(AtomicUsize::new(0));
        let (quiet, count) = (Arc::clone(&silent), Arc::clone(&requests));
        // They end with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (quiet, count) = (Arc::clone(&quiet), Arc::clone(&count));
                std::thread::spawn(move || answer(stream, &quiet, &count));
            }
        });
        Self { address, silent, requests }
    }

    /// How many came.
    pub fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }

    pub fn speak(&self) {
        self.silent.store(false, Relaxed);
    }
}

fn answer(stream: TcpStream, silent: &AtomicBool, requests: &AtomicUsize) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !stream.read_line(&mut head).is_ok_and(|read| read > 0) {
                return;
            }
        }
        requests.fetch_add(1, Relaxed);
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next());
        let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        if !silent.load(Relaxed) && stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_err() {
            return;
        }
    }
}
