//! Answers and how they are written.

use std::borrow::Cow;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the peer gets.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Cow<'static, [u8]>,
    /// Further header lines, each with its end.
    pub more: String,
}

pub const TEXT: &str = "text/plain; charset=utf-8";
pub const JSON: &str = "application/json";
pub const HTML: &str = "text/html; charset=utf-8";
/// The text format of Prometheus.
pub const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Answer {
    pub fn new(
        status: u16,
        content_type: &'static str,
        body: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        Answer {
            status,
            content_type,
            body: body.into(),
            more: String::new(),
        }
    }

    /// A line for people.
    pub fn text(status: u16, line: &str) -> Answer {
        Answer::new(status, TEXT, format!("{line}\n").into_bytes())
    }

    pub fn json(status: u16, body: String) -> Answer {
        Answer::new(status, JSON, body.into_bytes())
    }

    /// The same with a header line.
    pub fn with(mut self, name: &str, value: &str) -> Answer {
        // Writing to a string does not fail.
        let _ = write!(self.more, "{name}: {value}\r\n");
        self
    }

    /// The bytes that go to the peer.
    pub fn wire(&self, head_only: bool, keep_alive: bool) -> Vec<u8> {
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let head = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             X-Frame-Options: DENY\r\nCross-Origin-Resource-Policy: same-origin\r\n{}\r\n",
            self.status,
            reason(self.status),
            date(),
            self.content_type,
            self.body.len(),
            self.more,
        );
        let mut wire = head.into_bytes();
        if !head_only {
            wire.extend_from_slice(&self.body);
        }
        wire
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

fn date() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    date_of(now.map_or(0, |since| since.as_secs()))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date_of(unix_s: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, seconds) = (unix_s / 86_400, unix_s % 86_400);
    // Years that begin in March have their leap day at the end.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (unix_s, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
        ] {
            assert_eq!(date_of(unix_s), text);
        }
    }

    #[test]
    fn a_head_has_the_length_and_no_body() {
        let answer = Answer::text(200, "ok").with("X-A", "b");
        let full = String::from_utf8(answer.wire(false, true)).unwrap();
        let head = String::from_utf8(answer.wire(true, true)).unwrap();
        assert!(head.contains("Content-Length: 3\r\n") && head.ends_with("X-A: b\r\n\r\n"));
        assert_eq!(full.strip_prefix(&head), Some("ok\n"));
    }
}
