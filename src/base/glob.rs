//! Glob patterns as Redis matches them (`*`, `?`, `[a-z]`, `[^a]`, `\` escapes), in time linear in pattern × text:
//! only the last `*` is ever retried, so no pattern can blow up.

/// A pattern with more stars than this that are not its end matches nothing, as in Redis: its time would grow with
/// pattern × text.
const MAX_STARS: usize = 1000;

/// Whether `text` matches `pattern`, optionally without regard to ASCII case.
pub fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    let mut stars = 0;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            if p == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > MAX_STARS {
                return false;
            }
            retry = Some((p, t));
            continue;
        }
        if let Some(next) = match_one(pattern, p, text[t], ignore_case) {
            p = next;
            t += 1;
            continue;
        }
        let Some((star_p, star_t)) = retry else {
            return false;
        };
        p = star_p;
        t = star_t + 1;
        retry = Some((star_p, t));
    }
    pattern[p.min(pattern.len())..].iter().all(|b| *b == b'*')
}

/// Matches the single pattern element at `p` against `byte`; the position after the element on success.
fn match_one(pattern: &[u8], p: usize, byte: u8, ignore_case: bool) -> Option<usize> {
    let fold = |b: u8| {
        if ignore_case {
            b.to_ascii_lowercase()
        } else {
            b
        }
    };
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => match_class(pattern, p + 1, byte, fold),
        b'\\' if p + 1 < pattern.len() => (fold(pattern[p + 1]) == fold(byte)).then_some(p + 2),
        literal => (fold(literal) == fold(byte)).then_some(p + 1),
    }
}

/// A class that is not closed ends with the pattern, as in Redis.
fn match_class(pattern: &[u8], mut p: usize, byte: u8, fold: impl Fn(u8) -> u8) -> Option<usize> {
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let byte = fold(byte);
    let mut hit = false;
    loop {
        match pattern.get(p) {
            None => break,
            Some(b']') => {
                p += 1;
                break;
            }
            Some(b'\\') if p + 1 < pattern.len() => {
                hit |= fold(pattern[p + 1]) == byte;
                p += 2;
            }
            Some(&low) if pattern.get(p + 1) == Some(&b'-') && p + 2 < pattern.len() => {
                let (low, high) = (fold(low), fold(pattern[p + 2]));
                hit |= (low.min(high)..=low.max(high)).contains(&byte);
                p += 3;
            }
            Some(&literal) => {
                hit |= fold(literal) == byte;
                p += 1;
            }
        }
    }
    (hit != negated).then_some(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_redis_does() {
        let yes = [
            ("*", ""),
            ("a*c", "abbc"),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-b]llo", "hbllo"),
            ("h[b-a]llo", "hallo"),
            ("a\\*", "a*"),
            ("**a**", "xax"),
            ("[abc", "b"),
            ("*[0-9]", "key7"),
            ("a\\", "a\\"),
        ];
        for (pattern, text) in yes {
            assert!(
                matches(pattern.as_bytes(), text.as_bytes(), false),
                "{pattern} {text}"
            );
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("h[^e]llo", "hello"),
            ("a*b", "abc"),
            ("?", ""),
            ("A", "a"),
            ("[]a", "a"),
        ] {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes(), false),
                "{pattern} {text}"
            );
        }
        assert!(matches(b"MAX*[Y-Z]", b"maxmemory", true));
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = b"a*".repeat(1000);
        let text = vec![b'a'; 999];
        assert!(!matches(&[pattern.as_slice(), b"b"].concat(), &text, false));
        assert!(matches(&b"*?".repeat(1000), &text[..1].repeat(1000), false));
        assert!(!matches(
            &b"*?".repeat(1001),
            &text[..1].repeat(1001),
            false
        ));
        assert!(matches(&b"*".repeat(5000), &text, false));
    }
}
