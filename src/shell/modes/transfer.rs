//! A data set as a server sends it to replicas: with its length in front, or with a mark before and behind it.

use crate::shell::link::{Broken, Link};

use super::Ended;

/// Characters of the mark.
const MARK: usize = 40;
/// The longest line in front of the data.
const LINE_MAX: usize = 64 << 10;

/// How the data set comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    Length(u64),
    Mark(Vec<u8>),
}

/// Tells the server something about the replica that this pretends to be; false if it does not understand.
pub fn replconf(link: &mut Link, name: &str, value: &str) -> Result<bool, Ended> {
    eprintln!("sending REPLCONF {name} {value}");
    match link.call(&["REPLCONF", name, value])? {
        crate::resp::decode::Value::Error(text) => {
            eprintln!("REPLCONF {name} error: {}", String::from_utf8_lossy(&text));
            Ok(false)
        }
        _ => Ok(true),
    }
}

/// Asks for the data set.
pub fn sync(link: &mut Link) -> Result<Form, Ended> {
    link.send(&["SYNC"])?;
    let line = loop {
        // Empty lines say that the server is alive.
        let line = link.line(LINE_MAX)?;
        if !line.is_empty() {
            break line;
        }
    };
    let text = String::from_utf8_lossy(&line).into_owned();
    form(&line).ok_or_else(|| Ended::Told(format!("SYNC with master failed: {text}")))
}

fn form(line: &[u8]) -> Option<Form> {
    let rest = line.strip_prefix(b"$")?;
    match rest.strip_prefix(b"EOF:") {
        Some(mark) => (mark.len() == MARK).then(|| Form::Mark(mark.to_vec())),
        None => crate::base::num::parse_u64(rest).map(Form::Length),
    }
}

/// Receives the data set piece by piece; the number of bytes.
pub fn receive(
    link: &mut Link,
    form: &Form,
    mut take: impl FnMut(&[u8]) -> Result<(), Ended>,
) -> Result<u64, Ended> {
    match form {
        Form::Length(len) => {
            let mut left = *len;
            while left > 0 {
                let piece = link.bytes(left)?;
                left -= piece.len() as u64;
                take(piece)?;
            }
            Ok(*len)
        }
        Form::Mark(mark) => until_mark(link, mark, take),
    }
}

/// The mark ends the data, wherever the pieces are cut: as many bytes as it has are held back.
fn until_mark(
    link: &mut Link,
    mark: &[u8],
    mut take: impl FnMut(&[u8]) -> Result<(), Ended>,
) -> Result<u64, Ended> {
    let mut held: Vec<u8> = Vec::new();
    let mut len = 0;
    loop {
        held.extend_from_slice(link.bytes(u64::MAX)?);
        // The server sends nothing behind the mark before it hears of this replica.
        if held.ends_with(mark) {
            let data = &held[..held.len() - mark.len()];
            take(data)?;
            return Ok(len + data.len() as u64);
        }
        let sure = held.len().saturating_sub(mark.len());
        take(&held[..sure])?;
        len += sure as u64;
        held.drain(..sure);
    }
}

/// An end of the connection in the middle of the data.
pub fn interrupted(ended: Ended) -> Ended {
    match ended {
        Ended::Broken(Broken::Closed) => {
            Ended::Told("I/O Error reading RDB payload from socket: the server closed it".into())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        assert_eq!(form(b"$123"), Some(Form::Length(123)));
        let mark = [b'a'; MARK];
        let line = [b"$EOF:", &mark[..]].concat();
        assert_eq!(form(&line), Some(Form::Mark(mark.to_vec())));
        for bad in [&b"-ERR no"[..], b"$EOF:short", b"$-1", b"$x", b""] {
            assert_eq!(form(bad), None);
        }
    }
}
