//! What happens between commands: expiry, statistics, idle clients, output limits.

use super::client::{Client, ClientFlags, ClientType, REST_S, SMALL_IO};
use super::crash;
use super::server::Server;
use super::shutdown;
use crate::aof;
use crate::base::alloc;
use crate::command::{dump, info};
use crate::config::ClientClass;
use crate::keyspace::cycle::Slice;
use crate::net::conn::Close;
use crate::rdb::save;
use crate::tls;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Runs of the cron between two notes of INFO for a crash report.
const CRASH_INFO_TICKS: u64 = 50;
/// Counting keys by prefix gives way after this long, in µs.
const PREFIX_SLICE_US: i64 = 2_000;
/// An expiry slice ends after this long, in µs.
const EXPIRE_SLICE_US: i64 = 1_000;

impl Server {
    /// Deletes keys whose time is over, for at most one slice.
    pub fn expire(&mut self) -> Slice {
        self.tick();
        if self.core.active_pause().is_some() {
            return Slice::Done;
        }
        self.ks.effects.watching = self.core.is_watching();
        let begin = self.core.now_us;
        let clock = &self.core.clock;
        let slice = self
            .ks
            .expire_slice(&mut || clock.mono_us() - begin > EXPIRE_SLICE_US);
        self.runner().end_slice();
        let spent = self.core.clock.mono_us() - begin;
        self.core.stats.active_expire_us += spent;
        self.core.latency_spike("expire-cycle", spent);
        slice
    }

    /// Runs `hz` times a second.
    pub fn cron(&mut self) {
        self.tick();
        if self.core.debug.cron_paused {
            return;
        }
        self.core.cron_ticks += 1;
        if let Some(seconds) = self.core.clock.sync() {
            tracing::warn!(
                "The wall clock was set by {seconds} seconds. Timers and expiries keep the former time; restart to follow the new one."
            );
        }
        self.sample_rates();
        if self.core.cron_ticks % CRASH_INFO_TICKS == 1 {
            crash::note_info(info::everything(&self.core, &self.ks));
        }
        alloc::used_memory();
        for index in 0..self.ks.dbs.len() {
            self.ks.sweep_hints(index);
        }
        let limit = self.core.config.maxmemory;
        if limit > 0 && alloc::used_memory() > limit {
            self.runner().evict();
            self.runner().end_slice();
        }
        let window_ms = i64::from(self.core.config.undo_window) * 1000;
        let until_ms = self.core.now_ms() - window_ms;
        self.ks.undo.end_until(until_ms, &self.ks.reaper);
        let (clock, begin) = (&self.core.clock, self.core.clock.mono_us());
        self.ks
            .count_prefixes(&mut || clock.mono_us() - begin > PREFIX_SLICE_US);
        save::cron(&mut self.ks, &mut self.core);
        if let Some(loading) = &mut self.core.rdb.loading {
            loading.tell();
        }
        aof::due::cron(&mut self.core);
        dump::cron(&mut self.core);
        let interval = u64::from(self.core.config.tls_auto_reload_interval);
        let core = &mut self.core;
        tls::watch(
            &mut core.tls_watch,
            &core.tls,
            Duration::from_secs(interval),
        );
        self.obey_signal();
        let hz = u64::from(self.core.config.hz.max(1));
        self.watch_clients(hz * REST_S);
        if self.core.cron_ticks.is_multiple_of(hz) {
            self.runner().replication_cron();
        }
        self.runner().start_transfer_if_due();
        self.runner().feed_slow_replicas();
        if !self.ks.own_deadlines.is_empty() {
            self.ks.expire_own();
            self.runner().end_slice();
        }
        self.runner().failover_step();
        shutdown::step(&mut self.ks, &mut self.core);
        self.note_history();
        self.core.evict_clients(0);
    }

    fn sample_rates(&mut self) {
        let now = self.core.now_ms();
        let stats = &mut self.core.stats;
        stats.ops_rate.sample(now, stats.total_commands);
        stats.in_rate.sample(now, stats.net_in);
        stats.out_rate.sample(now, stats.net_out);
        let turns = &mut stats.turns;
        turns.count_rate.sample(now, turns.count);
        turns.sum_rate.sample(now, turns.sum_us);
    }

    /// Ends clients that are idle for too long or whose output waits for too long. Of one in `spread` the buffers are
    /// looked at, so that many that become idle together do not hold up the others.
    fn watch_clients(&mut self, spread: u64) {
        let phase = self.core.cron_ticks % spread;
        let now = self.core.now_ms();
        let timeout_ms = i64::from(self.core.config.timeout) * 1000;
        for id in self.core.clients.ids() {
            self.core.check_output_limit(id);
            let Some(client) = self.core.clients.get_mut(id) else {
                continue;
            };
            if id % spread == phase {
                client.rest();
            }
            let exempt = client.client_type() != ClientType::Normal
                || client.is(ClientFlags::MONITOR)
                || client.waiting.is_some();
            if timeout_ms > 0 && now - client.active_ms > timeout_ms && !exempt {
                tracing::debug!("Closing idle client");
                self.end_client(id);
            }
        }
    }

    /// Bytes that a client's reply may grow to now.
    pub fn output_room(&self, client: &Client) -> usize {
        let config = &self.core.config;
        let limits = config.client_output_buffer_limit.by_class();
        match hard_limit(client, &limits, config.repl_backlog_size) {
            0 => usize::MAX,
            hard => {
                let pending = client.conn.pending_out.load(Ordering::Relaxed);
                (hard as usize).max(SMALL_IO).saturating_sub(pending)
            }
        }
    }

    /// Ends a client at once.
    pub fn end_client(&mut self, id: u64) {
        self.core.end_client(id);
    }
}

/// Bytes of output that may wait before a client of this class is ended at once; 0: any number. A replica that asks
/// for the whole `backlog` may have it.
fn hard_limit(
    client: &Client,
    limits: &[crate::config::lists::OutputLimit; 3],
    backlog: u64,
) -> u64 {
    let Some(class) = class_of(client) else {
        return 0;
    };
    match (class, limits[class as usize].hard_bytes) {
        (_, 0) => 0,
        (ClientClass::Replica, hard) => hard.max(backlog),
        (_, hard) => hard,
    }
}

fn class_of(client: &Client) -> Option<ClientClass> {
    match client.client_type() {
        ClientType::Replica => Some(ClientClass::Replica),
        ClientType::Pubsub => Some(ClientClass::PubSub),
        ClientType::Normal => Some(ClientClass::Normal),
        ClientType::Master => None,
    }
}

/// `stream`: for a replica in transfer, what waits for it of the stream; the data itself goes out at its pace.
fn over_limit(
    client: &mut Client,
    now_ms: i64,
    limits: &[crate::config::lists::OutputLimit; 3],
    stream: Option<u64>,
    backlog: u64,
) -> bool {
    let Some(class) = class_of(client) else {
        return false;
    };
    let limit = limits[class as usize];
    let hard = hard_limit(client, limits, backlog);
    // What is in its output waits for the end of the turn, or for the log.
    let output = || client.conn.pending_out.load(Ordering::Relaxed) + client.out.len();
    let pending = stream.unwrap_or_else(|| output() as u64);
    if hard > 0 && pending >= hard.max(SMALL_IO as u64) {
        return true;
    }
    if limit.soft_bytes == 0 || pending < limit.soft_bytes {
        client.soft_limit_since_ms = None;
        return false;
    }
    let since = *client.soft_limit_since_ms.get_or_insert(now_ms);
    now_ms - since > i64::from(limit.soft_seconds) * 1000
}

impl super::core::Core {
    /// Ends the client if its output is above the limit of its class.
    pub fn check_output_limit(&mut self, id: u64) {
        let now = self.now_ms();
        let limits = self.config.client_output_buffer_limit.by_class();
        let (stream, backlog) = (self.repl.stream_waiting(id), self.config.repl_backlog_size);
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if over_limit(client, now, &limits, stream, backlog) {
            self.end_over_limit(id);
        }
    }

    /// Ends a client at once: it leaves the list, its connection closes without more output.
    pub fn end_client(&mut self, id: u64) {
        self.monitors.retain(|m| *m != id);
        self.paused.retain(|p| *p != id);
        if let Some(mut client) = self.clients.remove(id) {
            self.forget(&mut client);
            self.clients_weight = self.clients_weight.saturating_sub(client.weight);
            client.conn.close(Close::Now);
        }
    }

    /// Takes a client out of everything that knows it.
    fn forget(&mut self, client: &mut Client) {
        if let Some(blocked) = client.blocked.take() {
            self.blocking.remove(client.id, &blocked);
        }
        self.discard(client);
        self.repl.forget(client.id);
        self.unsubscribe_all(client);
        self.tracking.disable(client.id);
        self.pushes.forget(client.id);
    }

    /// The client as CLIENT LIST shows it, for the log.
    fn describe(&self, id: u64) -> String {
        self.clients
            .get(id)
            .map(|c| crate::command::client_info::line(c, self))
            .unwrap_or_default()
    }

    /// Ends a client whose output is above its limit.
    pub fn end_over_limit(&mut self, id: u64) {
        let line = self.describe(id);
        tracing::warn!(
            "Client {line} scheduled to be closed ASAP for overcoming of output buffer limits."
        );
        self.stats.output_limit_disconnections += 1;
        self.end_client(id);
    }

    /// Bytes that all clients together may take; 0: any number.
    fn clients_limit(&self) -> u64 {
        self.config
            .maxmemory_clients
            .bytes_of(self.config.maxmemory)
    }

    /// Counts a client anew towards `maxmemory-clients`, and ends clients if that exceeds it.
    pub fn weigh(&mut self, id: u64) {
        let limit = self.clients_limit();
        if limit == 0 {
            return;
        }
        if let Some(client) = self.clients.get_mut(id) {
            let now = client.memory();
            let before = std::mem::replace(&mut client.weight, now);
            self.clients_weight = (self.clients_weight + now).saturating_sub(before);
        }
        if self.clients_weight > limit {
            self.evict_clients(0);
        }
    }

    /// `maxmemory-clients`: ends the clients that use most until the sum is within the limit.
    /// `besides` is what the client takes whose command runs: it is not in the list.
    pub fn evict_clients(&mut self, besides: u64) {
        let limit = self.clients_limit();
        if limit == 0 {
            return;
        }
        for id in self.clients.ids() {
            if let Some(client) = self.clients.get_mut(id) {
                client.weight = client.memory();
            }
        }
        let mut sizes: Vec<(u64, u64)> = self.clients.iter().map(|c| (c.weight, c.id)).collect();
        self.clients_weight = sizes.iter().map(|s| s.0).sum();
        sizes.sort_unstable();
        while self.clients_weight + besides > limit {
            let Some((_, id)) = sizes.pop() else {
                return;
            };
            let exempt =
                |c: &Client| c.is(ClientFlags::NO_EVICT) || c.client_type() == ClientType::Master;
            if self.clients.get(id).is_none_or(exempt) {
                continue;
            }
            tracing::info!("Evicting client: {}", self.describe(id));
            self.stats.evicted_clients += 1;
            self.end_client(id);
        }
    }
}
