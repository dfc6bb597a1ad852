//! SENTINEL: what users and other Sentinels ask a Sentinel, and what ROLE, PUBLISH and INFO are there.

mod config;
mod set;
mod show;

use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::command::registry::{Command, Names};
use crate::command::spec::{DocFlags, Group, Spec, flags};
use crate::dispatch::core::Core;
use crate::sentinel::core::Sentinel;
use crate::sentinel::core::admin::MonitorError;
use crate::sentinel::core::failover::Refusal;
use crate::sentinel::core::instance::{Master, shown};
use crate::sentinel::core::types::SimFailure;
use crate::sentinel::shell::{self, State};
pub use show::write_info;

const ROW: Spec = Spec {
    group: Group::Sentinel,
    ..Spec::BLANK
};

pub static TABLE: &[Spec] = &[Spec {
    name: "sentinel",
    since: "2.8.4",
    arity: -2,
    flags: flags!(ADMIN),
    summary: "Groups the commands of Sentinel.",
    subs: &[
        Spec {
            name: "ckquorum",
            since: "2.8.4",
            arity: 3,
            flags: flags!(ADMIN),
            summary: "Tells whether enough Sentinels can be reached for a failover.",
            syntax: "master-name",
            run: sentinel_ckquorum,
            ..ROW
        },
        Spec {
            name: "config",
            since: "6.2.0",
            arity: -4,
            flags: flags!(ADMIN),
            history: &[("7.2.0", "Allowed several settings in one call.")],
            summary: "Reads and changes the configuration of Sentinel.",
            complexity: "O(N)",
            syntax: "action<SET:set{parameter value}...|GET:parameter...>",
            run: sentinel_config,
            ..ROW
        },
        Spec {
            name: "debug",
            since: "7.0.0",
            arity: -2,
            flags: flags!(ADMIN),
            summary: "Shows or changes the timing of Sentinel.",
            complexity: "O(N)",
            syntax: "[data{parameter value}...]",
            run: sentinel_debug,
            ..ROW
        },
        Spec {
            name: "failover",
            since: "2.8.4",
            arity: 3,
            flags: flags!(ADMIN),
            summary: "Starts a failover without asking the other Sentinels.",
            syntax: "master-name",
            run: sentinel_failover,
            ..ROW
        },
        Spec {
            name: "flushconfig",
            since: "2.8.4",
            arity: 2,
            flags: flags!(ADMIN),
            summary: "Writes the state of Sentinel to its configuration file.",
            complexity: "O(1)",
            run: sentinel_flushconfig,
            ..ROW
        },
        Spec {
            name: "get-master-addr-by-name",
            since: "2.8.4",
            arity: 3,
            flags: flags!(ADMIN),
            summary: "Returns address and port of a master.",
            complexity: "O(1)",
            syntax: "master-name",
            run: sentinel_get_master_addr_by_name,
            ..ROW
        },
        Spec {
            name: "help",
            since: "6.2.0",
            arity: 2,
            flags: flags!(LOADING | STALE),
            summary: "Explains the sub-commands of SENTINEL.",
            complexity: "O(1)",
            run: sentinel_help,
            ..ROW
        },
        Spec {
            name: "info-cache",
            since: "3.2.0",
            arity: -3,
            flags: flags!(ADMIN),
            summary: "Returns the cached INFO replies of masters and replicas.",
            complexity: "O(N)",
            syntax: "nodename...",
            run: sentinel_info_cache,
            ..ROW
        },
        Spec {
            name: "is-master-down-by-addr",
            since: "2.8.4",
            arity: 6,
            flags: flags!(ADMIN),
            summary: "Tells whether a master seems down, and votes for a leader; Sentinels send it.",
            complexity: "O(1)",
            syntax: "ip port/i current-epoch/i runid",
            run: sentinel_is_master_down_by_addr,
            ..ROW
        },
        Spec {
            name: "master",
            since: "2.8.4",
            arity: 3,
            flags: flags!(ADMIN),
            summary: "Returns the state of a master.",
            complexity: "O(1)",
            syntax: "master-name",
            run: sentinel_master,
            ..ROW
        },
        Spec {
            name: "masters",
            since: "2.8.4",
            arity: 2,
            flags: flags!(ADMIN),
            summary: "Returns the state of all masters.",
            complexity: "O(N)",
            run: sentinel_masters,
            ..ROW
        },
        Spec {
            name: "monitor",
            since: "2.8.4",
            arity: 6,
            flags: flags!(ADMIN),
            summary: "Starts to monitor a master.",
            complexity: "O(1)",
            syntax: "name ip port/i quorum/i",
            run: sentinel_monitor,
            ..ROW
        },
        Spec {
            name: "myid",
            since: "6.2.0",
            arity: 2,
            flags: flags!(ADMIN),
            summary: "Returns the id of the Sentinel.",
            complexity: "O(1)",
            run: sentinel_myid,
            ..ROW
        },
        Spec {
            name: "pending-scripts",
            since: "2.8.4",
            arity: 2,
            flags: flags!(ADMIN),
            summary: "Lists the scripts that run or wait.",
            run: sentinel_pending_scripts,
            ..ROW
        },
        Spec {
            name: "remove",
            since: "2.8.4",
            arity: 3,
            flags: flags!(ADMIN),
            summary: "Stops monitoring a master.",
            complexity: "O(1)",
            syntax: "master-name",
            run: sentinel_remove,
            ..ROW
        },
        Spec {
            name: "replicas",
            since: "5.0.0",
            arity: 3,
            flags: flags!(ADMIN),
            summary: "Returns the state of a master's replicas.",
            complexity: "O(N)",
            syntax: "master-name",
            run: sentinel_replicas,
            ..ROW
        },
        Spec {
            name: "reset",
            since: "2.8.4",
            arity: 3,
            flags: flags!(ADMIN),
            summary: "Forgets the state of the masters that match a pattern.",
            complexity: "O(N)",
            syntax: "pattern/p",
            run: sentinel_reset,
            ..ROW
        },
        Spec {
            name: "sentinels",
            since: "2.8.4",
            arity: 3,
            flags: flags!(ADMIN),
            summary: "Returns the state of the other Sentinels of a master.",
            complexity: "O(N)",
            syntax: "master-name",
            run: sentinel_sentinels,
            ..ROW
        },
        Spec {
            name: "set",
            since: "2.8.4",
            arity: -5,
            flags: flags!(ADMIN),
            summary: "Changes the settings of a master.",
            complexity: "O(1)",
            syntax: "master-name data{option value}...",
            run: sentinel_set,
            ..ROW
        },
        Spec {
            name: "simulate-failure",
            since: "3.2.0",
            arity: -3,
            flags: flags!(ADMIN),
            summary: "Makes the Sentinel crash at a chosen step of a failover; for tests.",
            syntax: "[mode<crash-after-election/!|crash-after-promotion/!|help/!>...]",
            run: sentinel_simulate_failure,
            ..ROW
        },
        Spec {
            name: "slaves",
            since: "2.8.0",
            arity: 3,
            flags: flags!(ADMIN),
            doc_flags: DocFlags::DEPRECATED,
            deprecated_since: "5.0.0",
            replaced_by: "`SENTINEL REPLICAS`",
            summary: "Returns the state of a master's replicas.",
            complexity: "O(N)",
            syntax: "master-name",
            run: sentinel_slaves,
            ..ROW
        },
    ],
    ..ROW
}];

const HELP: &[&str] = &[
    "CKQUORUM <master-name>",
    "    Check if the current Sentinel configuration is able to reach the quorum",
    "    needed to failover a master and the majority needed to authorize the",
    "    failover.",
    "CONFIG SET param value [param value ...]",
    "    Set a global Sentinel configuration parameter.",
    "CONFIG GET <param> [param param param ...]",
    "    Get global Sentinel configuration parameter.",
    "DEBUG [<param> <value> ...]",
    "    Show a list of configurable time parameters and their values (milliseconds).",
    "    Or update current configurable parameters values (one or more).",
    "GET-MASTER-ADDR-BY-NAME <master-name>",
    "    Return the ip and port number of the master with that name.",
    "FAILOVER <master-name>",
    "    Manually failover a master node without asking for agreement from other",
    "    Sentinels",
    "FLUSHCONFIG",
    "    Force Sentinel to rewrite its configuration on disk, including the current",
    "    Sentinel state.",
    "INFO-CACHE <master-name>",
    "    Return last cached INFO output from masters and all its replicas.",
    "IS-MASTER-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
    "    Check if the master specified by ip:port is down from current Sentinel's",
    "    point of view.",
    "MASTER <master-name>",
    "    Show the state and info of the specified master.",
    "MASTERS",
    "    Show a list of monitored masters and their state.",
    "MONITOR <name> <ip> <port> <quorum>",
    "    Start monitoring a new master with the specified name, ip, port and quorum.",
    "MYID",
    "    Return the ID of the Sentinel instance.",
    "PENDING-SCRIPTS",
    "    Get pending scripts information.",
    "REMOVE <master-name>",
    "    Remove master from Sentinel's monitor list.",
    "REPLICAS <master-name>",
    "    Show a list of replicas for this master and their state.",
    "RESET <pattern>",
    "    Reset masters for specific master name matching this pattern.",
    "SENTINELS <master-name>",
    "    Show a list of Sentinel instances for this master and their state.",
    "SET <master-name> <option> <value> [<option> <value> ...]",
    "    Set configuration parameters for certain masters.",
    "SIMULATE-FAILURE [CRASH-AFTER-ELECTION] [CRASH-AFTER-PROMOTION] [HELP]",
    "    Simulate a Sentinel crash.",
];

const NO_MASTER: Error = Error::new("ERR No such master with that name");

/// The commands that a Sentinel has.
const SERVED: &[&str] = &[
    "acl",
    "auth",
    "client",
    "command",
    "hello",
    "info",
    "ping",
    "psubscribe",
    "publish",
    "punsubscribe",
    "role",
    "sentinel",
    "shutdown",
    "subscribe",
    "unsubscribe",
];
/// Sub-commands of those that it has not.
const NOT_SERVED: &[&str] = &["client|no-touch"];

/// The commands of a Sentinel.
pub fn names() -> Names {
    Names::new(|command: &Command| {
        let name = command.full_name.as_str();
        let top = name.split('|').next().unwrap_or_default();
        SERVED.contains(&top) && !NOT_SERVED.contains(&name)
    })
}

/// Whether a server that is no Sentinel has the command.
pub fn is_for_servers(command: &Command) -> bool {
    command.spec.group != Group::Sentinel
}

/// Valkey's names for sub-commands.
const ALIASES: &[(&str, &str)] = &[
    ("get-primary-addr-by-name", "get-master-addr-by-name"),
    ("is-primary-down-by-addr", "is-master-down-by-addr"),
    ("primaries", "masters"),
    ("primary", "master"),
];

/// The name that a sub-command has here, if it is another server's name for it.
pub fn alias(name: &[u8]) -> Option<&'static [u8]> {
    let mut aliases = ALIASES.iter();
    let found = aliases.find(|(other, _)| name.eq_ignore_ascii_case(other.as_bytes()));
    found.map(|(_, own)| own.as_bytes())
}

/// What a user's text is in events, names and files: nothing that could end a line.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains(|c: char| c.is_control())).then_some(text)
}

/// The Sentinel; in a server's mode its commands are not found.
fn state(core: &Core) -> Result<&State, Error> {
    core.sentinel
        .as_deref()
        .ok_or(Error::new("ERR This instance is not a Sentinel"))
}

/// Runs a change and what follows from it.
fn change<R>(ctx: &mut Ctx<'_>, f: impl FnOnce(&mut State) -> R) -> Result<R, Error> {
    shell::with(ctx.core, f).ok_or(Error::new("ERR This instance is not a Sentinel"))
}

fn master<'a>(core: &'a Core, args: &Args<'_>) -> Result<(&'a Sentinel, &'a Master), Error> {
    let sentinel = &state(core)?.core;
    let found = text(args.get(2)).and_then(|name| sentinel.master(name));
    found.map(|m| (sentinel, m)).ok_or(NO_MASTER)
}

/// The reply to a change: whether it is on disk.
fn saved(ctx: &mut Ctx<'_>) -> Outcome {
    if let Some(reason) = state(ctx.core)?.unsaved() {
        return Err(Error::text(format!(
            "ERR Failed to save config file: {reason}"
        )));
    }
    ctx.out.ok();
    Ok(())
}

fn sentinel_ckquorum(ctx: &mut Ctx<'_>) -> Outcome {
    let (sentinel, master) = master(ctx.core, &ctx.args)?;
    let quorum = sentinel.quorum(&master.name).ok_or(NO_MASTER)?;
    if quorum.quorum && quorum.majority {
        let text = format!(
            "OK {} usable Sentinels. Quorum and failover authorization can be reached",
            quorum.usable
        );
        ctx.out.simple(&text);
        return Ok(());
    }
    let mut text = format!("NOQUORUM {} usable Sentinels. ", quorum.usable);
    if !quorum.quorum {
        text.push_str(
            "Not enough available Sentinels to reach the specified quorum for this master",
        );
    }
    if !quorum.majority {
        if !quorum.quorum {
            text.push_str(". ");
        }
        text.push_str(
            "Not enough available Sentinels to reach the majority and authorize a failover",
        );
    }
    Err(Error::text(text))
}

fn sentinel_config(ctx: &mut Ctx<'_>) -> Outcome {
    config::config(ctx)
}

fn sentinel_debug(ctx: &mut Ctx<'_>) -> Outcome {
    config::debug(ctx)
}

fn sentinel_failover(ctx: &mut Ctx<'_>) -> Outcome {
    let name = master(ctx.core, &ctx.args)?.1.name.clone();
    match change(ctx, |state| state.core.failover(&name))? {
        None => Err(NO_MASTER),
        Some(Err(Refusal::InProgress)) => Err(Error::new("INPROG Failover already in progress")),
        Some(Err(Refusal::NoGoodSlave)) => {
            Err(Error::new("NOGOODSLAVE No suitable replica to promote"))
        }
        Some(Ok(())) => {
            ctx.out.ok();
            Ok(())
        }
    }
}

fn sentinel_flushconfig(ctx: &mut Ctx<'_>) -> Outcome {
    // A failure is told by `saved`.
    let _ = change(ctx, State::save)?;
    saved(ctx)
}

fn sentinel_get_master_addr_by_name(ctx: &mut Ctx<'_>) -> Outcome {
    let Ok((sentinel, master)) = master(ctx.core, &ctx.args) else {
        ctx.out.null_array();
        return Ok(());
    };
    let addr = master.current_addr();
    ctx.out.array(2);
    ctx.out.bulk(shown(addr, &sentinel.sh.options).as_bytes());
    ctx.out.bulk(addr.port.to_string().as_bytes());
    Ok(())
}

fn sentinel_help(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.help("SENTINEL", HELP);
    Ok(())
}

fn sentinel_info_cache(ctx: &mut Ctx<'_>) -> Outcome {
    show::info_cache(ctx)
}

fn sentinel_is_master_down_by_addr(ctx: &mut Ctx<'_>) -> Outcome {
    let port = ctx.args.int(3)?;
    let epoch = ctx.args.int(4)?;
    let (ip, runid) = (text(ctx.args.get(2)), text(ctx.args.get(5)));
    let asked = u16::try_from(port).ok().zip(u64::try_from(epoch).ok());
    let (mut down, mut leader, mut leader_epoch) = (false, "*".into(), 0);
    if let (Some((port, epoch)), Some(ip), Some(runid)) = (asked, ip, runid) {
        (down, leader, leader_epoch) =
            change(ctx, |state| state.core.asked(ip, port, epoch, runid))?;
        if state(ctx.core)?.unsaved().is_some() {
            // A vote that is not on disk could be given twice.
            (leader, leader_epoch) = ("*".into(), 0);
        }
    }
    ctx.out.array(3);
    ctx.out.int(i64::from(down));
    ctx.out.bulk(leader.as_bytes());
    ctx.out.int(i64::try_from(leader_epoch).unwrap_or(i64::MAX));
    Ok(())
}

fn sentinel_master(ctx: &mut Ctx<'_>) -> Outcome {
    change(ctx, |_| ())?;
    let (sentinel, master) = master(ctx.core, &ctx.args)?;
    show::master(ctx.out, sentinel, master);
    Ok(())
}

fn sentinel_masters(ctx: &mut Ctx<'_>) -> Outcome {
    change(ctx, |_| ())?;
    let sentinel = &state(ctx.core)?.core;
    ctx.out.array(sentinel.masters.len());
    for master in &sentinel.masters {
        show::master(ctx.out, sentinel, master);
    }
    Ok(())
}

fn sentinel_monitor(ctx: &mut Ctx<'_>) -> Outcome {
    let number = |at, what| ctx.args.int(at).map_err(|_| Error::new(what));
    let quorum = number(5, "ERR Invalid quorum")?;
    let port = number(4, "ERR Invalid port")?;
    let args = ctx.args;
    let (Some(name), Some(host)) = (text(args.get(2)), text(args.get(3))) else {
        return Err(Error::new("ERR Invalid IP address or hostname specified"));
    };
    let result = change(ctx, |state| {
        let result = state.core.monitor(name, host, port, quorum, false);
        if result.is_ok() {
            state.core.sh.flush();
            state.core.announce_monitor(name);
        }
        result
    })?;
    match result {
        Ok(()) => saved(ctx),
        Err(MonitorError::Host) => Err(Error::new("ERR Invalid IP address or hostname specified")),
        Err(other) => Err(Error::text(format!("ERR {}", other.text()))),
    }
}

fn sentinel_myid(ctx: &mut Ctx<'_>) -> Outcome {
    let id = state(ctx.core)?.core.sh.my_id.clone();
    ctx.out.bulk(id.as_bytes());
    Ok(())
}

fn sentinel_pending_scripts(ctx: &mut Ctx<'_>) -> Outcome {
    change(ctx, |_| ())?;
    show::pending_scripts(ctx)
}

fn sentinel_remove(ctx: &mut Ctx<'_>) -> Outcome {
    let name = master(ctx.core, &ctx.args)?.1.name.clone();
    change(ctx, |state| state.core.remove(&name))?;
    saved(ctx)
}

fn sentinel_replicas(ctx: &mut Ctx<'_>) -> Outcome {
    change(ctx, |_| ())?;
    let (sentinel, master) = master(ctx.core, &ctx.args)?;
    let announced = || master.replicas.values().filter(|r| r.announced);
    ctx.out.array(announced().count());
    for replica in announced() {
        show::replica(ctx.out, sentinel, master, replica);
    }
    Ok(())
}

fn sentinel_slaves(ctx: &mut Ctx<'_>) -> Outcome {
    sentinel_replicas(ctx)
}

fn sentinel_reset(ctx: &mut Ctx<'_>) -> Outcome {
    let pattern = ctx.args.get(2);
    let count = change(ctx, |state| state.core.reset(pattern))?;
    ctx.out.count(count);
    Ok(())
}

fn sentinel_sentinels(ctx: &mut Ctx<'_>) -> Outcome {
    change(ctx, |_| ())?;
    let (sentinel, master) = master(ctx.core, &ctx.args)?;
    ctx.out.array(master.peers.len());
    for peer in master.peers.values() {
        show::peer(ctx.out, sentinel, master, peer);
    }
    Ok(())
}

fn sentinel_set(ctx: &mut Ctx<'_>) -> Outcome {
    set::set(ctx)
}

fn sentinel_simulate_failure(ctx: &mut Ctx<'_>) -> Outcome {
    let mut flags = SimFailure::empty();
    for word in ctx.args.from(2).iter() {
        match word.to_ascii_lowercase().as_slice() {
            b"crash-after-election" => flags |= SimFailure::CRASH_AFTER_ELECTION,
            b"crash-after-promotion" => flags |= SimFailure::CRASH_AFTER_PROMOTION,
            b"help" => {
                ctx.out.array(2);
                ctx.out.bulk(b"crash-after-election");
                ctx.out.bulk(b"crash-after-promotion");
                return Ok(());
            }
            _ => return Err(Error::new("ERR Unknown failure simulation specified")),
        }
    }
    change(ctx, |state| state.core.sh.sim_failure = flags)?;
    ctx.out.ok();
    Ok(())
}

/// ROLE of a Sentinel.
pub fn role(ctx: &mut Ctx<'_>) -> Outcome {
    let sentinel = &state(ctx.core)?.core;
    ctx.out.array(2);
    ctx.out.bulk(b"sentinel");
    ctx.out.array(sentinel.masters.len());
    for master in &sentinel.masters {
        ctx.out.bulk(master.name.as_bytes());
    }
    Ok(())
}

/// PUBLISH to a Sentinel: announcements of other Sentinels only.
pub fn publish(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.args.get(1) != shell::CHANNEL.as_bytes() {
        return Err(Error::new(
            "ERR Only HELLO messages are accepted by Sentinel instances.",
        ));
    }
    let hello = text(ctx.args.get(2));
    change(ctx, |state| hello.map(|hello| state.core.hello(hello)))?;
    ctx.out.int(1);
    Ok(())
}
