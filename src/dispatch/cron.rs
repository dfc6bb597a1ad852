//! What happens between commands: expiry, statistics, idle clients, output limits.

use super::client::{Client, ClientFlags, ClientType};
use super::server::Server;
use crate::base::alloc;
use crate::config::ClientClass;
use crate::keyspace::cycle::Slice;
use crate::net::conn::Close;
use std::sync::atomic::Ordering;

/// An expiry slice ends after this long, in µs.
const EXPIRE_SLICE_US: i64 = 1_000;

impl Server {
    /// Deletes keys whose time is over, for at most one slice.
    pub fn expire(&mut self) -> Slice {
        self.tick();
        if self.core.active_pause().is_some() {
            return Slice::Done;
        }
        let begin = self.core.now_us;
        let clock = &self.core.clock;
        let slice = self.ks.expire_slice(&mut || clock.mono_us() - begin > EXPIRE_SLICE_US);
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
        alloc::used_memory();
        self.ks.effects.events.clear();
        self.ks.effects.touched.clear();
        for index in 0..self.ks.dbs.len() {
            self.ks.sweep_hints(index);
        }
        let limit = self.core.config.maxmemory;
        if limit > 0 && alloc::used_memory() > limit {
            self.evict();
        }
        self.watch_clients();
        self.evict_clients();
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

    /// Ends clients that are idle for too long or whose output waits for too long.
    fn watch_clients(&mut self) {
        let now = self.core.now_ms();
        let timeout_ms = i64::from(self.core.config.timeout) * 1000;
        for id in self.core.clients.ids() {
            self.check_output_limit(id);
            let Some(client) = self.core.clients.get_mut(id) else {
                continue;
            };
            let exempt = client.client_type() != ClientType::Normal
                || client.is(ClientFlags::MONITOR)
                || client.waiting.is_some();
            if timeout_ms > 0 && now - client.active_ms > timeout_ms && !exempt {
                tracing::debug!("Closing idle client");
                self.end_client(id);
            }
        }
    }

    /// Ends a client at once.
    pub fn end_client(&mut self, id: u64) {
        self.core.end_client(id);
    }

    /// Ends the client if its output is above the limit of its class.
    pub fn check_output_limit(&mut self, id: u64) {
        let now = self.core.now_ms();
        let limits = self.core.config.client_output_buffer_limit.by_class();
        let Some(client) = self.core.clients.get_mut(id) else {
            return;
        };
        if over_limit(client, now, &limits) {
            let line = self
                .core
                .clients
                .iter()
                .find(|c| c.id == id)
                .map(|c| crate::command::client_info::line(c, &self.core))
                .unwrap_or_default();
            tracing::warn!("Client {line} scheduled to be closed ASAP for overcoming of output buffer limits.");
            self.core.stats.output_limit_disconnections += 1;
            self.end_client(id);
        }
    }

    /// `maxmemory-clients`: ends the clients that use most until the sum is within the limit.
    pub fn evict_clients(&mut self) {
        let limit = self.core.config.maxmemory_clients.bytes_of(self.core.config.maxmemory);
        if limit == 0 {
            return;
        }
        let mut sizes: Vec<(u64, u64)> =
            self.core.clients.iter().map(|c| (c.memory(), c.id)).collect();
        let mut sum: u64 = sizes.iter().map(|s| s.0).sum();
        sizes.sort_unstable();
        while sum > limit {
            let Some((size, id)) = sizes.pop() else {
                return;
            };
            let Some(client) = self.core.clients.get_mut(id) else {
                continue;
            };
            if client.is(ClientFlags::NO_EVICT) || client.client_type() == ClientType::Master {
                continue;
            }
            sum -= size;
            let line = self
                .core
                .clients
                .iter()
                .find(|c| c.id == id)
                .map(|c| crate::command::client_info::line(c, &self.core))
                .unwrap_or_default();
            tracing::info!("Evicting client: {line}");
            self.core.stats.evicted_clients += 1;
            self.end_client(id);
        }
    }
}

fn over_limit(client: &mut Client, now_ms: i64, limits: &[crate::config::lists::OutputLimit; 3]) -> bool {
    let class = match client.client_type() {
        ClientType::Replica => ClientClass::Replica,
        ClientType::Pubsub => ClientClass::PubSub,
        ClientType::Normal => ClientClass::Normal,
        ClientType::Master => return false,
    };
    let limit = limits[class as usize];
    let pending = client.conn.pending_out.load(Ordering::Relaxed) as u64;
    if limit.hard_bytes > 0 && pending >= limit.hard_bytes {
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
    /// Ends a client at once: it leaves the list, its connection closes without more output.
    pub fn end_client(&mut self, id: u64) {
        self.monitors.retain(|m| *m != id);
        self.paused.retain(|p| *p != id);
        if let Some(client) = self.clients.remove(id) {
            client.conn.close(Close::Now);
        }
    }
}
