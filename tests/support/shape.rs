//! The notation of reply shapes: `bulk`, `int`, `array<T>*` (two or more elements alike), `array<K,V>*pairs`,
//! `array[A, B]` (these elements), `'name',T` (an element with this text, then one of shape T), `map<K,V>`,
//! `map{name:T}`, `set…` and `push…` like arrays, `verbatim(txt)`.

use super::Value;

#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A scalar by its name in the notation.
    Scalar(String),
    /// A bulk or status string with this very text.
    Named(String),
    Listed(Aggregate, Vec<Shape>),
    Alike(Aggregate, Vec<Shape>),
    MapAlike(Box<Shape>, Box<Shape>),
    MapListed(Vec<(String, Shape)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Aggregate {
    Array,
    Set,
    Push,
}

impl Shape {
    pub fn parse(text: &str) -> Option<Shape> {
        let mut parser = Parser { rest: text };
        let shape = parser.shape()?;
        parser.rest.trim().is_empty().then_some(shape)
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn take(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn until(&mut self, stop: &[char]) -> Option<String> {
        let end = self.rest.find(stop)?;
        let text = self.rest[..end].to_string();
        self.rest = &self.rest[end..];
        Some(text)
    }

    fn list(&mut self, close: &str) -> Option<Vec<Shape>> {
        let mut shapes = Vec::new();
        while !self.take(close) {
            if !shapes.is_empty() && !self.take(",") {
                return None;
            }
            shapes.push(self.shape()?);
        }
        Some(shapes)
    }

    fn shape(&mut self) -> Option<Shape> {
        if self.take("'") {
            let name = self.until(&['\''])?;
            self.take("'");
            return Some(Shape::Named(name));
        }
        for (name, kind) in [
            ("array", Aggregate::Array),
            ("set", Aggregate::Set),
            ("push", Aggregate::Push),
        ] {
            if self.take(&format!("{name}[")) {
                return Some(Shape::Listed(kind, self.list("]")?));
            }
            if self.take(&format!("{name}<")) {
                let shapes = self.list(">")?;
                self.take("*");
                self.take("pairs");
                return Some(Shape::Alike(kind, shapes));
            }
        }
        if self.take("map<") {
            let mut shapes = self.list(">")?;
            let value = shapes.pop()?;
            return Some(Shape::MapAlike(Box::new(shapes.pop()?), Box::new(value)));
        }
        if self.take("map{") {
            let mut entries = Vec::new();
            while !self.take("}") {
                self.take(",");
                self.rest = self.rest.trim_start();
                let name = self.until(&[':'])?;
                self.take(":");
                entries.push((name, self.shape()?));
            }
            return Some(Shape::MapListed(entries));
        }
        let scalars = [
            "null-bulk",
            "null-array",
            "null",
            "bulk",
            "simple",
            "int",
            "double",
            "boolean",
            "big-number",
            "error",
            "verbatim(txt)",
            "verbatim(mkd)",
        ];
        let name = scalars.iter().find(|name| self.take(name))?;
        Some(Shape::Scalar(name.to_string()))
    }
}

/// True when a reply has the shape. Listed map entries must be there; a newer server may add some.
pub fn matches(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::Scalar(name) => scalar_matches(name, value),
        Shape::Named(name) => {
            matches!(value, Value::Bulk(_) | Value::Simple(_)) && value.text() == *name
        }
        Shape::Listed(kind, shapes) => {
            let Some(items) = items_of(*kind, value) else {
                return false;
            };
            let is_map = !shapes.is_empty() && shapes.iter().step_by(2).all(is_name);
            if is_map {
                return shapes.chunks(2).all(|entry| has_entry(items, entry));
            }
            items.len() == shapes.len() && zip_all(shapes, items)
        }
        Shape::Alike(kind, shapes) => items_of(*kind, value).is_some_and(|items| {
            items.len() >= 2
                && items.len() % shapes.len() == 0
                && items
                    .chunks(shapes.len())
                    .all(|chunk| zip_all(shapes, chunk))
        }),
        Shape::MapAlike(key, entry) => map_of(value).is_some_and(|pairs| {
            !pairs.is_empty()
                && pairs
                    .iter()
                    .all(|(k, v)| matches(key, k) && matches(entry, v))
        }),
        Shape::MapListed(entries) => map_of(value).is_some_and(|pairs| {
            if entries.is_empty() {
                return pairs.is_empty();
            }
            entries.iter().all(|(name, shape)| {
                let mut found = pairs.iter().filter(|(key, _)| key.text() == *name);
                found.next().is_some_and(|(_, entry)| matches(shape, entry))
            })
        }),
    }
}

fn is_name(shape: &Shape) -> bool {
    matches!(shape, Shape::Named(_))
}

fn has_entry(items: &[Value], entry: &[Shape]) -> bool {
    items.len().is_multiple_of(2)
        && items
            .chunks(2)
            .any(|pair| matches(&entry[0], &pair[0]) && matches(&entry[1], &pair[1]))
}

fn zip_all(shapes: &[Shape], items: &[Value]) -> bool {
    shapes
        .iter()
        .zip(items)
        .all(|(shape, item)| matches(shape, item))
}

fn items_of(kind: Aggregate, value: &Value) -> Option<&[Value]> {
    match (kind, value) {
        (Aggregate::Array, Value::Array(items))
        | (Aggregate::Set, Value::Set(items))
        | (Aggregate::Push, Value::Push(items)) => Some(items),
        _ => None,
    }
}

fn map_of(value: &Value) -> Option<&[(Value, Value)]> {
    match value {
        Value::Map(pairs) => Some(pairs),
        _ => None,
    }
}

fn scalar_matches(name: &str, value: &Value) -> bool {
    match (name, value) {
        ("bulk", Value::Bulk(_))
        | ("simple", Value::Simple(_))
        | ("int", Value::Int(_))
        | ("double", Value::Double(_))
        | ("boolean", Value::Bool(_))
        | ("null", Value::Null)
        | ("null-bulk", Value::NullBulk)
        | ("null-array", Value::NullArray)
        | ("big-number", Value::BigNumber(_))
        | ("error", Value::Error(_)) => true,
        (name, Value::Verbatim(format, _)) => name == format!("verbatim({format})"),
        _ => false,
    }
}
