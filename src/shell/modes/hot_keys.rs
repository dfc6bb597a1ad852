//! `--hotkeys`: the keys that are used most, by the counters of an LFU policy.

use crate::base::words::quote;
use crate::resp::decode::Value;
use crate::shell::link::Link;
use crate::shell::options::Options;
use crate::shell::session::{Session, print, rest};

use super::scan::{Cursor, dbsize};
use super::{Ended, code};

/// Keys that are kept.
const KEPT: usize = 16;
/// SCANs between two rests.
const SCANS: u64 = 100;

pub fn run(session: &mut Session) -> u8 {
    let options = session.options.clone();
    let Some(link) = session.link() else {
        return 1;
    };
    code(walk(link, &options))
}

fn walk(link: &mut Link, options: &Options) -> Result<(), Ended> {
    let all = dbsize(link)?;
    print(
        b"\n# Scanning the entire keyspace to find hot keys as well as\n\
          # average sizes per key type.  You can use -i 0.1 to sleep 0.1 sec\n\
          # per 100 SCAN commands (not usually needed).\n\n",
    );
    let mut kept = Kept::default();
    let mut cursor = Cursor::new(options, "SCAN error: ");
    let (mut scans, mut sampled) = (0_u64, 0_u64);
    while let Some(keys) = cursor.next(link)? {
        let percent = 100.0 * sampled as f64 / all.max(1) as f64;
        let ask = |key: &Vec<u8>| vec![b"OBJECT".to_vec(), b"FREQ".to_vec(), key.clone()];
        let counters = link.call_all(&keys.iter().map(ask).collect::<Vec<_>>())?;
        for (key, counter) in keys.into_iter().zip(counters) {
            sampled += 1;
            let counter = match counter {
                Value::Int(counter) => u64::try_from(counter).unwrap_or(0),
                Value::Error(text) => {
                    let text = String::from_utf8_lossy(&text).into_owned();
                    return Err(Ended::Told(format!("Error: {text}")));
                }
                // It is gone.
                _ => continue,
            };
            if let Some(key) = kept.add(key, counter) {
                let mut out = format!("[{percent:05.2}%] Hot key '").into_bytes();
                quote(&key, &mut out);
                out.extend(format!("' found so far with counter {counter}\n").bytes());
                print(&out);
            }
        }
        scans += 1;
        if scans.is_multiple_of(SCANS) {
            rest(options.interval);
        }
    }
    let mut out =
        format!("\n-------- summary -------\n\nSampled {sampled} keys in the keyspace!\n")
            .into_bytes();
    for (counter, key) in kept.0.iter().rev() {
        out.extend(format!("hot key found with counter: {counter}\tkeyname: ").bytes());
        quote(key, &mut out);
        out.push(b'\n');
    }
    print(&out);
    Ok(())
}

/// The hottest so far, coolest first.
#[derive(Default)]
struct Kept(Vec<(u64, Vec<u8>)>);

impl Kept {
    /// The key, if it is among them.
    fn add(&mut self, key: Vec<u8>, counter: u64) -> Option<Vec<u8>> {
        if counter == 0 {
            return None;
        }
        if self.0.len() == KEPT {
            if counter <= self.0[0].0 {
                return None;
            }
            self.0.remove(0);
        }
        let at = self.0.partition_point(|(other, _)| *other < counter);
        self.0.insert(at, (counter, key.clone()));
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_are_kept() {
        let mut kept = Kept::default();
        for counter in [5, 0, 9, 1] {
            kept.add(vec![], counter);
        }
        for counter in 10..30 {
            kept.add(vec![], counter);
        }
        assert!(kept.add(vec![], 3).is_none());
        let counters: Vec<u64> = kept.0.iter().map(|(counter, _)| *counter).collect();
        assert_eq!(counters, (14..30).collect::<Vec<_>>());
    }
}
