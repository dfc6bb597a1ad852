//! Prometheus' text format 0.0.4.

use std::fmt::{Display, Write};

/// What a metric's value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }
}

pub type Labels<'a> = [(&'a str, &'a str)];

/// Families of metrics, one after the other.
#[derive(Default)]
pub struct Text(String);

impl Text {
    /// With room for so many bytes.
    pub fn with_room(bytes: usize) -> Text {
        Text(String::with_capacity(bytes))
    }

    /// Begins a family. All its samples have to follow at once.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        // Writing to a string does not fail. No help holds a line end or a backslash.
        let _ = write!(
            self.0,
            "# HELP {name} {help}\n# TYPE {name} {}\n",
            kind.name()
        );
    }

    pub fn sample(&mut self, name: &str, labels: &Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            escape(&mut self.0, text);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// The cumulative counts of a histogram below upper bounds, with one label.
    pub fn buckets<'a>(
        &mut self,
        name: &str,
        (label, text): (&str, &str),
        counts: impl Iterator<Item = (&'a str, u64)>,
    ) {
        // These are most of an answer: what they have in common is put together once.
        let mut head = format!("{name}_bucket{{{label}=\"");
        escape(&mut head, text);
        head.push_str("\",le=\"");
        let mut digits = itoa::Buffer::new();
        for (bound, count) in counts {
            for part in [&head, bound, "\"} ", digits.format(count), "\n"] {
                self.0.push_str(part);
            }
        }
    }

    /// A family of one sample.
    pub fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    pub fn finish(self) -> String {
        self.0
    }
}

fn escape(out: &mut String, text: &str) {
    if !text.bytes().any(|b| matches!(b, b'\\' | b'"' | b'\n')) {
        return out.push_str(text);
    }
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut text = Text::default();
        text.family("a", Kind::Gauge, "Help.");
        text.sample("a", &[("x", "\"\\\n"), ("y", "")], 1.5);
        text.one("b_total", Kind::Counter, "More.", 2);
        text.buckets("c", ("x", "\"y"), [("1", 2), ("+Inf", 3)].into_iter());
        let expected = "# HELP a Help.\n# TYPE a gauge\na{x=\"\\\"\\\\\\n\",y=\"\"} 1.5\n\
                        # HELP b_total More.\n# TYPE b_total counter\nb_total 2\n\
                        c_bucket{x=\"\\\"y\",le=\"1\"} 2\nc_bucket{x=\"\\\"y\",le=\"+Inf\"} 3\n";
        assert_eq!(text.finish(), expected);
    }
}
