//! The few settings that connection tasks on other threads need, as atomics: reading one is a single relaxed load.
//! The owner of [`Config`](super::Config) writes them after every accepted change; nobody else does.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::Settings;
use super::lists::OutputLimit;

/// Classes of clients in the order of `client-output-buffer-limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientClass {
    Normal = 0,
    Replica = 1,
    PubSub = 2,
}

#[derive(Debug, Default)]
struct SharedLimit {
    hard_bytes: AtomicU64,
    soft_bytes: AtomicU64,
    soft_seconds: AtomicU32,
}

/// See the module. A reader may see one setting of a CONFIG SET before another; each value by itself is whole.
#[derive(Debug, Default)]
pub struct SharedSettings {
    proto_max_bulk_len: AtomicUsize,
    client_query_buffer_limit: AtomicUsize,
    timeout_s: AtomicU32,
    tcp_keepalive_s: AtomicU32,
    password_required: AtomicBool,
    protected_mode: AtomicBool,
    maxclients: AtomicU32,
    max_new_tls_connections: AtomicU32,
    output_limits: [SharedLimit; 3],
}

impl SharedSettings {
    pub(super) fn publish(&self, settings: &Settings) {
        self.proto_max_bulk_len
            .store(settings.proto_max_bulk_len, Relaxed);
        self.client_query_buffer_limit
            .store(settings.client_query_buffer_limit, Relaxed);
        self.timeout_s.store(settings.timeout, Relaxed);
        self.tcp_keepalive_s.store(settings.tcp_keepalive, Relaxed);
        self.protected_mode.store(settings.protected_mode, Relaxed);
        self.maxclients.store(settings.maxclients, Relaxed);
        self.max_new_tls_connections
            .store(settings.max_new_tls_connections_per_cycle, Relaxed);
        for (shared, limit) in self
            .output_limits
            .iter()
            .zip(settings.client_output_buffer_limit.by_class())
        {
            shared.hard_bytes.store(limit.hard_bytes, Relaxed);
            shared.soft_bytes.store(limit.soft_bytes, Relaxed);
            shared.soft_seconds.store(limit.soft_seconds, Relaxed);
        }
    }

    pub fn proto_max_bulk_len(&self) -> usize {
        self.proto_max_bulk_len.load(Relaxed)
    }

    pub fn client_query_buffer_limit(&self) -> usize {
        self.client_query_buffer_limit.load(Relaxed)
    }

    /// Seconds after which an idle client is closed; 0 is never.
    pub fn timeout_s(&self) -> u32 {
        self.timeout_s.load(Relaxed)
    }

    pub fn tcp_keepalive_s(&self) -> u32 {
        self.tcp_keepalive_s.load(Relaxed)
    }

    /// For the access control list, whose user `default` decides it.
    pub fn set_password_required(&self, required: bool) {
        self.password_required.store(required, Relaxed);
    }

    /// Connections have to log in.
    pub fn password_required(&self) -> bool {
        self.password_required.load(Relaxed)
    }

    pub fn protected_mode(&self) -> bool {
        self.protected_mode.load(Relaxed)
    }

    pub fn maxclients(&self) -> u32 {
        self.maxclients.load(Relaxed)
    }

    /// TLS connections that are accepted in a row.
    pub fn max_new_tls_connections(&self) -> u32 {
        self.max_new_tls_connections.load(Relaxed)
    }

    pub fn output_limit(&self, class: ClientClass) -> OutputLimit {
        let shared = &self.output_limits[class as usize];
        OutputLimit {
            hard_bytes: shared.hard_bytes.load(Relaxed),
            soft_bytes: shared.soft_bytes.load(Relaxed),
            soft_seconds: shared.soft_seconds.load(Relaxed),
        }
    }
}
