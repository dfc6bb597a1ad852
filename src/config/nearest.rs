//! The known name nearest to a misspelt one.

use super::table::DIRECTIVES;

/// File-only directives, which the table does not hold.
pub(super) const FILE_ONLY: [&str; 5] = [
    "include",
    "loadmodule",
    "rename-command",
    "user",
    "sentinel",
];

/// The nearest directive or alias, if it is near enough to be what was meant.
pub(super) fn nearest_directive(name: &[u8]) -> Option<&'static str> {
    // Longer than any directive: no need to compare.
    if name.len() > 64 {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let known = DIRECTIVES
        .iter()
        .filter(|d| !d.meta.hidden)
        .flat_map(|d| std::iter::once(d.name).chain(d.meta.aliases.iter().copied()));
    let distances = known
        .chain(FILE_ONLY)
        .map(|known| (distance(&name, known.as_bytes()), known));
    let (distance, best) = distances.min()?;
    (distance <= name.len() / 3).then_some(best)
}

/// Edits (insert, remove, replace, swap of neighbours) from `a` to `b`.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut two_ago: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(two_ago[j - 2] + 1);
            }
        }
        two_ago = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        for (typed, meant) in [
            ("maxmemroy", "maxmemory"),
            ("apendonly", "appendonly"),
            ("MaxMemory_Policy", "maxmemory-policy"),
            ("inclde", "include"),
        ] {
            assert_eq!(nearest_directive(typed.as_bytes()), Some(meant));
        }
        for nothing in ["invalid", "x", "", "completely-different-thing"] {
            assert_eq!(nearest_directive(nothing.as_bytes()), None, "{nothing}");
        }
        assert_eq!(nearest_directive(&[b'a'; 100_000]), None);
    }
}
