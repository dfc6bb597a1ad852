//! Writers with numbered entries, and what must be true of them after a crash: what was acknowledged is there, nothing is
//! there that was not asked for, each writer's entries are in order and there once, transactions are whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::machine::Machine;
use crate::support::{Client, Value};

struct Writer {
    /// Entries that were sent, and entries whose reply came.
    invoked: AtomicU64,
    acknowledged: AtomicU64,
}

pub struct Ledger {
    writers: Vec<Arc<Writer>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Ledger {
    pub fn new(writers: usize) -> Ledger {
        let writer = |_| {
            Arc::new(Writer {
                invoked: AtomicU64::new(0),
                acknowledged: AtomicU64::new(0),
            })
        };
        Ledger {
            writers: (0..writers).map(writer).collect(),
            stop: Arc::default(),
            threads: Vec::new(),
        }
    }

    /// Lets all writers write until [`Ledger::rest`], or until the server is gone. They go on where the data stands.
    pub fn write(&mut self, machine: &Machine) {
        self.stop.store(false, Ordering::Release);
        for (index, writer) in self.writers.iter().cloned().enumerate() {
            let (addr, stop) = (machine.addr(), self.stop.clone());
            self.threads.push(std::thread::spawn(move || {
                let Ok(mut client) = Client::try_connect(addr) else {
                    return;
                };
                client.set_read_timeout(Duration::from_secs(30));
                while !stop.load(Ordering::Acquire) {
                    if !writer.one(index, &mut client) {
                        return;
                    }
                }
            }));
        }
    }

    /// Ends the writing and waits for the writers.
    pub fn rest(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.join().expect("a writer");
        }
    }

    pub fn acknowledged(&self) -> u64 {
        self.writers
            .iter()
            .map(|w| w.acknowledged.load(Ordering::Acquire))
            .sum()
    }

    pub fn wait_acknowledged(&self, more: u64) {
        let from = self.acknowledged();
        let begin = std::time::Instant::now();
        while self.acknowledged() < from + more {
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "the writers write no more"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Compares with the data; what is there is what the writers go on from. `may_lose`: acknowledged entries may be
    /// missing (a control with a server that promises less).
    pub fn check(&self, machine: &Machine) -> u64 {
        let mut client = machine.connect();
        let mut lost = 0;
        for (index, writer) in self.writers.iter().enumerate() {
            let list = |client: &mut Client, name: &str| -> Vec<u64> {
                let reply = client.call(&["LRANGE", &format!("{name}:{index}"), "0", "-1"]);
                reply
                    .items()
                    .iter()
                    .map(|item| item.text().parse().expect("a number"))
                    .collect()
            };
            let (first, second) = (list(&mut client, "ledger"), list(&mut client, "copy"));
            let count = first.len() as u64;
            assert!(
                first.iter().copied().eq(1..=count),
                "writer {index}: order or number is wrong"
            );
            let pairs: Vec<u64> = (1..=count).filter(|n| n % 3 == 0).collect();
            assert_eq!(second, pairs, "writer {index}: a transaction is not whole");
            let invoked = writer.invoked.load(Ordering::Acquire);
            let acknowledged = writer.acknowledged.load(Ordering::Acquire);
            assert!(
                count <= invoked,
                "writer {index}: {count} entries, {invoked} were sent"
            );
            lost += acknowledged.saturating_sub(count);
            writer.invoked.store(count, Ordering::Release);
            writer.acknowledged.store(count, Ordering::Release);
        }
        lost
    }
}

impl Writer {
    /// One entry; each third is a transaction with a copy. False if the connection is gone or an error came.
    fn one(&self, index: usize, client: &mut Client) -> bool {
        let n = self.invoked.load(Ordering::Acquire) + 1;
        let (key, copy, n_text) = (
            format!("ledger:{index}"),
            format!("copy:{index}"),
            n.to_string(),
        );
        self.invoked.store(n, Ordering::Release);
        let push = |client: &mut Client, key: &str| client.send(&["RPUSH", key, &n_text]).is_ok();
        let sent = if n.is_multiple_of(3) {
            client.send(&["MULTI"]).is_ok()
                && push(client, &key)
                && push(client, &copy)
                && client.send(&["EXEC"]).is_ok()
        } else {
            push(client, &key)
        };
        let replies = if n.is_multiple_of(3) { 4 } else { 1 };
        let mut last = None;
        for _ in 0..replies {
            if !sent {
                return false;
            }
            match client.read() {
                Ok(reply) => last = Some(reply),
                Err(_) => return false,
            }
        }
        match last {
            Some(Value::Error(text)) => {
                // Refused: it did not happen.
                assert!(
                    text.contains("MISCONF")
                        || text.contains("EXECABORT")
                        || text.contains("LOADING"),
                    "{text}"
                );
                self.invoked.store(n - 1, Ordering::Release);
                std::thread::sleep(Duration::from_millis(10));
                true
            }
            _ => {
                self.acknowledged.store(n, Ordering::Release);
                true
            }
        }
    }
}
