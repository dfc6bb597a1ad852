//! Histograms of durations, for LATENCY HISTOGRAM and `INFO latencystats`.

/// Buckets per doubling.
const SUB: usize = 16;
/// Doublings above `SUB` ns that are told apart: up to about 18 minutes.
const DOUBLINGS: usize = 36;

/// Counts of durations in ns, with an error of at most 1/16.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Up to the doubling of the longest duration so far: a scrape copies those of all commands.
    counts: Vec<u64>,
    total: u64,
}

fn index(ns: u64) -> usize {
    if ns < SUB as u64 {
        return ns as usize;
    }
    let doubling = ns.ilog2() as usize - SUB.ilog2() as usize;
    let sub = (ns >> doubling) as usize - SUB;
    (SUB + doubling * SUB + sub).min(SUB * (DOUBLINGS + 1) - 1)
}

/// The highest value of a bucket.
fn upper(index: usize) -> u64 {
    if index < SUB {
        return index as u64;
    }
    let (doubling, sub) = ((index - SUB) / SUB, (index - SUB) % SUB);
    ((SUB + sub + 1) as u64) << doubling
}

impl Histogram {
    pub fn record(&mut self, ns: u64) {
        let at = index(ns);
        if at >= self.counts.len() {
            self.grow(at);
        }
        self.counts[at] += 1;
        self.total += 1;
    }

    #[cold]
    fn grow(&mut self, at: usize) {
        let len = (at + 1).next_multiple_of(SUB);
        self.counts.reserve_exact(len - self.counts.len());
        self.counts.resize(len, 0);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration in ns below which `percent` of all lie.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = (self.total as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper(at);
            }
        }
        0
    }

    /// Cumulative counts at the first `n` powers of two µs, whatever there is.
    pub fn up_to_doublings_us(&self, n: u32) -> Vec<(u64, u64)> {
        let (mut at, mut seen) = (0, 0);
        let mut up_to = |limit_us: u64| {
            while at < self.counts.len() && upper(at) <= limit_us * 1024 {
                seen += self.counts[at];
                at += 1;
            }
            (limit_us, seen)
        };
        (0..n).map(|power| up_to(1 << power)).collect()
    }

    /// Cumulative counts at powers of two µs, from the first bucket that has any to the one that
    /// has all.
    pub fn doublings_us(&self) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        let (mut at, mut seen, mut limit_us) = (0, 0, 1u64);
        while seen < self.total && at < self.counts.len() {
            while at < self.counts.len() && upper(at) <= limit_us * 1024 {
                seen += self.counts[at];
                at += 1;
            }
            if seen > out.last().map_or(0, |last: &(u64, u64)| last.1) {
                out.push((limit_us, seen));
            }
            limit_us *= 2;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_sixteenth() {
        let mut h = Histogram::default();
        (1..=10_000u64).for_each(|n| h.record(n * 100));
        for (percent, ns) in [(50.0, 500_000.0), (99.0, 990_000.0), (99.9, 999_000.0)] {
            let got = h.percentile(percent) as f64;
            assert!((got / ns - 1.0).abs() < 0.07, "{percent}: {got}");
        }
        let all = h.doublings_us();
        assert_eq!(all.last().map(|b| b.1), Some(10_000));
        assert!(all.is_sorted());
        let fixed = h.up_to_doublings_us(21);
        assert_eq!((fixed.len(), fixed[20]), (21, (1 << 20, 10_000)));
        assert!(all.iter().all(|bucket| fixed.contains(bucket)));
        assert_eq!(Histogram::default().up_to_doublings_us(2), [(1, 0), (2, 0)]);
        h.record(u64::MAX);
        assert_eq!((h.total(), h.counts.len()), (10_001, SUB * (DOUBLINGS + 1)));
        let mut short = Histogram::default();
        short.record(3);
        assert_eq!((short.counts.len(), short.percentile(50.0)), (SUB, 3));
    }
}
