//! One log record as a line of text.

use std::time::{SystemTime, UNIX_EPOCH};

use tracing::Level;

use crate::base::json;
use crate::base::sys::{LocalTime, local_time};
use crate::config::enums::{LogFormat, LogTimestampFormat};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

pub(super) struct Record<'a> {
    pub pid: u32,
    pub role: char,
    pub level: Level,
    pub time: SystemTime,
    pub message: &'a str,
}

/// Redis' mark and name of a level.
fn mark_and_name(level: Level) -> (char, &'static str) {
    match level {
        Level::ERROR | Level::WARN => ('#', "warning"),
        Level::INFO => ('*', "notice"),
        Level::DEBUG => ('-', "verbose"),
        Level::TRACE => ('.', "debug"),
    }
}

pub(super) fn syslog_priority(level: Level) -> i32 {
    match level {
        Level::ERROR | Level::WARN => libc::LOG_WARNING,
        Level::INFO => libc::LOG_NOTICE,
        Level::DEBUG => libc::LOG_INFO,
        Level::TRACE => libc::LOG_DEBUG,
    }
}

impl Record<'_> {
    /// The line with its line break.
    pub fn line(&self, format: LogFormat, timestamps: LogTimestampFormat) -> String {
        let since = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, millis) = (since.as_secs() as i64, since.subsec_millis());
        let time = local_time(seconds);
        let time = match (format, timestamps) {
            (_, LogTimestampFormat::Milliseconds) => since.as_millis().to_string(),
            (LogFormat::Json, _) | (_, LogTimestampFormat::Iso8601) => iso8601(time, millis),
            _ => redis_time(time, millis),
        };
        let (mark, level) = mark_and_name(self.level);
        let (pid, role) = (self.pid, self.role);
        match format {
            LogFormat::Redis | LogFormat::Legacy => {
                format!("{pid}:{role} {time} {mark} {}\n", escaped(self.message))
            }
            LogFormat::Json => {
                let mut line = format!(
                    "{{\"pid\":{pid},\"role\":\"{}\",\"timestamp\":\"{time}\",\"level\":\"{level}\",\"message\":",
                    role_name(role)
                );
                json::string(&mut line, self.message, |_| false);
                line.push_str("}\n");
                line
            }
            LogFormat::Logfmt => format!(
                "pid={pid} role={} timestamp=\"{time}\" level={level} message=\"{}\"\n",
                role_name(role),
                escaped(self.message).replace('"', "'")
            ),
        }
    }
}

fn role_name(role: char) -> &'static str {
    match role {
        'M' => "master",
        'S' => "replica",
        'X' => "sentinel",
        _ => "child",
    }
}

fn redis_time(t: LocalTime, millis: u32) -> String {
    let month = MONTHS[(t.month as usize - 1).min(11)];
    format!(
        "{:02} {month} {:04} {:02}:{:02}:{:02}.{millis:03}",
        t.day, t.year, t.hour, t.minute, t.second
    )
}

fn iso8601(t: LocalTime, millis: u32) -> String {
    let sign = if t.offset_s < 0 { '-' } else { '+' };
    let offset_min = t.offset_s.abs() / 60;
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{millis:03}{sign}{:02}:{:02}",
        t.year,
        t.month,
        t.day,
        t.hour,
        t.minute,
        t.second,
        offset_min / 60,
        offset_min % 60
    )
}

/// Control characters as Rust writes them: one record is one line, whatever a client put into it.
fn escaped(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for c in message.chars() {
        match c {
            '\t' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn record(message: &str) -> Record<'_> {
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_007);
        Record {
            pid: 12,
            role: 'M',
            level: Level::INFO,
            time,
            message,
        }
    }

    #[test]
    fn redis_form() {
        let line = record("Ready to accept connections tcp")
            .line(LogFormat::Redis, LogTimestampFormat::Legacy);
        assert!(line.starts_with("12:M 1"), "{line}");
        assert!(line.contains(" Nov 2023 "), "{line}");
        assert!(
            line.ends_with(":20.007 * Ready to accept connections tcp\n"),
            "{line}"
        );
    }

    #[test]
    fn json_is_json() {
        let message = "say \"x\\y\"\n\u{1}\u{7f}é";
        let line = record(message).line(LogFormat::Json, LogTimestampFormat::Legacy);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], message);
        assert_eq!(value["role"], "master");
        assert_eq!(value["level"], "notice");
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn other_forms_of_time() {
        let millis = record("x").line(LogFormat::Redis, LogTimestampFormat::Milliseconds);
        assert_eq!(millis, "12:M 1700000000007 * x\n");
        let iso = record("a \"b\"").line(LogFormat::Logfmt, LogTimestampFormat::Iso8601);
        assert!(
            iso.starts_with("pid=12 role=master timestamp=\"2023-11-1"),
            "{iso}"
        );
        assert!(iso.ends_with("level=notice message=\"a 'b'\"\n"), "{iso}");
    }
}
