//! Who asks: HTTP Basic against the users of the access control list, and a limit for those who guess.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::acl::secret::{self, Digest};

/// A name and a password. The name of the user `default` may be left out.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
}

/// Reads the value of an `Authorization` header.
pub fn basic(header: &str) -> Option<Login> {
    let (scheme, code) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64_decode(code.trim().as_bytes())?;
    let colon = memchr::memchr(b':', &bytes)?;
    let user = match &bytes[..colon] {
        b"" => crate::acl::DEFAULT.to_vec(),
        name => name.to_vec(),
    };
    Some(Login {
        user,
        password: bytes[colon + 1..].to_vec(),
    })
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"==").or(text.strip_suffix(b"="));
    let digits = digits.unwrap_or(text);
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut word = 0u32;
        for byte in group {
            let digit = ALPHABET.iter().position(|known| known == byte)?;
            word = word << 6 | digit as u32;
        }
        let bits = 6 * group.len();
        if bits == 6 {
            return None;
        }
        let bytes = (word << (32 - bits)).to_be_bytes();
        out.extend_from_slice(&bytes[..bits / 8]);
    }
    Some(out)
}

/// For `Content-Security-Policy`.
pub fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let word = u32::from_be_bytes(padded);
        for at in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= group.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    out
}

/// So many wrong passwords of one address are looked at in a row; then one in each [`REFILL`].
const BURST: u32 = 10;
const REFILL: Duration = Duration::from_secs(6);
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 1024;
/// Logins that were right and are looked at whatever others at their address do.
const PROVEN_MAX: usize = 64;

/// Slows those down who guess passwords. Whoever has logged in before is not held up by them.
#[derive(Default)]
pub struct Limiter {
    failures: HashMap<IpAddr, (u32, Instant)>,
    proven: Vec<Digest>,
}

fn digest(login: &Login) -> Digest {
    let length = (login.user.len() as u64).to_be_bytes();
    secret::digest(&[&length, &login.user[..], &login.password].concat())
}

impl Limiter {
    /// Failures that still count.
    fn count(&self, from: IpAddr, now: Instant) -> u32 {
        let Some((count, at)) = self.failures.get(&from) else {
            return 0;
        };
        let forgiven = now.saturating_duration_since(*at).as_secs() / REFILL.as_secs();
        count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    /// Whether the password is looked at, now.
    pub fn admits(&self, from: IpAddr, login: &Login, now: Instant) -> bool {
        self.count(from, now) < BURST || secret::is_one_of(&digest(login), &self.proven)
    }

    pub fn failed(&mut self, from: IpAddr, login: &Login, now: Instant) {
        let digest = digest(login);
        self.proven.retain(|known| *known != digest);
        let count = self.count(from, now) + 1;
        if self.failures.len() >= ADDRESSES_MAX && !self.failures.contains_key(&from) {
            let oldest = self.failures.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(address) = oldest.map(|(address, _)| *address) {
                self.failures.remove(&address);
            }
        }
        self.failures.insert(from, (count.min(BURST), now));
    }

    pub fn succeeded(&mut self, login: &Login) {
        let digest = digest(login);
        if !secret::is_one_of(&digest, &self.proven) {
            if self.proven.len() == PROVEN_MAX {
                self.proven.remove(0);
            }
            self.proven.push(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Login {
        Login {
            user: user.into(),
            password: password.into(),
        }
    }

    #[test]
    fn basic_headers() {
        for (bytes, code) in [
            (&b"a:b"[..], "YTpi"),
            (b"Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            (b"\xff:\0\x01", "/zoAAQ=="),
            (b":pw", "OnB3"),
            (b"u:a:b", "dTphOmI="),
        ] {
            assert_eq!(base64(bytes), code);
            assert_eq!(base64_decode(code.as_bytes()).as_deref(), Some(bytes));
        }
        assert!(basic("basic YTpi") == Some(login("a", "b")));
        assert!(basic("Basic OnB3") == Some(login("default", "pw")));
        assert!(basic("Basic dTphOmI=") == Some(login("u", "a:b")));
        for bad in [
            "Basic",
            "Basic ",
            "Basic !!!!",
            "Basic Y",
            "Basic YQ==",
            "Bearer YTpi",
        ] {
            assert!(basic(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn guessing_is_slow_and_hinders_nobody_else() {
        let mut limiter = Limiter::default();
        let (here, there) = ([127, 0, 0, 1].into(), [10, 0, 0, 1].into());
        let (good, bad) = (login("u", "right"), login("u", "wrong"));
        let begin = Instant::now();
        limiter.succeeded(&good);
        for _ in 0..BURST {
            assert!(limiter.admits(here, &bad, begin));
            limiter.failed(here, &bad, begin);
        }
        assert!(!limiter.admits(here, &bad, begin));
        assert!(limiter.admits(here, &good, begin) && limiter.admits(there, &bad, begin));
        assert!(limiter.admits(here, &bad, begin + REFILL));
        limiter.failed(here, &bad, begin + REFILL);
        assert!(!limiter.admits(here, &bad, begin + REFILL));
        // A password that was right and is not any more is a guess.
        limiter.failed(here, &good, begin + REFILL);
        assert!(!limiter.admits(here, &good, begin + REFILL));
        for n in 0..2 * ADDRESSES_MAX as u32 {
            limiter.failed(IpAddr::from(n.to_be_bytes()), &bad, begin);
        }
        assert!(limiter.failures.len() <= ADDRESSES_MAX);
        (0..2 * PROVEN_MAX).for_each(|n| limiter.succeeded(&login("u", &n.to_string())));
        assert_eq!(limiter.proven.len(), PROVEN_MAX);
    }
}
