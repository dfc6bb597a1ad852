//! Masters, replicas and Sentinels as clients see them.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::info::Lines;
use crate::resp::reply::Reply;
use crate::sentinel::core::Sentinel;
use crate::sentinel::core::instance::{Master, Node, Peer, Replica, shown};
use crate::sentinel::core::link::Connection;
use crate::sentinel::core::types::{FailoverState, Flags, Ms, NEVER};

/// Fields in the order of the reply.
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn put(&mut self, name: &'static str, value: impl ToString) {
        self.0.push((name, value.to_string()));
    }

    fn write(self, out: &mut Reply) {
        out.map(self.0.len());
        for (name, value) in self.0 {
            out.bulk(name.as_bytes());
            out.bulk(value.as_bytes());
        }
    }
}

/// Since when, in ms; 0 for never.
fn ago(sentinel: &Sentinel, at: Ms) -> Ms {
    if at == NEVER { 0 } else { sentinel.sh.now - at }
}

fn flags(node: &Node, kind: &str, disconnected: bool) -> String {
    let has = |flag, name| (node.flags.contains(flag), name);
    let all = [
        has(Flags::S_DOWN, "s_down"),
        has(Flags::O_DOWN, "o_down"),
        (true, kind),
        (disconnected, "disconnected"),
        has(Flags::MASTER_DOWN, "master_down"),
        has(Flags::FAILOVER_IN_PROGRESS, "failover_in_progress"),
        has(Flags::PROMOTED, "promoted"),
        has(Flags::RECONF_SENT, "reconf_sent"),
        has(Flags::RECONF_INPROG, "reconf_inprog"),
        has(Flags::RECONF_DONE, "reconf_done"),
        has(Flags::FORCE_FAILOVER, "force_failover"),
        has(Flags::SCRIPT_KILL_SENT, "script_kill_sent"),
        has(Flags::MASTER_REBOOT, "master_reboot"),
    ];
    let set: Vec<&str> = all.iter().filter(|f| f.0).map(|f| f.1).collect();
    set.join(",")
}

/// What all instances have.
fn common(sentinel: &Sentinel, of: &Master, name: &str, node: &Node, kind: &str) -> Fields {
    let options = &sentinel.sh.options;
    let now = sentinel.sh.now;
    let link = sentinel.sh.links.get(node.link);
    let is_peer = kind == "sentinel";
    let disconnected =
        link.is_none_or(|l| !l.is_connected() || !is_peer && l.hello != Connection::Open);
    let mut fields = Fields(Vec::with_capacity(24));
    fields.put("name", name);
    fields.put("ip", shown(&node.addr, options));
    fields.put("port", node.addr.port);
    fields.put("runid", node.runid.as_deref().unwrap_or_default());
    fields.put("flags", flags(node, kind, disconnected));
    fields.put("link-pending-commands", link.map_or(0, |l| l.pending));
    fields.put("link-refcount", link.map_or(0, |l| l.refcount));
    if kind == "master" && of.failover.state != FailoverState::None {
        fields.put("failover-state", of.failover.state.name());
    }
    let since_ping = link.and_then(|l| l.act_ping).map_or(0, |at| now - at);
    fields.put("last-ping-sent", since_ping);
    fields.put(
        "last-ok-ping-reply",
        link.map_or(0, |l| ago(sentinel, l.last_avail)),
    );
    fields.put(
        "last-ping-reply",
        link.map_or(0, |l| ago(sentinel, l.last_pong)),
    );
    if node.flags.contains(Flags::S_DOWN) {
        fields.put("s-down-time", now - node.s_down_since);
    }
    if node.flags.contains(Flags::O_DOWN) {
        fields.put("o-down-time", now - node.o_down_since);
    }
    fields.put("down-after-milliseconds", of.down_after);
    if !is_peer {
        fields.put("info-refresh", ago(sentinel, node.info_refresh));
        fields.put("role-reported", node.role_reported.name());
        fields.put("role-reported-time", now - node.role_reported_time);
    }
    fields
}

pub fn master(out: &mut Reply, sentinel: &Sentinel, master: &Master) {
    let mut fields = common(sentinel, master, &master.name, &master.node, "master");
    fields.put("config-epoch", master.config_epoch);
    fields.put("num-slaves", master.replicas.len());
    fields.put("num-other-sentinels", master.peers.len());
    fields.put("quorum", master.quorum);
    fields.put("failover-timeout", master.failover_timeout);
    fields.put("parallel-syncs", master.parallel_syncs);
    if master.reboot_down_after > 0 {
        fields.put("master-reboot-down-after-period", master.reboot_down_after);
    }
    if let Some(script) = &master.notification_script {
        fields.put("notification-script", script);
    }
    if let Some(script) = &master.reconfig_script {
        fields.put("client-reconfig-script", script);
    }
    fields.write(out);
}

pub fn replica(out: &mut Reply, sentinel: &Sentinel, master: &Master, replica: &Replica) {
    let mut fields = common(sentinel, master, &replica.name, &replica.node, "slave");
    fields.put("master-link-down-time", replica.master_link_down_time);
    fields.put(
        "master-link-status",
        if replica.master_link_up { "ok" } else { "err" },
    );
    fields.put("master-host", replica.master_host.as_deref().unwrap_or("?"));
    fields.put("master-port", replica.master_port);
    fields.put("slave-priority", replica.priority);
    fields.put("slave-repl-offset", replica.offset);
    fields.put("replica-announced", u8::from(replica.announced));
    fields.write(out);
}

pub fn peer(out: &mut Reply, sentinel: &Sentinel, master: &Master, peer: &Peer) {
    let mut fields = common(sentinel, master, &peer.name, &peer.node, "sentinel");
    fields.put("last-hello-message", ago(sentinel, peer.last_hello));
    fields.put("voted-leader", peer.leader.as_deref().unwrap_or("?"));
    fields.put("voted-leader-epoch", peer.leader_epoch);
    fields.write(out);
}

/// `SENTINEL INFO-CACHE name …`
pub fn info_cache(ctx: &mut Ctx<'_>) -> Outcome {
    super::change(ctx, |_| ())?;
    let sentinel = &super::state(ctx.core)?.core;
    let mut masters: Vec<&Master> = Vec::new();
    for name in ctx.args.from(2).iter() {
        let found = super::text(name).and_then(|name| sentinel.master(name));
        masters.extend(found.filter(|m| masters.iter().all(|other| other.id != m.id)));
    }
    ctx.out.map(masters.len());
    for master in masters {
        ctx.out.bulk(master.name.as_bytes());
        ctx.out.array(master.replicas.len() + 1);
        let replicas = master.replicas.values().map(|r| &r.node);
        for node in std::iter::once(&master.node).chain(replicas) {
            ctx.out.array(2);
            ctx.out.int(ago(sentinel, node.info_refresh));
            ctx.out
                .bulk_or_null(node.info.as_deref().map(str::as_bytes));
        }
    }
    Ok(())
}

/// `SENTINEL PENDING-SCRIPTS`
pub fn pending_scripts(ctx: &mut Ctx<'_>) -> Outcome {
    let sentinel = &super::state(ctx.core)?.core;
    let out = &mut *ctx.out;
    out.array(sentinel.sh.scripts.len());
    for script in sentinel.sh.scripts.iter() {
        out.map(5);
        out.bulk(b"argv");
        out.array(script.args.len() + 1);
        out.bulk(script.path.as_bytes());
        script.args.iter().for_each(|arg| out.bulk(arg.as_bytes()));
        let waits = script.time - sentinel.sh.now;
        let (state, name, time) = match script.pid {
            Some(_) => ("running", "run-time", -waits),
            None => ("scheduled", "run-delay", waits.max(0)),
        };
        out.bulk(b"flags");
        out.bulk(state.as_bytes());
        out.bulk(b"pid");
        out.bulk(script.pid.unwrap_or(0).to_string().as_bytes());
        out.bulk(name.as_bytes());
        out.bulk(time.to_string().as_bytes());
        out.bulk(b"retry-num");
        out.bulk(script.tries.to_string().as_bytes());
    }
    Ok(())
}

/// `INFO sentinel`
pub fn write_info(lines: &mut Lines<'_>, sentinel: &Sentinel) {
    let sh = &sentinel.sh;
    lines.field("sentinel_masters", sentinel.masters.len());
    lines.field("sentinel_tilt", u8::from(sh.tilt_since.is_some()));
    let tilt = sh.tilt_since.map_or(-1, |since| (sh.now - since) / 1000);
    lines.field("sentinel_tilt_since_seconds", tilt);
    lines.field("sentinel_running_scripts", sh.scripts.running());
    lines.field("sentinel_scripts_queue_length", sh.scripts.len());
    lines.field("sentinel_simulate_failure_flags", sh.sim_failure.bits());
    for (number, master) in sentinel.masters.iter().enumerate() {
        let status = if master.node.flags.contains(Flags::O_DOWN) {
            "odown"
        } else if master.node.flags.contains(Flags::S_DOWN) {
            "sdown"
        } else {
            "ok"
        };
        lines.field(
            &format!("master{number}"),
            format_args!(
                "name={},status={status},address={}:{},slaves={},sentinels={}",
                master.name,
                shown(&master.node.addr, &sh.options),
                master.node.addr.port,
                master.replicas.len(),
                master.peers.len() + 1
            ),
        );
    }
}
