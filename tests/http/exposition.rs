//! Prometheus' text format, read strictly, line by line.

use std::collections::{BTreeMap, HashSet};

/// One line that is no comment.
#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

#[derive(Clone, Debug)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub samples: Vec<Sample>,
}

fn is_name(name: &str, colon: bool) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || colon && b == b':';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(fits)
}

fn labels(text: &str, line: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, behind) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
        assert!(is_name(name, false), "{line}");
        let (mut value, mut chars) = (String::new(), behind.char_indices());
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("{line}")) {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, c @ ('\\' | '"'))) => c,
                    _ => panic!("{line}"),
                }),
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{line}");
        rest = &behind[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    labels
}

fn sample(line: &str) -> Sample {
    let (place, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
    let (name, labels) = match place.split_once('{') {
        None => (place, BTreeMap::new()),
        Some((name, rest)) => {
            let inner = rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
            (name, labels(inner, line))
        }
    };
    assert!(is_name(name, true), "{line}");
    let value = match value {
        "+Inf" => f64::INFINITY,
        value => value.parse().unwrap_or_else(|_| panic!("{line}")),
    };
    Sample {
        name: name.to_owned(),
        labels,
        value,
    }
}

/// Reads and checks everything: families stand together with help and type before them, and nothing comes twice.
pub fn parse(text: &str) -> Vec<Family> {
    assert!(text.ends_with('\n'));
    let (mut families, mut helped): (Vec<Family>, Option<String>) = (Vec::new(), None);
    let (mut names, mut places) = (HashSet::new(), HashSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert!(names.insert(name.to_owned()) && !help.is_empty(), "{line}");
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
            assert_eq!(helped.take().as_deref(), Some(name), "{line}");
            assert!(
                ["counter", "gauge", "histogram", "summary"].contains(&kind),
                "{line}"
            );
            families.push(Family {
                name: name.to_owned(),
                kind: kind.to_owned(),
                samples: Vec::new(),
            });
        } else {
            let sample = sample(line);
            let family = families.last_mut().expect("a family before its samples");
            let suffix = sample.name.strip_prefix(&family.name);
            let fits = match family.kind.as_str() {
                "histogram" => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
                "summary" => matches!(suffix, Some("" | "_sum" | "_count")),
                _ => suffix == Some(""),
            };
            assert!(fits, "{line} in {}", family.name);
            assert!(
                places.insert((sample.name.clone(), format!("{:?}", sample.labels))),
                "twice: {line}"
            );
            assert!(family.kind != "counter" || sample.value >= 0.0, "{line}");
            family.samples.push(sample);
        }
    }
    for family in &families {
        assert!(family.name.starts_with("redis_") || family.name.starts_with("ferrite_"));
        if family.kind == "histogram" {
            check_histogram(family);
        }
    }
    families
}

/// Buckets grow, the last has all, and count and sum are there.
fn check_histogram(family: &Family) {
    let mut by_labels: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
    for sample in &family.samples {
        let mut labels = sample.labels.clone();
        labels.remove("le");
        by_labels
            .entry(format!("{labels:?}"))
            .or_default()
            .push(sample);
    }
    for (labels, samples) in by_labels {
        let of = |suffix: &str| {
            let name = format!("{}{suffix}", family.name);
            samples
                .iter()
                .filter(move |s| s.name == name)
                .collect::<Vec<_>>()
        };
        let buckets: Vec<(f64, f64)> = of("_bucket")
            .iter()
            .map(|s| {
                let le = &s.labels["le"];
                (
                    if le == "+Inf" {
                        f64::INFINITY
                    } else {
                        le.parse().unwrap()
                    },
                    s.value,
                )
            })
            .collect();
        assert!(
            buckets
                .windows(2)
                .all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1),
            "{labels}: {buckets:?}"
        );
        let (count, sum) = (of("_count"), of("_sum"));
        assert_eq!((count.len(), sum.len()), (1, 1), "{labels}");
        assert_eq!(
            buckets.last(),
            Some(&(f64::INFINITY, count[0].value)),
            "{labels}"
        );
    }
}

/// The value of a sample with these labels among its own.
pub fn find(families: &[Family], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let fits = |s: &&Sample| {
        s.name == name
            && labels
                .iter()
                .all(|(k, v)| s.labels.get(*k).is_some_and(|found| found == v))
    };
    families
        .iter()
        .flat_map(|f| &f.samples)
        .find(fits)
        .map(|s| s.value)
}
