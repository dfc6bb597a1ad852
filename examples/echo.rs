//! The least that a server on tokio can do: the same bytes for every request, nothing looked at but how many came.
//! `scripts/bench` measures how far the real server stays behind it.
//!
//! usage: echo PORT REPLY, with \r and \n in REPLY written as escapes

use std::io::ErrorKind;
use tokio::net::{TcpListener, TcpStream};

/// Answers each `*` (each request starts with one) with `reply`.
async fn serve(stream: TcpStream, reply: Vec<u8>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = vec![0; 64 * 1024];
    let mut output = Vec::new();
    loop {
        let count = match stream.try_read(&mut input) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                stream.readable().await?;
                continue;
            }
            Err(error) => return Err(error),
        };
        output.clear();
        for _ in memchr::memchr_iter(b'*', &input[..count]) {
            output.extend_from_slice(&reply);
        }
        let mut written = 0;
        while written < output.len() {
            match stream.try_write(&output[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(port), Some(reply)) = (arguments.next(), arguments.next()) else {
        panic!("usage: echo PORT REPLY");
    };
    let reply = reply.replace("\\r", "\r").replace("\\n", "\n").into_bytes();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async move {
        let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::task::spawn_local(serve(stream, reply.clone()));
        }
    })
}
