//! Whole data sets that take the place of the server's own, from the master or from a file, and the place in the stream
//! that they stand for.

use crate::base::num;
use crate::dispatch::core::random_hex;
use crate::dispatch::run::Runner;
use crate::keyspace::cycle::Slice;
use crate::log::Consumer;
use crate::rdb::load::Loaded;
use crate::replication::backlog::Backlog;
use crate::replication::handshake::MasterFacts;
use crate::replication::history::History;

impl Runner<'_> {
    /// Why the data of this master may not replace ours, if so: it is of another history, and
    /// empty, or younger than ours.
    fn reason_to_refuse(
        &self,
        loaded: &Loaded,
        offset: u64,
        facts: &MasterFacts,
    ) -> Option<String> {
        let accept = self.core.config.replica_accept_data_loss
            || self
                .core
                .repl
                .following
                .as_ref()
                .is_some_and(|f| f.accept_loss);
        if accept || self.ks.is_empty() || facts.is_related(&self.core.repl.history) {
            return None;
        }
        let keys: usize = loaded.dbs.iter().map(|db| db.table.len()).sum();
        let ours = (self.ks.len(), self.ks.log.offset());
        let why = if keys == 0 {
            "it is empty".to_string()
        } else if offset < ours.1 {
            format!("it is younger (offset {offset}, ours {})", ours.1)
        } else {
            return None;
        };
        Some(format!(
            "the master's data does not come from our history and {why}; our {} keys stay. REPLICAOF host port ACCEPT-DATA-LOSS, or replica-accept-data-loss yes, takes its data all the same",
            ours.0
        ))
    }

    /// Puts the master's data in the place of ours. False if that was refused.
    pub(super) fn install(
        &mut self,
        loaded: Loaded,
        id: String,
        offset: u64,
        facts: &MasterFacts,
    ) -> bool {
        if let Some(reason) = self.reason_to_refuse(&loaded, offset, facts) {
            tracing::warn!("Full synchronization refused: {reason}");
            self.core.repl.refused = reason;
            return false;
        }
        self.core.repl.refused.clear();
        // What was before is not to be taken for a part of the new stream.
        crate::aof::state::pass_on(self.ks, self.core);
        self.drop_replicas();
        let keys = loaded.stats.loaded;
        let db = self.db_of(loaded.aux_number("repl-stream-db"));
        if let Some(following) = &mut self.core.repl.following {
            following.db = db;
        }
        self.replace_data(loaded);
        self.ks.own_deadlines.clear();
        // The stream begins anew for whoever reads it.
        self.ks.log.detach(Consumer::Replicas);
        self.ks.log.set_offset(offset);
        self.core.clients.forget_writes();
        self.ks.log.attach(Consumer::Replicas);
        let repl = &mut self.core.repl;
        repl.history = History::of(id);
        // Nobody goes on from the master's earlier histories here, but they tell who has parted from it where.
        let former = facts
            .second_offset
            .and_then(|at| u64::try_from(at - 1).ok());
        let former = facts.id2.clone().zip(former);
        let earlier = former.into_iter().chain(facts.earlier.iter().cloned());
        repl.history.earlier = earlier.collect();
        let mut backlog = Backlog::new(offset, self.core.config.repl_backlog_size);
        backlog.mark(db);
        repl.backlog = Some(backlog);
        repl.divergence.replaced();
        self.link_up(offset);
        tracing::info!("Done loading RDB, keys loaded: {keys}, keys expired: 0.");
        tracing::info!("MASTER <-> REPLICA sync: Finished with success");
        true
    }

    /// The database that the stream has selected where this server stands.
    pub fn stream_db(&self) -> usize {
        match &self.core.repl.following {
            Some(following) => following.db,
            None => self.ks.log.selected().unwrap_or(0),
        }
    }

    /// A database that a file names, if there is such.
    fn db_of(&self, index: Option<i64>) -> usize {
        let index = index.and_then(|n| usize::try_from(n).ok());
        index.filter(|n| *n < self.ks.dbs.len()).unwrap_or(0)
    }

    /// Goes on where the file that was loaded at start says that it stands in a stream. A replica
    /// asks its master for the rest; a master begins a history of its own there, which its
    /// replicas can follow without a new copy.
    pub fn resume_history(&mut self) {
        let aux = &self.core.rdb.aux;
        let number = |name: &str| num::parse_i64(aux.get(name)?.as_bytes());
        let (Some(id), Some(offset), db) = (
            aux.get("repl-id").filter(|id| id.len() == 40).cloned(),
            number("repl-offset").and_then(|n| u64::try_from(n).ok()),
            number("repl-stream-db"),
        ) else {
            return;
        };
        let db = self.db_of(db);
        if self.resume_at(id, offset, db) {
            return;
        }
        // What was over when the file was read goes by the stream, for replicas that have it.
        let before = self.ks.stats.expired;
        self.ks.now_ms = self.core.unix_us() / 1000;
        while self.ks.expire_slice(&mut || false) == Slice::More {}
        let expired = self.ks.stats.expired - before;
        self.core.rdb.load_expired += expired;
        self.core.rdb.loaded = self.core.rdb.loaded.saturating_sub(expired);
        self.end_slice();
    }

    /// The data that was loaded at start stands here in a stream. True if this server is a replica.
    pub fn resume_at(&mut self, id: String, offset: u64, db: usize) -> bool {
        self.ks.log.detach(Consumer::Replicas);
        self.ks.log.set_offset(offset);
        self.ks.log.close_gap();
        self.ks.log.attach(Consumer::Replicas);
        let repl = &mut self.core.repl;
        let mut backlog = Backlog::new(offset, self.core.config.repl_backlog_size);
        backlog.mark(db);
        repl.backlog = Some(backlog);
        repl.history = History::of(id);
        if let Some(following) = &mut repl.following {
            following.db = db;
            return true;
        }
        repl.history.branch(offset, random_hex());
        false
    }

    /// Whole databases take the place of the present ones, whose memory another thread frees.
    pub fn replace_data(&mut self, loaded: Loaded) {
        let old = std::mem::replace(&mut self.ks.dbs, loaded.dbs);
        self.ks.reaper.free_databases(old);
        self.ks.undo.clear(&self.ks.reaper);
        self.ks.effects.watching = self.core.is_watching();
        for index in 0..self.ks.dbs.len() {
            self.ks.effects.change_whole(index);
        }
        self.core.replace_functions(loaded.functions);
        self.tell(None);
        crate::aof::state::data_replaced(self.ks, self.core);
    }
}
