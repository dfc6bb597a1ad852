//! The latency monitor: spikes of named events, as LATENCY shows them.

use std::collections::BTreeMap;
use std::collections::VecDeque;

/// Samples kept of each event.
const HISTORY: usize = 160;

/// Spikes of one event, oldest first: unix seconds and the highest latency in ms in that second.
#[derive(Clone, Debug, Default)]
pub struct Spikes {
    pub samples: VecDeque<(i64, u32)>,
    /// Highest latency of all times, in ms.
    pub max_ms: u32,
}

/// All events.
#[derive(Debug, Default)]
pub struct LatencyMonitor {
    events: BTreeMap<&'static str, Spikes>,
}

impl LatencyMonitor {
    /// Records a spike. Of several in one second the highest counts.
    pub fn record(&mut self, event: &'static str, time_s: i64, latency_ms: u32) {
        let spikes = self.events.entry(event).or_default();
        spikes.max_ms = spikes.max_ms.max(latency_ms);
        match spikes.samples.back_mut() {
            Some((at, ms)) if *at == time_s => *ms = (*ms).max(latency_ms),
            _ => {
                if spikes.samples.len() == HISTORY {
                    spikes.samples.pop_front();
                }
                spikes.samples.push_back((time_s, latency_ms));
            }
        }
    }

    pub fn get(&self, event: &[u8]) -> Option<&Spikes> {
        self.events
            .iter()
            .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(event))
            .map(|(_, s)| s)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &Spikes)> {
        self.events.iter().map(|(name, spikes)| (*name, spikes))
    }

    /// Forgets all events, or those named; returns how many there were.
    pub fn reset(&mut self, names: &[&[u8]]) -> usize {
        let before = self.events.len();
        self.events.retain(|event, _| {
            !names.is_empty()
                && !names
                    .iter()
                    .any(|n| n.eq_ignore_ascii_case(event.as_bytes()))
        });
        before - self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sample_a_second_and_a_bounded_history() {
        let mut monitor = LatencyMonitor::default();
        for n in 0..400 {
            monitor.record("command", n / 2, (n % 7) as u32);
        }
        let spikes = monitor.get(b"COMMAND").unwrap();
        assert_eq!(spikes.samples.len(), HISTORY);
        assert_eq!(spikes.max_ms, 6);
        assert_eq!(monitor.reset(&[b"other"]), 0);
        assert_eq!(monitor.reset(&[]), 1);
    }
}
