//! Where the keys of a call stand: [`keys_of`], the one function that ACL, cluster slots, COMMAND GETKEYS, client-side
//! caching and execution share.
//!
//! Most commands are served by their key specs. Where the specs cannot tell (a key behind an option, flags that depend
//! on options), the row names one of the getters below as `special_keys`, and that one answers alone.

use smallvec::SmallVec;

use super::spec::{Begin, Find, Flags, KeyFlags, KeySpec, Spec};

/// The arguments of a call, the command name included.
pub trait Args {
    fn len(&self) -> usize;

    /// Argument `at`, which is less than `len()`.
    fn arg(&self, at: usize) -> &[u8];

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: AsRef<[u8]>> Args for [T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }

    fn arg(&self, at: usize) -> &[u8] {
        self[at].as_ref()
    }
}

impl<T: AsRef<[u8]>> Args for &[T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }

    fn arg(&self, at: usize) -> &[u8] {
        self[at].as_ref()
    }
}

/// The position of a key among the arguments, and what the command does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub at: usize,
    pub flags: KeyFlags,
}

/// The keys of a call, in order of the key specs. Those with [`KeyFlags::NOT_KEY`] matter for cluster slots alone.
pub type KeyList = SmallVec<[Key; 4]>;

/// The arguments are such that the keys cannot be told; execution will refuse the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysError;

/// A getter for commands whose key specs do not tell all.
pub type SpecialKeys = fn(&dyn Args, &mut KeyList) -> Result<(), KeysError>;

/// Appends the keys of the call to `out`. The number of arguments has passed [`Spec::arity_ok`]; of a sub-command, `spec`
/// is the sub-command's row while `args` begin with the container's name.
pub fn keys_of(spec: &Spec, args: &dyn Args, out: &mut KeyList) -> Result<(), KeysError> {
    if let Some(special) = spec.special_keys {
        return special(args, out);
    }
    for key in spec.keys {
        by_spec(spec, key, args, out)?;
    }
    Ok(())
}

fn by_spec(
    spec: &Spec,
    key: &KeySpec,
    args: &dyn Args,
    out: &mut KeyList,
) -> Result<(), KeysError> {
    let argc = args.len();
    let Some(begin) = begin_of(key.begin, args) else {
        return Ok(());
    };
    let (first, last, step) = match key.find {
        Find::Unknown => return Ok(()),
        // As many as there are, none included: the arity says whether none is right.
        Find::Range {
            last: -1, limit: 0, ..
        } if begin == argc => return Ok(()),
        Find::Range { last, step, limit } => {
            let last = match last {
                -1 if limit > 1 => {
                    (begin + argc.saturating_sub(begin) / usize::from(limit)).checked_sub(1)
                }
                l if l < 0 => argc.checked_sub(usize::from(l.unsigned_abs())),
                l => Some(begin + usize::from(l.unsigned_abs())),
            };
            (begin, last.ok_or(KeysError)?, usize::from(step))
        }
        Find::KeyNum {
            keynumidx,
            firstkey,
            step,
        } => {
            let at = begin + usize::from(keynumidx);
            if at >= argc {
                return Err(KeysError);
            }
            let count = key_count(args.arg(at)).ok_or(KeysError)?;
            if count == 0 {
                let none_is_right = spec.flags.contains(Flags::NO_MANDATORY_KEYS);
                return if none_is_right {
                    Ok(())
                } else {
                    Err(KeysError)
                };
            }
            let first = begin + usize::from(firstkey);
            let span = (count - 1)
                .checked_mul(usize::from(step))
                .ok_or(KeysError)?;
            (
                first,
                first.checked_add(span).ok_or(KeysError)?,
                usize::from(step),
            )
        }
    };
    if last >= argc || first > last {
        return Err(KeysError);
    }
    out.extend((first..=last).step_by(step.max(1)).map(|at| Key {
        at,
        flags: key.flags,
    }));
    Ok(())
}

/// Where the search begins; `None` if the keyword is not there.
fn begin_of(begin: Begin, args: &dyn Args) -> Option<usize> {
    let argc = args.len();
    match begin {
        Begin::Index(at) => Some(usize::from(at)),
        Begin::Unknown => None,
        Begin::Keyword { word, from } => {
            let is_word = |&at: &usize| args.arg(at).eq_ignore_ascii_case(word.as_bytes());
            let at = match usize::try_from(from) {
                Ok(from) => (from..argc).find(is_word),
                Err(_) => (1..=argc.checked_sub(usize::from(from.unsigned_abs()))?)
                    .rev()
                    .find(is_word),
            };
            at.map(|at| at + 1)
        }
    }
}

/// The number of keys that a call states, as execution reads it: a plain decimal number, not negative.
fn key_count(text: &[u8]) -> Option<usize> {
    let plain = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

fn one(at: usize, flags: KeyFlags, args: &dyn Args, out: &mut KeyList) -> Result<(), KeysError> {
    if at >= args.len() {
        return Err(KeysError);
    }
    out.push(Key { at, flags });
    Ok(())
}

fn is(args: &dyn Args, at: usize, word: &str) -> bool {
    args.arg(at).eq_ignore_ascii_case(word.as_bytes())
}

/// SET: without GET and without a comparison the old value stays unknown to the caller.
pub fn set(args: &dyn Args, out: &mut KeyList) -> Result<(), KeysError> {
    let mut flags = KeyFlags::OW | KeyFlags::UPDATE;
    let mut at = 3;
    while at < args.len() {
        let any_of = |words: &[&str]| words.iter().any(|w| is(args, at, w));
        let compares = any_of(&["IFEQ", "IFNE", "IFDEQ", "IFDNE"]);
        if compares || any_of(&["GET"]) {
            flags = KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE;
        }
        at += if compares || any_of(&["EX", "PX", "EXAT", "PXAT"]) {
            2
        } else {
            1
        };
    }
    one(1, flags, args, out)
}

/// BITFIELD: reads only, if every operation is a GET.
pub fn bitfield(args: &dyn Args, out: &mut KeyList) -> Result<(), KeysError> {
    let mut flags = KeyFlags::RO | KeyFlags::ACCESS;
    let mut at = 2;
    while at < args.len() {
        at += if is(args, at, "GET") {
            3
        } else if is(args, at, "OVERFLOW") {
            2
        } else {
            flags = KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE;
            4
        };
    }
    one(1, flags, args, out)
}

/// SORT: the last STORE counts. The keys that BY and GET reach are made from values and cannot be told.
pub fn sort(args: &dyn Args, out: &mut KeyList) -> Result<(), KeysError> {
    one(1, KeyFlags::RO | KeyFlags::ACCESS, args, out)?;
    let mut store = None;
    let mut at = 2;
    while at < args.len() {
        at += if is(args, at, "LIMIT") {
            3
        } else if is(args, at, "BY") || is(args, at, "GET") {
            2
        } else if is(args, at, "STORE") && at + 1 < args.len() {
            store = Some(at + 1);
            2
        } else {
            1
        };
    }
    match store {
        Some(at) => one(at, KeyFlags::OW | KeyFlags::UPDATE, args, out),
        None => Ok(()),
    }
}

/// GEORADIUS: options behind argument 5, the last STORE or STOREDIST counts.
pub fn georadius(args: &dyn Args, out: &mut KeyList) -> Result<(), KeysError> {
    geo_store(6, args, out)
}

/// GEORADIUSBYMEMBER: as GEORADIUS, one argument less.
pub fn georadiusbymember(args: &dyn Args, out: &mut KeyList) -> Result<(), KeysError> {
    geo_store(5, args, out)
}

fn geo_store(options: usize, args: &dyn Args, out: &mut KeyList) -> Result<(), KeysError> {
    one(1, KeyFlags::RO | KeyFlags::ACCESS, args, out)?;
    let mut store = None;
    let mut at = options;
    while at < args.len() {
        if (is(args, at, "STORE") || is(args, at, "STOREDIST")) && at + 1 < args.len() {
            store = Some(at + 1);
            at += 2;
        } else {
            at += if is(args, at, "COUNT") { 2 } else { 1 };
        }
    }
    match store {
        Some(at) => one(at, KeyFlags::OW | KeyFlags::UPDATE, args, out),
        None => Ok(()),
    }
}

/// MIGRATE: the key at argument 3, or, if that is empty, all arguments behind KEYS.
pub fn migrate(args: &dyn Args, out: &mut KeyList) -> Result<(), KeysError> {
    let flags = KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::DELETE;
    if args.len() <= 3 {
        return Err(KeysError);
    }
    let mut listed = None;
    let mut at = 6;
    while at < args.len() && listed.is_none() {
        if is(args, at, "KEYS") {
            listed = Some(at + 1);
        }
        at += if is(args, at, "AUTH2") {
            3
        } else if is(args, at, "AUTH") {
            2
        } else {
            1
        };
    }
    match listed {
        None => one(3, flags, args, out),
        Some(first) if first < args.len() && args.arg(3).is_empty() => {
            out.extend((first..args.len()).map(|at| Key { at, flags }));
            Ok(())
        }
        Some(_) => Err(KeysError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RO: KeyFlags = KeyFlags::RO;

    fn positions(spec: &Spec, call: &str) -> Result<Vec<usize>, KeysError> {
        let args: Vec<&[u8]> = call
            .split(' ')
            .map(|w| if w == "''" { &[][..] } else { w.as_bytes() })
            .collect();
        let mut out = KeyList::new();
        keys_of(spec, &args.as_slice(), &mut out)?;
        Ok(out.iter().map(|k| k.at).collect())
    }

    fn flags(special: SpecialKeys, call: &str) -> KeyFlags {
        let args: Vec<&str> = call.split(' ').collect();
        let mut out = KeyList::new();
        special(&args.as_slice(), &mut out).expect("keys");
        out[0].flags
    }

    #[test]
    fn ranges() {
        const MGET: Spec = Spec {
            keys: &[KeySpec::range(RO, 1, -1, 1)],
            ..Spec::BLANK
        };
        assert_eq!(positions(&MGET, "mget a b c"), Ok(vec![1, 2, 3]));
        assert_eq!(positions(&MGET, "sunsubscribe"), Ok(vec![]));
        const MSET: Spec = Spec {
            keys: &[KeySpec::range(RO, 1, -1, 2)],
            ..Spec::BLANK
        };
        assert_eq!(positions(&MSET, "mset a 1 b 2"), Ok(vec![1, 3]));
        const BLPOP: Spec = Spec {
            keys: &[KeySpec::range(RO, 1, -2, 1)],
            ..Spec::BLANK
        };
        assert_eq!(positions(&BLPOP, "blpop a b 0"), Ok(vec![1, 2]));
        assert_eq!(positions(&BLPOP, "blpop a"), Err(KeysError));
        const TWO: Spec = Spec {
            keys: &[KeySpec::one(RO, 1), KeySpec::one(RO, 2)],
            ..Spec::BLANK
        };
        assert_eq!(positions(&TWO, "lmove a"), Err(KeysError));
    }

    #[test]
    fn counted_keys() {
        const ZUNIONSTORE: Spec = Spec {
            keys: &[KeySpec::one(RO, 1), KeySpec::counted(RO, 2)],
            ..Spec::BLANK
        };
        assert_eq!(
            positions(&ZUNIONSTORE, "zunionstore d 2 a b WEIGHTS 1 2"),
            Ok(vec![1, 3, 4])
        );
        for bad in [
            "0 a",
            "5 a",
            "abc a",
            "-1 a",
            "01 a",
            "18446744073709551615 a",
            "99999999999999999999 a",
        ] {
            assert_eq!(
                positions(&ZUNIONSTORE, &format!("zunionstore d {bad}")),
                Err(KeysError),
                "{bad}"
            );
        }
        const EVAL: Spec = Spec {
            keys: &[KeySpec::counted(RO, 2)],
            flags: Flags::NO_MANDATORY_KEYS,
            ..Spec::BLANK
        };
        assert_eq!(positions(&EVAL, "eval s 0 a b"), Ok(vec![]));
    }

    #[test]
    fn keyword() {
        const STREAMS: KeySpec = KeySpec {
            flags: RO,
            begin: Begin::Keyword {
                word: "STREAMS",
                from: 1,
            },
            find: Find::Range {
                last: -1,
                step: 1,
                limit: 2,
            },
        };
        const XREAD: Spec = Spec {
            keys: &[STREAMS],
            ..Spec::BLANK
        };
        assert_eq!(
            positions(&XREAD, "xread count 5 streams a b 0 0"),
            Ok(vec![4, 5])
        );
        assert_eq!(positions(&XREAD, "xread streams"), Err(KeysError));
        assert_eq!(positions(&XREAD, "xread count 5"), Ok(vec![]));
    }

    #[test]
    fn set_and_bitfield_flags_follow_options() {
        let blind = KeyFlags::OW | KeyFlags::UPDATE;
        let seen = KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE;
        assert_eq!(flags(set, "set k v"), blind);
        assert_eq!(flags(set, "set k get ex 5"), blind);
        assert_eq!(flags(set, "set k v nx get"), seen);
        assert_eq!(flags(set, "set k v ifeq w"), seen);
        assert_eq!(
            flags(bitfield, "bitfield k get u8 0 overflow sat get u8 8"),
            RO | KeyFlags::ACCESS
        );
        assert_eq!(flags(bitfield, "bitfield k get u8 0 set u8 0 1"), seen);
        assert_eq!(flags(bitfield, "bitfield k incrby u8 get 1"), seen);
    }

    #[test]
    fn keys_behind_options() {
        let spec = |special| Spec {
            special_keys: Some(special),
            ..Spec::BLANK
        };
        assert_eq!(
            positions(&spec(sort), "sort a by store get store store d"),
            Ok(vec![1, 7])
        );
        assert_eq!(
            positions(&spec(sort), "sort a store d store e"),
            Ok(vec![1, 5])
        );
        assert_eq!(positions(&spec(sort), "sort a store"), Ok(vec![1]));
        assert_eq!(
            positions(
                &spec(georadius),
                "georadius k 1 1 1 m count 1 store d storedist e"
            ),
            Ok(vec![1, 11])
        );
        assert_eq!(
            positions(&spec(georadius), "georadius store 1 1 1 m"),
            Ok(vec![1])
        );
        assert_eq!(
            positions(
                &spec(georadiusbymember),
                "georadiusbymember k m 1 m store d"
            ),
            Ok(vec![1, 6])
        );
        assert_eq!(
            positions(&spec(migrate), "migrate h 1 k 0 5 copy"),
            Ok(vec![3])
        );
        assert_eq!(
            positions(&spec(migrate), "migrate h 1 '' 0 5 auth keys keys a b"),
            Ok(vec![9, 10])
        );
        assert_eq!(
            positions(&spec(migrate), "migrate h 1 '' 0 5 keys"),
            Err(KeysError)
        );
    }
}
