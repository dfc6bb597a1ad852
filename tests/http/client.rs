//! A plain HTTP client that sends what it is told, to the letter.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::{Server, free_port};

/// A server with the port open.
pub struct Observed {
    pub server: Server,
    pub port: u16,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("Content-Type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

impl Observed {
    pub fn start(options: &[&str]) -> Observed {
        let port = free_port();
        let text = port.to_string();
        let options = [&["--metrics-port", &text], options].concat();
        let server = Server::with_options(&options);
        Observed { server, port }
    }

    pub fn get(&self, target: &str) -> Answer {
        get(self.port, target, "")
    }

    pub fn get_as(&self, user: &str, password: &str, target: &str) -> Answer {
        get(self.port, target, &basic(user, password))
    }

    pub fn api(&self, target: &str) -> serde_json::Value {
        let answer = self.get(&format!("/api/{target}"));
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        answer.json()
    }

    /// A sample of `/metrics` by its name and labels.
    pub fn metric(&self, sample: &str) -> Option<String> {
        let text = self.get("/metrics");
        let mut lines = text.text().lines();
        lines.find_map(|line| Some(line.strip_prefix(sample)?.strip_prefix(' ')?.to_owned()))
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.port)
    }
}

/// The header line for a user.
pub fn basic(user: &str, password: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut code = String::new();
    for group in format!("{user}:{password}").as_bytes().chunks(3) {
        let word =
            group.iter().fold(0u32, |word, b| word << 8 | u32::from(*b)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * at) & 63) as usize];
            code.push(if at <= group.len() { digit.into() } else { '=' });
        }
    }
    format!("Authorization: Basic {code}\r\n")
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("connect");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// One request on a connection of its own, with further header lines.
pub fn get(port: u16, target: &str, lines: &str) -> Answer {
    let mut stream = connect(port);
    let head = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    read(&mut stream, true).expect("an answer")
}

/// Sends bytes; the answer, or nothing if there was none.
pub fn send(port: u16, bytes: &[u8]) -> Option<Answer> {
    let mut stream = connect(port);
    // It may be refused before all is sent.
    let _ = stream.write_all(bytes);
    read(&mut stream, true)
}

/// Reads one answer, as long as its head says.
pub fn read(stream: &mut TcpStream, with_body: bool) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8(head).expect("a head is text");
    let mut answer = Answer {
        status: head[9..12].parse().expect("a status"),
        head,
        body: Vec::new(),
    };
    let length: usize = answer.header("Content-Length")?.parse().expect("a length");
    if with_body {
        answer.body = vec![0; length];
        stream.read_exact(&mut answer.body).expect("the body");
    }
    Some(answer)
}

/// True if the peer has ended the connection, in whichever way.
pub fn is_over(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}
