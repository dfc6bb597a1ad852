//! `--pipe`: raw protocol from standard input to the server, as fast as both can; replies are counted.
//!
//! Behind the input goes an ECHO of random bytes. When its reply comes, all others have come.

use std::io::{self, Read, Write};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::resp::decode::{Value, command};
use crate::shell::link::{Link, Wire, reason};
use crate::shell::session::{Session, print};

use super::{Ended, code};

const PIECE: usize = 64 << 10;
/// Letters of the end mark.
const MARK: usize = 20;
/// Time between two looks at whether the input has ended.
const TICK_MS: u16 = 500;

pub fn run(session: &mut Session) -> u8 {
    let timeout = session.options.pipe_timeout;
    let Some(link) = session.link() else {
        return 1;
    };
    let mut transfer = Transfer::default();
    let result = transfer.run(link, timeout);
    let failed = code(result) != 0;
    let (errors, replies) = (transfer.errors + u64::from(failed), transfer.replies);
    print(format!("errors: {errors}, replies: {replies}\n").as_bytes());
    u8::from(errors > 0)
}

/// A thread that sends, which ends with the process if it has to wait for ever.
type Sender = JoinHandle<Result<(), String>>;

#[derive(Default)]
struct Transfer {
    errors: u64,
    replies: u64,
}

impl Transfer {
    fn run(&mut self, link: &mut Link, timeout: Duration) -> Result<(), Ended> {
        let mark = mark()?;
        let wire = link.second_wire()?;
        let (input, end) = (io::stdin(), mark.clone());
        let sender = std::thread::Builder::new()
            .name("ferrite-pipe".into())
            .spawn(move || send(input.lock(), wire, &end));
        let mut sender: Option<Sender> =
            Some(sender.map_err(|error| Ended::Told(format!("Can't start a thread: {error}")))?);
        let mut last = Instant::now();
        loop {
            while let Some(value) = link.ready()? {
                last = Instant::now();
                if self.is_last(value, &mark) {
                    print(b"Last reply received from server.\n");
                    return Ok(());
                }
            }
            if let Some(sender) = sender.take_if(|sender| sender.is_finished()) {
                let sent = sender
                    .join()
                    .unwrap_or_else(|_| Err("Error sending".into()));
                sent.map_err(Ended::Told)?;
                last = Instant::now();
            }
            if link.is_readable(TICK_MS) {
                link.fill()?;
            } else if sender.is_none() && !timeout.is_zero() && last.elapsed() > timeout {
                let text = format!("No replies for {} seconds: exiting.", timeout.as_secs());
                return Err(Ended::Told(text));
            }
        }
    }

    /// Counts a reply; true if it is that to the mark.
    fn is_last(&mut self, value: Value, mark: &[u8]) -> bool {
        match value {
            Value::Push(_) => return false,
            Value::Bulk(text) if text == mark => return true,
            Value::Error(text) => {
                eprintln!("{}", String::from_utf8_lossy(&text));
                self.errors += 1;
            }
            _ => {}
        }
        self.replies += 1;
        false
    }
}

/// Sends all input, and the mark behind it.
fn send(mut input: impl Read, mut wire: Box<dyn Wire>, mark: &[u8]) -> Result<(), String> {
    let mut piece = vec![0; PIECE];
    let failed = |error: io::Error| format!("Error writing to the server: {}", reason(&error));
    loop {
        match input.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => wire.write_all(&piece[..n]).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("Error reading from stdin: {}", reason(&error))),
        }
    }
    print(b"All data transferred. Waiting for the last reply...\n");
    // An inline command may lack its end.
    let mut end = b"\r\n".to_vec();
    command(&[b"ECHO", mark], &mut end);
    wire.write_all(&end)
        .and_then(|()| wire.flush())
        .map_err(failed)
}

/// Random letters that no reply is by accident.
fn mark() -> Result<Vec<u8>, Ended> {
    let mut bytes = [0; MARK];
    getrandom::fill(&mut bytes)
        .map_err(|error| Ended::Told(format!("No random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| b'a' + byte % 26).collect())
}
