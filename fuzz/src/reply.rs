//! Whether bytes are whole replies.

/// The position behind the reply at `at`; `None` if it is broken or incomplete.
pub fn skip(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at..];
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &rest[..end];
    let next = at + end + 2;
    let number = || std::str::from_utf8(&line[1..]).ok()?.parse::<i64>().ok();
    let many = |count: i64| (0..count.max(0)).try_fold(next, |at, _| skip(bytes, at));
    match line.first()? {
        b'+' | b'-' if line.contains(&0) || line.contains(&b'\r') || line.contains(&b'\n') => None,
        b'+' | b'-' | b',' | b'(' => Some(next),
        b':' => number().map(|_| next),
        b'_' => (line.len() == 1).then_some(next),
        b'#' => matches!(&line[1..], b"t" | b"f").then_some(next),
        b'$' | b'=' => match number()? {
            -1 => Some(next),
            len => {
                let end = next + usize::try_from(len).ok()?;
                (bytes.get(end..end + 2)? == b"\r\n").then_some(end + 2)
            }
        },
        b'*' | b'~' | b'>' => many(number()?),
        b'%' => many(number()? * 2),
        // An attribute stands before its reply.
        b'|' => skip(bytes, many(number()? * 2)?),
        _ => None,
    }
}

/// How many replies there are; `None` if they are not whole.
pub fn count(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut found) = (0, 0);
    while at < bytes.len() {
        at = skip(bytes, at)?;
        found += 1;
    }
    Some(found)
}
