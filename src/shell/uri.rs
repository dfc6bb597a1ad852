//! `redis://[[user:]password@]host[:port][/db]`.

use super::options::Target;

/// Reads a URI into `target`. True: it asks for TLS.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse(text: &[u8], target: &mut Target) -> Result<bool, String> {
    let schemes: [(&[u8], bool); 4] = [
        (b"redis://", false),
        (b"valkey://", false),
        (b"rediss://", true),
        (b"valkeys://", true),
    ];
    let scheme = schemes.iter().find(|(prefix, _)| {
        text.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    });
    let Some((prefix, tls)) = scheme else {
        return Err("Invalid URI scheme".into());
    };
    let mut rest = &text[prefix.len()..];
    if let Some(at) = rest.iter().position(|b| *b == b'@') {
        let who = &rest[..at];
        rest = &rest[at + 1..];
        let password = match who.iter().position(|b| *b == b':') {
            Some(colon) => {
                let user = decode(&who[..colon])?;
                target.user = (!user.is_empty()).then_some(user);
                &who[colon + 1..]
            }
            None => who,
        };
        target.password = Some(decode(password)?);
    }
    let slash = rest.iter().position(|b| *b == b'/');
    let place = String::from_utf8_lossy(&rest[..slash.unwrap_or(rest.len())]).into_owned();
    let (host, port) = split_place(&place);
    if let Some(port) = port {
        target.port = port.parse().map_err(|_| "Invalid server port.")?;
    }
    if !host.is_empty() {
        target.host = host.to_owned();
    }
    if let Some(slash) = slash {
        let db = String::from_utf8_lossy(&rest[slash + 1..]).into_owned();
        if !db.is_empty() {
            let number = db.parse();
            target.db = number.map_err(|_| format!("Invalid database number in URI: '{db}'"))?;
        }
    }
    Ok(*tls)
}

/// Host and port, with an IPv6 address in brackets.
fn split_place(place: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = place
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return (host, rest.strip_prefix(':'));
    }
    match place.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    }
}

fn decode(text: &[u8]) -> Result<Vec<u8>, String> {
    let hex = |b: &u8| char::from(*b).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let Some((digits, behind)) = rest.split_first_chunk::<2>() else {
            return Err("Incomplete URI encoding".into());
        };
        let (Some(high), Some(low)) = (hex(&digits[0]), hex(&digits[1])) else {
            return Err("Illegal character in URI encoding".into());
        };
        out.push(high << 4 | low);
        rest = behind;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::options::Options;

    fn read(text: &str) -> Result<(Target, bool), String> {
        let mut target = Options::default().target;
        let tls = parse(text.as_bytes(), &mut target)?;
        Ok((target, tls))
    }

    #[test]
    fn all_parts_are_optional() {
        let (target, tls) = read("redis://ann:p%40ss@example.org:7000/3").unwrap();
        assert_eq!(
            (&*target.host, target.port, target.db),
            ("example.org", 7000, 3)
        );
        assert_eq!(target.user.as_deref(), Some(&b"ann"[..]));
        assert_eq!(target.password.as_deref(), Some(&b"p@ss"[..]));
        assert!(!tls);
        let (target, tls) = read("rediss://pass@[::1]").unwrap();
        assert_eq!((&*target.host, target.port, tls), ("::1", 6379, true));
        assert_eq!(
            (target.user, target.password),
            (None, Some(b"pass".to_vec()))
        );
        let (target, _) = read("redis://").unwrap();
        assert_eq!((&*target.host, target.port), ("127.0.0.1", 6379));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(read("http://a").unwrap_err(), "Invalid URI scheme");
        assert_eq!(
            read("redis://a%4@h").unwrap_err(),
            "Incomplete URI encoding"
        );
        assert_eq!(
            read("redis://a%zz@h").unwrap_err(),
            "Illegal character in URI encoding"
        );
        assert_eq!(read("redis://h:x").unwrap_err(), "Invalid server port.");
        assert!(read("redis://h/x").is_err());
    }
}
