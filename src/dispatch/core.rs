//! The server's state beside the data: configuration, clients, statistics.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use super::actor::Message;
use super::blocked::Blocking;
use super::clients::Clients;
use super::held::Held;
use super::latency::LatencyMonitor;
use super::push::Pushes;
use super::slowlog::SlowLog;
use super::stats::Stats;
use super::watch::Watched;
use crate::acl::Acl;
use crate::base::alloc;
use crate::base::clock::Clock;
use crate::base::mailbox::Sender;
use crate::base::oom::OomScore;
use crate::command::registry::{self, Names};
use crate::config::Config;
use crate::keyspace::evict::Pool;
use crate::log::CommandLog;
use crate::logging::{Log, Role};
use crate::net::listen::Listeners;
use crate::pubsub::PubSub;
use crate::replication::Replication;
use crate::script::{Policy, Scripts};
use crate::tracking::Tracking;

/// `CLIENT PAUSE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Monotonic ms at which it ends.
    pub until_ms: i64,
    /// Only commands that may write wait.
    pub writes_only: bool,
}

/// How the process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownWish {
    pub save: Option<bool>,
    pub now: bool,
    pub force: bool,
}

/// Everything that commands reach through `ctx.core`.
pub struct Core {
    pub config: Config,
    /// The commands that this server has, by the names that it gives them.
    pub commands: Names,
    /// Users and what was denied to them.
    pub acl: Acl,
    /// All clients; the one whose command runs is out of its place.
    pub clients: Clients,
    pub clock: Clock,
    /// Monotonic µs at which the present command began.
    pub now_us: i64,
    /// The same of the present unit: a command of a client with all that it runs inside of itself; or, for a script that
    /// computes that long, of when others were last answered meanwhile.
    pub unit_us: i64,
    pub stats: Stats,
    pub slowlog: SlowLog,
    pub latency: LatencyMonitor,
    /// Best candidates for eviction seen so far.
    pub pool: Pool,
    pub pause: Option<Pause>,
    /// Clients whose batch waits for the end of the pause, in order.
    pub paused: VecDeque<u64>,
    /// Clients whose batch has not had its last slice, in order.
    pub runnable: VecDeque<u64>,
    /// Clients that wait for keys or for something else.
    pub blocking: Blocking,
    /// Keys that clients WATCH.
    pub watched: Watched,
    /// What clients get without having asked, until the end of the command or of the turn.
    pub pushes: Pushes,
    /// Channels and their subscribers.
    pub pubsub: PubSub,
    /// Client-side caching.
    pub tracking: Tracking,
    /// Replies that wait until the log is safe.
    pub held: Held,
    /// Commands that the running one runs inside of itself, and these inside of them.
    pub depth: u32,
    /// The way to the actor for other threads and tasks; none in tests without one.
    pub mailbox: Option<Sender<Message>>,
    /// Masters and replicas.
    pub repl: Replication,
    /// Messages that came and were not looked at yet.
    pub inbox: VecDeque<Message>,
    /// Messages that wait for the end of a command that runs for long, in order.
    pub put_off: Vec<Message>,
    /// Scripts, libraries, and what runs of them.
    pub scripts: Scripts,
    /// Ids of clients that MONITOR.
    pub monitors: Vec<u64>,
    /// Arguments of the present command that logs must not show.
    pub redacted: Vec<usize>,
    /// The end has begun and waits for replicas.
    pub leaving: Option<super::shutdown::Leaving>,
    /// The process ends when the actor sees this.
    pub shutdown: Option<ShutdownWish>,
    /// 40 hex digits, new at every start.
    pub run_id: String,
    pub started_ms: i64,
    pub executable: PathBuf,
    /// The listening sockets; none in tests without a network.
    pub listeners: Option<Listeners>,
    /// `metrics-port`, while it is open.
    pub port: Option<crate::http::Port>,
    /// Certificates and keys.
    pub tls: Arc<crate::tls::Context>,
    pub tls_watch: crate::tls::Watch,
    /// The log, for changes of its settings.
    pub log: Option<Arc<Log>>,
    /// Runs of the cron so far.
    pub cron_ticks: u64,
    pub oom_score: OomScore,
    /// Bytes in use before the first key came.
    pub startup_memory: u64,
    /// Unix seconds of the last save, or of the start.
    pub last_save_s: i64,
    /// Sum of the clients' weights, while `maxmemory-clients` is set.
    pub clients_weight: u64,
    /// What DEBUG has switched.
    pub debug: DebugSwitches,
    /// Saves of the data set, and the load at start.
    pub rdb: crate::rdb::save::State,
    pub aof: crate::aof::state::State,
    /// Connections to other servers that MIGRATE keeps for a while.
    pub migrations: crate::command::dump::Connections,
    /// The signal that asked for the end, until the cron sees to it.
    pub signal: Option<&'static str>,
    /// In Sentinel's mode, the Sentinel.
    pub sentinel: Option<Box<crate::sentinel::shell::State>>,
}

/// Switches of DEBUG, for tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct DebugSwitches {
    /// The cron does nothing (`DEBUG PAUSE-CRON`).
    pub cron_paused: bool,
    /// Buffers of clients keep their size (`DEBUG REPLYBUFFER RESIZING 0`).
    pub reply_buffers_fixed: bool,
    /// Payloads are taken without a look at their checksum.
    pub skip_checksum: bool,
    /// Scripts may call what they otherwise may not.
    pub scripts_may_all: bool,
}

impl Core {
    pub fn new(config: Config) -> Core {
        let clock = Clock::default();
        // The start has checked these lines (`cli::load`).
        let commands = Names::configured(&config.renamed_commands).unwrap_or_default();
        let acl = Acl::new(&config.requirepass);
        config.shared().set_password_required(!acl.users.is_open());
        Core {
            commands,
            acl,
            clients: Clients::default(),
            now_us: clock.mono_us(),
            unit_us: clock.mono_us(),
            stats: Stats::new(registry::all().len()),
            slowlog: SlowLog::default(),
            latency: LatencyMonitor::default(),
            pool: Pool::default(),
            leaving: None,
            pause: None,
            paused: VecDeque::new(),
            runnable: VecDeque::new(),
            blocking: Blocking::default(),
            watched: Watched::default(),
            pushes: Pushes::default(),
            pubsub: PubSub::default(),
            tracking: Tracking::default(),
            held: Held::default(),
            depth: 0,
            mailbox: None,
            repl: Replication::default(),
            inbox: VecDeque::new(),
            put_off: Vec::new(),
            scripts: Scripts::default(),
            monitors: Vec::new(),
            redacted: Vec::new(),
            shutdown: None,
            run_id: random_hex(),
            started_ms: clock.unix_us(0) / 1000,
            executable: std::env::current_exe().unwrap_or_default(),
            listeners: None,
            port: None,
            tls: Arc::default(),
            tls_watch: Default::default(),
            log: None,
            cron_ticks: 0,
            oom_score: OomScore::default(),
            startup_memory: alloc::used_memory(),
            last_save_s: clock.unix_us(0) / 1_000_000,
            clients_weight: 0,
            debug: DebugSwitches::default(),
            rdb: crate::rdb::save::State::default(),
            aof: crate::aof::state::State::default(),
            migrations: Default::default(),
            signal: None,
            sentinel: None,
            clock,
            config,
        }
    }

    /// Sources of the function libraries.
    pub fn function_sources(&self) -> Vec<Vec<u8>> {
        self.scripts.library_sources()
    }

    /// Function libraries of a data set that takes the place of the present one.
    pub fn replace_functions(&mut self, sources: Vec<Vec<u8>>) {
        let restored = self.scripts.restore(&sources, Policy::Flush, &self.config);
        if let Err(error) = restored {
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            tracing::warn!("A library of functions can't be loaded: {text}");
        }
    }

    /// Monotonic ms of the present command.
    pub fn now_ms(&self) -> i64 {
        self.now_us / 1000
    }

    /// Unix time in µs of the present command.
    pub fn unix_us(&self) -> i64 {
        self.clock.unix_us(self.now_us)
    }

    /// Unix time in µs at which the present unit began: for all its commands time stands still, until a script computes
    /// for so long that others are answered meanwhile.
    pub fn unit_unix_us(&self) -> i64 {
        self.clock.unix_us(self.unit_us)
    }

    /// The pause that clients or a failover asked for, if it is in force now.
    pub fn asked_pause(&self) -> Option<Pause> {
        self.pause.filter(|pause| pause.until_ms > self.now_ms())
    }

    /// `maxmemory`, and what of the memory in use is not counted towards it: deletions would make that more, not less.
    /// That is what is kept for slow replicas and what `log` holds until the end of the turn.
    pub fn memory_limit(&self, log: &CommandLog) -> u64 {
        self.config
            .maxmemory
            .saturating_add(self.slow_replicas_memory())
            .saturating_add(log.memory() as u64)
    }

    /// What is kept for slow replicas beyond the backlog.
    pub fn slow_replicas_memory(&self) -> u64 {
        let buffers = self.repl.buffer_memory();
        buffers.saturating_sub(self.config.repl_backlog_size)
    }

    /// The pause that is in force now, if any.
    pub fn active_pause(&self) -> Option<Pause> {
        let until_written = Pause {
            until_ms: i64::MAX / 2000,
            writes_only: true,
        };
        self.asked_pause()
            .or(self.aof.makes_writes_wait().then_some(until_written))
    }

    /// Somebody wants to hear of every key that changes.
    #[inline]
    pub fn is_watching(&self) -> bool {
        !self.watched.is_empty() || self.blocking.waits_for_keys() || self.tracking.is_watching()
    }

    /// Logs must not show argument `at` of the present command.
    pub fn redact(&mut self, at: usize) {
        self.redacted.push(at);
    }

    /// Gives the process what the settings want at the start. That it does not have it is no reason not to serve.
    pub fn set_up_process(&mut self) {
        // The log has the reason.
        let _ = self.set_oom_score();
        if let Err(reason) = alloc::set_background_thread(self.config.jemalloc_bg_thread) {
            tracing::warn!("Can't start the background thread of the allocator: {reason}");
        }
    }

    /// Takes over what depends on being a master or a replica: the letter in the log, `oom-score-adj`.
    pub fn follow_role(&mut self) {
        if let Some(log) = &self.log {
            log.set_role(match self.repl.is_replica() {
                true => Role::Replica,
                false => Role::Primary,
            });
        }
        // As above.
        let _ = self.set_oom_score();
    }

    /// # Errors
    /// What CONFIG SET answers; the log has the reason.
    pub fn set_oom_score(&mut self) -> Result<(), String> {
        self.oom_score.apply(&self.config, self.repl.is_replica())
    }

    /// Records a latency spike if the monitor is on and it is long enough.
    pub fn latency_spike(&mut self, event: &'static str, duration_us: i64) {
        let threshold = self.config.latency_monitor_threshold;
        let ms = duration_us / 1000;
        if threshold > 0 && ms >= threshold as i64 {
            let seconds = self.unix_us() / 1_000_000;
            self.latency
                .record(event, seconds, u32::try_from(ms).unwrap_or(u32::MAX));
        }
    }
}

/// 40 random hex digits.
pub fn random_hex() -> String {
    let mut bytes = [0u8; 20];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
