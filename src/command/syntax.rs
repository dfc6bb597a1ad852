//! The arguments of a command as a tree, written in one line of its row.
//!
//! ```text
//! key/k0 value [condition<NX|XX>@2.6.12] [GET@6.2.0] [expiration<EX:seconds/i|PX:milliseconds/i>]
//! ```
//! - `name` is a string; `name/i` an integer, `/d` a double, `/t` a Unix time, `/p` a pattern, `/k` a key. A digit behind
//!   `/k` or `/p` is the index of the key spec that finds it.
//! - `TOKEN` is a word to be written as it is, named by its lower case; `TOKEN:name/!` the same under another name, and
//!   `name/!` one without a token.
//! - `name(text)` is shown to people as `text`.
//! - `TOKEN:` before any other argument means that the word stands before it.
//! - `name<a|b>` is one of several, `name{a b}` all in this order.
//! - `…...` may be repeated; with `+...` its token is repeated too.
//! - `@1.2.3` is the release that brought it, `%1.2.3` the one that deprecated it.
//! - `[…]` around an argument makes it optional.
//! - `'…'` holds a word with other characters than letters, digits and `_-*$~=`.

use std::fmt::Write;

/// An argument in the documentation of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg<'a> {
    pub name: String,
    /// What people see in its place.
    pub display: Option<&'a str>,
    pub kind: Kind,
    pub token: Option<&'a str>,
    pub key_spec: Option<u8>,
    pub since: Option<&'a str>,
    pub deprecated_since: Option<&'a str>,
    pub optional: bool,
    pub multiple: bool,
    /// With `multiple`: the token is repeated as well.
    pub multiple_token: bool,
    /// Of [`Kind::OneOf`] and [`Kind::Block`] alone.
    pub args: Vec<Arg<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl Kind {
    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Double => "double",
            Kind::Key => "key",
            Kind::Pattern => "pattern",
            Kind::UnixTime => "unix-time",
            Kind::PureToken => "pure-token",
            Kind::OneOf => "oneof",
            Kind::Block => "block",
        }
    }

    /// Has arguments of its own instead of a text.
    pub const fn is_group(self) -> bool {
        matches!(self, Kind::OneOf | Kind::Block)
    }
}

impl Arg<'_> {
    /// What people see.
    pub fn shown(&self) -> &str {
        self.display.unwrap_or(&self.name)
    }
}

/// The position in a syntax line at which it breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub at: usize,
}

/// Reads a syntax line. A test reads those of all rows.
pub fn parse(line: &str) -> Result<Vec<Arg<'_>>, SyntaxError> {
    let mut parser = Parser { line, at: 0 };
    let args = if line.is_empty() {
        Vec::new()
    } else {
        parser.list(b' ')?
    };
    if parser.at == line.len() {
        Ok(args)
    } else {
        Err(parser.error())
    }
}

struct Parser<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self) -> SyntaxError {
        SyntaxError { at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, text: &str) -> bool {
        let hit = self.line.as_bytes()[self.at..].starts_with(text.as_bytes());
        self.at += if hit { text.len() } else { 0 };
        hit
    }

    fn expect(&mut self, text: &str) -> Result<(), SyntaxError> {
        if self.take(text) {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.line[self.at..];
        let len = rest.bytes().position(|b| !accept(b)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn list(&mut self, separator: u8) -> Result<Vec<Arg<'a>>, SyntaxError> {
        let mut args = vec![self.arg()?];
        while self.peek() == Some(separator) {
            self.at += 1;
            args.push(self.arg()?);
        }
        Ok(args)
    }

    /// A word and whether it was in quotes.
    fn word(&mut self) -> Result<(&'a str, bool), SyntaxError> {
        if self.take("'") {
            let word = self.take_while(|b| b != b'\'');
            self.expect("'")?;
            return Ok((word, true));
        }
        let word = self.take_while(|b| b.is_ascii_alphanumeric() || b"_-*$~=".contains(&b));
        if word.is_empty() {
            Err(self.error())
        } else {
            Ok((word, false))
        }
    }

    fn arg(&mut self) -> Result<Arg<'a>, SyntaxError> {
        let optional = self.take("[");
        let (first, quoted) = self.word()?;
        let (token, name) = if self.take(":") {
            (Some(first), self.word()?.0)
        } else {
            (None, first)
        };
        let mut arg = Arg {
            name: name.to_owned(),
            display: None,
            kind: Kind::String,
            token,
            key_spec: None,
            since: None,
            deprecated_since: None,
            optional,
            multiple: false,
            multiple_token: false,
            args: Vec::new(),
        };
        if self.take("(") {
            arg.display = Some(self.take_while(|b| b != b')'));
            self.expect(")")?;
        }
        let is_token = |w: &str| {
            w.bytes().any(|b| b.is_ascii_uppercase()) && !w.bytes().any(|b| b.is_ascii_lowercase())
        };
        if self.take("<") {
            (arg.kind, arg.args) = (Kind::OneOf, self.list(b'|')?);
            self.expect(">")?;
        } else if self.take("{") {
            (arg.kind, arg.args) = (Kind::Block, self.list(b' ')?);
            self.expect("}")?;
        } else if self.take("/") {
            self.kind(&mut arg)?;
        } else if token.is_none() && !quoted && is_token(first) {
            (arg.kind, arg.token) = (Kind::PureToken, Some(first));
            arg.name.make_ascii_lowercase();
        }
        self.suffixes(&mut arg);
        if optional {
            self.expect("]")?;
        }
        Ok(arg)
    }

    fn kind(&mut self, arg: &mut Arg<'a>) -> Result<(), SyntaxError> {
        arg.kind = match self.peek() {
            Some(b'i') => Kind::Integer,
            Some(b'd') => Kind::Double,
            Some(b't') => Kind::UnixTime,
            Some(b'p') => Kind::Pattern,
            Some(b'k') => Kind::Key,
            Some(b'!') => Kind::PureToken,
            _ => return Err(self.error()),
        };
        self.at += 1;
        let index = self.take_while(|b| b.is_ascii_digit());
        if !index.is_empty() {
            arg.key_spec = Some(index.parse().map_err(|_| self.error())?);
        }
        Ok(())
    }

    fn suffixes(&mut self, arg: &mut Arg<'a>) {
        arg.multiple_token = self.take("+...");
        arg.multiple = arg.multiple_token || self.take("...");
        let version = |b: u8| b.is_ascii_digit() || b == b'.';
        if self.take("@") {
            arg.since = Some(self.take_while(version));
        }
        if self.take("%") {
            arg.deprecated_since = Some(self.take_while(version));
        }
    }
}

/// The line that shows people how to call a command: `SET key value [NX | XX] [GET]`.
pub fn usage(name: &str, args: &[Arg<'_>]) -> String {
    let mut out = name.to_ascii_uppercase();
    for arg in args {
        out.push(' ');
        write_arg(&mut out, arg);
    }
    out
}

fn write_arg(out: &mut String, arg: &Arg<'_>) {
    if arg.optional {
        out.push('[');
    }
    let token = arg.token.map(|t| if t.is_empty() { "\"\"" } else { t });
    if let Some(token) = token {
        out.push_str(token);
    }
    if arg.kind != Kind::PureToken || token.is_none() {
        if token.is_some() {
            out.push(' ');
        }
        write_value(out, arg);
    }
    if arg.multiple {
        out.push_str(" [");
        if let (true, Some(token)) = (arg.multiple_token, token) {
            let _ = write!(out, "{token} ");
        }
        write_value(out, arg);
        out.push_str(" ...]");
    }
    if arg.optional {
        out.push(']');
    }
}

fn write_value(out: &mut String, arg: &Arg<'_>) {
    let separator = match arg.kind {
        Kind::OneOf => " | ",
        Kind::Block => " ",
        _ => return out.push_str(arg.shown()),
    };
    // An optional argument that is not repeated has brackets around it already.
    let bare = arg.optional && !arg.multiple && arg.token.is_none();
    let angles = arg.kind == Kind::OneOf && !bare;
    if angles {
        out.push('<');
    }
    for (i, inner) in arg.args.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        write_arg(out, inner);
    }
    if angles {
        out.push('>');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, syntax: &str) -> String {
        usage(name, &parse(syntax).expect("syntax"))
    }

    #[test]
    fn plain_words_and_options() {
        let args = parse("key/k0 value [GET@6.2.0] [CH:change/!@3.0.2]").expect("syntax");
        assert_eq!(
            (args[0].kind, args[0].key_spec, args[0].name.as_str()),
            (Kind::Key, Some(0), "key")
        );
        assert_eq!((args[1].kind, args[1].token), (Kind::String, None));
        assert_eq!(
            (args[2].kind, args[2].token, args[2].name.as_str()),
            (Kind::PureToken, Some("GET"), "get")
        );
        assert!(args[2].optional && !args[1].optional);
        assert_eq!(
            (args[3].name.as_str(), args[3].since),
            ("change", Some("3.0.2"))
        );
        assert!(parse("").expect("syntax").is_empty());
    }

    #[test]
    fn groups_nest() {
        let args = parse("[op<GET:g{enc off/i}|w{[OVERFLOW:o<WRAP|SAT>] v}>...] 'a b'%1.0")
            .expect("syntax");
        assert_eq!(args[0].kind, Kind::OneOf);
        assert!(args[0].multiple && !args[0].multiple_token);
        assert_eq!(args[0].args[0].token, Some("GET"));
        assert_eq!(args[0].args[1].args[0].args.len(), 2);
        assert_eq!(
            (args[1].name.as_str(), args[1].deprecated_since),
            ("a b", Some("1.0"))
        );
    }

    #[test]
    fn broken_lines_are_refused() {
        for (bad, at) in [
            ("a  b", 2),
            ("[a", 2),
            ("a]", 1),
            ("a<b", 3),
            ("a/x", 2),
            ("a{b|c}", 3),
            ("'a", 2),
            ("a(b", 3),
            ("a ", 2),
        ] {
            assert_eq!(parse(bad), Err(SyntaxError { at }), "{bad}");
        }
    }

    #[test]
    fn usage_lines() {
        assert_eq!(
            line(
                "set",
                "key/k0 value [c<NX|XX|IFEQ:ifeq-value@8.4.0>@2.6.12] [GET] [e<EX:seconds/i|KEEPTTL>]"
            ),
            "SET key value [NX | XX | IFEQ ifeq-value] [GET] [EX seconds | KEEPTTL]"
        );
        assert_eq!(
            line("mset", "data{key/k0 value}..."),
            "MSET key value [key value ...]"
        );
        assert_eq!(
            line("sort", "[GET:p/p1+...] [o<ASC|DESC>]"),
            "SORT [GET p [GET p ...]] [ASC | DESC]"
        );
        assert_eq!(line("lmove", "where<LEFT|RIGHT>"), "LMOVE <LEFT | RIGHT>");
        assert_eq!(
            line("sentinel|x", "[mode<a-b/!|help/!>...]"),
            "SENTINEL|X [<a-b | help> [<a-b | help> ...]]"
        );
        assert_eq!(
            line("migrate", "k<key/k0|'':empty-string/!>"),
            "MIGRATE <key | \"\">"
        );
        assert_eq!(
            line("x", "[AGGREGATE:a<SUM|MIN>]"),
            "X [AGGREGATE <SUM | MIN>]"
        );
        assert_eq!(
            line("x", "[BY:by-pattern(pattern)/p1] old(ip:port)"),
            "X [BY pattern] ip:port"
        );
    }
}
