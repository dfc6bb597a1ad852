//! JSON as the console reads it.
//!
//! Bytes that are UTF-8 become a string. Others, and those that are cut because they are long, become an object:
//! `{"hex":…,"len":…}` or `{"text":…,"len":…}` with the length of the whole.

use std::fmt::Write;

use super::resp::Value;
use crate::base::json;

/// Of a text within a value no more is shown.
pub const CLIP: usize = 8 * 1024;
/// Larger integers lose digits in a browser.
const SAFE_INT: i64 = 1 << 53;

/// A string, without anything that a page which holds it must not see.
pub fn string(out: &mut String, text: &str) {
    json::string(out, text, |c| {
        matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
    });
}

/// Any bytes, of which at most `clip` are shown.
pub fn bytes(out: &mut String, bytes: &[u8], clip: usize) {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= clip => string(out, text),
        Ok(text) => {
            let end = (0..=clip).rev().find(|at| text.is_char_boundary(*at));
            out.push_str("{\"text\":");
            string(out, &text[..end.unwrap_or(0)]);
            let _ = write!(out, ",\"len\":{}}}", bytes.len());
        }
        Err(_) => {
            out.push_str("{\"hex\":\"");
            for byte in &bytes[..bytes.len().min(clip)] {
                let _ = write!(out, "{byte:02x}");
            }
            let _ = write!(out, "\",\"len\":{}}}", bytes.len());
        }
    }
}

/// A reply. A map becomes a list of pairs, because its keys may be any bytes; an error an object with its text.
pub fn value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(on) => out.push_str(if *on { "true" } else { "false" }),
        Value::Int(n) if (-SAFE_INT..=SAFE_INT).contains(n) => {
            let _ = write!(out, "{n}");
        }
        Value::Int(n) => {
            let _ = write!(out, "\"{n}\"");
        }
        Value::Double(x) if x.is_finite() => {
            let _ = write!(out, "{x}");
        }
        Value::Double(x) => {
            let _ = write!(out, "\"{x}\"");
        }
        Value::Text(text) => bytes(out, text, CLIP),
        Value::Error(text) => {
            out.push_str("{\"error\":");
            string(out, text);
            out.push('}');
        }
        Value::List(items) => list(out, items, self::value),
        Value::Map(pairs) => list(out, pairs, |out, (key, item)| {
            out.push('[');
            self::value(out, key);
            out.push(',');
            self::value(out, item);
            out.push(']');
        }),
    }
}

pub fn list<T>(out: &mut String, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

/// An object, member by member.
pub struct Object(String);

impl Object {
    pub fn new() -> Object {
        Object("{".into())
    }

    /// Begins a member; its value has to follow.
    fn name(&mut self, name: &str) -> &mut String {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        string(&mut self.0, name);
        self.0.push(':');
        &mut self.0
    }

    pub fn value(&mut self, name: &str, member: &Value) -> &mut Object {
        value(self.name(name), member);
        self
    }

    pub fn bytes(&mut self, name: &str, text: &[u8]) -> &mut Object {
        bytes(self.name(name), text, CLIP);
        self
    }

    pub fn raw(&mut self, name: &str, json: &str) -> &mut Object {
        self.name(name).push_str(json);
        self
    }

    pub fn finish(&mut self) -> String {
        self.0.push('}');
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(input: &Value) -> serde_json::Value {
        let mut out = String::new();
        value(&mut out, input);
        assert!(!out.contains('<'), "{out}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    #[test]
    fn hostile_texts_come_back_as_they_were() {
        for text in [
            "",
            "</script>",
            "\"\\\n\r\t\0\u{7f}\u{2028}",
            "ключ 🔑",
            "__proto__",
            "{}",
        ] {
            assert_eq!(of(&Value::Text(text.into())), text);
        }
        let bad = of(&Value::Text(b"\xff\x00a".to_vec()));
        assert_eq!(bad, serde_json::json!({"hex": "ff0061", "len": 3}));
        let long = of(&Value::Text("é".repeat(CLIP).into_bytes()));
        assert_eq!(long["len"], 2 * CLIP);
        assert_eq!(long["text"], "é".repeat(CLIP / 2));
    }

    #[test]
    fn other_values() {
        let value = Value::Map(vec![
            (Value::Text(b"\xfe".to_vec()), Value::Int(i64::MAX)),
            (
                Value::Int(2),
                Value::List(vec![Value::Double(1.5), Value::Double(f64::NEG_INFINITY)]),
            ),
            (Value::Null, Value::Error("ERR \"x\"".into())),
        ]);
        let expected = serde_json::json!([
            [{"hex": "fe", "len": 1}, "9223372036854775807"],
            [2, [1.5, "-inf"]],
            [null, {"error": "ERR \"x\""}],
        ]);
        assert_eq!(of(&value), expected);
        let mut object = Object::new();
        object
            .value("a", &Value::Bool(true))
            .bytes("b", b"x")
            .raw("c", "[1]");
        assert_eq!(object.finish(), r#"{"a":true,"b":"x","c":[1]}"#);
    }
}
