//! Replies as text, byte for byte as redis-cli prints them.

use super::options::Output;
use super::session::word;
use crate::base::words::quote;
use crate::resp::decode::Value;

/// How replies are shown, with the separators of the raw form.
#[derive(Clone, Debug)]
pub struct Format {
    pub output: Output,
    pub element_end: Vec<u8>,
    pub reply_end: Vec<u8>,
}

impl Format {
    /// A whole reply. `verbatim`: it is a text for people, which is shown as it is in any form.
    pub fn reply(&self, value: &Value, verbatim: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if verbatim {
            self.raw(value, &mut out);
            return out;
        }
        match self.output {
            Output::Standard => standard(value, 0, &mut out),
            Output::Raw => {
                self.raw(value, &mut out);
                out.extend_from_slice(&self.reply_end);
            }
            Output::Csv => {
                csv(value, &mut out);
                out.push(b'\n');
            }
            Output::Json | Output::QuotedJson => {
                json(value, self.output == Output::QuotedJson, &mut out);
                out.push(b'\n');
            }
        }
        out
    }

    fn raw(&self, value: &Value, out: &mut Vec<u8>) {
        match value {
            Value::Null => {}
            Value::Error(text) => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            Value::Status(text)
            | Value::Bulk(text)
            | Value::Verbatim(text)
            | Value::Double(text)
            | Value::BigNumber(text) => out.extend_from_slice(text),
            Value::Int(number) => push(out, &number.to_string()),
            Value::Bool(is) => push(out, if *is { "(true)" } else { "(false)" }),
            Value::Array(items) | Value::Set(items) | Value::Push(items) => {
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.extend_from_slice(&self.element_end);
                    }
                    self.raw(item, out);
                }
            }
            Value::Map(pairs) => {
                for (at, (name, value)) in pairs.iter().enumerate() {
                    if at > 0 {
                        out.extend_from_slice(&self.element_end);
                    }
                    self.raw(name, out);
                    out.push(b' ');
                    self.raw(value, out);
                }
            }
        }
    }
}

/// The reply is a text for people.
pub fn is_verbatim(args: &[Vec<u8>]) -> bool {
    let (name, sub) = (word(args, 0), word(args, 1));
    match (&*name, &*sub) {
        ("info" | "lolwut", _) => true,
        ("debug", "htstats" | "htstats-key") | ("memory", "malloc-stats" | "doctor") => true,
        ("cluster", "nodes" | "info") | ("latency", "doctor") => args.len() == 2,
        ("client", "list" | "info") | ("proxy", "info") => true,
        ("latency", "graph") => args.len() == 3,
        _ => false,
    }
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn line(out: &mut Vec<u8>, before: &str, text: &[u8]) {
    push(out, before);
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// For people: one line a scalar, numbered elements; `indent` spaces stand before all lines but the first.
fn standard(value: &Value, indent: usize, out: &mut Vec<u8>) {
    match value {
        Value::Error(text) => line(out, "(error) ", text),
        Value::Status(text) | Value::Verbatim(text) | Value::BigNumber(text) => line(out, "", text),
        Value::Int(number) => line(out, "(integer) ", number.to_string().as_bytes()),
        Value::Double(text) => line(out, "(double) ", text),
        Value::Bulk(text) => {
            quote(text, out);
            out.push(b'\n');
        }
        Value::Null => push(out, "(nil)\n"),
        Value::Bool(true) => push(out, "(true)\n"),
        Value::Bool(false) => push(out, "(false)\n"),
        Value::Array(items) if items.is_empty() => push(out, "(empty array)\n"),
        Value::Set(items) if items.is_empty() => push(out, "(empty set)\n"),
        Value::Push(items) if items.is_empty() => push(out, "(empty push)\n"),
        Value::Map(pairs) if pairs.is_empty() => push(out, "(empty hash)\n"),
        Value::Array(items) | Value::Push(items) => {
            numbered(items.iter().map(|item| (item, None)), ')', indent, out);
        }
        Value::Set(items) => numbered(items.iter().map(|item| (item, None)), '~', indent, out),
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(name, value)| (name, Some(value)));
            numbered(pairs, '#', indent, out);
        }
    }
}

fn numbered<'a>(
    items: impl ExactSizeIterator<Item = (&'a Value, Option<&'a Value>)>,
    mark: char,
    indent: usize,
    out: &mut Vec<u8>,
) {
    let digits = items.len().to_string().len();
    let inner = indent + digits + 2;
    for (at, (item, value)) in items.enumerate() {
        if at > 0 {
            spaces(indent, out);
        }
        push(out, &format!("{:>digits$}{mark} ", at + 1));
        standard(item, inner, out);
        let Some(value) = value else {
            continue;
        };
        out.pop();
        push(out, " => ");
        if is_long(value) {
            out.push(b'\n');
            spaces(inner, out);
        }
        standard(value, inner, out);
    }
}

/// It takes more than one line: as a value of a map it begins on a line of its own.
fn is_long(value: &Value) -> bool {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => match items.as_slice() {
            [only] => is_long(only),
            items => !items.is_empty(),
        },
        Value::Map(pairs) => match pairs.as_slice() {
            [(_, only)] => is_long(only),
            pairs => !pairs.is_empty(),
        },
        _ => false,
    }
}

fn spaces(n: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + n, b' ');
}

fn csv(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Error(text) => {
            push(out, "ERROR,");
            quote(text, out);
        }
        Value::Status(text) | Value::Bulk(text) | Value::Verbatim(text) => quote(text, out),
        Value::Int(number) => push(out, &number.to_string()),
        Value::Double(text) | Value::BigNumber(text) => out.extend_from_slice(text),
        Value::Null => push(out, "NULL"),
        Value::Bool(is) => push(out, if *is { "true" } else { "false" }),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                csv(item, out);
            }
        }
        Value::Map(pairs) => {
            for (at, (name, value)) in pairs.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                csv(name, out);
                out.push(b',');
                csv(value, out);
            }
        }
    }
}

fn json(value: &Value, quoted: bool, out: &mut Vec<u8>) {
    match value {
        Value::Error(text) => {
            push(out, "error:");
            json_text(text, quoted, out);
        }
        Value::Status(text) | Value::Bulk(text) | Value::Verbatim(text) => {
            json_text(text, quoted, out);
        }
        Value::Int(number) => push(out, &number.to_string()),
        Value::Double(text) | Value::BigNumber(text) => out.extend_from_slice(text),
        Value::Null => push(out, "null"),
        Value::Bool(is) => push(out, if *is { "true" } else { "false" }),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                json(item, quoted, out);
            }
            out.push(b']');
        }
        Value::Map(pairs) => {
            out.push(b'{');
            for (at, (name, value)) in pairs.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                json_name(name, quoted, out);
                out.push(b':');
                json(value, quoted, out);
            }
            out.push(b'}');
        }
    }
}

/// Names of a JSON object are strings, whatever they are here.
fn json_name(name: &Value, quoted: bool, out: &mut Vec<u8>) {
    match name {
        Value::Status(_) | Value::Bulk(_) | Value::Verbatim(_) | Value::Error(_) => {
            json(name, quoted, out);
        }
        _ => {
            let mut text = Vec::new();
            json(name, quoted, &mut text);
            json_text(&text, quoted, out);
        }
    }
}

/// A JSON string; `quoted`: of the text as people type it. (redis-cli writes broken JSON for a quote in such a text.)
fn json_text(text: &[u8], quoted: bool, out: &mut Vec<u8>) {
    let mut ascii = Vec::new();
    let text = if quoted {
        quote(text, &mut ascii);
        &ascii[1..ascii.len() - 1]
    } else {
        text
    };
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => push(out, "\\n"),
            0x0c => push(out, "\\f"),
            b'\r' => push(out, "\\r"),
            b'\t' => push(out, "\\t"),
            8 => push(out, "\\b"),
            0..=0x1f => push(out, &format!("\\u{byte:04x}")),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// A message that comes by itself, as people see it; invalidations have a line of their own.
pub fn push_message(items: &[Value], format: &Format) -> Vec<u8> {
    if format.output == Output::Standard
        && let [Value::Bulk(kind), keys] = items
        && kind == b"invalidate"
    {
        let mut out = b"-> invalidate: ".to_vec();
        match keys {
            Value::Array(keys) => {
                for (at, key) in keys.iter().enumerate() {
                    if at > 0 {
                        push(&mut out, ", ");
                    }
                    out.push(b'\'');
                    out.extend_from_slice(key.text().unwrap_or_default());
                    out.push(b'\'');
                }
            }
            _ => push(&mut out, "all keys"),
        }
        out.push(b'\n');
        return out;
    }
    format.reply(&Value::Push(items.to_vec()), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    fn shown(value: &Value, output: Output) -> String {
        let format = Format {
            output,
            element_end: b"\n".to_vec(),
            reply_end: b"\n".to_vec(),
        };
        String::from_utf8(format.reply(value, false)).unwrap()
    }

    fn sample() -> Value {
        let inner = Value::Map(vec![(bulk("x"), Value::Int(1))]);
        let long = Value::Array(vec![bulk("a\n"), Value::Null]);
        Value::Array(vec![
            Value::Map(vec![(bulk("one"), inner), (bulk("two"), long)]),
            Value::Set(vec![Value::Bool(true), Value::Double(b"1.5".to_vec())]),
            Value::Error(b"ERR \"x\"".to_vec()),
        ])
    }

    #[test]
    fn for_people() {
        assert_eq!(
            shown(&sample(), Output::Standard),
            "1) 1# \"one\" => 1# \"x\" => (integer) 1\n   2# \"two\" => \n      1) \"a\\n\"\n      2) (nil)\n\
             2) 1~ (true)\n   2~ (double) 1.5\n3) (error) ERR \"x\"\n"
        );
        assert_eq!(
            shown(&Value::Push(vec![]), Output::Standard),
            "(empty push)\n"
        );
    }

    #[test]
    fn for_programs() {
        assert_eq!(
            shown(&sample(), Output::Raw),
            "one x 1\ntwo a\n\n\n(true)\n1.5\nERR \"x\"\n\n"
        );
        assert_eq!(
            shown(&sample(), Output::Csv),
            "\"one\",\"x\",1,\"two\",\"a\\n\",NULL,true,1.5,ERROR,\"ERR \\\"x\\\"\"\n"
        );
        assert_eq!(
            shown(&sample(), Output::Json),
            "[{\"one\":{\"x\":1},\"two\":[\"a\\n\",null]},[true,1.5],error:\"ERR \\\"x\\\"\"]\n"
        );
        let odd = Value::Map(vec![(Value::Int(1), Value::Bulk(b"\xff\x01".to_vec()))]);
        assert_eq!(
            shown(&odd, Output::QuotedJson),
            "{\"1\":\"\\\\xff\\\\x01\"}\n"
        );
    }

    #[test]
    fn messages() {
        let format = Format {
            output: Output::Standard,
            element_end: vec![],
            reply_end: vec![],
        };
        let keys = [bulk("invalidate"), Value::Array(vec![bulk("a"), bulk("b")])];
        assert_eq!(push_message(&keys, &format), b"-> invalidate: 'a', 'b'\n");
        assert_eq!(
            push_message(&[bulk("message"), bulk("c")], &format),
            b"1) \"message\"\n2) \"c\"\n"
        );
    }

    fn words(line: &str) -> Vec<Vec<u8>> {
        let words = line.split(' ');
        words.map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn texts_for_people() {
        for line in [
            "INFO",
            "info memory",
            "CLIENT list",
            "latency doctor",
            "latency graph x",
            "memory doctor",
        ] {
            assert!(is_verbatim(&words(line)), "{line}");
        }
        for line in [
            "get a",
            "client id",
            "latency graph",
            "cluster nodes x",
            "memory usage k",
        ] {
            assert!(!is_verbatim(&words(line)), "{line}");
        }
    }
}
