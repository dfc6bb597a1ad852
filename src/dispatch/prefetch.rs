//! Fetching ahead: commands run one after another, but their memory comes at the same time.
//!
//! For a window of commands the keys are hashed and their segments asked for, then their
//! entries, then, where a key holds a large collection, the segment and entry of the element.
//! Each step finds the memory of the one before it on its way.

use smallvec::SmallVec;

use super::server::Server;
use crate::command::args::Args;
use crate::command::spec::Group;
use crate::resp::request::Batch;
use crate::value::ahead::Ahead;
use crate::value::entry::{Entry, ObjRef, Payload};

/// Commands whose memory is fetched ahead.
pub const PREFETCH: usize = 16;
/// Tables with fewer keys are in the cache anyway.
const MIN_KEYS: usize = 10_000;

/// The arguments of the commands of a batch from `from` on, as many as are fetched ahead.
pub fn window(batch: &Batch, from: usize) -> impl Iterator<Item = Args<'_>> {
    (from..batch.commands.len().min(from + PREFETCH)).map(|at| batch.args(at))
}

impl Server {
    /// Fetches ahead for commands that run next in database `db`. The first argument of most
    /// commands is a key; where it is not, a look is lost and nothing else.
    pub fn prefetch<'a>(&self, db: usize, commands: impl Iterator<Item = Args<'a>>) {
        let table = &self.ks.dbs[db].table;
        let mut keys: SmallVec<[(u64, Args<'a>); PREFETCH]> = SmallVec::new();
        let mut last: &[u8] = &[];
        let mut hash = 0;
        for args in commands.filter(|args| args.len() >= 2) {
            let key = args.get(1);
            // Many commands in a row often have one key.
            if keys.is_empty() || key != last {
                (last, hash) = (key, self.ks.seed.hash_bytes(key));
            }
            keys.push((hash, args));
        }
        if keys.len() < 2 {
            return;
        }
        if table.len() >= MIN_KEYS {
            keys.iter().for_each(|(hash, _)| table.prefetch(*hash));
            keys.iter().for_each(|(hash, _)| table.prefetch_item(*hash));
        }
        let mut inner: SmallVec<[Ahead<'_>; PREFETCH]> = SmallVec::new();
        let mut last: Option<(u64, Option<ObjRef<'_>>)> = None;
        for (hash, args) in keys.iter().filter(|(_, args)| args.len() >= 3) {
            let obj = match last {
                Some((same, obj)) if same == *hash => obj,
                _ if self.looks_inside(args) => {
                    match table.get(*hash, args.get(1)).map(Entry::payload) {
                        Some(Payload::Obj(obj)) => Some(obj),
                        _ => None,
                    }
                }
                _ => None,
            };
            last = Some((*hash, obj));
            let arg = |at: usize| (at < args.len()).then(|| args.get(at));
            inner.extend(obj.and_then(|obj| Ahead::of(obj, arg)));
        }
        inner.iter().for_each(Ahead::prefetch);
        inner.iter().for_each(Ahead::prefetch_item);
    }

    /// The command looks for an element of a collection.
    fn looks_inside(&self, args: &Args<'_>) -> bool {
        let command = self.core.commands.lookup(args.get(0));
        command.is_some_and(|c| matches!(c.spec.group, Group::Hash | Group::Set | Group::SortedSet))
    }
}
