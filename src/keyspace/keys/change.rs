//! Changes of entries: in place where that can be, with the expiry index, the counts by prefix and the access clock
//! kept with them. None of them reports an effect: the caller does.

use std::sync::Arc;

use super::{Expire, Keys};
use crate::base::num;
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::keyspace::text::Text;
use crate::keyspace::{Judge, fields};
use crate::value::entry::{Blob, Entry, Head, INLINE_MAX, New, Payload};
use crate::value::{Collection, Stored, Type};

impl Keys<'_> {
    /// Changes a collection in place, creating it if the key is absent and deleting the key if
    /// it is empty afterwards. The closure reports what it did; the caller reports the effect.
    ///
    /// # Errors
    /// `WRONGTYPE` if the key holds another type; nothing is called then.
    pub fn update<C: Collection, R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(&mut C) -> R,
    ) -> Result<R, Error> {
        let hash = self.hash(key);
        self.expire_hashed(hash, key);
        let ks = &mut *self.ks;
        let db = &mut ks.dbs[self.index];
        if let Some(entry) = db.table.get_mut(hash, key, &ks.seed) {
            let before = db.tally.begin(&ks.prefixes, hash, entry);
            let (result, empty, grown) = change(entry, &mut ks.scratch, f)?;
            db.tally.end(&ks.prefixes, hash, entry, before, grown);
            if !self.no_touch {
                ks.access.touch(entry, ks.now_ms, &mut ks.rng);
            }
            if empty {
                self.unlink(key);
                self.ks.effects.present.emptied = true;
            }
            return Ok(result);
        }
        let mut value = C::empty();
        let result = f(&mut value);
        if !value.is_empty() {
            self.insert(hash, key, None, value.store());
        }
        Ok(result)
    }

    /// Changes a collection that must exist: `None` if the key is absent. Deletes the key if it
    /// is empty afterwards.
    ///
    /// # Errors
    /// `WRONGTYPE` if the key holds another type.
    pub fn modify<C: Collection, R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(&mut C) -> R,
    ) -> Result<Option<R>, Error> {
        self.expire_if_due(key);
        if self.db().table.get(self.hash(key), key).is_none() {
            return Ok(None);
        }
        self.update(key, f).map(Some)
    }

    /// Stores a whole collection at a key, whatever was there; an empty one deletes the key.
    /// The expiry of a former value goes. True if the key exists now.
    pub fn replace<C: Collection>(&mut self, key: &[u8], value: C) -> bool {
        self.unlink(key);
        if value.is_empty() {
            return false;
        }
        let hash = self.hash(key);
        self.insert(hash, key, None, value.store());
        if C::TYPE == Type::Hash {
            fields::hint(self, key);
        }
        true
    }

    fn insert(&mut self, hash: u64, key: &[u8], expire: Option<i64>, value: Stored) {
        let head = self.fresh_head(expire);
        let entry = match value {
            Stored::Small(tag, count, bytes) => Entry::new(
                key,
                head,
                New::Packed(Blob {
                    tag,
                    count,
                    bytes: &bytes,
                }),
            ),
            Stored::Large(obj) => Entry::new(key, head, New::Obj(obj)),
        };
        self.insert_entry(hash, entry);
    }

    fn fresh_head(&self, expire: Option<i64>) -> Head {
        Head {
            clock: Some(self.ks.access.fresh(self.ks.now_ms)),
            expire,
            score: None,
        }
    }

    /// Adds an entry whose key is known to be absent.
    fn insert_entry(&mut self, hash: u64, mut entry: Entry) {
        let index = self.index;
        self.ks
            .effects
            .notify(Class::NEW, "new", index, entry.key());
        let ks = &mut *self.ks;
        let db = &mut ks.dbs[index];
        let expire = entry.expire();
        db.count_expire(None, expire);
        if let Some(at) = expire {
            db.expiry.add(hash, at, ks.now_ms);
            entry.set_hinted(true);
            if ks.log.mute && ks.judge == Judge::Own {
                ks.own_deadlines.insert((at, index, entry.key().to_vec()));
            }
        }
        db.tally.came(&ks.prefixes, hash, &entry);
        db.table.insert_new(hash, entry, &ks.seed);
        if expire.is_some() {
            ks.pay_sweep(index);
        }
    }

    /// Puts an entry (made by [`Keys::take`] or [`Entry::renamed`]) at its own key, whatever was
    /// there. Its expiry comes with it.
    pub fn put(&mut self, mut entry: Entry) {
        let key = entry.key().to_vec();
        self.unlink(&key);
        entry.set_hinted(false);
        let hash = self.hash(&key);
        let field = fields::next_expiry(&entry);
        self.insert_entry(hash, entry);
        if let Some(at) = field {
            self.hint(&key, at);
        }
    }

    /// Stores a string at a key, whatever was there. No event, no effect.
    #[inline]
    pub fn set_str(&mut self, key: &[u8], value: New<'_>, expire: Expire) {
        let hash = self.hash(key);
        let ks = &mut *self.ks;
        let db = &mut ks.dbs[self.index];
        let Some(entry) = db.table.get_mut(hash, key, &ks.seed) else {
            let at = if let Expire::At(at) = expire {
                Some(at)
            } else {
                None
            };
            let entry = Entry::new(key, self.fresh_head(at), value);
            return self.insert_entry(hash, entry);
        };
        let before = entry.expire();
        if before.is_some_and(|at| ks.now_ms > at) && ks.judge == Judge::Own {
            // The old value went before the new one came, and that is announced.
            self.expire_now(key);
            return self.set_str(key, value, expire);
        }
        let after = match expire {
            Expire::Keep => before,
            Expire::Never => None,
            Expire::At(at) => Some(at),
        };
        let weighed = db.tally.begin(&ks.prefixes, hash, entry);
        if entry.has_pointer() {
            ks.reaper.free(entry.clone());
        }
        let grown = entry.set_payload(value);
        db.tally.end(&ks.prefixes, hash, entry, weighed, grown);
        ks.access.touch(entry, ks.now_ms, &mut ks.rng);
        if before.is_some() || after.is_some() {
            self.change_expire(hash, key, before, after);
        }
    }

    /// Changes an integer in place with one lookup; an absent key counts as 0 and is created. The
    /// expiry stays. Returns the new integer.
    ///
    /// # Errors
    /// `WRONGTYPE`, [`Error::NOT_INTEGER`] for other texts, or what the closure returns.
    #[inline]
    pub fn update_int(
        &mut self,
        key: &[u8],
        f: impl FnOnce(i64) -> Result<i64, Error>,
    ) -> Result<i64, Error> {
        let hash = self.hash(key);
        let ks = &mut *self.ks;
        let db = &mut ks.dbs[self.index];
        let Some(entry) = db.table.get_mut(hash, key, &ks.seed) else {
            let n = f(0)?;
            let entry = Entry::new(key, self.fresh_head(None), New::Int(n));
            self.insert_entry(hash, entry);
            return Ok(n);
        };
        if entry.expire().is_some_and(|at| ks.now_ms > at) && ks.judge == Judge::Own {
            self.expire_now(key);
            return self.update_int(key, f);
        }
        let old = match entry.payload() {
            Payload::Int(n) => n,
            other => {
                let text = Text::of(other).ok_or(Error::WRONG_TYPE)?;
                num::parse_i64(&text).ok_or(Error::NOT_INTEGER)?
            }
        };
        let n = f(old)?;
        let before = db.tally.begin(&ks.prefixes, hash, entry);
        let grown = entry.set_payload(New::Int(n));
        db.tally.end(&ks.prefixes, hash, entry, before, grown);
        if !self.no_touch {
            ks.access.touch(entry, ks.now_ms, &mut ks.rng);
        }
        Ok(n)
    }

    fn change_expire(&mut self, hash: u64, key: &[u8], before: Option<i64>, after: Option<i64>) {
        let ks = &mut *self.ks;
        let db = &mut ks.dbs[self.index];
        let Some(entry) = db.table.get_mut(hash, key, &ks.seed) else {
            return;
        };
        let weighed = db.tally.begin(&ks.prefixes, hash, entry);
        let allocated = entry.allocated();
        entry.set_expire(after);
        let grown = entry.allocated() as isize - allocated as isize;
        db.tally.end(&ks.prefixes, hash, entry, weighed, grown);
        match after {
            Some(at) => {
                if ks.log.mute && ks.judge == Judge::Own {
                    ks.own_deadlines.insert((at, self.index, key.to_vec()));
                }
                let hinted = entry.is_hinted() && before.is_some_and(|old| old <= at);
                if !hinted {
                    db.expiry.add(hash, at, ks.now_ms);
                    entry.set_hinted(true);
                }
            }
            None => entry.set_hinted(false),
        }
        db.count_expire(before, after);
        if after.is_some() {
            ks.pay_sweep(self.index);
        }
    }

    /// Sets or removes the expiry (unix ms) of an existing key. False if there is no such key.
    pub fn set_expire(&mut self, key: &[u8], expire: Option<i64>) -> bool {
        let hash = self.hash(key);
        let Some(entry) = self.db().table.get(hash, key) else {
            return false;
        };
        let before = entry.expire();
        self.change_expire(hash, key, before, expire);
        true
    }

    /// Asks the expiry cycle to look at this key at `at_ms` (for fields with their own expiry).
    pub fn hint(&mut self, key: &[u8], at_ms: i64) {
        let hash = self.hash(key);
        let now = self.ks.now_ms;
        self.ks.dbs[self.index].expiry.add(hash, at_ms, now);
        self.ks.pay_sweep(self.index);
    }

    /// Changes a string in place through a growable buffer: APPEND, SETRANGE, SETBIT and the
    /// like. The key is created if it is absent; its expiry stays. The result is stored as `raw`.
    /// If the closure fails, the value is put back as far as it was changed, so it has to check
    /// first.
    ///
    /// # Errors
    /// `WRONGTYPE`, or what the closure returns.
    pub fn edit_str<R>(
        &mut self,
        key: &[u8],
        f: impl FnOnce(&mut Vec<u8>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let hash = self.hash(key);
        self.expire_hashed(hash, key);
        let ks = &mut *self.ks;
        let mut bytes = std::mem::take(&mut ks.scratch);
        bytes.clear();
        let db = &mut ks.dbs[self.index];
        let Some(entry) = db.table.get_mut(hash, key, &ks.seed) else {
            let result = f(&mut bytes);
            if result.is_ok() {
                // A string that has just been made may well stay as it is: no room to grow.
                if bytes.len() > INLINE_MAX {
                    bytes.shrink_to_fit();
                }
                self.store_raw(key, bytes);
            }
            return result;
        };
        let before = db.tally.begin(&ks.prefixes, hash, entry);
        if let Some(mut big) = entry.take_big() {
            ks.scratch = bytes;
            let result = f(Arc::make_mut(&mut big));
            let grown = entry.set_payload(New::Big(big));
            db.tally.end(&ks.prefixes, hash, entry, before, grown);
            if !self.no_touch {
                ks.access.touch(entry, ks.now_ms, &mut ks.rng);
            }
            return result;
        }
        let clock = entry.clock();
        let text = Text::of(entry.payload()).ok_or(Error::WRONG_TYPE);
        bytes.extend_from_slice(&text?);
        let result = f(&mut bytes);
        if result.is_ok() {
            self.store_raw(key, bytes);
            if self.no_touch
                && let Some(entry) = self.db().table.get(hash, key)
            {
                entry.set_clock(clock);
            }
        } else {
            self.ks.scratch = bytes;
        }
        result
    }

    fn store_raw(&mut self, key: &[u8], bytes: Vec<u8>) {
        let mut holder = Vec::new();
        let new = New::raw(bytes, &mut holder);
        self.set_str(key, new, Expire::Keep);
        if holder.capacity() > 0 {
            self.ks.scratch = holder;
        }
    }

    /// Removes a key and gives its entry to the caller.
    pub fn take(&mut self, key: &[u8]) -> Option<Entry> {
        let hash = self.hash(key);
        let ks = &mut *self.ks;
        let db = &mut ks.dbs[self.index];
        let entry = db.table.remove(hash, key, &ks.seed)?;
        db.count_expire(entry.expire(), None);
        db.tally.went(&ks.prefixes, hash, &entry);
        Some(entry)
    }

    /// Removes a key; large values are freed on another thread. No event, no effect.
    pub fn unlink(&mut self, key: &[u8]) -> bool {
        match self.take(key) {
            Some(entry) => {
                self.ks.reaper.free(entry);
                true
            }
            None => false,
        }
    }

    /// Removes a living key: false if it is absent or its time is over. No event, no effect.
    pub fn delete(&mut self, key: &[u8]) -> bool {
        self.expire_if_due(key);
        self.unlink(key)
    }
}

/// Takes a collection out of its entry, changes it and puts it back. Says whether it is empty now, and by how many bytes
/// the entry's own allocation grew.
fn change<C: Collection, R>(
    entry: &mut Entry,
    scratch: &mut Vec<u8>,
    f: impl FnOnce(&mut C) -> R,
) -> Result<(R, bool, isize), Error> {
    let payload = entry.payload();
    if payload.value_type() != C::TYPE {
        return Err(Error::WRONG_TYPE);
    }
    let Payload::Packed(blob) = payload else {
        return change_large(entry, f);
    };
    let mut buf = std::mem::take(scratch);
    buf.clear();
    let mut value = C::from_blob(blob, buf);
    let result = f(&mut value);
    let empty = value.is_empty();
    let grown = match value.store() {
        Stored::Small(tag, count, bytes) => {
            let grown = entry.set_payload(New::Packed(Blob {
                tag,
                count,
                bytes: &bytes,
            }));
            *scratch = bytes;
            grown
        }
        Stored::Large(obj) => entry.set_payload(New::Obj(obj)),
    };
    Ok((result, empty, grown))
}

/// The same for a large collection, which moves by its pointer.
#[inline]
fn change_large<C: Collection, R>(
    entry: &mut Entry,
    f: impl FnOnce(&mut C) -> R,
) -> Result<(R, bool, isize), Error> {
    let obj = entry.take_obj().and_then(C::from_obj);
    let mut value = obj.ok_or(Error::WRONG_TYPE)?;
    let result = f(&mut value);
    let empty = value.is_empty();
    let grown = match value.store() {
        Stored::Large(obj) => entry.put_obj(obj),
        Stored::Small(tag, count, bytes) => entry.set_payload(New::Packed(Blob {
            tag,
            count,
            bytes: &bytes,
        })),
    };
    Ok((result, empty, grown))
}
