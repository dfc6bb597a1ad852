//! The stream that a master sends, without I/O: bytes come in however they are cut, whole units
//! come out. A transaction is a unit, so that it is applied in whole or not at all.

use memchr::memchr;

use crate::base::num;

/// Longest line of a length.
const LINE_MAX: usize = 32;
/// Most arguments of a command.
const ARGS_MAX: i64 = 1 << 20;
/// Longest argument, in bytes.
const BULK_MAX: i64 = 1 << 30;

/// Cuts a stream into units.
#[derive(Debug, Default)]
pub struct Splitter {
    buf: Vec<u8>,
    /// Where the unit that is not whole yet begins, and how far it was looked at.
    scanned: usize,
    in_multi: bool,
    /// Bytes behind the last whole unit in `buf`.
    whole: usize,
}

/// A stream that is no stream of commands; with the reason.
pub type Fault = &'static str;

impl Splitter {
    /// Takes bytes in.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their unit.
    pub fn pending(&self) -> usize {
        self.buf.len()
    }

    /// All units that are whole now, as they came.
    ///
    /// # Errors
    /// If the bytes cannot be a command. What came whole before that is lost to the caller: the
    /// link is not to be trusted any more.
    pub fn take(&mut self) -> Result<Vec<u8>, Fault> {
        while let Some(command) = scan(&self.buf[self.scanned..])? {
            let name =
                &self.buf[self.scanned + command.name.start..self.scanned + command.name.end];
            if name.eq_ignore_ascii_case(b"MULTI") {
                self.in_multi = true;
            } else if name.eq_ignore_ascii_case(b"EXEC") {
                self.in_multi = false;
            }
            self.scanned += command.len;
            if !self.in_multi {
                self.whole = self.scanned;
            }
        }
        if self.whole == 0 {
            return Ok(Vec::new());
        }
        let rest = self.buf.split_off(self.whole);
        let units = std::mem::replace(&mut self.buf, rest);
        self.scanned -= self.whole;
        self.whole = 0;
        Ok(units)
    }
}

struct Scanned {
    len: usize,
    name: std::ops::Range<usize>,
}

/// A line that begins at `at`: its content and where the next begins.
fn line(buf: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Fault> {
    let rest = &buf[at..];
    match memchr(b'\n', &rest[..rest.len().min(LINE_MAX)]) {
        Some(end) => {
            let line = &rest[..end];
            Ok(Some((
                line.strip_suffix(b"\r").unwrap_or(line),
                at + end + 1,
            )))
        }
        None if rest.len() >= LINE_MAX => Err("a length is too long"),
        None => Ok(None),
    }
}

fn number(line: &[u8], mark: u8, max: i64) -> Result<usize, Fault> {
    let digits = line.strip_prefix(&[mark]).ok_or("not a command")?;
    let n = num::parse_i64(digits).filter(|n| (0..=max).contains(n));
    n.map(|n| n as usize).ok_or("a length makes no sense")
}

/// One command at the begin of `buf`, or an empty line.
fn scan(buf: &[u8]) -> Result<Option<Scanned>, Fault> {
    let Some((head, mut at)) = line(buf, 0)? else {
        return Ok(None);
    };
    if head.is_empty() {
        return Ok(Some(Scanned {
            len: at,
            name: 0..0,
        }));
    }
    let count = number(head, b'*', ARGS_MAX)?;
    let mut name = 0..0;
    for index in 0..count {
        let Some((head, next)) = line(buf, at)? else {
            return Ok(None);
        };
        let len = number(head, b'$', BULK_MAX)?;
        at = next + len + 2;
        if at > buf.len() {
            return Ok(None);
        }
        if index == 0 {
            name = next..next + len;
        }
    }
    Ok(Some(Scanned { len: at, name }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::handshake::request;

    #[test]
    fn units_come_whole_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        let mut ends = Vec::new();
        let lines: [&[&[u8]]; 7] = [
            &[b"SELECT", b"0"],
            &[b"SET", b"a", b"1"],
            &[b"MULTI"],
            &[b"SET", b"b", b"*1\r\n$4\r\nEXEC\r\n"],
            &[b"INCR", b"c"],
            &[b"exec"],
            &[b"PING"],
        ];
        for (at, words) in lines.iter().enumerate() {
            stream.extend(request(words));
            if !(2..5).contains(&at) {
                ends.push(stream.len());
            }
        }
        for step in 1..stream.len() {
            let mut splitter = Splitter::default();
            let mut got = Vec::new();
            for piece in stream.chunks(step) {
                splitter.feed(piece);
                got.extend(splitter.take().expect("a stream of commands"));
                assert!(got.is_empty() || ends.contains(&got.len()), "{step}");
            }
            assert_eq!(got, stream, "{step}");
            assert_eq!(splitter.pending(), 0);
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        let bad: [&[u8]; 6] = [
            b"SET a b\r\n",
            b"*-1\r\n",
            b"*1\r\n:3\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\r\n$99999999999\r\n",
            b"*111111111111111111111111111111111",
        ];
        for bytes in bad {
            let mut splitter = Splitter::default();
            splitter.feed(bytes);
            assert!(splitter.take().is_err(), "{}", bytes.escape_ascii());
        }
    }
}
