//! Effects: what a command changed, reported through one call and spread from here.
//!
//! [`Keys::effect`](super::Keys::effect) counts the change, marks the command for the log, and
//! tells everyone who watches the key: keyspace notifications, WATCH, client-side caches and
//! blocked clients read the list that is kept here.

use bitflags::bitflags;

bitflags! {
    /// Classes of keyspace events, as in `notify-keyspace-events`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Class: u32 {
        const KEYSPACE = 1 << 0;   // K
        const KEYEVENT = 1 << 1;   // E
        const GENERIC = 1 << 2;    // g
        const STRING = 1 << 3;     // $
        const LIST = 1 << 4;       // l
        const SET = 1 << 5;        // s
        const HASH = 1 << 6;       // h
        const ZSET = 1 << 7;       // z
        const EXPIRED = 1 << 8;    // x
        const EVICTED = 1 << 9;    // e
        const STREAM = 1 << 10;    // t
        const KEY_MISS = 1 << 11;  // m
        const MODULE = 1 << 13;    // d
        const NEW = 1 << 14;       // n
    }
}

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

/// Changes since the last time that they were collected.
#[derive(Debug, Default)]
pub struct Effects {
    /// Number of changes by the present command.
    pub dirty: u64,
    pub form: Form,
    /// The last update emptied its key, which is deleted; `del` is announced with the effect.
    pub emptied: bool,
    /// Classes that `notify-keyspace-events` asks for.
    pub wanted: Class,
    pub events: Vec<Event>,
    /// Whether somebody wants to hear of changed keys (WATCH, tracking, blocked clients).
    pub watching: bool,
    /// Changed keys, only while `watching`.
    pub touched: Vec<(usize, Vec<u8>)>,
}

impl Effects {
    pub fn notify(&mut self, class: Class, name: &'static str, db: usize, key: &[u8]) {
        if self.wanted.contains(class) {
            self.events.push(Event { class, name, db, key: key.to_vec() });
        }
    }

    pub fn touch(&mut self, db: usize, key: &[u8]) {
        if self.watching {
            self.touched.push((db, key.to_vec()));
        }
    }

    /// Begins a command.
    pub fn begin(&mut self) {
        self.dirty = 0;
        self.form = Form::Verbatim;
        self.emptied = false;
    }
}
