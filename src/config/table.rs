//! The table of directives: one row each, the only place where a directive is named, typed and given its default.
//!
//! `field: Type = "default", Kind, META;` The directive's name is the field's with `-` for `_`. Defaults are those of Redis
//! 7.2 and 7.4. Names of later Redis and of Valkey are here so that their files load; what has no effect says why.

use super::directive::Kind::*;
use super::directive::{
    Action, Directive, IMMUTABLE, IMMUTABLE_PROTECTED, Kind, MUTABLE, PROTECTED, When, dashed,
    directives,
};
use super::enums::*;
use super::lists::{
    Bind, NotifyEvents, OomScores, OutputLimits, Percentiles, ReplicaOf, SaveRules, ShutdownOn,
    Words,
};
use super::setting::{MemoryOrPercent, Setting, check};

const I32: i64 = i32::MAX as i64;
const U32: i64 = u32::MAX as i64;
const I64: i64 = i64::MAX;
/// The largest size that Redis accepts for most directives.
const SIZE: u64 = i64::MAX as u64;
const MB: u64 = 1 << 20;
/// A smaller backlog would help nobody: Redis keeps at least this much of the stream, too.
const BACKLOG_MIN: u64 = 16 << 10;

const CLUSTER: &str = "cluster mode is not part of this server";
const DH: &str = "the TLS library exchanges keys on elliptic curves only";
const DEFRAG: &str = "the memory layout needs no defragmentation";
const NO_DEFRAG: &str =
    "Active defragmentation cannot be enabled: the memory layout of this server needs none";
const REHASH: &str = "tables grow without rehashing";
const CPU: &str = "threads are not pinned to processors";
const RDMA: &str = "RDMA is not supported";
const MODULES: &str = "modules are not supported";
const TYPES: &str = "it tunes a data type or layout that this server does not have";
const NOT_HERE: &str = "this server has no such mechanism";

directives! {
    acl_pubsub_default: AclPubsubDefault = "resetchannels", Enum(AclPubsubDefault::NAMES), MUTABLE;
    aclfile: String = "", Text(check::any), IMMUTABLE;
    acllog_max_len: usize = "128", Int(0, I64), MUTABLE.action(Action::AclLogMaxLen);
    active_defrag_cycle_max: u32 = "25", Int(1, 99), MUTABLE.inert(DEFRAG);
    active_defrag_cycle_min: u32 = "1", Int(1, 99), MUTABLE.inert(DEFRAG);
    active_defrag_cycle_us: u32 = "500", Int(0, 100000), MUTABLE.valkey().inert(DEFRAG);
    active_defrag_ignore_bytes: u64 = "104857600", Memory(1, SIZE), MUTABLE.inert(DEFRAG);
    active_defrag_max_scan_fields: u64 = "1000", Int(1, I64), MUTABLE.inert(DEFRAG);
    active_defrag_threshold_lower: u32 = "10", Int(0, 1000), MUTABLE.inert(DEFRAG);
    active_defrag_threshold_upper: u32 = "100", Int(0, 1000), MUTABLE.inert(DEFRAG);
    active_expire_effort: u32 = "1", Int(1, 10), MUTABLE;
    activedefrag: bool = "no", Bool, MUTABLE.refused(NO_DEFRAG).inert(DEFRAG);
    activerehashing: bool = "yes", Bool, MUTABLE.inert(REHASH);
    always_show_logo: bool = "no", Bool, IMMUTABLE;
    aof_disable_auto_gc: bool = "no", Bool, MUTABLE.hidden();
    aof_history_retention: u32 = "0", Int(0, I32), MUTABLE;
    aof_ignore_orphans: bool = "no", Bool, IMMUTABLE;
    aof_load_corrupt_tail_max_size: u64 = "0", Memory(0, SIZE), MUTABLE.inert(NOT_HERE);
    aof_load_truncated: bool = "yes", Bool, MUTABLE;
    aof_rewrite_cpulist: String = "", Text(check::any), IMMUTABLE.alias(&["aof_rewrite_cpulist"]).inert(CPU);
    aof_rewrite_incremental_fsync: bool = "yes", Bool, MUTABLE;
    aof_timestamp_enabled: bool = "no", Bool, MUTABLE;
    aof_use_rdb_preamble: bool = "yes", Bool, MUTABLE;
    appenddirname: String = "appendonlydir", Text(check::appenddirname), IMMUTABLE;
    appendfilename: String = "appendonly.aof", Text(check::appendfilename), IMMUTABLE;
    appendfsync: AppendFsync = "everysec", Enum(AppendFsync::NAMES), MUTABLE.action(Action::AppendFsync);
    appendonly: bool = "no", Bool, MUTABLE.not_loading().action(Action::AppendOnly);
    array_slice_size: u64 = "4096", Int(0, I64), MUTABLE.inert(TYPES);
    array_sparse_kmax: u64 = "10", Int(0, I64), MUTABLE.inert(TYPES);
    array_sparse_kmin: u64 = "5", Int(0, I64), MUTABLE.inert(TYPES);
    auto_aof_rewrite_min_size: u64 = "67108864", Memory(0, SIZE), MUTABLE;
    auto_aof_rewrite_percentage: u32 = "100", Int(0, I32), MUTABLE;
    availability_zone: String = "", Text(check::any), MUTABLE.valkey().inert(NOT_HERE);
    backup_sealed_ttl: u64 = "0", Int(0, I64), MUTABLE.inert(NOT_HERE);
    backupdirname: String = "backupdir", Text(check::any), IMMUTABLE.inert(NOT_HERE);
    bgsave_cpulist: String = "", Text(check::any), IMMUTABLE.alias(&["bgsave_cpulist"]).inert(CPU);
    bind: Bind = "* -::*", Kind::Bind, MUTABLE.action(Action::Listen);
    bind_source_addr: String = "", Text(check::any), MUTABLE;
    bio_cpulist: String = "", Text(check::any), IMMUTABLE.alias(&["bio_cpulist"]).inert(CPU);
    busy_reply_threshold: u64 = "5000", Int(0, I64), MUTABLE.alias(&["lua-time-limit"]);
    client_output_buffer_limit: OutputLimits = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", Kind::OutputLimits, MUTABLE;
    client_query_buffer_limit: usize = "1073741824", Memory(MB, SIZE), MUTABLE;
    cluster_allow_pubsubshard_when_down: bool = "yes", Bool, MUTABLE.inert(CLUSTER);
    cluster_allow_reads_when_down: bool = "no", Bool, MUTABLE.inert(CLUSTER);
    cluster_allow_replica_migration: bool = "yes", Bool, MUTABLE.inert(CLUSTER);
    cluster_announce_bus_port: u16 = "0", Int(0, 65535), MUTABLE.inert(CLUSTER);
    cluster_announce_client_ipv4: String = "", Text(check::ipv4), MUTABLE.valkey().inert(CLUSTER);
    cluster_announce_client_ipv6: String = "", Text(check::ipv6), MUTABLE.valkey().inert(CLUSTER);
    cluster_announce_client_port: u16 = "0", Int(0, 65535), MUTABLE.valkey().inert(CLUSTER);
    cluster_announce_client_tls_port: u16 = "0", Int(0, 65535), MUTABLE.valkey().inert(CLUSTER);
    cluster_announce_hostname: String = "", Text(check::hostname), MUTABLE.inert(CLUSTER);
    cluster_announce_human_nodename: String = "", Text(check::any), MUTABLE.inert(CLUSTER);
    cluster_announce_ip: String = "", Text(check::any), MUTABLE.inert(CLUSTER);
    cluster_announce_port: u16 = "0", Int(0, 65535), MUTABLE.inert(CLUSTER);
    cluster_announce_tls_port: u16 = "0", Int(0, 65535), MUTABLE.inert(CLUSTER);
    cluster_blacklist_ttl: u64 = "60", Int(0, I64), MUTABLE.valkey().inert(CLUSTER);
    cluster_compatibility_sample_ratio: u32 = "0", Int(0, 100), MUTABLE.inert(CLUSTER);
    cluster_config_file: String = "nodes.conf", Text(check::any), IMMUTABLE.inert(CLUSTER);
    cluster_config_save_behavior: ClusterConfigSaveBehavior = "sync", Enum(ClusterConfigSaveBehavior::NAMES), MUTABLE.valkey().inert(CLUSTER);
    cluster_databases: u32 = "1", Int(1, I32), IMMUTABLE.valkey().inert(CLUSTER);
    cluster_enabled: bool = "no", Bool, IMMUTABLE.inert(CLUSTER);
    cluster_link_sendbuf_limit: u64 = "0", Memory(0, u64::MAX), MUTABLE.inert(CLUSTER);
    cluster_manual_failover_timeout: u32 = "5000", Int(1, I32), MUTABLE.valkey().inert(CLUSTER);
    cluster_migration_barrier: u32 = "1", Int(0, I32), MUTABLE.inert(CLUSTER);
    cluster_node_timeout: u64 = "15000", Int(0, I64), MUTABLE.inert(CLUSTER);
    cluster_ping_interval: u64 = "0", Int(0, I64), MUTABLE.hidden().inert(CLUSTER);
    cluster_port: u16 = "0", Int(0, 65535), IMMUTABLE.inert(CLUSTER);
    cluster_preferred_endpoint_type: ClusterPreferredEndpointType = "ip", Enum(ClusterPreferredEndpointType::NAMES), MUTABLE.inert(CLUSTER);
    cluster_replica_no_failover: bool = "no", Bool, MUTABLE.alias(&["cluster-slave-no-failover"]).inert(CLUSTER);
    cluster_replica_validity_factor: u32 = "10", Int(0, I32), MUTABLE.alias(&["cluster-slave-validity-factor"]).inert(CLUSTER);
    cluster_require_full_coverage: bool = "yes", Bool, MUTABLE.inert(CLUSTER);
    cluster_slot_migration_handoff_max_lag_bytes: u64 = "1048576", Memory(0, SIZE), MUTABLE.inert(CLUSTER);
    cluster_slot_migration_log_max_len: u64 = "1000", Int(0, I64), MUTABLE.valkey().inert(CLUSTER);
    cluster_slot_migration_write_pause_timeout: u64 = "10000", Int(0, I64), MUTABLE.inert(CLUSTER);
    cluster_slot_stats_enabled: bool = "no", Bool, MUTABLE.inert(CLUSTER);
    commandlog_large_reply_max_len: u64 = "128", Int(0, I64), MUTABLE.valkey().inert(NOT_HERE);
    commandlog_large_request_max_len: u64 = "128", Int(0, I64), MUTABLE.valkey().inert(NOT_HERE);
    commandlog_reply_larger_than: i64 = "1048576", Int(-1, I64), MUTABLE.valkey().inert(NOT_HERE);
    commandlog_request_larger_than: i64 = "1048576", Int(-1, I64), MUTABLE.valkey().inert(NOT_HERE);
    crash_log_enabled: bool = "yes", Bool, MUTABLE.action(Action::CrashLog);
    crash_memcheck_enabled: bool = "yes", Bool, MUTABLE.inert(NOT_HERE);
    daemonize: bool = "no", Bool, IMMUTABLE;
    databases: usize = "16", Int(1, I32), IMMUTABLE;
    dbfilename: String = "dump.rdb", Text(check::dbfilename), PROTECTED.not_loading();
    debug_context: String = "", Text(check::any), MUTABLE.hidden().valkey().inert(NOT_HERE);
    dir: String = ".", Dir, PROTECTED.not_loading().action(Action::Dir);
    disable_thp: bool = "yes", Bool, IMMUTABLE;
    dual_channel_replication_enabled: bool = "no", Bool, MUTABLE.valkey().inert(NOT_HERE);
    dynamic_hz: bool = "yes", Bool, MUTABLE;
    enable_debug_assert: bool = "no", Bool, IMMUTABLE.hidden().valkey().inert(NOT_HERE);
    enable_debug_command: AllowFrom = "no", Enum(AllowFrom::NAMES), IMMUTABLE;
    enable_module_command: AllowFrom = "no", Enum(AllowFrom::NAMES), IMMUTABLE.inert(MODULES);
    enable_protected_configs: AllowFrom = "no", Enum(AllowFrom::NAMES), IMMUTABLE_PROTECTED;
    events_per_io_thread: u32 = "2", Int(0, I32), MUTABLE.valkey().inert(NOT_HERE);
    extended_redis_compatibility: bool = "no", Bool, MUTABLE.valkey().inert(NOT_HERE);
    hash_max_listpack_entries: usize = "512", Int(0, I64), MUTABLE.alias(&["hash-max-ziplist-entries"]);
    hash_max_listpack_value: usize = "64", Memory(0, SIZE), MUTABLE.alias(&["hash-max-ziplist-value"]);
    hash_max_template_entries: u64 = "0", Int(0, I64), MUTABLE.inert(TYPES);
    hash_min_template_entries: u64 = "0", Int(0, I64), MUTABLE.inert(TYPES);
    hash_rdb_load_max_template_entries: u64 = "0", Int(0, I64), MUTABLE.inert(TYPES);
    hash_rdb_load_min_template_entries: u64 = "0", Int(0, I64), MUTABLE.inert(TYPES);
    hash_rdb_load_template_disassembly_threshold: u64 = "0", Int(0, I64), MUTABLE.inert(TYPES);
    hash_seed: String = "", Text(check::any), IMMUTABLE.valkey().inert(NOT_HERE);
    hide_user_data_from_log: bool = "no", Bool, MUTABLE;
    hll_sparse_max_bytes: usize = "3000", Memory(0, SIZE), MUTABLE;
    hz: u32 = "10", Hz, MUTABLE.action(Action::Hz);
    ignore_warnings: String = "", Text(check::any), MUTABLE;
    import_mode: bool = "no", Bool, MUTABLE.valkey().inert(NOT_HERE);
    io_threads: usize = "1", Int(1, 128), IMMUTABLE;
    io_threads_do_reads: bool = "no", Bool, IMMUTABLE.inert(NOT_HERE);
    jemalloc_bg_thread: bool = "yes", Bool, MUTABLE.action(Action::JemallocBgThread);
    key_load_delay: u64 = "0", Int(0, I64), MUTABLE.hidden();
    key_memory_histograms: bool = "no", Bool, MUTABLE.inert(NOT_HERE);
    latency_monitor_threshold: u64 = "0", Int(0, I64), MUTABLE;
    latency_tracking: bool = "yes", Bool, MUTABLE;
    latency_tracking_info_percentiles: Percentiles = "50 99 99.9", Kind::Percentiles, MUTABLE;
    lazyfree_lazy_eviction: bool = "no", Bool, MUTABLE;
    lazyfree_lazy_expire: bool = "no", Bool, MUTABLE;
    lazyfree_lazy_server_del: bool = "no", Bool, MUTABLE;
    lazyfree_lazy_user_del: bool = "no", Bool, MUTABLE;
    lazyfree_lazy_user_flush: bool = "no", Bool, MUTABLE;
    lfu_decay_time: u32 = "1", Int(0, I32), MUTABLE;
    lfu_log_factor: u32 = "10", Int(0, I32), MUTABLE;
    list_compress_depth: usize = "0", Int(0, I32), MUTABLE;
    list_max_listpack_size: i32 = "-2", Int(-I32 - 1, I32), MUTABLE.alias(&["list-max-ziplist-size"]);
    loading_process_events_interval_bytes: u64 = "524288", Int(0, I64), MUTABLE.hidden();
    locale_collate: String = "", Text(check::any), MUTABLE.inert(NOT_HERE);
    log_format: LogFormat = "redis", Enum(LogFormat::NAMES), MUTABLE.action(Action::Logging);
    log_timestamp_format: LogTimestampFormat = "legacy", Enum(LogTimestampFormat::NAMES), MUTABLE.valkey().action(Action::Logging);
    logfile: String = "", Text(check::any), IMMUTABLE;
    loglevel: LogLevel = "notice", Enum(LogLevel::NAMES), MUTABLE.action(Action::Logging);
    lookahead: u64 = "16", Int(0, I64), MUTABLE.inert(NOT_HERE);
    lua_enable_deprecated_api: bool = "no", Bool, IMMUTABLE.hidden();
    masterauth: Vec<u8> = "", Secret, MUTABLE.alias(&["primaryauth"]).sensitive();
    masteruser: Vec<u8> = "", Secret, MUTABLE.alias(&["primaryuser"]).sensitive();
    max_new_connections_per_cycle: u32 = "10", Int(1, 1000), MUTABLE;
    max_new_tls_connections_per_cycle: u32 = "1", Int(1, 1000), MUTABLE;
    maxclients: u32 = "10000", Int(1, U32), MUTABLE.action(Action::MaxClients);
    maxmemory: u64 = "0", Memory(0, u64::MAX), MUTABLE.action(Action::MaxMemory);
    maxmemory_clients: MemoryOrPercent = "0", Kind::MemoryOrPercent, MUTABLE.action(Action::ClientEviction);
    maxmemory_eviction_tenacity: u32 = "10", Int(0, 100), MUTABLE;
    maxmemory_policy: MaxMemoryPolicy = "noeviction", Enum(MaxMemoryPolicy::NAMES), MUTABLE.action(Action::MaxMemory);
    maxmemory_samples: usize = "5", Int(1, 2147483647), MUTABLE;
    metrics_bind: Bind = "127.0.0.1 -::1", Kind::Bind, MUTABLE.action(Action::Metrics);
    metrics_hosts: Words = "", Kind::Words, MUTABLE.action(Action::Metrics);
    metrics_port: u16 = "0", Int(0, 65535), MUTABLE.action(Action::Metrics);
    min_replicas_max_lag: u32 = "10", Int(0, I32), MUTABLE.action(Action::MinReplicas).alias(&["min-slaves-max-lag"]);
    min_replicas_to_write: u32 = "0", Int(0, I32), MUTABLE.action(Action::MinReplicas).alias(&["min-slaves-to-write"]);
    mptcp: bool = "no", Bool, IMMUTABLE.valkey().inert(NOT_HERE);
    no_appendfsync_on_rewrite: bool = "no", Bool, MUTABLE;
    notify_keyspace_events: NotifyEvents = "", Kind::NotifyEvents, MUTABLE;
    oom_score_adj: OomScoreAdj = "no", Enum(OomScoreAdj::NAMES), MUTABLE.action(Action::OomScore);
    oom_score_adj_values: OomScores = "0 200 800", Kind::OomScores, MUTABLE.action(Action::OomScore);
    pidfile: String = "", Text(check::any), IMMUTABLE;
    port: u16 = "6379", Int(0, 65535), MUTABLE.action(Action::Listen);
    prefetch_batch_max_size: u32 = "16", Int(0, 128), MUTABLE.hidden().valkey().inert(NOT_HERE);
    preload_file: String = "", Text(check::any), IMMUTABLE.inert(NOT_HERE);
    proc_title_template: String = "{title} {listen-addr} {server-mode}", Text(check::title_template), MUTABLE.action(Action::ProcTitle);
    propagation_error_behavior: PropagationErrorBehavior = "ignore", Enum(PropagationErrorBehavior::NAMES), MUTABLE;
    protected_mode: bool = "yes", Bool, MUTABLE;
    proto_max_bulk_len: usize = "536870912", Memory(MB, SIZE), MUTABLE;
    rdb_del_sync_files: bool = "no", Bool, MUTABLE;
    rdb_key_save_delay: u64 = "0", Int(0, I64), MUTABLE.hidden();
    rdb_save_incremental_fsync: bool = "yes", Bool, MUTABLE;
    rdb_version: u32 = "0", Int(0, 12), MUTABLE;
    rdb_version_check: RdbVersionCheck = "strict", Enum(RdbVersionCheck::NAMES), MUTABLE.valkey().inert(NOT_HERE);
    rdbchecksum: bool = "yes", Bool, IMMUTABLE;
    rdbcompression: bool = "yes", Bool, MUTABLE;
    rdma_bind: String = "", Text(check::any), MUTABLE.valkey().inert(RDMA);
    rdma_completion_vector: i32 = "-1", Int(-1, 1024), IMMUTABLE.valkey().inert(RDMA);
    rdma_port: u16 = "0", Int(0, 65535), MUTABLE.valkey().inert(RDMA);
    rdma_rx_size: u32 = "1048576", Int(65536, 16777216), IMMUTABLE.valkey().inert(RDMA);
    repl_backlog_size: u64 = "1048576", MemoryFrom(BACKLOG_MIN), MUTABLE.action(Action::ReplBacklog);
    repl_backlog_ttl: u64 = "3600", Int(0, I64), MUTABLE;
    repl_disable_tcp_nodelay: bool = "no", Bool, MUTABLE;
    repl_diskless_load: ReplDisklessLoad = "disabled", Enum(ReplDisklessLoad::NAMES), MUTABLE;
    repl_diskless_sync: bool = "yes", Bool, MUTABLE;
    repl_diskless_sync_delay: u32 = "5", Int(0, I32), MUTABLE;
    repl_diskless_sync_max_replicas: u32 = "0", Int(0, I32), MUTABLE;
    repl_mptcp: bool = "no", Bool, IMMUTABLE.valkey().inert(NOT_HERE);
    repl_ping_replica_period: u32 = "10", Int(1, I32), MUTABLE.alias(&["repl-ping-slave-period"]);
    repl_rdb_channel: bool = "yes", Bool, MUTABLE.hidden().inert(NOT_HERE);
    repl_timeout: u32 = "60", Int(1, I32), MUTABLE;
    replica_accept_data_loss: bool = "no", Bool, MUTABLE;
    replica_announce_ip: String = "", Text(check::any), MUTABLE.alias(&["slave-announce-ip"]);
    replica_announce_port: u16 = "0", Int(0, 65535), MUTABLE.alias(&["slave-announce-port"]);
    replica_announced: bool = "yes", Bool, MUTABLE;
    replica_full_sync_buffer_limit: u64 = "0", Memory(0, SIZE), MUTABLE.inert(NOT_HERE);
    replica_ignore_disk_write_errors: bool = "no", Bool, MUTABLE;
    replica_ignore_maxmemory: bool = "yes", Bool, MUTABLE.alias(&["slave-ignore-maxmemory"]);
    replica_lazy_flush: bool = "no", Bool, MUTABLE.alias(&["slave-lazy-flush"]);
    replica_priority: u32 = "100", Int(0, I32), MUTABLE.alias(&["slave-priority"]);
    replica_read_only: bool = "yes", Bool, MUTABLE.alias(&["slave-read-only"]);
    replica_serve_stale_data: bool = "yes", Bool, MUTABLE.alias(&["slave-serve-stale-data"]);
    replicaof: ReplicaOf = "", Kind::ReplicaOf, IMMUTABLE.alias(&["slaveof"]);
    requirepass: Vec<u8> = "", Secret, MUTABLE.action(Action::RequirePass).sensitive();
    sanitize_dump_payload: SanitizeDumpPayload = "no", Enum(SanitizeDumpPayload::NAMES), MUTABLE;
    save: SaveRules = "3600 1 300 100 60 10000", Save, MUTABLE.action(Action::Save);
    script_memory_limit: u64 = "0", Memory(0, SIZE), MUTABLE;
    server_cpulist: String = "", Text(check::any), IMMUTABLE.alias(&["server_cpulist"]).inert(CPU);
    set_max_intset_entries: usize = "512", Int(0, I64), MUTABLE;
    set_max_listpack_entries: usize = "128", Int(0, I64), MUTABLE;
    set_max_listpack_value: usize = "64", Int(0, I64), MUTABLE;
    set_proc_title: bool = "yes", Bool, IMMUTABLE;
    shutdown_on_sigint: ShutdownOn = "default", Shutdown, MUTABLE;
    shutdown_on_sigterm: ShutdownOn = "default", Shutdown, MUTABLE;
    shutdown_timeout: u32 = "10", Int(0, I32), MUTABLE;
    slot_migration_max_failover_repl_bytes: u64 = "0", Memory(0, SIZE), MUTABLE.valkey().inert(NOT_HERE);
    slowlog_entry_max_argc: usize = "32", Int(2, I32), MUTABLE;
    slowlog_entry_max_string_len: usize = "128", Int(0, I64), MUTABLE;
    slowlog_log_slower_than: i64 = "10000", Int(-1, I64), MUTABLE.alias(&["commandlog-execution-slower-than"]);
    slowlog_max_len: usize = "128", Int(0, I64), MUTABLE.action(Action::SlowlogMaxLen).alias(&["commandlog-slow-execution-max-len"]);
    socket_mark_id: u64 = "0", Int(0, I64), IMMUTABLE.inert(NOT_HERE);
    stop_writes_on_bgsave_error: bool = "yes", Bool, MUTABLE;
    stream_idmp_duration: u64 = "100", Int(0, I64), MUTABLE.inert(NOT_HERE);
    stream_idmp_maxsize: u64 = "100", Int(0, I64), MUTABLE.inert(NOT_HERE);
    stream_node_max_bytes: usize = "4096", Memory(0, SIZE), MUTABLE;
    stream_node_max_entries: usize = "100", Int(0, I64), MUTABLE;
    supervised: Supervised = "no", Enum(Supervised::NAMES), IMMUTABLE;
    syslog_enabled: bool = "no", Bool, IMMUTABLE;
    syslog_facility: SyslogFacility = "local0", Enum(SyslogFacility::NAMES), IMMUTABLE;
    syslog_ident: String = "redis", Text(check::any), IMMUTABLE;
    tcp_backlog: u32 = "511", Int(0, I32), IMMUTABLE;
    tcp_keepalive: u32 = "300", Int(0, I32), MUTABLE;
    timeout: u32 = "0", Int(0, I32), MUTABLE;
    tls_auth_clients: TlsAuthClients = "yes", Enum(TlsAuthClients::NAMES), MUTABLE.action(Action::Tls);
    tls_auth_clients_user: TlsAuthClientsUser = "off", Enum(TlsAuthClientsUser::NAMES), MUTABLE.action(Action::Tls);
    tls_auto_reload_interval: u32 = "0", Int(0, I32), MUTABLE.valkey();
    tls_ca_cert_dir: String = "", Text(check::any), MUTABLE.action(Action::Tls).volatile();
    tls_ca_cert_file: String = "", Text(check::any), MUTABLE.action(Action::Tls).volatile();
    tls_cert_file: String = "", Text(check::any), MUTABLE.action(Action::Tls).volatile();
    tls_ciphers: String = "", Text(check::any), MUTABLE.action(Action::Tls);
    tls_ciphersuites: String = "", Text(check::any), MUTABLE.action(Action::Tls);
    tls_client_cert_file: String = "", Text(check::any), MUTABLE.action(Action::Tls).volatile();
    tls_client_key_file: String = "", Text(check::any), MUTABLE.action(Action::Tls).volatile();
    tls_client_key_file_pass: Vec<u8> = "", Secret, MUTABLE.sensitive().action(Action::Tls);
    tls_cluster: bool = "no", Bool, MUTABLE.action(Action::Tls);
    tls_dh_params_file: String = "", Text(check::any), MUTABLE.inert(DH);
    tls_expected_peer_name: String = "", Text(check::any), MUTABLE.action(Action::Tls);
    tls_key_file: String = "", Text(check::any), MUTABLE.action(Action::Tls).volatile();
    tls_key_file_pass: Vec<u8> = "", Secret, MUTABLE.sensitive().action(Action::Tls);
    tls_port: u16 = "0", Int(0, 65535), MUTABLE.action(Action::TlsPort);
    tls_prefer_server_ciphers: bool = "no", Bool, MUTABLE.action(Action::Tls);
    tls_protocols: String = "", Text(check::any), MUTABLE.action(Action::Tls);
    tls_replication: bool = "no", Bool, MUTABLE.action(Action::Tls);
    tls_session_cache_size: u32 = "20480", Int(0, I32), MUTABLE.action(Action::Tls);
    tls_session_cache_timeout: u32 = "300", Int(0, I32), MUTABLE.action(Action::Tls);
    tls_session_caching: bool = "yes", Bool, MUTABLE.action(Action::Tls);
    track_prefix: Words = "", Kind::Words, MUTABLE;
    tracking_table_max_keys: usize = "1000000", Int(0, I64), MUTABLE;
    undo_window: u32 = "0", Int(0, I32), MUTABLE;
    unixsocket: String = "", Text(check::any), IMMUTABLE;
    unixsocketgroup: String = "", Text(check::any), IMMUTABLE.valkey().inert(NOT_HERE);
    unixsocketperm: u32 = "0", Octal, IMMUTABLE;
    use_exit_on_panic: bool = "no", Bool, MUTABLE.hidden();
    vset_force_single_threaded_execution: bool = "no", Bool, MUTABLE.inert(TYPES);
    watchdog_period: u64 = "0", Int(0, I64), MUTABLE.hidden();
    zset_max_listpack_entries: usize = "128", Int(0, I64), MUTABLE.alias(&["zset-max-ziplist-entries"]);
    zset_max_listpack_value: usize = "64", Memory(0, SIZE), MUTABLE.alias(&["zset-max-ziplist-value"]);
}

impl Default for Settings {
    /// Every default passes the parser that a user's value passes.
    fn default() -> Self {
        let mut settings = Settings::blank();
        for directive in DIRECTIVES {
            let words = [directive.default.as_bytes().to_vec()];
            if matches!(directive.kind, Kind::ReplicaOf) {
                continue;
            }
            if let Err(reason) = directive.update(&mut settings, &words, When::Running) {
                panic!("the default of {} is refused: {reason}", directive.name);
            }
        }
        settings
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
