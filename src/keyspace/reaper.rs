//! Freeing off the actor's thread: whatever is large goes to a thread that drops it.
//!
//! Used by every delete and overwrite of a large value, by UNLINK and FLUSHALL alike, so that
//! none of them costs the actor more than a message.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::db::Db;
use crate::value::entry::{Entry, ObjRef, Payload};

/// Collections with fewer elements are freed in place.
const MIN_ELEMENTS: usize = 64;
/// Strings with fewer bytes are freed in place.
const MIN_BYTES: usize = 256 * 1024;

enum Load {
    Entry(Entry),
    Databases(Vec<Db>),
    /// Part of a value that was cut off.
    Part(Box<dyn Any + Send>),
    /// Answered when everything before it is freed.
    Barrier(Sender<()>),
}

/// Handle of the freeing thread.
pub struct Reaper {
    sender: Sender<Load>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    pending: AtomicU64,
    freed: AtomicU64,
}

impl Reaper {
    pub fn start() -> Reaper {
        let (sender, loads) = channel::<Load>();
        let counts = Arc::new(Counts::default());
        let of_thread = counts.clone();
        let run = move || {
            for load in loads {
                let objects = load.objects();
                match load {
                    Load::Entry(entry) => drop(entry),
                    Load::Databases(dbs) => drop(dbs),
                    Load::Part(part) => drop(part),
                    // The asker may be gone already.
                    Load::Barrier(done) => drop(done.send(())),
                }
                of_thread.pending.fetch_sub(objects, Ordering::Relaxed);
                of_thread.freed.fetch_add(objects, Ordering::Relaxed);
            }
        };
        let spawned = std::thread::Builder::new()
            .name("ferrite-reaper".into())
            .spawn(run);
        spawned.expect("a thread can be started");
        Reaper { sender, counts }
    }

    fn send(&self, load: Load) {
        self.counts
            .pending
            .fetch_add(load.objects(), Ordering::Relaxed);
        // If the thread is gone, the load comes back in the error and is freed here.
        if let Err(back) = self.sender.send(load) {
            self.counts
                .pending
                .fetch_sub(back.0.objects(), Ordering::Relaxed);
        }
    }

    /// Frees an entry: here if it is small, on the thread if it is large.
    #[inline]
    pub fn free(&self, entry: Entry) {
        if is_large(&entry) {
            self.send(Load::Entry(entry));
        }
    }

    /// Frees what was cut off a value, if there is anything.
    pub fn free_part<T: Send + 'static>(&self, part: Option<T>) {
        if let Some(part) = part {
            self.send(Load::Part(Box::new(part)));
        }
    }

    /// Frees whole databases on the thread.
    pub fn free_databases(&self, dbs: Vec<Db>) {
        self.send(Load::Databases(dbs));
    }

    /// Objects that wait to be freed.
    pub fn pending(&self) -> u64 {
        self.counts.pending.load(Ordering::Relaxed)
    }

    /// Objects that were freed on the thread.
    pub fn freed(&self) -> u64 {
        self.counts.freed.load(Ordering::Relaxed)
    }

    pub fn reset_freed(&self) {
        self.counts.freed.store(0, Ordering::Relaxed);
    }

    /// Waits until everything handed over before is freed.
    pub fn wait(&self) {
        // An error means that the thread is gone, with nothing left to free.
        let _ = self.barrier().recv();
    }

    /// The same, but gives up after `time`: false if something is still to be freed then.
    pub fn wait_at_most(&self, time: Duration) -> bool {
        self.barrier().recv_timeout(time).is_ok()
    }

    fn barrier(&self) -> Receiver<()> {
        let (done, wait) = channel();
        self.send(Load::Barrier(done));
        wait
    }
}

impl Load {
    fn objects(&self) -> u64 {
        match self {
            Load::Entry(_) => 1,
            Load::Databases(dbs) => dbs.iter().map(|db| db.table.len() as u64).sum(),
            Load::Part(_) => 1,
            Load::Barrier(_) => 0,
        }
    }
}

fn is_large(entry: &Entry) -> bool {
    match entry.payload() {
        Payload::Obj(obj) => match obj {
            ObjRef::List(list) => list.len() > MIN_ELEMENTS,
            ObjRef::Set(set) => set.len() > MIN_ELEMENTS,
            ObjRef::Hash(hash) => hash.len() > MIN_ELEMENTS,
            ObjRef::Zset(zset) => zset.len() > MIN_ELEMENTS,
            ObjRef::Stream(stream) => stream.free_effort() > MIN_ELEMENTS as u64,
        },
        Payload::Big(big) => big.bytes().len() >= MIN_BYTES,
        _ => false,
    }
}
