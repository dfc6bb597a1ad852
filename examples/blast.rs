//! A load generator that is faster than any server: batches that are ready sent and line ends counted, nothing else.
//! `scripts/bench` measures pipelines with it. A generator that is slower than the server lets it sleep between batches,
//! and then every batch costs the server a wake-up, the more often the faster it is.
//!
//! usage: blast PORT CLIENTS BATCHES LINES FILE
//! FILE holds the batches, each behind its length in four bytes (little endian); LINES is the number of lines that answer
//! one. Connects, prints a line, waits for one on standard input, sends BATCHES batches in all, each client one at a time,
//! and prints the seconds that it took.

use std::cell::Cell;
use std::io::{ErrorKind, Result};
use std::rc::Rc;
use std::time::Instant;

use tokio::net::TcpStream;

struct Work {
    batches: Vec<Vec<u8>>,
    lines: usize,
    left: Cell<usize>,
}

/// Sends batches as long as there are some, and waits for the lines that answer each.
async fn client(stream: TcpStream, work: Rc<Work>) -> Result<()> {
    let mut input = vec![0; 256 * 1024];
    loop {
        let left = work.left.get();
        if left == 0 {
            return Ok(());
        }
        work.left.set(left - 1);
        let batch = &work.batches[left % work.batches.len()];
        let mut written = 0;
        while written < batch.len() {
            match stream.try_write(&batch[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        let mut lines = 0;
        while lines < work.lines {
            stream.readable().await?;
            match stream.try_read(&mut input) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => lines += memchr::memchr_iter(b'\n', &input[..count]).count(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut batches = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<4>() {
        let (batch, rest) = rest.split_at(u32::from_le_bytes(*head) as usize);
        batches.push(batch.to_vec());
        bytes = rest;
    }
    batches
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, clients, batches, lines, file] = &arguments[..] else {
        panic!("usage: blast PORT CLIENTS BATCHES LINES FILE");
    };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let work = Rc::new(Work {
        batches: split(&std::fs::read(file)?),
        lines: number(lines),
        left: Cell::new(number(batches)),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let mut streams = Vec::new();
        for _ in 0..number(clients) {
            let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        println!("ready");
        std::io::stdin().read_line(&mut String::new())?;
        let begin = Instant::now();
        let running: Vec<_> = streams
            .into_iter()
            .map(|stream| tokio::task::spawn_local(client(stream, work.clone())))
            .collect();
        for one in running {
            one.await??;
        }
        println!("{}", begin.elapsed().as_secs_f64());
        // The connections are still open: their end is no part of the measurement.
        std::io::stdin().read_line(&mut String::new())?;
        Ok(())
    })
}
