//! The few fields of a certificate that the TLS library does not show.
//!
//! Its own checks refuse certificates of version 1, which `openssl x509 -req` has made for decades and which servers of
//! this protocol accept; and a certificate can name the user that its owner is. Only what is needed for that is read
//! here. Input is untrusted: every length is checked, and what is not understood is no certificate.

use rustls::pki_types::UnixTime;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, the version.
const VERSION: u8 = 0xa0;
/// `[3]`, the extensions.
const EXTENSIONS: u8 = 0xa3;
/// `[6]` among the names of an extension: a URI.
const NAME_URI: u8 = 0x86;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// A certificate's fields, as they lie in it.
#[derive(Debug)]
pub struct Certificate<'a> {
    /// 1, 2 or 3.
    pub version: u8,
    /// Everything that the signature is about.
    pub signed: &'a [u8],
    /// The issuer's name without its head.
    pub issuer: &'a [u8],
    subject: &'a [u8],
    not_before: u64,
    not_after: u64,
    /// The public key with its algorithm and its head.
    pub spki: &'a [u8],
    extensions: &'a [u8],
    /// The algorithm of the signature, without its head.
    pub algorithm: &'a [u8],
    pub signature: &'a [u8],
}

/// What stands behind a tag: the contents, and the whole with its head.
struct Item<'a> {
    tag: u8,
    body: &'a [u8],
    whole: &'a [u8],
}

/// Takes the next item off the front.
fn next<'a>(rest: &mut &'a [u8]) -> Option<Item<'a>> {
    let all = *rest;
    let (&tag, after) = all.split_first()?;
    let (&first, after) = after.split_first()?;
    let (len, after) = match first {
        0..=0x7f => (usize::from(first), after),
        0x81..=0x84 => {
            let (digits, after) = after.split_at_checked(usize::from(first & 0x7f))?;
            let len = digits
                .iter()
                .fold(0u64, |len, digit| len << 8 | u64::from(*digit));
            (usize::try_from(len).ok()?, after)
        }
        _ => return None,
    };
    let (body, after) = after.split_at_checked(len)?;
    *rest = after;
    Some(Item {
        tag,
        body,
        whole: &all[..all.len() - after.len()],
    })
}

/// The contents of the next item, which must have this tag.
fn expect<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    next(rest).filter(|item| item.tag == tag).map(|i| i.body)
}

/// A bit string of whole bytes.
fn bits<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    expect(rest, BIT_STRING)?.strip_prefix(&[0])
}

impl<'a> Certificate<'a> {
    /// Reads a certificate.
    pub fn parse(der: &'a [u8]) -> Option<Certificate<'a>> {
        let mut rest = der;
        let mut whole = expect(&mut rest, SEQUENCE)?;
        if !rest.is_empty() {
            return None;
        }
        let signed = next(&mut whole).filter(|item| item.tag == SEQUENCE)?;
        let algorithm = expect(&mut whole, SEQUENCE)?;
        let signature = bits(&mut whole)?;
        let mut body = signed.body;
        let mut version = 1;
        if body.first() == Some(&VERSION) {
            let mut field = expect(&mut body, VERSION)?;
            match expect(&mut field, INTEGER)? {
                [n @ 0..=2] => version = n + 1,
                _ => return None,
            }
        }
        expect(&mut body, INTEGER)?;
        // The algorithm stands twice, so that the signature is about it too.
        if expect(&mut body, SEQUENCE)? != algorithm {
            return None;
        }
        let issuer = expect(&mut body, SEQUENCE)?;
        let mut validity = expect(&mut body, SEQUENCE)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let subject = expect(&mut body, SEQUENCE)?;
        let spki = next(&mut body).filter(|item| item.tag == SEQUENCE)?.whole;
        let mut extensions: &[u8] = &[];
        while !body.is_empty() {
            let item = next(&mut body)?;
            if item.tag == EXTENSIONS {
                extensions = expect(&mut { item.body }, SEQUENCE)?;
            }
        }
        Some(Certificate {
            version,
            signed: signed.whole,
            issuer,
            subject,
            not_before,
            not_after,
            spki,
            extensions,
            algorithm,
            signature,
        })
    }

    /// Whether it is valid at this time.
    pub fn holds_at(&self, now: UnixTime) -> bool {
        (self.not_before..=self.not_after).contains(&now.as_secs())
    }

    /// The public key's algorithm and the key, each without its head.
    pub fn key(&self) -> Option<(&'a [u8], &'a [u8])> {
        key_parts(expect(&mut { self.spki }, SEQUENCE)?)
    }

    /// The last common name of the subject. `None` if there is none or it is no plain text: what holds a zero byte would be
    /// another name for whoever stops reading there.
    pub fn common_name(&self) -> Option<&'a str> {
        let (mut rest, mut found) = (self.subject, None);
        while !rest.is_empty() {
            let mut set = expect(&mut rest, SET)?;
            while !set.is_empty() {
                let mut pair = expect(&mut set, SEQUENCE)?;
                if expect(&mut pair, OID)? == COMMON_NAME {
                    found = Some(next(&mut pair)?.body);
                }
            }
        }
        plain(found?)
    }

    /// The URIs among the subject's alternative names.
    pub fn uris(&self) -> Vec<&'a str> {
        self.alternative_names()
            .unwrap_or_default()
            .into_iter()
            .filter(|item| item.tag == NAME_URI)
            .filter_map(|item| plain(item.body))
            .collect()
    }

    fn alternative_names(&self) -> Option<Vec<Item<'a>>> {
        let mut rest = self.extensions;
        while !rest.is_empty() {
            let mut extension = expect(&mut rest, SEQUENCE)?;
            if expect(&mut extension, OID)? != SUBJECT_ALT_NAME {
                continue;
            }
            let mut value = next(&mut extension)?;
            if value.tag != OCTET_STRING {
                // In between it may say that the extension is critical.
                value = next(&mut extension).filter(|item| item.tag == OCTET_STRING)?;
            }
            let mut names = expect(&mut { value.body }, SEQUENCE)?;
            let mut found = Vec::new();
            while !names.is_empty() {
                found.push(next(&mut names)?);
            }
            return Some(found);
        }
        None
    }
}

fn plain(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.contains('\0')).then_some(text)
}

/// The algorithm and the key within a public key, all of them without their heads.
pub fn key_parts(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = spki;
    let algorithm = expect(&mut rest, SEQUENCE)?;
    Some((algorithm, bits(&mut rest)?))
}

/// A point in time, in seconds of Unix. What was before 1970 is 1970.
fn time(rest: &mut &[u8]) -> Option<u64> {
    let item = next(rest)?;
    let text = std::str::from_utf8(item.body).ok()?.strip_suffix('Z')?;
    let (year_digits, short) = match item.tag {
        UTC_TIME => (2, true),
        GENERALIZED_TIME => (4, false),
        _ => return None,
    };
    if text.len() != year_digits + 10 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().ok();
    let year = match number(0..year_digits)? {
        year if short && year < 50 => 2000 + year,
        year if short => 1900 + year,
        year => year,
    };
    let at = |n: usize| number(year_digits + 2 * n..year_digits + 2 * n + 2);
    let (month, day) = (at(0)?, at(1)?);
    let (hour, minute, second) = (at(2)?, at(3)?, at(4)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(u64::try_from(seconds).unwrap_or(0))
}

/// Days since the first of January 1970.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the day of the leap year is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match body.len() {
            len @ 0..=0x7f => out.push(len as u8),
            len => out.extend([0x82, (len >> 8) as u8, len as u8]),
        }
        out.extend_from_slice(body);
        out
    }

    fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
        der(SEQUENCE, &parts.concat())
    }

    fn name(common: &[u8]) -> Vec<u8> {
        let pair = sequence(&[der(OID, COMMON_NAME), der(0x0c, common)]);
        sequence(&[der(SET, &pair)])
    }

    fn certificate(common: &[u8], version: Option<u8>) -> Vec<u8> {
        let algorithm = sequence(&[der(OID, &[1, 2, 3])]);
        let mut fields = Vec::new();
        if let Some(n) = version {
            fields.push(der(VERSION, &der(INTEGER, &[n])));
        }
        let key = sequence(&[algorithm.clone(), der(BIT_STRING, &[0, 7, 7])]);
        let uris = sequence(&[der(0x82, b"host"), der(NAME_URI, b"urn:user")]);
        let extension = sequence(&[der(OID, SUBJECT_ALT_NAME), der(OCTET_STRING, &uris)]);
        fields.extend([
            der(INTEGER, &[5]),
            algorithm.clone(),
            name(b"issuer"),
            sequence(&[
                der(UTC_TIME, b"700101000010Z"),
                der(GENERALIZED_TIME, b"20000301000000Z"),
            ]),
            name(common),
            key,
            der(EXTENSIONS, &sequence(&[extension])),
        ]);
        sequence(&[sequence(&fields), algorithm, der(BIT_STRING, &[0, 1, 2, 3])])
    }

    #[test]
    fn fields_are_found() {
        for (version, told) in [(None, 1), (Some(0), 1), (Some(2), 3)] {
            let bytes = certificate(b"bob", version);
            let cert = Certificate::parse(&bytes).unwrap();
            assert_eq!(cert.version, told);
            assert_eq!(cert.common_name(), Some("bob"));
            assert_eq!(cert.uris(), ["urn:user"]);
            assert_eq!((cert.not_before, cert.not_after), (10, 951_868_800));
            let (algorithm, key) = cert.key().unwrap();
            assert_eq!((algorithm, key), (cert.algorithm, &[7u8, 7][..]));
            assert_eq!(cert.signature, [1, 2, 3]);
            let at = |s| UnixTime::since_unix_epoch(std::time::Duration::from_secs(s));
            assert!(cert.holds_at(at(10)) && cert.holds_at(at(951_868_800)));
            assert!(!cert.holds_at(at(9)) && !cert.holds_at(at(951_868_801)));
        }
        assert_eq!(days(2000, 3, 1), 11_017);
        assert_eq!(days(2026, 12, 31), 20_818);
    }

    #[test]
    fn a_name_with_a_zero_byte_is_none() {
        let bytes = certificate(b"admin\0.evil", None);
        assert_eq!(Certificate::parse(&bytes).unwrap().common_name(), None);
    }

    #[test]
    fn nothing_that_is_cut_or_changed_makes_it_panic() {
        let bytes = certificate(b"bob", Some(2));
        for len in 0..bytes.len() {
            assert!(Certificate::parse(&bytes[..len]).is_none());
        }
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                if let Some(cert) = Certificate::parse(&bytes) {
                    let _ = (cert.common_name(), cert.uris(), cert.key());
                }
            }
        }
    }
}
