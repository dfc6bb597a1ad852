//! Keys by SCAN, with what is known of each.

use std::time::{Duration, Instant};

use super::super::answer::Answer;
use super::super::head::Request;
use super::super::json::{self, Object};
use super::super::resp::Value;
use super::{Desk, bad, db_of};

/// Keys of one answer, if they come easily.
const WANTED: usize = 60;
/// The most that anybody may ask for.
const WANTED_MAX: usize = 500;
/// Elements that one SCAN looks at, at most: it takes less than a millisecond.
const STEP_MAX: usize = 1000;
/// After so long what was found is answered; the page asks again.
const TIME: Duration = Duration::from_millis(200);
/// Keys that are described with one message to the actor.
const AT_ONCE: usize = 32;
const REPLY_MAX: usize = 1 << 20;

/// A page of keys: `match`, `type`, `cursor`, `count`; `exact` is a key that is looked up by its name first.
pub async fn page(desk: &Desk<'_>, request: &Request) -> Result<String, Answer> {
    let db = db_of(request)?;
    let wanted = request
        .number("count")
        .unwrap_or(WANTED)
        .clamp(1, WANTED_MAX);
    let mut cursor = request.get("cursor").unwrap_or(b"0").to_vec();
    if !is_cursor(&cursor) {
        return Err(bad("cursor"));
    }
    let pattern = request.get("match").filter(|pattern| !pattern.is_empty());
    let kind = request.get("type").filter(|kind| !kind.is_empty());
    let mut keys = Vec::new();
    let (mut step, begin) = (wanted, Instant::now());
    loop {
        let count = step.to_string();
        let mut command = vec![&b"SCAN"[..], &cursor, b"COUNT", count.as_bytes()];
        if let Some(pattern) = pattern {
            command.extend([&b"MATCH"[..], pattern]);
        }
        if let Some(kind) = kind {
            command.extend([&b"TYPE"[..], kind]);
        }
        let found = desk.one(db, command, REPLY_MAX).await?;
        let Some((next, batch)) = cursor_and_items(found.clone()) else {
            return Ok(Object::new().value("keys", &found).finish());
        };
        cursor = next;
        keys.extend(batch.into_iter().filter_map(Value::into_bytes));
        if cursor == b"0" || keys.len() >= wanted || begin.elapsed() > TIME {
            break;
        }
        step = (step * 2).min(STEP_MAX);
    }
    let exact = request.get("exact").filter(|key| !key.is_empty());
    if let Some(key) = exact.filter(|key| !keys.iter().any(|known| known == key)) {
        keys.insert(0, key.to_vec());
    }
    let mut rows = Vec::with_capacity(keys.len());
    for some in keys.chunks(AT_ONCE) {
        rows.extend(describe(desk, db, some).await?);
    }
    let mut list = String::new();
    json::list(&mut list, &rows, |out, row| out.push_str(row));
    Ok(Object::new()
        .bytes("cursor", &cursor)
        .raw("keys", &list)
        .finish())
}

pub fn is_cursor(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<u64>().is_ok())
}

/// What SCAN and its like answer.
pub fn cursor_and_items(reply: Value) -> Option<(Vec<u8>, Vec<Value>)> {
    let mut parts = reply.into_list()?;
    let cursor = parts.pop_front()?.into_bytes()?;
    let items = parts.pop_front()?.into_list()?;
    Some((cursor, items.into()))
}

/// Type, time to live, encoding and size of keys. Those that have gone meanwhile are left out.
async fn describe(desk: &Desk<'_>, db: usize, keys: &[Vec<u8>]) -> Result<Vec<String>, Answer> {
    let mut commands = Vec::with_capacity(4 * keys.len());
    for key in keys {
        commands.push(vec![&b"TYPE"[..], key]);
        commands.push(vec![b"PTTL", key]);
        commands.push(vec![b"OBJECT", b"ENCODING", key]);
        commands.push(vec![b"MEMORY", b"USAGE", key]);
    }
    let answers = desk.ask(db, commands, REPLY_MAX).await?;
    let rows = keys.iter().zip(answers.chunks_exact(4));
    let there = rows.filter(|(_, known)| known[0].bytes() != Some(b"none"));
    Ok(there.map(|(key, known)| row(key, known)).collect())
}

/// One key with the answers about it. An error is as good as nothing known.
fn row(key: &[u8], known: &[Value]) -> String {
    let mut object = Object::new();
    object.bytes("key", key);
    for (name, value) in ["type", "pttl", "encoding", "memory"].iter().zip(known) {
        match value {
            Value::Error(_) => object.value(name, &Value::Null),
            value => object.value(name, value),
        };
    }
    object.finish()
}
