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
        let is_large = table.len() >= MIN_KEYS;
        let mut keys: SmallVec<[Next<'a>; PREFETCH]> = SmallVec::new();
        // Many commands in a row often are the same, or have one key.
        let (mut name, mut inside): (&[u8], bool) = (&[], false);
        for args in commands.filter(|args| args.len() >= 2) {
            if args.get(0) != name {
                (name, inside) = (args.get(0), self.looks_inside(args.get(0)));
            }
            if !is_large && !inside {
                continue;
            }
            let key = args.get(1);
            let hash = match keys.last() {
                Some(last) if last.args.get(1) == key => last.hash,
                _ => self.ks.seed.hash_bytes(key),
            };
            keys.push(Next { hash, args, inside });
        }
        if keys.len() < 2 {
            return;
        }
        if is_large {
            keys.iter().for_each(|next| table.prefetch(next.hash));
            keys.iter().for_each(|next| table.prefetch_item(next.hash));
        }
        let mut inner: SmallVec<[Ahead<'_>; PREFETCH]> = SmallVec::new();
        let mut last: Option<(u64, Option<ObjRef<'_>>)> = None;
        for Next { hash, args, .. } in keys.iter().filter(|next| next.inside) {
            let obj = match last {
                Some((same, obj)) if same == *hash => obj,
                _ => match table.get(*hash, args.get(1)).map(Entry::payload) {
                    Some(Payload::Obj(obj)) => Some(obj),
                    _ => None,
                },
            };
            last = Some((*hash, obj));
            let arg = |at: usize| (at < args.len()).then(|| args.get(at));
            inner.extend(obj.and_then(|obj| Ahead::of(obj, arg)));
        }
        inner.iter().for_each(Ahead::prefetch);
        inner.iter().for_each(Ahead::prefetch_item);
    }

    /// The command looks for an element of a collection.
    fn looks_inside(&self, name: &[u8]) -> bool {
        let command = self.core.commands.lookup(name);
        command.is_some_and(|c| matches!(c.spec.group, Group::Hash | Group::Set | Group::SortedSet))
    }
}

/// A command that runs soon.
struct Next<'a> {
    /// Of its key.
    hash: u64,
    args: Args<'a>,
    /// It looks for an element of a collection.
    inside: bool,
}
