//! What makes cached keys invalid, and how the clients hear of it.

use super::Modes;
use crate::acl::check::{may_know_all_keys, may_know_key};
use crate::command::args::Args;
use crate::command::keys::{KeyList, keys_of};
use crate::command::registry::Command;
use crate::command::spec::{Flags, KeyFlags};
use crate::dispatch::client::Client;
use crate::dispatch::core::Core;
use crate::dispatch::push::Push;
use crate::resp::reply::Reply;

/// Keys as an array in wire form.
fn key_array<'a>(keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Reply::new();
    out.array(keys.len());
    keys.for_each(|key| out.bulk(key));
    out.take().1
}

impl Core {
    /// Remembers that a client which tracks has read the keys of a command.
    pub fn remember_read(&mut self, client: &Client, command: &Command, args: &Args<'_>) {
        // Of scripts count the commands that they run.
        let runs_others = matches!(command.spec.name, "eval_ro" | "evalsha_ro" | "fcall_ro");
        let reads = command.flags.contains(Flags::READONLY)
            && !command.flags.contains(Flags::PUBSUB)
            && !runs_others;
        let remembers = |id| self.tracking.of(id).is_some_and(|t| t.remembers());
        if !reads || !remembers(client.id) {
            return;
        }
        let mut keys = KeyList::new();
        if keys_of(command.spec, args, &mut keys).is_err() {
            return;
        }
        for key in keys.iter().filter(|k| !k.flags.contains(KeyFlags::NOT_KEY)) {
            self.tracking.remember(client.id, args.get(key.at));
        }
        self.limit_tracked_keys();
    }

    /// Forgets the oldest keys while there are too many; their readers are told.
    pub fn limit_tracked_keys(&mut self) {
        let max = self.config.tracking_table_max_keys;
        while max > 0 && self.tracking.keys() > max {
            let Some(key) = self.tracking.oldest() else {
                return;
            };
            self.invalidate(&key, 0);
        }
    }

    /// A key has changed, by the client `by` or by nobody (0).
    pub fn key_changed(&mut self, key: &[u8], by: u64) {
        if self.tracking.is_watching() {
            self.tracking.note_change(key, by);
            self.invalidate(key, by);
        }
    }

    /// Tells those who may hold a key that it is not valid any more; they are forgotten.
    fn invalidate(&mut self, key: &[u8], by: u64) {
        let Some(ids) = self.tracking.take(key) else {
            return;
        };
        for id in ids {
            let Some(tracker) = self.tracking.of(id) else {
                continue;
            };
            // It may have changed its way since it read the key.
            let own = id == by && tracker.modes.contains(Modes::NOLOOP);
            if !own && !tracker.modes.contains(Modes::BCAST) {
                let keys = key_array([key].into_iter());
                self.send_invalidation(id, Some(keys));
            }
        }
    }

    /// Databases were emptied: no key of any is valid.
    pub fn invalidate_all(&mut self) {
        let mut ids: Vec<u64> = self.tracking.clients.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.send_invalidation(id, None);
        }
        self.tracking.clear_table();
    }

    /// Tells those who track by prefix what changed in this turn.
    pub fn broadcast_invalidations(&mut self) {
        let changes = |(name, prefix): (&Vec<u8>, &mut super::Prefix)| {
            let changed = std::mem::take(&mut prefix.changed);
            (!changed.is_empty()).then(|| (name.clone(), changed))
        };
        let prefixes = self.tracking.prefixes.iter_mut();
        let due: Vec<_> = prefixes.filter_map(changes).collect();
        for (name, changed) in due {
            let Some(prefix) = self.tracking.prefixes.get(&name) else {
                continue;
            };
            let ids: Vec<u64> = prefix.clients.iter().copied().collect();
            let all = key_array(changed.keys().map(Vec::as_slice));
            for id in ids {
                let noloop = |t: &super::Tracker| t.modes.contains(Modes::NOLOOP);
                let noloop = self.tracking.of(id).is_some_and(noloop);
                let user = self.clients.get(id).map(|client| &*client.user);
                // A name is user data too: nobody is told of keys that are none of theirs.
                let limited = user.filter(|user| !may_know_all_keys(user));
                if !noloop && limited.is_none() {
                    self.send_invalidation(id, Some(all.clone()));
                    continue;
                }
                let told = |key: &[u8], by| {
                    !(noloop && by == id) && limited.is_none_or(|user| may_know_key(user, key))
                };
                let told = changed.iter().filter(|(key, by)| told(key, **by));
                let keys: Vec<&[u8]> = told.map(|(key, _)| key.as_slice()).collect();
                if !keys.is_empty() {
                    self.send_invalidation(id, Some(key_array(keys.into_iter())));
                }
            }
        }
    }

    /// Sends an invalidation to a client that tracks, or where it wants to have it.
    fn send_invalidation(&mut self, id: u64, keys: Option<Vec<u8>>) {
        let Some(tracker) = self.tracking.of_mut(id) else {
            return;
        };
        let redirect = tracker.redirect;
        if redirect == 0 {
            let redirected = false;
            return self.push(id, Push::Invalidate { keys, redirected });
        }
        if self.clients.slot_of(redirect).is_none() {
            tracker.modes.insert(Modes::BROKEN_REDIR);
            return self.push(id, Push::RedirBroken(redirect));
        }
        let redirected = true;
        self.push(redirect, Push::Invalidate { keys, redirected });
    }
}
