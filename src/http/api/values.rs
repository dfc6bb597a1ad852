//! A value by pages: never much at once, however large it is.

use super::super::answer::Answer;
use super::super::head::Request;
use super::super::json::Object;
use super::super::resp::Value;
use super::keys::{cursor_and_items, is_cursor};
use super::{Desk, bad, db_of};

/// Bytes of a string on one page.
const STRING_PAGE: u64 = 16 * 1024;
/// Elements on one page.
const PAGE: u64 = 50;
/// Entries of a stream, each of which has fields.
const STREAM_PAGE: &[u8] = b"20";
/// Bytes of one reply.
const REPLY_MAX: usize = 256 * 1024;

/// A page of the value at `key`; `from` is where it begins, as the page before it said under `next`.
pub async fn page(desk: &Desk<'_>, request: &Request) -> Result<String, Answer> {
    let db = db_of(request)?;
    let key = request.get("key").ok_or_else(|| bad("key"))?;
    let from = request.get("from").unwrap_or_default();
    let about = vec![
        vec![&b"TYPE"[..], key],
        vec![b"PTTL", key],
        vec![b"OBJECT", b"ENCODING", key],
        vec![b"MEMORY", b"USAGE", key],
    ];
    let about = desk.ask(db, about, REPLY_MAX).await?;
    let mut object = Object::new();
    object.bytes("key", key);
    for (name, value) in ["type", "pttl", "encoding", "memory"].iter().zip(&about) {
        object.value(name, value);
    }
    let kind = about[0].bytes().unwrap_or_default();
    match kind {
        b"string" => string(desk, db, key, from, &mut object).await?,
        b"list" => ranged(desk, db, key, from, &LIST, &mut object).await?,
        b"zset" => ranged(desk, db, key, from, &ZSET, &mut object).await?,
        b"hash" => scanned(desk, db, key, from, [b"HLEN", b"HSCAN"], &mut object).await?,
        b"set" => scanned(desk, db, key, from, [b"SCARD", b"SSCAN"], &mut object).await?,
        b"stream" => stream(desk, db, key, from, &mut object).await?,
        _ => {}
    }
    Ok(object.finish())
}

/// A place that is a number; the begin if nothing is said.
fn offset(from: &[u8]) -> Result<u64, Answer> {
    if from.is_empty() {
        return Ok(0);
    }
    let text = std::str::from_utf8(from).map_err(|_| bad("from"))?;
    let number: u64 = text.parse().map_err(|_| bad("from"))?;
    // No value is longer, and sums do not overflow.
    (number < 1 << 48)
        .then_some(number)
        .ok_or_else(|| bad("from"))
}

/// Says where the next page begins, unless this was the last.
fn next_offset(object: &mut Object, next: u64, len: &Value) {
    if matches!(len, Value::Int(len) if u64::try_from(*len).is_ok_and(|len| len > next)) {
        object.bytes("next", next.to_string().as_bytes());
    }
}

async fn string(
    desk: &Desk<'_>,
    db: usize,
    key: &[u8],
    from: &[u8],
    object: &mut Object,
) -> Result<(), Answer> {
    let first = offset(from)?;
    let (begin, end) = (first.to_string(), (first + STRING_PAGE - 1).to_string());
    let commands = vec![
        vec![&b"STRLEN"[..], key],
        vec![b"GETRANGE", key, begin.as_bytes(), end.as_bytes()],
    ];
    let answers = desk.ask(db, commands, REPLY_MAX).await?;
    object.value("len", &answers[0]);
    match &answers[1] {
        Value::Text(text) => {
            let mut json = String::new();
            super::super::json::bytes(&mut json, text, STRING_PAGE as usize);
            object.raw("items", &json);
        }
        other => {
            object.value("items", other);
        }
    }
    next_offset(object, first + STRING_PAGE, &answers[0]);
    Ok(())
}

/// Types whose elements have places.
struct Ranged {
    length: &'static [u8],
    range: &'static [u8],
    option: Option<&'static [u8]>,
}

const LIST: Ranged = Ranged {
    length: b"LLEN",
    range: b"LRANGE",
    option: None,
};
const ZSET: Ranged = Ranged {
    length: b"ZCARD",
    range: b"ZRANGE",
    option: Some(b"WITHSCORES"),
};

async fn ranged(
    desk: &Desk<'_>,
    db: usize,
    key: &[u8],
    from: &[u8],
    how: &Ranged,
    object: &mut Object,
) -> Result<(), Answer> {
    let first = offset(from)?;
    let mut count = PAGE;
    loop {
        let (begin, end) = (first.to_string(), (first + count - 1).to_string());
        let mut range = vec![how.range, key, begin.as_bytes(), end.as_bytes()];
        range.extend(how.option);
        let commands = vec![vec![how.length, key], range];
        let answers = desk.ask(db, commands, REPLY_MAX).await?;
        let too_large = matches!(&answers[1], Value::Error(text) if text.starts_with("TOOLARGE"));
        if too_large && count > 1 {
            // One by one, then: each is cut to what can be shown, if it can be read at all.
            count = 1;
            continue;
        }
        object.value("len", &answers[0]).value("items", &answers[1]);
        next_offset(object, first + count, &answers[0]);
        return Ok(());
    }
}

async fn scanned(
    desk: &Desk<'_>,
    db: usize,
    key: &[u8],
    from: &[u8],
    [length, scan]: [&[u8]; 2],
    object: &mut Object,
) -> Result<(), Answer> {
    let cursor = if from.is_empty() { b"0" } else { from };
    if !is_cursor(cursor) {
        return Err(bad("from"));
    }
    let count = PAGE.to_string();
    let commands = vec![
        vec![length, key],
        vec![scan, key, cursor, b"COUNT", count.as_bytes()],
    ];
    let mut answers = desk.ask(db, commands, REPLY_MAX).await?;
    let reply = answers.pop().unwrap_or(Value::Null);
    object.value("len", &answers[0]);
    match cursor_and_items(reply.clone()) {
        None => {
            object.value("items", &reply);
        }
        Some((next, items)) => {
            object.value("items", &Value::List(items));
            if next != b"0" {
                object.bytes("next", &next);
            }
        }
    }
    Ok(())
}

async fn stream(
    desk: &Desk<'_>,
    db: usize,
    key: &[u8],
    from: &[u8],
    object: &mut Object,
) -> Result<(), Answer> {
    let is_id = |b: &u8| b.is_ascii_digit() || *b == b'-';
    if !from.iter().all(is_id) {
        return Err(bad("from"));
    }
    let begin = match from {
        b"" => b"-".to_vec(),
        last => [b"(", last].concat(),
    };
    let commands = vec![
        vec![&b"XLEN"[..], key],
        vec![b"XRANGE", key, &begin, b"+", b"COUNT", STREAM_PAGE],
        vec![b"XINFO", b"GROUPS", key],
    ];
    let answers = desk.ask(db, commands, REPLY_MAX).await?;
    object.value("len", &answers[0]);
    object.value("items", &answers[1]);
    object.value("groups", &answers[2]);
    if let Value::List(entries) = &answers[1]
        && entries.len().to_string().as_bytes() == STREAM_PAGE
        && let Some(Value::List(last)) = entries.last()
        && let Some(id) = last.first().and_then(Value::bytes)
    {
        object.bytes("next", id);
    }
    Ok(())
}
