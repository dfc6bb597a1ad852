//! Effects: what a command changed, reported through one call and spread from here.
//!
//! [`Keys::effect`](super::Keys::effect) counts the change, marks the command for the log, and
//! tells everyone who watches the key: keyspace notifications, WATCH, client-side caches and
//! blocked clients read the list that is kept here.

/// Classes of keyspace events, as in `notify-keyspace-events`.
pub use crate::config::lists::NotifyEvents as Class;

/// An event that somebody has subscribed to by class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub class: Class,
    pub name: &'static str,
    pub db: usize,
    pub key: Vec<u8>,
}

/// How the present command goes into the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As it was sent, if it changed anything.
    #[default]
    Verbatim,
    /// The handler logged its effects itself.
    Rewritten,
}

/// What the present command changed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes {
    /// Number of changes.
    pub dirty: u64,
    pub form: Form,
    /// The last update emptied its key, which is deleted; `del` is announced with the effect.
    pub emptied: bool,
}

/// Changes since the last time that they were collected.
#[derive(Debug, Default)]
pub struct Effects {
    pub present: Changes,
    /// Classes that `notify-keyspace-events` asks for.
    pub wanted: Class,
    pub events: Vec<Event>,
    /// Whether somebody wants to hear of changed keys (WATCH, tracking, blocked clients).
    pub watching: bool,
    /// Changed keys, only while `watching`.
    pub touched: Vec<(usize, Vec<u8>)>,
    /// Databases that changed as a whole (FLUSHALL, SWAPDB), only while `watching`.
    pub whole: Vec<usize>,
    /// Keys that were touched because they expired or were evicted: nobody's doing.
    pub lapsed: Vec<Vec<u8>>,
    /// Bytes that these lists take, for as long as nobody was told.
    pub bytes: usize,
    /// FLUSHALL or FLUSHDB ran.
    pub flushed: bool,
}

impl Effects {
    pub fn notify(&mut self, class: Class, name: &'static str, db: usize, key: &[u8]) {
        if self.wanted.contains(class) {
            self.count(key);
            self.events.push(Event {
                class,
                name,
                db,
                key: key.to_vec(),
            });
        }
    }

    pub fn touch(&mut self, db: usize, key: &[u8]) {
        if self.watching {
            self.count(key);
            self.touched.push((db, key.to_vec()));
        }
    }

    fn count(&mut self, key: &[u8]) {
        /// Place in the list, and what an allocation is rounded up by.
        const PER_KEY: usize = 64;
        self.bytes += key.len() + key.len() / 4 + PER_KEY;
    }

    /// The touched key is gone without a client's wish.
    pub fn lapse(&mut self, key: &[u8]) {
        if self.watching {
            self.count(key);
            self.lapsed.push(key.to_vec());
        }
    }

    /// All keys of a database changed at once.
    pub fn change_whole(&mut self, db: usize) {
        if self.watching {
            self.whole.push(db);
        }
    }

    /// Begins a command.
    pub fn begin(&mut self) {
        self.present = Changes::default();
    }

    /// There is something that somebody wants to hear of.
    #[inline]
    pub fn is_told(&self) -> bool {
        !(self.events.is_empty()
            && self.touched.is_empty()
            && self.whole.is_empty()
            && !self.flushed)
    }
}
