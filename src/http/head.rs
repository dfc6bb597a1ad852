//! The head of a request: the only thing that is ever read from a peer.
//!
//! What is not understood to the letter is refused: two readers of one head who differ are how requests are smuggled.

/// Bytes of the longest head.
pub const HEAD_MAX: usize = 8 * 1024;
/// Header lines of one head.
const LINES_MAX: usize = 64;

/// What the peer wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// HEAD: everything but the body.
    pub head_only: bool,
    /// Without the query.
    pub path: String,
    /// Names and values of the query, decoded: keys are any bytes.
    pub query: Vec<(String, Vec<u8>)>,
    /// As it was written; empty if there is none.
    pub host: String,
    pub authorization: Option<String>,
    /// `Sec-Fetch-Site`: which page a browser asks for.
    pub fetch_site: Option<String>,
    /// The connection may be used again.
    pub keep_alive: bool,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Malformed,
    /// Other methods than GET and HEAD.
    Method,
    TooLong,
    /// A body is announced.
    Body,
    Version,
}

impl Fault {
    pub fn status(self) -> u16 {
        match self {
            Fault::Malformed => 400,
            Fault::Method => 405,
            Fault::Body => 413,
            Fault::TooLong => 431,
            Fault::Version => 505,
        }
    }
}

impl Request {
    /// A value of the query.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// The same as text that parses; `None` also if it does not.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        std::str::from_utf8(self.get(name)?).ok()?.parse().ok()
    }
}

/// Looks for a complete head at the begin of `bytes`; gives its length. `None` if more has to come.
pub fn find_end(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let within = &bytes[..bytes.len().min(HEAD_MAX)];
    match memchr::memmem::find(within, b"\r\n\r\n") {
        Some(at) => Ok(Some(at + 4)),
        None if bytes.len() >= HEAD_MAX => Err(Fault::TooLong),
        None => Ok(None),
    }
}

/// Reads a complete head.
pub fn parse(head: &[u8]) -> Result<Request, Fault> {
    let text = std::str::from_utf8(head).map_err(|_| Fault::Malformed)?;
    let text = text.strip_suffix("\r\n\r\n").ok_or(Fault::Malformed)?;
    let mut lines = text.split("\r\n");
    let (mut request, version) = first_line(lines.next().unwrap_or_default())?;
    let mut seen = Seen::default();
    for (number, line) in lines.enumerate() {
        if number >= LINES_MAX {
            return Err(Fault::TooLong);
        }
        header(line, &mut request, &mut seen)?;
    }
    if !seen.host && version == Version::Http11 {
        return Err(Fault::Malformed);
    }
    request.keep_alive = match version {
        Version::Http11 => !seen.close,
        Version::Http10 => seen.keep_alive && !seen.close,
    };
    Ok(request)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

#[derive(Default)]
struct Seen {
    host: bool,
    length: bool,
    close: bool,
    keep_alive: bool,
}

fn first_line(line: &str) -> Result<(Request, Version), Fault> {
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Fault::Malformed);
    };
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(Fault::Malformed);
    }
    let version = match version {
        "HTTP/1.1" => Version::Http11,
        "HTTP/1.0" => Version::Http10,
        other if other.starts_with("HTTP/") => return Err(Fault::Version),
        _ => return Err(Fault::Malformed),
    };
    let head_only = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Err(Fault::Method),
    };
    if !target.starts_with('/') || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Fault::Malformed);
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        head_only,
        path: path.to_owned(),
        query: read_query(query)?,
        ..Request::default()
    };
    Ok((request, version))
}

fn header(line: &str, request: &mut Request, seen: &mut Seen) -> Result<(), Fault> {
    let (name, value) = line.split_once(':').ok_or(Fault::Malformed)?;
    let sound = !name.is_empty()
        && name.bytes().all(is_token)
        && !value.bytes().any(|b| b.is_ascii_control() && b != b'\t');
    if !sound {
        return Err(Fault::Malformed);
    }
    let value = value.trim_matches([' ', '\t']);
    match name.to_ascii_lowercase().as_str() {
        "host" if std::mem::replace(&mut seen.host, true) => return Err(Fault::Malformed),
        "host" => request.host = value.to_owned(),
        "authorization" if request.authorization.is_some() => return Err(Fault::Malformed),
        "authorization" => request.authorization = Some(value.to_owned()),
        "sec-fetch-site" => request.fetch_site = Some(value.to_owned()),
        "connection" => {
            for word in value.split(',').map(str::trim) {
                seen.close |= word.eq_ignore_ascii_case("close");
                seen.keep_alive |= word.eq_ignore_ascii_case("keep-alive");
            }
        }
        "transfer-encoding" => return Err(Fault::Body),
        "content-length" if std::mem::replace(&mut seen.length, true) => {
            return Err(Fault::Malformed);
        }
        "content-length" if value == "0" => {}
        "content-length" => return Err(Fault::Body),
        _ => {}
    }
    Ok(())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn read_query(text: &str) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((name.to_owned(), percent_decode(value)?))
        })
        .collect()
}

/// `%41` is `A`. A plus is a plus.
fn percent_decode(text: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    let digit = |bytes: &mut std::str::Bytes<'_>| {
        let digit = bytes.next().and_then(|b| char::from(b).to_digit(16));
        digit.ok_or(Fault::Malformed)
    };
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (digit(&mut bytes)?, digit(&mut bytes)?);
            out.push((high << 4 | low) as u8);
        } else {
            out.push(byte);
        }
    }
    Ok(out)
}

/// Whether a `Host` names this server for sure: an address, `localhost`, or a name that the configuration gives. Any
/// other name may be one that a stranger's page has pointed here (DNS rebinding).
pub fn is_own_host(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, _)) => return address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => return false,
        },
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<std::net::Ipv4Addr>().is_ok()
        || names.iter().any(|own| own.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Request, Fault> {
        parse(text.as_bytes())
    }

    #[test]
    fn ordinary_heads() {
        let text = "GET /api/keys?db=1&match=%00%ffa+b&x HTTP/1.1\r\nhost: [::1]:9\r\nAuthorization:  Basic eA== \r\n\r\n";
        let request = read(text).unwrap();
        assert_eq!(request.path, "/api/keys");
        assert_eq!(request.get("match"), Some(&b"\0\xffa+b"[..]));
        assert_eq!(request.number::<u32>("db"), Some(1));
        assert_eq!((request.get("x"), request.get("y")), (Some(&b""[..]), None));
        assert_eq!(request.host, "[::1]:9");
        assert_eq!(request.authorization.as_deref(), Some("Basic eA=="));
        assert!(request.keep_alive && !request.head_only);
        let old = read("HEAD / HTTP/1.0\r\n\r\n").unwrap();
        assert!(old.head_only && !old.keep_alive);
        let kept = read("GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n").unwrap();
        assert!(kept.keep_alive);
        let over = read("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        assert!(!over.keep_alive);
    }

    #[test]
    fn hostile_heads_are_refused() {
        let with = |lines: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let cases = [
            ("\r\n\r\n".to_owned(), Fault::Malformed),
            ("GET /\r\n\r\n".to_owned(), Fault::Malformed),
            (
                "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                Fault::Malformed,
            ),
            (
                "GET a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                Fault::Malformed,
            ),
            (
                "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                Fault::Malformed,
            ),
            (
                "GET /?k=%4 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                Fault::Malformed,
            ),
            (
                "GET /?k=%+1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                Fault::Malformed,
            ),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), Fault::Malformed),
            (
                "GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(),
                Fault::Version,
            ),
            (
                "GET / FTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                Fault::Malformed,
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                Fault::Method,
            ),
            (
                "get / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
                Fault::Method,
            ),
            (with("Host: b\r\n"), Fault::Malformed),
            (with("X : b\r\n"), Fault::Malformed),
            (with(" folded\r\n"), Fault::Malformed),
            (with("X: a\n b\r\n"), Fault::Malformed),
            (with("X: a\0b\r\n"), Fault::Malformed),
            (with("Content-Length: 1\r\n"), Fault::Body),
            (with("Content-Length: +0\r\n"), Fault::Body),
            (
                with("Content-Length: 0\r\ncontent-length: 0\r\n"),
                Fault::Malformed,
            ),
            (with("Transfer-Encoding: chunked\r\n"), Fault::Body),
            (with(&"X: y\r\n".repeat(70)), Fault::TooLong),
        ];
        for (text, fault) in cases {
            assert_eq!(read(&text), Err(fault), "{text:?}");
        }
        assert_eq!(
            parse(b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n"),
            Err(Fault::Malformed)
        );
        assert_eq!(find_end(&[b'x'; HEAD_MAX]), Err(Fault::TooLong));
        assert_eq!(find_end(b"GET / HTTP/1.1\r\n"), Ok(None));
        assert_eq!(find_end(b"a\r\n\r\nrest"), Ok(Some(5)));
    }

    #[test]
    fn names_that_a_strangers_page_may_give_are_not_ours() {
        let names = ["Redis.example.com".to_owned()];
        for own in [
            "localhost",
            "LOCALHOST:9121",
            "a.localhost:1",
            "127.0.0.1:9121",
            "10.1.2.3",
            "[::1]",
            "[fe80::1]:80",
            "redis.example.com:9121",
            "redis.example.com.",
        ] {
            assert!(is_own_host(own, &names), "{own}");
        }
        for other in [
            "",
            "evil.example",
            "127.0.0.1.evil.example:9121",
            "localhost.evil",
            "[x]",
            "[::1",
            "::1",
        ] {
            assert!(!is_own_host(other, &names), "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            begin in "(GET|HEAD|PUT) [/a-z?&=%0-9+]{0,20} HTTP/1\\.[01]\r\n",
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        ) {
            let text = [begin.as_bytes(), &bytes, b"\r\n\r\n"].concat();
            if let Ok(Some(end)) = find_end(&text) {
                // Whatever is made of it, it ends.
                let _ = parse(&text[..end]);
            }
            let _ = parse(&bytes);
            let _ = is_own_host(&String::from_utf8_lossy(&bytes), &[]);
        }
    }
}
