//! Settings that live where they are used: copied there at start and after each CONFIG SET.

use std::sync::atomic::Ordering;

use super::core::Core;
use super::crash;
use super::server::Server;
use crate::keyspace::{Verbs, evict};
use crate::value::Limits;

impl Server {
    /// Brings everything outside the configuration up to date with it.
    pub fn apply_settings(&mut self) {
        apply(&self.core.config, &mut self.ks);
        crash::configure(
            self.core.config.crash_log_enabled,
            self.core.config.use_exit_on_panic,
        );
        let max = self.core.config.slowlog_max_len;
        self.core.slowlog.trim(max);
        apply_delays(&self.core);
    }
}

/// The delays of saves and loads, which other threads read.
pub fn apply_delays(core: &Core) {
    let delay = core.config.rdb_key_save_delay;
    core.rdb.delay_us.store(delay, Ordering::Relaxed);
    if let Some(following) = &core.repl.following {
        following.set_load_delay(core.config.key_load_delay);
    }
    if let Some(loading) = &core.rdb.loading {
        let delay = core.config.key_load_delay;
        loading.progress.delay_us.store(delay, Ordering::Relaxed);
    }
}

/// The keyspace's part.
pub fn apply(config: &crate::config::Settings, ks: &mut crate::keyspace::Keyspace) {
    ks.limits = Limits {
        hash_entries: config.hash_max_listpack_entries,
        hash_value: config.hash_max_listpack_value,
        set_intset_entries: config.set_max_intset_entries,
        set_entries: config.set_max_listpack_entries,
        set_value: config.set_max_listpack_value,
        zset_entries: config.zset_max_listpack_entries,
        zset_value: config.zset_max_listpack_value,
        list_size: i64::from(config.list_max_listpack_size),
        list_compress_depth: config.list_compress_depth,
        stream_node_bytes: config.stream_node_max_bytes,
        stream_node_entries: config.stream_node_max_entries,
        hll_sparse_max_bytes: config.hll_sparse_max_bytes,
        string_bytes: config.proto_max_bulk_len,
    };
    ks.prefixes.set(&config.track_prefix.0);
    ks.access.policy = config.maxmemory_policy;
    ks.access.samples = config.maxmemory_samples.min(evict::SAMPLES_MAX);
    ks.access.lfu_log_factor = config.lfu_log_factor;
    ks.access.lfu_decay_min = config.lfu_decay_time;
    ks.verbs = Verbs::new(config.lazyfree_lazy_expire, config.lazyfree_lazy_eviction);
    ks.effects.wanted = config.notify_keyspace_events;
}
