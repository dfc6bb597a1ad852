//! Plain data of the core: addresses, timing, what goes in and what comes out.

use std::sync::Arc;

use bitflags::bitflags;

/// Milliseconds of a clock that never goes back.
pub type Ms = i64;
/// Text that many places hold.
pub type Text = Arc<str>;

/// A time so long ago that every period since has passed.
pub const NEVER: Ms = i64::MIN / 2;

/// Identity of a monitored master within this process: names may be given again, ids are not.
pub type MasterId = u64;

/// Identity of a link; see [`super::link::Links`].
pub type LinkId = u64;

/// Where an instance is: the name it was given as, and the address that the name stood for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addr {
    pub host: Text,
    pub ip: Text,
    pub port: u16,
}

impl Addr {
    pub fn new(ip: &str, port: u16) -> Addr {
        let ip: Text = ip.into();
        Addr {
            host: ip.clone(),
            ip,
            port,
        }
    }

    /// Both mean the same instance.
    pub fn same(&self, other: &Addr) -> bool {
        self.port == other.port && (self.ip == other.ip || self.host == other.host)
    }
}

/// Periods and limits, all in ms; `SENTINEL DEBUG` changes them.
#[derive(Clone, Debug)]
pub struct Timing {
    pub info_period: Ms,
    pub ping_period: Ms,
    pub ask_period: Ms,
    pub publish_period: Ms,
    pub default_down_after: Ms,
    pub default_failover_timeout: Ms,
    pub tilt_trigger: Ms,
    pub tilt_period: Ms,
    pub slave_reconf_timeout: Ms,
    pub min_link_reconnect_period: Ms,
    pub election_timeout: Ms,
    pub script_max_runtime: Ms,
    pub script_retry_delay: Ms,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            info_period: 10_000,
            ping_period: 1_000,
            ask_period: 1_000,
            publish_period: 2_000,
            default_down_after: 30_000,
            default_failover_timeout: 180_000,
            tilt_trigger: 2_000,
            tilt_period: 30_000,
            slave_reconf_timeout: 10_000,
            min_link_reconnect_period: 15_000,
            election_timeout: 10_000,
            script_max_runtime: 60_000,
            script_retry_delay: 30_000,
        }
    }
}

impl Timing {
    /// The parameters by their names in `SENTINEL DEBUG`, in its order.
    pub fn parameters(&mut self) -> [(&'static str, &mut Ms); 13] {
        [
            ("INFO-PERIOD", &mut self.info_period),
            ("PING-PERIOD", &mut self.ping_period),
            ("ASK-PERIOD", &mut self.ask_period),
            ("PUBLISH-PERIOD", &mut self.publish_period),
            ("DEFAULT-DOWN-AFTER", &mut self.default_down_after),
            (
                "DEFAULT-FAILOVER-TIMEOUT",
                &mut self.default_failover_timeout,
            ),
            ("TILT-TRIGGER", &mut self.tilt_trigger),
            ("TILT-PERIOD", &mut self.tilt_period),
            ("SLAVE-RECONF-TIMEOUT", &mut self.slave_reconf_timeout),
            (
                "MIN-LINK-RECONNECT-PERIOD",
                &mut self.min_link_reconnect_period,
            ),
            ("ELECTION-TIMEOUT", &mut self.election_timeout),
            ("SCRIPT-MAX-RUNTIME", &mut self.script_max_runtime),
            ("SCRIPT-RETRY-DELAY", &mut self.script_retry_delay),
        ]
    }
}

/// Settings that hold for all masters.
#[derive(Clone, Debug)]
pub struct Options {
    pub announce_ip: Option<Text>,
    /// 0: the port that this Sentinel listens on.
    pub announce_port: u16,
    pub listen_port: u16,
    pub resolve_hostnames: bool,
    pub announce_hostnames: bool,
    pub deny_scripts_reconfig: bool,
    pub sentinel_user: Option<Text>,
    pub sentinel_pass: Option<Text>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            announce_ip: None,
            announce_port: 0,
            listen_port: 26379,
            resolve_hostnames: false,
            announce_hostnames: false,
            deny_scripts_reconfig: true,
            sentinel_user: None,
            sentinel_pass: None,
        }
    }
}

/// How loud an event is; from `Warning` on the notification script hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Log only.
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// The two connections of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    Commands,
    Hello,
}

/// How to log in at an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Login {
    pub user: Option<Text>,
    pub pass: Option<Text>,
}

/// `rename-command`: pairs of Redis' name and the instance's name.
pub type Renames = Arc<Vec<(Text, Text)>>;

/// A command for an instance. It comes back with the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Ping,
    Info,
    /// `PUBLISH __sentinel__:hello`
    Hello(Text),
    /// `SENTINEL IS-MASTER-DOWN-BY-ADDR`
    AskDown {
        master: MasterId,
        addr: Addr,
        epoch: u64,
        /// The own id to ask for a vote, or `*`.
        runid: Text,
    },
    /// `SLAVEOF` with `CONFIG REWRITE` and `CLIENT KILL` in one transaction; the answer is `EXEC`'s.
    Slaveof(Option<Addr>),
    /// `CLIENT PAUSE ms WRITE`
    Pause(Ms),
    /// `CLIENT UNPAUSE`
    Unpause,
    /// `SCRIPT KILL`
    ScriptKill,
}

/// What an instance answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// A simple string.
    Status(&'a str),
    Error(&'a str),
    Bulk(&'a str),
    /// Of `AskDown`.
    Vote {
        down: bool,
        leader: &'a str,
        epoch: u64,
    },
    /// Anything else: of the wrong shape, or of no interest.
    Other,
}

/// What the core wants done. Order matters: a `Flush` is on disk before what follows leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Connect {
        link: LinkId,
        wire: Wire,
        addr: Addr,
        login: Login,
        renames: Renames,
    },
    Disconnect {
        link: LinkId,
        wire: Wire,
    },
    Send {
        link: LinkId,
        request: Request,
        renames: Renames,
    },
    /// Publish to subscribers and write to the log.
    Event {
        level: Level,
        channel: &'static str,
        payload: String,
    },
    /// Write to the log only.
    Log(Level, String),
    /// Write the state to the configuration file.
    Flush,
    RunScript {
        id: u64,
        path: Text,
        args: Vec<String>,
    },
    KillScript {
        id: u64,
    },
    /// `SENTINEL SIMULATE-FAILURE`: end the process at once.
    Crash,
}

bitflags! {
    /// State of an instance, with the names that clients see.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Flags: u16 {
        const S_DOWN = 1 << 0;
        const O_DOWN = 1 << 1;
        /// Of a Sentinel: it says that the master is down.
        const MASTER_DOWN = 1 << 2;
        const FAILOVER_IN_PROGRESS = 1 << 3;
        const PROMOTED = 1 << 4;
        const RECONF_SENT = 1 << 5;
        const RECONF_INPROG = 1 << 6;
        const RECONF_DONE = 1 << 7;
        const FORCE_FAILOVER = 1 << 8;
        const SCRIPT_KILL_SENT = 1 << 9;
        const MASTER_REBOOT = 1 << 10;
    }

    /// `SENTINEL SIMULATE-FAILURE`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct SimFailure: u8 {
        const CRASH_AFTER_ELECTION = 1 << 0;
        const CRASH_AFTER_PROMOTION = 1 << 1;
    }
}

/// What an instance says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Master,
    Slave,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Master => "master",
            Role::Slave => "slave",
        }
    }
}

/// Steps of a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailoverState {
    None,
    /// Votes are being collected.
    WaitStart,
    SelectSlave,
    /// Planned failover only: writes are paused until the replica has every byte.
    WaitCatchUp,
    SendSlaveofNoone,
    WaitPromotion,
    ReconfSlaves,
    UpdateConfig,
}

impl FailoverState {
    pub fn name(self) -> &'static str {
        match self {
            FailoverState::None => "none",
            FailoverState::WaitStart => "wait_start",
            FailoverState::SelectSlave => "select_slave",
            FailoverState::WaitCatchUp => "wait_catch_up",
            FailoverState::SendSlaveofNoone => "send_slaveof_noone",
            FailoverState::WaitPromotion => "wait_promotion",
            FailoverState::ReconfSlaves => "reconf_slaves",
            FailoverState::UpdateConfig => "update_config",
        }
    }
}

/// Mistakes that tests plant to see that the simulator notices them. Builds without debug assertions have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Gives its vote of an epoch to everybody who asks.
    VoteTwice,
    /// Answers before its vote is on disk.
    VoteNotPersisted,
    /// Leads with the quorum alone, without a majority.
    NoMajority,
    /// Counts votes of every epoch.
    StaleVotes,
    /// Starts a failover in the present epoch.
    EpochNotRaised,
    /// Follows announcements older than what it knows.
    TakesOlderConfig,
    /// Promotes the replica with the least data.
    PromotesWorst,
    /// Promotes replicas that are down or cut off.
    PromotesUnreachable,
    /// Forgets the old master after a switch.
    ForgetsOldMaster,
    /// Leaves a returned old master as it is.
    NeverDemotes,
    /// Waits for a promotion for ever.
    WaitsForever,
    /// Does not raise the epoch of the new configuration.
    ConfigEpochNotRaised,
    /// Takes its own opinion for everybody's.
    OdownAlone,
    /// Goes on as usual after its clock jumped.
    NoTilt,
    /// Switches without waiting for the replica of a planned failover.
    NoCatchUp,
}
