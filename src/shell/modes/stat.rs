//! `--stat`: a line of figures each second.

use std::fmt::Write;
use std::time::Duration;

use crate::resp::decode::Value;
use crate::shell::session::{Session, print, rest};

use super::{Ended, code};

/// The header stands above so many lines.
const PAGE: u64 = 20;

pub fn run(session: &mut Session) -> u8 {
    code(show(session))
}

fn show(session: &mut Session) -> Result<(), Ended> {
    let interval = session.options.interval_or(Duration::from_secs(1));
    let mut before = None;
    let mut lines = 0;
    loop {
        if session.link().is_none() && !session.connect(false) {
            return Ok(());
        }
        let Some(link) = session.link() else {
            return Ok(());
        };
        let info = match link.call(&["INFO"])? {
            Value::Error(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                return Err(Ended::Told(format!("ERROR: {text}")));
            }
            reply => String::from_utf8_lossy(reply.text().unwrap_or_default()).into_owned(),
        };
        let mut out = String::new();
        if lines % PAGE == 0 {
            out.push_str(
                "------- data ------ --------------------- load -------------------- - child -\n\
                 keys       mem      clients blocked requests            connections          \n",
            );
        }
        lines += 1;
        let requests = line(&info, before, &mut out);
        before = Some(requests);
        print(out.as_bytes());
        rest(interval);
    }
}

/// A number of INFO.
fn number(info: &str, name: &str) -> u64 {
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Writes a line; the number of requests so far.
fn line(info: &str, before: Option<u64>, out: &mut String) -> u64 {
    let keys_of = |line: &str| {
        let (db, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
        db.parse::<u64>().ok()?;
        rest.split(',').next()?.parse::<u64>().ok()
    };
    let keys: u64 = info.lines().filter_map(keys_of).sum();
    let memory = human(number(info, "used_memory"));
    let requests = number(info, "total_commands_processed");
    let more = before.map_or(0, |before| requests.saturating_sub(before));
    let load = format!("{requests} (+{more})");
    let child = number(info, "rdb_bgsave_in_progress")
        | number(info, "aof_rewrite_in_progress") << 1
        | number(info, "loading") << 2;
    let child = match child {
        1 => "SAVE",
        2 => "AOF",
        3 => "SAVE+AOF",
        4.. => "LOAD",
        _ => "",
    };
    // A string's buffer takes everything.
    let _ = writeln!(
        out,
        "{keys:<11}{memory:<9}{:<8}{:<8}{load:<20}{:<12}{child}",
        number(info, "connected_clients"),
        number(info, "blocked_clients"),
        number(info, "total_connections_received"),
    );
    requests
}

/// Bytes for people.
fn human(bytes: u64) -> String {
    let n = bytes as f64;
    match bytes {
        0..=0x3ff => format!("{bytes}B"),
        0x400..=0xf_ffff => format!("{:.2}K", n / 1024.0),
        0x10_0000..=0x3fff_ffff => format!("{:.2}M", n / 1_048_576.0),
        _ => format!("{:.2}G", n / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_figures() {
        let info = "used_memory:2076180\r\nconnected_clients:1\r\nblocked_clients:0\r\n\
            total_commands_processed:674\r\ntotal_connections_received:166\r\nrdb_bgsave_in_progress:1\r\n\
            db0:keys=10,expires=0\r\ndb9:keys=3,expires=0\r\ndbx:keys=3\r\n";
        let mut out = String::new();
        assert_eq!(line(info, Some(670), &mut out), 674);
        assert_eq!(
            out,
            "13         1.98M    1       0       674 (+4)            166         SAVE\n"
        );
    }

    #[test]
    fn bytes_for_people() {
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1536), "1.50K");
        assert_eq!(human(5 << 30), "5.00G");
    }
}
