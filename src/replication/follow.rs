//! The replica's side on the actor's thread: which master is followed, what its link reports, and the
//! way back to being a master. Units of the stream are run in [`apply`], whole data sets come in by [`data`].

mod apply;
mod data;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handshake::Identity;
use super::link::{self, End, EndKind, Handle, NO_FILE, Report, Target};
use crate::config::enums::ReplDisklessLoad;
use crate::dispatch::client::{Client, ClientFlags};
use crate::dispatch::core::{Core, random_hex};
use crate::dispatch::run::Runner;
use crate::dispatch::server::Server;
use crate::keyspace::Judge;
use crate::net::conn::Conn;
use crate::rdb::load::LoadOptions;

/// Where the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// There is no connection.
    Connect,
    /// A connection is being made.
    Connecting,
    /// It stands; the master has not said yet how the data comes.
    Handshake,
    /// All data is to come, or comes.
    Sync,
    /// The stream comes.
    Connected,
}

impl LinkState {
    /// As ROLE names it.
    pub fn name(self) -> &'static str {
        match self {
            LinkState::Connect => "connect",
            LinkState::Connecting => "connecting",
            LinkState::Handshake => "handshake",
            LinkState::Sync => "sync",
            LinkState::Connected => "connected",
        }
    }
}

/// The master that is followed.
pub struct Following {
    pub host: String,
    pub port: u16,
    pub state: LinkState,
    /// What clients see of a data set that is being received.
    pub loading: Option<LoadKind>,
    pub generation: u64,
    /// None until the link's threads run.
    pub handle: Option<Handle>,
    /// The database that the stream has selected behind the last unit that was applied. It is part
    /// of the place in the stream: a master that goes on from there does not select it again.
    pub db: usize,
    /// Runs the master's commands; it is not in the list of clients.
    pub client: Option<Box<Client>>,
    /// Units that came while writes are paused, and their bytes.
    held: VecDeque<Vec<u8>>,
    held_bytes: u64,
    /// Addresses of the connection: the master's and ours.
    ends: (String, String),
    /// Monotonic ms of the last byte, and since when the link is down.
    pub io_ms: i64,
    pub down_since_ms: i64,
    /// The master asked how far this replica is.
    asked: bool,
    /// The log says that the link waits for the server's own data.
    waits_for_load: bool,
    /// It is to be told when the file is synced up to this offset.
    sync_asked: Option<u64>,
    /// The data may be replaced by whatever the master has.
    pub accept_loss: bool,
    /// The next PSYNC takes the mastership over.
    pub failover: bool,
}

/// How a data set is loaded that comes from the master. In every case it is made beside the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadKind {
    /// It is of another history: clients hear LOADING, because what they would read is not what will be.
    Blocking,
    /// It is of the same history: clients go on with the present data.
    Async,
}

impl Following {
    /// The stream comes.
    pub fn is_up(&self) -> bool {
        self.state == LinkState::Connected
    }

    /// `key-load-delay`.
    pub fn set_load_delay(&self, delay_us: u64) {
        if let Some(handle) = &self.handle {
            let delay = &handle.shared.progress.delay_us;
            delay.store(delay_us, Ordering::Relaxed);
        }
    }

    /// Bytes that have come and wait for the end of a pause.
    pub fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Whoever runs what the master sends.
    pub(crate) fn new_client(&mut self, now_ms: i64) {
        let (peer, local) = &self.ends;
        let peer = if peer.is_empty() {
            format!("{}:{}", self.host, self.port)
        } else {
            peer.clone()
        };
        self.client = Some(master_client(now_ms, peer, local.clone(), self.db));
    }

    fn end_load(&mut self) {
        self.loading = None;
        self.held.clear();
        self.held_bytes = 0;
    }
}

/// Takes a report of a link's threads; those of a link that was given up are dropped.
fn take(server: &mut Server, generation: u64, report: Report) {
    let current = server.core.repl.following.as_ref();
    if current.is_some_and(|following| following.generation == generation) {
        server.runner().take_report(report);
    }
}

fn master_client(now_ms: i64, peer: String, local: String, db: usize) -> Box<Client> {
    let conn = Conn::new(0, peer, local, false, -1, true);
    let flags = ClientFlags::MASTER | ClientFlags::AUTHENTICATED;
    let mut client = Client::new(Arc::new(conn), now_ms, flags);
    client.db = db;
    Box::new(client)
}

impl Runner<'_> {
    /// Follows a master from now on.
    ///
    /// # Errors
    /// If its link cannot be started.
    pub fn follow(
        &mut self,
        host: &str,
        port: u16,
        accept_loss: bool,
        failover: bool,
    ) -> Result<(), String> {
        let db = self.stream_db();
        let former = self.core.repl.following.take();
        let generation = former.as_ref().map_or(0, |f| f.generation) + self.core.now_us as u64 + 1;
        match former {
            Some(former) => {
                if let Some(handle) = former.handle {
                    handle.stop();
                }
            }
            // What its replicas have may not be what the new master has.
            None => self.become_replica(),
        }
        // Our own replicas stay: whether they have to ask anew is clear when the new master has answered.
        let now_ms = self.core.now_ms();
        let target = Target {
            host: host.into(),
            port,
            generation,
            timeout: Duration::from_secs(u64::from(self.core.config.repl_timeout)),
            nodelay: !self.core.config.repl_disable_tcp_nodelay,
            source: self.core.config.bind_source_addr.clone(),
        };
        let handle = match &self.core.mailbox {
            Some(mailbox) => Some(
                link::start(target, mailbox.clone(), take)
                    .map_err(|e| format!("ERR Can't start the link to the master: {e}"))?,
            ),
            None => None,
        };
        self.core.repl.refused.clear();
        self.core.repl.following = Some(Following {
            host: host.into(),
            port,
            state: LinkState::Connect,
            loading: None,
            generation,
            handle,
            db,
            client: None,
            held: VecDeque::new(),
            held_bytes: 0,
            ends: (String::new(), String::new()),
            io_ms: now_ms,
            down_since_ms: now_ms,
            asked: false,
            waits_for_load: false,
            sync_asked: None,
            accept_loss,
            failover,
        });
        self.tune_link();
        self.core.follow_role();
        self.core
            .config
            .set_replicaof(Some((host.to_string(), port)));
        tracing::info!("Connecting to MASTER {host}:{port}");
        Ok(())
    }

    /// From now on the log is the master's, and so is the word on what has expired.
    fn become_replica(&mut self) {
        self.leave_mastership();
        self.keep_backlog();
        self.ks.log.mute = true;
        self.ks.active_expire = false;
        self.core.unblock_all(
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        );
    }

    /// Follows nobody any more; the history branches here.
    pub fn become_master(&mut self) {
        let Some(former) = self.core.repl.following.take() else {
            return;
        };
        if let Some(handle) = former.handle {
            handle.stop();
        }
        self.branch_history(random_hex());
        self.ks.log.mute = false;
        self.ks.log.select_again();
        self.ks.active_expire = true;
        self.ks.own_deadlines.clear();
        self.ks.judge = Judge::Own;
        self.core.repl.refused.clear();
        self.core.repl.pinged_ms = self.core.now_ms();
        self.core.config.set_replicaof(None);
        self.core.follow_role();
        tracing::warn!(
            "Setting secondary replication ID to {}, valid up to offset: {}. New replication ID is {}",
            self.core.repl.history.id2,
            self.core.repl.history.second_offset,
            self.core.repl.history.id
        );
        // They come back at once, and learn the new id.
        self.drop_replicas();
        self.core.unblock_all(
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        );
    }

    fn branch_history(&mut self, id: String) {
        let offset = self.ks.log.offset();
        self.core.repl.history.branch(offset, id);
    }

    fn take_report(&mut self, report: Report) {
        let now_ms = self.core.now_ms();
        let Some(following) = &mut self.core.repl.following else {
            return;
        };
        following.io_ms = now_ms;
        match report {
            // There is no place in a stream to tell of before the data is there.
            Report::Begin(answer) if self.core.rdb.loading.is_some() => {
                if !std::mem::replace(&mut following.waits_for_load, true) {
                    tracing::info!(
                        "The link to the master waits until this server's own data is loaded and safe"
                    );
                }
                // A link that does not wait any more has been stopped.
                let _ = answer.send(None);
            }
            Report::Begin(answer) => {
                following.waits_for_load = false;
                following.set_load_delay(self.core.config.key_load_delay);
                match self.core.tls.for_client(self.core.config.tls_replication) {
                    Ok(tls) => {
                        following.state = LinkState::Connecting;
                        let begin = (self.identity(), self.load_options(), tls);
                        // As above.
                        let _ = answer.send(Some(begin));
                    }
                    Err(reason) => {
                        tracing::warn!("Can't connect to MASTER: {reason}");
                        // As above.
                        let _ = answer.send(None);
                    }
                }
            }
            Report::Connected(peer, local) => {
                following.state = LinkState::Handshake;
                following.ends = (peer, local);
            }
            Report::Full(facts, answer) => {
                let plan = self.plan_divergence(&facts);
                // As above.
                let _ = answer.send(plan);
            }
            Report::Saved(key, outcome) => self.core.repl.divergence.note(key, outcome),
            Report::Receiving => following.state = LinkState::Sync,
            Report::Loading(id) => {
                tracing::info!("MASTER <-> REPLICA sync: receiving streamed RDB from master");
                tracing::info!("MASTER <-> REPLICA sync: Loading DB in memory");
                let kind = self.load_kind(&id);
                if let Some(following) = &mut self.core.repl.following {
                    following.loading = kind;
                }
            }
            Report::Loaded(loaded, id, offset, facts, answer) => {
                let taken = self.install(*loaded, id, offset, &facts);
                // As above.
                let _ = answer.send(taken);
            }
            Report::Continued(id, answer) => {
                self.continue_stream(id);
                // As above.
                let _ = answer.send(true);
            }
            Report::Units(bytes) => self.take_units(bytes),
            Report::Alive => {}
            Report::Down(end) => self.link_down(&end),
        }
    }

    /// Applies units, or keeps them until the end of a pause of writes.
    fn take_units(&mut self, bytes: Vec<u8>) {
        let paused = self.core.active_pause().is_some();
        let Some(following) = &mut self.core.repl.following else {
            return;
        };
        if paused || !following.held.is_empty() {
            following.held_bytes += bytes.len() as u64;
            following.held.push_back(bytes);
            return;
        }
        self.apply(&bytes);
    }

    /// Writes are not paused any more: applies what came meanwhile.
    pub fn apply_held(&mut self) {
        while let Some(following) = &mut self.core.repl.following {
            let Some(bytes) = following.held.pop_front() else {
                return;
            };
            following.held_bytes -= bytes.len() as u64;
            self.apply(&bytes);
        }
    }

    /// What clients see while data of history `id` is loaded.
    fn load_kind(&self, id: &str) -> Option<LoadKind> {
        match self.core.config.repl_diskless_load {
            // Redis receives the data into a file meanwhile.
            ReplDisklessLoad::Disabled => None,
            ReplDisklessLoad::OnEmptyDb if !self.ks.is_empty() => None,
            ReplDisklessLoad::SwapDb if self.core.repl.history.id == id => Some(LoadKind::Async),
            _ => Some(LoadKind::Blocking),
        }
    }

    /// CLIENT KILL: ends the connection with the master, which is made anew.
    pub fn cut_link(&mut self) {
        let now_ms = self.core.now_ms();
        let Some(following) = &mut self.core.repl.following else {
            return;
        };
        if let Some(handle) = &following.handle {
            handle.cut();
        }
        if following.is_up() {
            following.down_since_ms = now_ms;
            following.state = LinkState::Connect;
            tracing::warn!("Connection with master lost.");
        }
    }

    fn link_down(&mut self, end: &End) {
        let now_ms = self.core.now_ms();
        let Some(following) = &mut self.core.repl.following else {
            return;
        };
        if following.is_up() {
            following.down_since_ms = now_ms;
            tracing::warn!("Connection with master lost.");
        }
        following.state = LinkState::Connect;
        following.end_load();
        following.client = None;
        following.sync_asked = None;
        tracing::warn!("Link to master: {}", end.reason);
        if following.failover {
            if end.kind == EndKind::Rejected {
                tracing::warn!("Failover target rejected psync request");
            }
            self.abort_failover("the target did not take over");
        }
    }

    /// Gives the link what is configured for it.
    pub fn tune_link(&self) {
        let Some(handle) = self
            .core
            .repl
            .following
            .as_ref()
            .and_then(|f| f.handle.as_ref())
        else {
            return;
        };
        let config = &self.core.config;
        let timeout_ms = u64::from(config.repl_timeout) * 1000;
        handle
            .shared
            .timeout_ms
            .store(timeout_ms, Ordering::Release);
    }

    fn identity(&self) -> Identity {
        let config = &self.core.config;
        let repl = &self.core.repl;
        let port = match config.replica_announce_port {
            0 => config.announced_port(),
            port => port,
        };
        Identity {
            user: config.masteruser.clone(),
            password: config.masterauth.clone(),
            port,
            ip: config.replica_announce_ip.clone(),
            // Without a backlog there were changes that no stream has.
            at: (repl.backlog.is_some() && !self.ks.log.has_gap())
                .then(|| (repl.history.id.clone(), self.ks.log.offset())),
            failover: repl.following.as_ref().is_some_and(|f| f.failover),
        }
    }

    fn load_options(&self) -> LoadOptions {
        LoadOptions {
            databases: self.ks.dbs.len(),
            limits: self.ks.limits,
            access: self.ks.access,
            now_ms: self.ks.now_ms,
            drop_expired: false,
            checksum: self.core.config.rdbchecksum,
        }
    }

    fn continue_stream(&mut self, id: Option<String>) {
        if let Some(id) = id.filter(|id| *id != self.core.repl.history.id) {
            tracing::warn!("Master replication ID changed to {id}");
            self.branch_history(id);
            // Ours have to learn it too.
            self.drop_replicas();
        }
        let offset = self.ks.log.offset();
        self.link_up(offset);
        tracing::info!("Successful partial resynchronization with master.");
        tracing::info!("MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
    }

    fn link_up(&mut self, offset: u64) {
        let now_ms = self.core.now_ms();
        if self.core.repl.failover.take().is_some() {
            self.core.pause = None;
        }
        if let Some(following) = &mut self.core.repl.following {
            following.state = LinkState::Connected;
            following.failover = false;
            following.accept_loss = false;
            following.end_load();
            following.new_client(now_ms);
            if let Some(handle) = &following.handle {
                handle.shared.applied.store(offset, Ordering::Release);
            }
        }
        self.core.tell_synced();
    }

    /// The master wants to know how far this replica is.
    pub fn master_asks(&mut self) {
        if let Some(following) = &mut self.core.repl.following {
            following.asked = true;
        }
    }
}

impl Core {
    /// Tells the link how far the append-only file is synced, and the master if it waits for that.
    pub fn tell_synced(&mut self) {
        let synced = if !self.config.appendonly {
            NO_FILE
        } else if self.aof.waits_for_base {
            0
        } else {
            self.aof.synced()
        };
        let Some(following) = &mut self.repl.following else {
            return;
        };
        let Some(handle) = &following.handle else {
            return;
        };
        handle.shared.synced.store(synced, Ordering::Release);
        if following.sync_asked.is_some_and(|offset| synced >= offset) {
            following.sync_asked = None;
            handle.ack_now();
        }
    }
}
