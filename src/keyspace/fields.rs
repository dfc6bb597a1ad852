//! Expiry of hash fields: what has ended is removed with its effects, here and only here.
//!
//! A field whose time is over is absent for every command at once, whether or not it has been
//! removed. Commands that write to such a field remove it first ([`Hash::purge`]) and report it
//! with [`announce`], so that the log always has its HDEL before what follows; the expiry cycle
//! removes the others with [`expire_fields`].

use super::effect::Class;
use super::{Judge, Keys};
use crate::value::Collection;
use crate::value::entry::Entry;
use crate::value::hash::{Hash, is_past};

/// Fields that one HDEL in the log removes.
const LOG_FIELDS: usize = 1024;
/// Finest step of the index of deadlines, in ms: a hint that far back is due at once.
const HINT_STEP_MS: i64 = 16;

/// The time by which commands judge whether a field has ended.
pub fn clock(keys: &Keys<'_>) -> i64 {
    match keys.ks.judge {
        // What a master's commands work on has not ended.
        Judge::Keep => i64::MIN,
        _ => keys.now_ms(),
    }
}

/// Unix ms at which the first field of this hash ends; `None` for other values.
pub fn next_expiry(entry: &Entry) -> Option<i64> {
    Hash::view(entry.payload())?.next_expiry()
}

/// Has the expiry cycle look at a hash again when its first field ends. To be called when that
/// comes to lie earlier than before, and when a hash comes to a key in another way than by
/// commands on its fields.
pub fn hint(keys: &mut Keys<'_>, key: &[u8]) {
    let next = keys.peek(key).and_then(next_expiry);
    if let Some(at) = next {
        // At `at` itself the field is still alive.
        keys.hint(key, at.saturating_add(1));
    }
}

/// Removes up to `max` fields whose time is over, with their effects; the key too if none is
/// left. Hints at the next time to look. True if more fields are due already.
pub fn expire_fields(keys: &mut Keys<'_>, key: &[u8], max: usize) -> bool {
    let now = clock(keys);
    let removed = keys.modify::<Hash, _>(key, |hash| {
        let gone = hash.expire_due(now, max);
        (gone, hash.read().next_expiry())
    });
    let Ok(Some((gone, next))) = removed else {
        return false;
    };
    announce(keys, key, &gone, true);
    let due = is_past(next, now);
    if due {
        keys.hint(key, now - HINT_STEP_MS);
    } else if let Some(at) = next {
        keys.hint(key, at.saturating_add(1));
    }
    due
}

/// Reports fields that were removed because their time was over. `last`: no other effect of the
/// same change follows, which would announce the deletion of an emptied key.
pub fn announce(keys: &mut Keys<'_>, key: &[u8], gone: &[Vec<u8>], last: bool) {
    if gone.is_empty() {
        return;
    }
    let index = keys.index;
    let ks = &mut *keys.ks;
    ks.stats.expired_fields += gone.len() as u64;
    ks.stats.dirty += gone.len() as u64;
    for fields in gone.chunks(LOG_FIELDS) {
        let effect: Vec<&[u8]> = [&b"HDEL"[..], key]
            .into_iter()
            .chain(fields.iter().map(|f| &f[..]))
            .collect();
        ks.log.append_for_all(index, effect.into_iter());
    }
    ks.effects.touch(index, key);
    ks.effects.notify(Class::HASH, "hexpired", index, key);
    if last && std::mem::take(&mut ks.effects.present.emptied) {
        ks.effects.notify(Class::GENERIC, "del", index, key);
    }
}
