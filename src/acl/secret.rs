//! Passwords: only their SHA-256 is kept, and comparing takes the same time whatever is right of a
//! guess.

use sha2::{Digest as _, Sha256};

/// The SHA-256 of a password.
pub type Digest = [u8; 32];

pub fn digest(password: &[u8]) -> Digest {
    Sha256::digest(password).into()
}

/// Looks at every byte of every digest.
pub fn is_one_of(digest: &Digest, known: &[Digest]) -> bool {
    known.iter().fold(false, |found, other| {
        let differing = digest
            .iter()
            .zip(other)
            .fold(0u8, |all, (a, b)| all | (a ^ b));
        found | (std::hint::black_box(differing) == 0)
    })
}

/// 64 digits in lower case.
pub fn hex(digest: &Digest) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// Reads what [`hex`] writes, and nothing else.
pub fn from_hex(text: &[u8]) -> Option<Digest> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_and_their_hex() {
        let x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        assert_eq!(hex(&digest(b"x")), x);
        assert_eq!(from_hex(x.as_bytes()), Some(digest(b"x")));
        assert_eq!(from_hex(x.to_uppercase().as_bytes()), None);
        assert_eq!(from_hex(&x.as_bytes()[1..]), None);
        assert!(is_one_of(&digest(b"x"), &[digest(b"y"), digest(b"x")]));
        assert!(!is_one_of(&digest(b"x"), &[digest(b"y")]));
        assert!(!is_one_of(&digest(b"x"), &[]));
    }
}
