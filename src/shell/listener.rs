//! What comes without having been asked for: subscriptions, MONITOR, messages of RESP3.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::format::{Format, push_message};
use crate::resp::decode::Value;

/// What the connection is used for besides commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Channels and patterns subscribed to.
    pub channels: i64,
    pub shard_channels: i64,
    pub monitor: bool,
}

/// Takes what comes by itself. It is shared with the thread that shows messages while a line is typed.
pub struct Listener {
    pub listening: Listening,
    pub format: Format,
    /// Messages are shown, subscribed or not.
    pub show_pushes: bool,
}

impl Listener {
    /// The text of what came without having been asked for.
    pub fn show(&mut self, value: Value) -> Vec<u8> {
        match value {
            Value::Push(items) => self.message(&items).unwrap_or_default(),
            Value::Array(items) if self.listening.channels + self.listening.shard_channels > 0 => {
                self.message(&items).unwrap_or_default()
            }
            value => self.format.reply(&value, false),
        }
    }

    /// Notes a message: its text, if it is to be shown.
    pub fn message(&mut self, items: &[Value]) -> Option<Vec<u8>> {
        let listened = self.listening != Listening::default();
        if let [kind, _, Value::Int(count)] = items {
            match kind.text().unwrap_or_default() {
                b"subscribe" | b"psubscribe" | b"unsubscribe" | b"punsubscribe" => {
                    self.listening.channels = *count;
                }
                b"ssubscribe" | b"sunsubscribe" => self.listening.shard_channels = *count,
                _ => {}
            }
        }
        let listens = self.listening != Listening::default();
        (self.show_pushes || listened || listens).then(|| push_message(items, &self.format))
    }
}

/// The listener, whoever uses it at this moment.
pub fn locked(listener: &Mutex<Listener>) -> MutexGuard<'_, Listener> {
    listener.lock().unwrap_or_else(PoisonError::into_inner)
}
