//! `--pipe`: raw protocol from standard input to the server, as fast as both can; replies are counted.
//!
//! Behind the input goes an ECHO of random bytes. When its reply comes, all others have come.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::resp::decode::{Value, command};
use crate::shell::link::{Broken, Link};
use crate::shell::session::{Session, print};

use super::{Ended, code};

const PIECE: usize = 64 << 10;
/// Letters and digits of the end mark.
const MARK: usize = 20;

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

#[derive(Default)]
struct Transfer {
    errors: u64,
    replies: u64,
    out: Vec<u8>,
    /// What of `out` has been sent.
    sent: usize,
    /// Set at the end of the input.
    mark: Option<Vec<u8>>,
    done: bool,
}

impl Transfer {
    fn run(&mut self, link: &mut Link, timeout: Duration) -> Result<(), Ended> {
        link.set_nonblocking(true)?;
        let input = io::stdin();
        let mut last = Instant::now();
        while !self.done {
            let wants = self.mark.is_none() && self.sent == self.out.len();
            let (readable, came) = self.wait(link, &input, wants)?;
            if came {
                last = Instant::now();
                self.read_replies(link)?;
            }
            if wants && readable {
                self.read_input(&input)?;
            }
            self.send(link)?;
            let over = self.mark.is_some() && self.sent == self.out.len();
            if over && !timeout.is_zero() && last.elapsed() > timeout {
                let text = format!("No replies for {} seconds: exiting.", timeout.as_secs());
                return Err(Ended::Told(text));
            }
        }
        Ok(())
    }

    /// Waits for a second at most: whether there is input, and whether something came from the server.
    fn wait(&self, link: &Link, input: &impl AsFd, wants: bool) -> Result<(bool, bool), Ended> {
        let mut events = PollFlags::POLLIN;
        if self.sent < self.out.len() {
            events |= PollFlags::POLLOUT;
        }
        let mut fds = vec![PollFd::new(link.as_fd(), events)];
        if wants {
            fds.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, PollTimeout::from(1000_u16));
        let socket = fds[0].revents().unwrap_or(PollFlags::empty());
        let readable = fds.get(1).and_then(PollFd::revents);
        Ok((
            readable.is_some_and(|events| !events.is_empty()),
            socket.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR),
        ))
    }

    fn read_input(&mut self, input: &io::Stdin) -> Result<(), Ended> {
        (self.sent, self.out) = (0, vec![0; PIECE]);
        let read = input.lock().read(&mut self.out);
        let n = read.map_err(|error| Ended::Told(format!("Error reading from stdin: {error}")))?;
        self.out.truncate(n);
        if n == 0 {
            let mark = mark()?;
            // An inline command may lack its end.
            self.out.extend_from_slice(b"\r\n");
            command(&[b"ECHO", &mark[..]], &mut self.out);
            self.mark = Some(mark);
        }
        Ok(())
    }

    fn send(&mut self, link: &mut Link) -> Result<(), Ended> {
        while self.sent < self.out.len() {
            let Some(n) = link.send_some(&self.out[self.sent..])? else {
                return Ok(());
            };
            self.sent += n;
            if self.sent == self.out.len() && self.mark.is_some() {
                print(b"All data transferred. Waiting for the last reply...\n");
            }
        }
        Ok(())
    }

    fn read_replies(&mut self, link: &mut Link) -> Result<(), Ended> {
        match link.fill() {
            Err(Broken::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            filled => filled?,
        }
        while let Some(value) = link.ready()? {
            match value {
                Value::Push(_) => {}
                Value::Bulk(text) if self.mark.as_ref() == Some(&text) => {
                    print(b"Last reply received from server.\n");
                    self.done = true;
                    return Ok(());
                }
                Value::Error(text) => {
                    eprintln!("{}", String::from_utf8_lossy(&text));
                    self.errors += 1;
                    self.replies += 1;
                }
                _ => self.replies += 1,
            }
        }
        Ok(())
    }
}

/// Random letters that no reply is by accident.
fn mark() -> Result<Vec<u8>, Ended> {
    let mut bytes = [0; MARK];
    getrandom::fill(&mut bytes)
        .map_err(|error| Ended::Told(format!("No random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| b'a' + byte % 26).collect())
}
