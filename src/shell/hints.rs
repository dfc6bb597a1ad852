//! The arguments that a line still lacks.
//!
//! The words typed so far are matched with the arguments of the command one after another. Optional arguments that stand
//! side by side may come in any order; what is left is shown, with the argument that was begun in front. A word that fits
//! nowhere ends the hints.

use super::facts::{Arg, Fact, Facts, join};
use crate::base::num::parse_f64;
use crate::base::words;
use crate::command::syntax::Kind;

/// The hint for a line, with a blank in front if the line does not end with one.
pub fn hint(facts: &Facts, line: &str) -> Option<String> {
    let ends = line.ends_with(' ');
    let words = words::split(line.as_bytes())?;
    let (fact, len) = facts.find(&words)?;
    let rest = remaining(fact, &words[len..], ends);
    if rest.is_empty() {
        return None;
    }
    Some(if ends { rest } else { format!(" {rest}") })
}

/// What a command still takes behind `words`; the last of them counts only if it is `complete`.
fn remaining(fact: &Fact, words: &[Vec<u8>], complete: bool) -> String {
    let whole = if complete {
        words
    } else {
        &words[..words.len().saturating_sub(1)]
    };
    match sequence(&fact.args, whole) {
        Match::Open(rest) => rest.join(" "),
        Match::Whole { used, tail } if used == whole.len() => tail.unwrap_or_default(),
        Match::Whole { .. } | Match::None => String::new(),
    }
}

/// How words fit an argument, or several in a row.
enum Match {
    None,
    /// So many words are all of it; the tail says how it could go on.
    Whole {
        used: usize,
        tail: Option<String>,
    },
    /// All words are used, and this is missing.
    Open(Vec<String>),
}

fn sequence(args: &[Arg], words: &[Vec<u8>]) -> Match {
    let mut used = 0;
    let mut tail = None;
    let mut at = 0;
    while at < args.len() {
        let run = args[at..].iter().take_while(|arg| arg.optional).count();
        if run > 0 {
            let run = &args[at..at + run];
            let (matched, taken, begun) = optional_run(run, &words[used..]);
            used += taken;
            if matched.iter().any(|is| *is) {
                tail = None;
            }
            if used == words.len() {
                let others = run.iter().zip(&matched).filter(|(_, is)| !**is);
                let mut rest: Vec<String> = begun.into_iter().chain(tail).collect();
                rest.extend(others.map(|(arg, _)| join(std::slice::from_ref(arg))));
                return finish(rest, &args[at + run.len()..], used);
            }
            at += run.len();
            continue;
        }
        if used == words.len() {
            return finish(tail.into_iter().collect(), &args[at..], used);
        }
        match one(&args[at], &words[used..]) {
            Match::None => return Match::None,
            Match::Whole {
                used: taken,
                tail: more,
            } => (used, tail) = (used + taken, more),
            Match::Open(mut rest) => {
                rest.extend(
                    args[at + 1..]
                        .iter()
                        .map(|arg| join(std::slice::from_ref(arg))),
                );
                return Match::Open(rest);
            }
        }
        at += 1;
    }
    Match::Whole { used, tail }
}

/// All words are used: `rest` and the arguments that follow are missing, but optional ones need not come.
fn finish(mut rest: Vec<String>, args: &[Arg], used: usize) -> Match {
    rest.extend(args.iter().map(|arg| join(std::slice::from_ref(arg))));
    if args.iter().all(|arg| arg.optional) && used > 0 {
        let tail = (!rest.is_empty()).then(|| rest.join(" "));
        return Match::Whole { used, tail };
    }
    Match::Open(rest)
}

/// Which of these were matched, how many words they took, and what is missing of the last of them.
fn optional_run(run: &[Arg], words: &[Vec<u8>]) -> (Vec<bool>, usize, Option<String>) {
    let mut matched = vec![false; run.len()];
    let mut used = 0;
    let mut begun = None;
    'words: while used < words.len() {
        for (at, arg) in run.iter().enumerate() {
            if matched[at] {
                continue;
            }
            match one(arg, &words[used..]) {
                Match::None => {}
                Match::Whole { used: taken, tail } => {
                    matched[at] = true;
                    used += taken;
                    begun = tail;
                    continue 'words;
                }
                Match::Open(rest) => {
                    matched[at] = true;
                    return (matched, words.len(), Some(rest.join(" ")));
                }
            }
        }
        // It belongs to what comes behind the optional arguments.
        return (matched, used, None);
    }
    (matched, used, begun)
}

/// An argument with its token and its repetitions; there is at least one word.
fn one(arg: &Arg, words: &[Vec<u8>]) -> Match {
    let mut used = 0;
    if let Some(token) = &arg.token {
        if !words[0].eq_ignore_ascii_case(token.as_bytes()) {
            return Match::None;
        }
        used = 1;
        if arg.kind == Kind::PureToken {
            return repeated(arg, words, used);
        }
        if words.len() == 1 {
            let mut rest = String::new();
            arg.write_rest(&mut rest);
            return Match::Open(vec![rest]);
        }
    }
    match value(arg, &words[used..]) {
        // All of it is optional, and none of it came.
        Match::Whole { used: 0, .. } => Match::None,
        Match::Whole { used: taken, tail } => {
            used += taken;
            if arg.multiple {
                repeated(arg, words, used)
            } else {
                Match::Whole { used, tail }
            }
        }
        Match::Open(rest) => Match::Open(with_more(arg, rest)),
        Match::None => Match::None,
    }
}

/// The repetitions behind the first `used` words.
fn repeated(arg: &Arg, words: &[Vec<u8>], mut used: usize) -> Match {
    while arg.multiple && used < words.len() {
        let mut next = used;
        if arg.multiple_token
            && let Some(token) = &arg.token
        {
            if !words[next].eq_ignore_ascii_case(token.as_bytes()) {
                break;
            }
            next += 1;
        }
        if next == words.len() {
            let mut rest = String::new();
            arg.write_rest(&mut rest);
            return Match::Open(vec![rest]);
        }
        match value(arg, &words[next..]) {
            Match::Whole { used: 0, .. } | Match::None => break,
            Match::Whole { used: taken, .. } => used = next + taken,
            Match::Open(rest) => return Match::Open(with_more(arg, rest)),
        }
    }
    let mut more = String::new();
    if arg.multiple {
        arg.write_more(&mut more);
    }
    Match::Whole {
        used: used.min(words.len()),
        tail: arg.multiple.then_some(more),
    }
}

fn with_more(arg: &Arg, mut rest: Vec<String>) -> Vec<String> {
    if arg.multiple {
        let mut more = String::new();
        arg.write_more(&mut more);
        rest.push(more);
    }
    rest
}

/// An argument without its token; there is at least one word.
fn value(arg: &Arg, words: &[Vec<u8>]) -> Match {
    let number = || std::str::from_utf8(&words[0]).is_ok_and(|text| text.parse::<i64>().is_ok());
    let fits = match arg.kind {
        Kind::OneOf => {
            let matches = arg.args.iter().map(|arg| one(arg, words));
            return matches
                .into_iter()
                .find(|found| !matches!(found, Match::None))
                .unwrap_or(Match::None);
        }
        Kind::Block => return sequence(&arg.args, words),
        Kind::Integer | Kind::UnixTime => number(),
        Kind::Double => parse_f64(&words[0]).is_some(),
        Kind::PureToken => false,
        Kind::String | Kind::Key | Kind::Pattern => true,
    };
    if fits {
        Match::Whole {
            used: 1,
            tail: None,
        }
    } else {
        Match::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::syntax;

    fn shown(syntax: &str, words: &str) -> String {
        let args = syntax::parse(syntax).unwrap();
        let fact = Fact {
            args: args.iter().map(Arg::from).collect(),
            ..Fact::default()
        };
        let split = words::split(words.as_bytes()).unwrap();
        remaining(&fact, &split, words.is_empty() || words.ends_with(' '))
    }

    #[test]
    fn arguments_one_after_another() {
        assert_eq!(shown("key/k0", ""), "key");
        assert_eq!(shown("key/k0", "a "), "");
        assert_eq!(shown("key/k0 decrement/i", "a "), "decrement");
        assert_eq!(shown("key/k0 decrement/i", "a 5 x "), "");
        assert_eq!(shown("key/k0 [count/i]", "a "), "[count]");
        assert_eq!(shown("key/k0...", ""), "key [key ...]");
        assert_eq!(shown("key/k0...", "a b "), "[key ...]");
        assert_eq!(shown("data{p v}...", "a "), "v [p v ...]");
        assert_eq!(shown("data{p v}...", "a b "), "[p v ...]");
        assert_eq!(
            shown("a<LEFT|RIGHT> b<LEFT|RIGHT> timeout/d", "left "),
            "LEFT|RIGHT timeout"
        );
        assert_eq!(shown("host k<key/k0|'':e/!> db/i", "h "), "key|\"\" db");
    }

    #[test]
    fn a_word_is_counted_when_it_is_complete() {
        let xrange = "key/k0 start end [COUNT:count/i]";
        for (words, hint) in [
            ("k 4 2 ", "[COUNT count]"),
            ("k 4 2 COU", "[COUNT count]"),
            ("k 4 2 COUNT", "[COUNT count]"),
            ("k 4 2 count ", "count"),
            ("k 4 2 count 3 ", ""),
            ("k 4 2 nosuch ", ""),
        ] {
            assert_eq!(shown(xrange, words), hint, "{words}");
        }
    }

    #[test]
    fn optional_arguments_come_in_any_order() {
        let set = "key/k0 value [c<NX|XX>] [GET] [e<EX:seconds/i|PX:ms/i|KEEPTTL>]";
        for (words, hint) in [
            ("k v ", "[NX|XX] [GET] [EX seconds|PX ms|KEEPTTL]"),
            ("k v EX ", "seconds [NX|XX] [GET]"),
            ("k v EX 2 ", "[NX|XX] [GET]"),
            ("k v EX two ", ""),
            ("k v keepttl xx ", "[GET]"),
            ("k v keepttl get xx ", ""),
            ("k v foo ", ""),
        ] {
            assert_eq!(shown(set, words), hint, "{words}");
        }
        let zadd = "key/k0 [c<NX|XX>] [CH:c/!] data{score/d member}...";
        assert_eq!(
            shown(zadd, "k CH "),
            "[NX|XX] score member [score member ...]"
        );
        assert_eq!(shown(zadd, "k 0 "), "member [score member ...]");
    }

    #[test]
    fn what_may_follow_goes_when_something_else_begins() {
        let args = "key/k0 [c{COUNT:count/i [ANY]}] [o<ASC|DESC>] [STORE:key/k1]";
        assert_eq!(
            shown(args, "k COUNT "),
            "count [ANY] [ASC|DESC] [STORE key]"
        );
        assert_eq!(shown(args, "k COUNT 2 "), "[ANY] [ASC|DESC] [STORE key]");
        assert_eq!(shown(args, "k COUNT 2 ASC "), "[STORE key]");
        let get = "key/k0 [GET:g{enc off/i}+...]";
        assert_eq!(shown(get, "k "), "[GET enc off [GET enc off ...]]");
        assert_eq!(shown(get, "k GET "), "enc off [GET enc off ...]");
        assert_eq!(shown(get, "k GET u8 "), "off [GET enc off ...]");
        assert_eq!(shown(get, "k GET u8 1 "), "[GET enc off ...]");
        assert_eq!(shown(get, "k GET u8 1 GET "), "enc off [GET enc off ...]");
        assert_eq!(
            shown("k/k0 [o{count/i [WITHSCORES]}]", "k 3 "),
            "[WITHSCORES]"
        );
    }

    #[test]
    fn hints_of_lines() {
        let facts = Facts::own();
        assert_eq!(hint(&facts, "get").as_deref(), Some(" key"));
        assert_eq!(hint(&facts, "get ").as_deref(), Some("key"));
        assert_eq!(hint(&facts, "get a "), None);
        assert_eq!(
            hint(&facts, "config set a ").as_deref(),
            Some("value [parameter value ...]")
        );
        assert_eq!(hint(&facts, "nosuch "), None);
        assert_eq!(hint(&facts, "get \"a"), None);
        assert_eq!(hint(&facts, ""), None);
    }
}
