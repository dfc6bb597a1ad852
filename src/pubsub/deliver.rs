//! From a published message to the output of its subscribers.

use smallvec::SmallVec;

use super::messages::Messages;
use super::{Kind, Members, Name, PubSub};
use crate::base::glob;
use crate::dispatch::clients::Clients;
use crate::dispatch::core::Core;
use crate::dispatch::push::{Push, Pushes};
use crate::keyspace::effect::{Class, Event};

/// A run of more bytes is handed out: memory of waiting messages is to be seen by the limits.
const RUN_MAX: usize = 64 * 1024;

impl PubSub {
    /// The names whose subscribers get a message to this channel.
    fn targets(&self, shard: bool, channel: &[u8]) -> SmallVec<[(Kind, Name); 2]> {
        let own = if shard { Kind::Shard } else { Kind::Channel };
        let mut targets = SmallVec::new();
        if let Some((name, _)) = self.tables[own as usize].get_key_value(channel) {
            targets.push((own, name.clone()));
        }
        if !shard {
            let patterns = self.tables[Kind::Pattern as usize].keys();
            let hits = patterns.filter(|pattern| glob::matches(pattern, channel, false));
            targets.extend(hits.map(|pattern| (Kind::Pattern, pattern.clone())));
        }
        targets
    }
}

/// Writes messages to the output of each member; those whose command runs get them after it.
fn hand_out(
    messages: &mut Messages,
    members: &Members,
    clients: &mut Clients,
    pushes: &mut Pushes,
) {
    for (id, slot) in members {
        match clients.at_mut(*slot, *id) {
            Some(client) => {
                client.reuse_buffer();
                messages.write(&mut client.out);
                pushes.mark(*slot, client);
            }
            None => pushes.keep(*id, Push::Messages(messages.clone())),
        }
    }
}

impl Core {
    /// Sends a message to the subscribers of a channel; returns how many get it.
    pub fn publish(&mut self, shard: bool, channel: &[u8], message: &[u8]) -> usize {
        if self.pubsub.is_empty() {
            return 0;
        }
        let own = if shard { Kind::Shard } else { Kind::Channel };
        let alone = shard || self.pubsub.len(Kind::Pattern) == 0;
        if alone && self.pubsub.run.is_for(own, channel) {
            self.extend_run(own, channel, channel, message);
            return self.pubsub.subscribers(own, channel);
        }
        let targets = self.pubsub.targets(shard, channel);
        match targets.as_slice() {
            [] => {}
            [(kind, name)] => {
                if !self.pubsub.run.is_for(*kind, name) {
                    self.deliver();
                    self.pubsub.run.target = Some((*kind, name.clone()));
                }
                self.extend_run(*kind, name, channel, message);
            }
            _ => {
                // A client may be in several: message by message, in the order of the names.
                self.deliver();
                for (kind, name) in &targets {
                    self.pubsub.run.target = Some((*kind, name.clone()));
                    self.extend_run(*kind, name, channel, message);
                    self.deliver();
                }
            }
        }
        let count = |(kind, name): &(Kind, Name)| self.pubsub.subscribers(*kind, name);
        targets.iter().map(count).sum()
    }

    fn extend_run(&mut self, kind: Kind, name: &[u8], channel: &[u8], message: &[u8]) {
        let messages = &mut self.pubsub.run.messages;
        messages.add_message(kind, name, channel, message);
        if messages.len() > RUN_MAX {
            self.deliver();
        }
    }

    /// Messages wait to be handed out.
    #[inline]
    pub fn has_run(&self) -> bool {
        !self.pubsub.run.messages.is_empty()
    }

    /// Hands out the messages that wait.
    pub fn deliver(&mut self) {
        if !self.has_run() {
            return;
        }
        let mut run = std::mem::take(&mut self.pubsub.run);
        if let Some((kind, name)) = &run.target
            && let Some(members) = self.pubsub.tables[*kind as usize].get(name)
        {
            hand_out(
                &mut run.messages,
                members,
                &mut self.clients,
                &mut self.pushes,
            );
        }
        run.clear();
        self.pubsub.run = run;
    }

    /// Tells subscribers of an event of the keyspace.
    pub fn announce(&mut self, event: &Event) {
        if self.pubsub.is_empty() {
            return;
        }
        let wanted = self.config.notify_keyspace_events;
        let name = event.name.as_bytes();
        let channel = |about: &str, rest: &[u8]| {
            let head = format!("__{about}@{}__:", event.db);
            [head.as_bytes(), rest].concat()
        };
        if wanted.contains(Class::KEYSPACE) {
            self.publish(false, &channel("keyspace", &event.key), name);
        }
        if wanted.contains(Class::KEYEVENT) {
            self.publish(false, &channel("keyevent", name), &event.key);
        }
    }
}
