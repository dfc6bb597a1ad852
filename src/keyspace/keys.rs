//! One database as a command sees it: lookups, changes, expiry, and the report of effects.

mod change;

use super::db::Db;
use super::effect::{Class, Form};
use super::text::Text;
use super::{Judge, Keyspace};
use crate::command::error::Error;
use crate::value::entry::Entry;
use crate::value::{Collection, Limits};

/// What happens to the expiry of a key that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expire {
    /// It stays as it is.
    Keep,
    /// The key lives for ever.
    Never,
    /// Unix time in ms.
    At(i64),
}

/// A database in the hands of one command.
pub struct Keys<'a> {
    pub ks: &'a mut Keyspace,
    /// Number of the database.
    pub index: usize,
    /// Reads leave access clocks alone (`CLIENT NO-TOUCH`).
    pub no_touch: bool,
}

impl<'a> Keys<'a> {
    pub fn new(ks: &'a mut Keyspace, index: usize) -> Keys<'a> {
        Keys {
            ks,
            index,
            no_touch: false,
        }
    }

    /// The same keyspace at another database.
    pub fn other(&mut self, index: usize) -> Keys<'_> {
        Keys {
            ks: self.ks,
            index,
            no_touch: self.no_touch,
        }
    }

    pub fn now_ms(&self) -> i64 {
        self.ks.now_ms
    }

    /// Whether a deadline that is being set is over already, so that the key goes at once. A master
    /// decides that for its replicas.
    pub fn is_over(&self, at_ms: i64) -> bool {
        at_ms <= self.ks.now_ms && self.ks.judge != Judge::Keep
    }

    pub fn limits(&self) -> Limits {
        self.ks.limits
    }

    pub fn db(&self) -> &Db {
        &self.ks.dbs[self.index]
    }

    /// Keys in the database, expired ones that were not met yet included.
    pub fn len(&self) -> usize {
        self.db().table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn hash(&self, key: &[u8]) -> u64 {
        // Every lookup of a key begins here.
        #[cfg(test)]
        recorder::see(key);
        self.ks.seed.hash_bytes(key)
    }

    #[inline]
    fn is_expired(&self, entry: &Entry) -> bool {
        entry.expire().is_some_and(|at| self.ks.now_ms > at) && self.ks.judge != Judge::Keep
    }

    /// The key is there in a table, and absent for the present command.
    #[inline]
    fn is_hidden(&self, entry: &Entry) -> bool {
        self.ks.judge == Judge::Hide && self.is_expired(entry)
    }

    /// Deletes the key if its time is over. After this, a lookup finds only living keys.
    pub fn expire_if_due(&mut self, key: &[u8]) {
        let hash = self.hash(key);
        self.expire_hashed(hash, key);
    }

    #[inline]
    fn expire_hashed(&mut self, hash: u64, key: &[u8]) {
        let db = self.db();
        if db.volatile > 0 && db.table.get(hash, key).is_some_and(|e| self.is_expired(e)) {
            self.expire_now(key);
        }
    }

    /// Deletes an expired key with its effect and event.
    pub fn expire_now(&mut self, key: &[u8]) {
        if self.ks.judge == Judge::Own && self.unlink(key) {
            self.ks.stats.expired += 1;
            let verb = self.ks.verbs.expire;
            self.spread(Class::EXPIRED, "expired", key, verb);
        }
    }

    /// Deletes a key for want of memory. True if it was there.
    pub fn evict(&mut self, key: &[u8]) -> bool {
        let there = self.unlink(key);
        if there {
            self.ks.stats.evicted += 1;
            let verb = self.ks.verbs.evict;
            self.spread(Class::EVICTED, "evicted", key, verb);
        }
        there
    }

    /// The effect of a deletion that no command asked for.
    fn spread(&mut self, class: Class, name: &'static str, key: &[u8], verb: &str) {
        let index = self.index;
        self.ks.stats.dirty += 1;
        self.ks
            .log
            .append_for_all(index, [verb.as_bytes(), key].into_iter());
        self.ks.effects.notify(class, name, index, key);
        self.ks.effects.touch(index, key);
        self.ks.effects.lapse(key);
    }

    /// The entry as it lies there, expired or not.
    pub fn stored(&self, key: &[u8]) -> Option<&Entry> {
        self.db().table.get(self.hash(key), key)
    }

    /// Looks a key up without statistics, clocks or deletion: an expired key is absent.
    #[inline]
    pub fn peek(&self, key: &[u8]) -> Option<&Entry> {
        let entry = self.db().table.get(self.hash(key), key)?;
        (!self.is_expired(entry)).then_some(entry)
    }

    /// Looks a key up for reading: expires it if due, counts hit or miss, touches its clock.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<&Entry> {
        let hash = self.hash(key);
        self.expire_hashed(hash, key);
        let hides = self.ks.judge == Judge::Hide;
        let ks = &mut *self.ks;
        let found = ks.dbs[self.index].table.get(hash, key);
        let now = ks.now_ms;
        let Some(entry) = found.filter(|e| !(hides && e.expire().is_some_and(|at| now > at)))
        else {
            ks.stats.misses += 1;
            ks.effects
                .notify(Class::KEY_MISS, "keymiss", self.index, key);
            return None;
        };
        ks.stats.hits += 1;
        if !self.no_touch {
            ks.access.touch(entry, ks.now_ms, &mut ks.rng);
        }
        Some(entry)
    }

    /// Looks a key up to tell how it lies there, not what it holds: hit or miss counts, but the key's clock
    /// stays, and nobody hears that it is missing.
    pub fn inspect(&mut self, key: &[u8]) -> Option<&Entry> {
        if self.look(key).is_none() {
            self.ks.stats.misses += 1;
            return None;
        }
        self.ks.stats.hits += 1;
        self.stored(key)
    }

    /// Reads a string.
    ///
    /// # Errors
    /// `WRONGTYPE` if the key holds another type.
    #[inline]
    pub fn read_str(&mut self, key: &[u8]) -> Result<Option<Text<'_>>, Error> {
        match self.read(key) {
            None => Ok(None),
            Some(entry) => Text::of(entry.payload()).map(Some).ok_or(Error::WRONG_TYPE),
        }
    }

    /// Reads a collection.
    ///
    /// # Errors
    /// `WRONGTYPE` if the key holds another type.
    #[inline]
    pub fn read_as<C: Collection>(&mut self, key: &[u8]) -> Result<Option<C::Ref<'_>>, Error> {
        match self.read(key) {
            None => Ok(None),
            Some(entry) => C::view(entry.payload()).map(Some).ok_or(Error::WRONG_TYPE),
        }
    }

    /// As [`Keys::read_as`] without statistics or deletion, for commands that hold several
    /// values at once (after [`Keys::read`] of each).
    pub fn peek_as<C: Collection>(&self, key: &[u8]) -> Result<Option<C::Ref<'_>>, Error> {
        match self.peek(key) {
            None => Ok(None),
            Some(entry) => C::view(entry.payload()).map(Some).ok_or(Error::WRONG_TYPE),
        }
    }

    /// Looks a key up before a write: expires it if due; no hit or miss is counted.
    pub fn look(&mut self, key: &[u8]) -> Option<&Entry> {
        self.expire_if_due(key);
        let found = self.db().table.get(self.hash(key), key);
        found.filter(|entry| !self.is_hidden(entry))
    }

    /// Whether the key exists; expires it if due.
    pub fn exists(&mut self, key: &[u8]) -> bool {
        self.look(key).is_some()
    }

    /// A random living key.
    pub fn random_key(&mut self) -> Option<Vec<u8>> {
        // Among expired keys only, the search has to end.
        for _ in 0..100 {
            let ks = &mut *self.ks;
            let entry = ks.dbs[self.index].table.random(&mut || ks.rng.next_u64())?;
            let key = entry.key().to_vec();
            if self.peek(&key).is_some() {
                return Some(key);
            }
            self.expire_now(&key);
        }
        let alive = self.db().table.iter().find(|e| !self.is_expired(e))?;
        Some(alive.key().to_vec())
    }

    /// The one report of a change: counts it, marks the command for the log, tells who watches
    /// the key, and announces the event. `changes` may be 0 for an event without a change. If
    /// [`Keys::update`] has just emptied and so deleted the key, `del` is announced too.
    #[inline]
    pub fn effect(&mut self, class: Class, event: &'static str, key: &[u8], changes: usize) {
        if changes > 0 {
            self.changed(key, changes);
        }
        let index = self.index;
        let effects = &mut self.ks.effects;
        effects.notify(class, event, index, key);
        if std::mem::take(&mut effects.present.emptied) {
            effects.notify(Class::GENERIC, "del", index, key);
        }
    }

    /// As [`Keys::effect`] for a change that has no event (PFCOUNT keeps its result in the value).
    #[inline]
    pub fn changed(&mut self, key: &[u8], changes: usize) {
        let effects = &mut self.ks.effects;
        effects.present.dirty += changes as u64;
        effects.touch(self.index, key);
    }

    /// Counts a change that only those see who look at the state of a stream's groups: nobody who watches the key is told.
    #[inline]
    pub fn counted(&mut self, changes: usize) {
        self.ks.effects.present.dirty += changes as u64;
    }

    /// Logs this instead of the command as it was sent; may be called several times. Used where
    /// the request is not the effect: relative times, random choices, deletes by expiry.
    pub fn log(&mut self, effect: &[&[u8]]) {
        self.ks.effects.present.form = Form::Rewritten;
        self.ks.log.append(self.index, effect.iter().copied());
    }

    /// The command logs nothing although it counted changes.
    pub fn log_nothing(&mut self) {
        self.ks.effects.present.form = Form::Rewritten;
    }
}

/// Which keys are looked up, for the test that compares them with those that the calls name.
#[cfg(test)]
pub mod recorder {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        static SEEN: RefCell<Option<BTreeSet<Vec<u8>>>> = const { RefCell::new(None) };
    }

    /// Records the lookups of this thread from now on.
    pub fn begin() {
        SEEN.set(Some(BTreeSet::new()));
    }

    /// The keys that were looked up since [`begin`].
    pub fn end() -> BTreeSet<Vec<u8>> {
        SEEN.take().unwrap_or_default()
    }

    pub(super) fn see(key: &[u8]) {
        SEEN.with_borrow_mut(|seen| seen.as_mut().map(|seen| seen.insert(key.to_vec())));
    }
}
