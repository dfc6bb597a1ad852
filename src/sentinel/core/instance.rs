//! What is known of masters, their replicas and the other Sentinels.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::types::{
    Addr, FailoverState, Flags, LinkId, Login, MasterId, Ms, NEVER, Options, Renames, Role, Text,
};

/// What all instances have.
#[derive(Debug)]
pub struct Node {
    pub addr: Addr,
    pub runid: Option<Text>,
    pub link: LinkId,
    pub flags: Flags,
    pub s_down_since: Ms,
    pub o_down_since: Ms,
    pub last_pub: Ms,
    /// When the last INFO came; `NEVER` if none did.
    pub info_refresh: Ms,
    /// An INFO is on its way.
    pub info_sent: Ms,
    pub info: Option<Box<str>>,
    pub role_reported: Role,
    pub role_reported_time: Ms,
}

impl Node {
    pub fn new(addr: Addr, link: LinkId, role: Role, now: Ms) -> Node {
        Node {
            addr,
            runid: None,
            link,
            flags: Flags::empty(),
            s_down_since: NEVER,
            o_down_since: NEVER,
            last_pub: now,
            info_refresh: NEVER,
            info_sent: NEVER,
            info: None,
            role_reported: role,
            role_reported_time: now,
        }
    }

    pub fn is_down(&self) -> bool {
        self.flags.contains(Flags::S_DOWN)
    }

    /// Neither down now nor within the last `ms`.
    pub fn up_for(&self, now: Ms, ms: Ms) -> bool {
        now - self.s_down_since.max(self.o_down_since) > ms
    }
}

#[derive(Debug)]
pub struct Replica {
    pub node: Node,
    /// `ip:port`
    pub name: Text,
    pub master_link_down_time: Ms,
    pub priority: u32,
    pub announced: bool,
    pub reconf_sent_time: Ms,
    pub master_host: Option<Text>,
    pub master_port: u16,
    pub master_link_up: bool,
    pub offset: u64,
    pub conf_change_time: Ms,
}

/// Another Sentinel.
#[derive(Debug)]
pub struct Peer {
    pub node: Node,
    /// Its id.
    pub name: Text,
    pub last_hello: Ms,
    pub last_master_down_reply: Ms,
    /// Its vote.
    pub leader: Option<Text>,
    pub leader_epoch: u64,
    /// Its vote as last told to the log.
    pub logged_vote: u64,
}

/// Where a failover is.
#[derive(Debug)]
pub struct Failover {
    pub state: FailoverState,
    pub state_change: Ms,
    pub start: Ms,
    pub epoch: u64,
    /// `ip:port` of the replica that is to be the new master.
    pub promoted: Option<Text>,
    /// The start of a failover whose delay stands in the log.
    pub delay_logged: Ms,
    /// Offset of the master after its writes were paused.
    pub catch_up: Option<u64>,
    /// Writes are paused since, if the server said yes.
    pub paused: Option<Ms>,
}

impl Failover {
    fn idle() -> Failover {
        Failover {
            state: FailoverState::None,
            state_change: NEVER,
            start: NEVER,
            epoch: 0,
            promoted: None,
            delay_logged: NEVER,
            catch_up: None,
            paused: None,
        }
    }
}

#[derive(Debug)]
pub struct Master {
    pub id: MasterId,
    pub name: Text,
    pub node: Node,
    pub config_epoch: u64,
    pub quorum: u32,
    pub parallel_syncs: u32,
    pub down_after: Ms,
    pub failover_timeout: Ms,
    pub reboot_down_after: Ms,
    pub reboot_since: Ms,
    pub login: Login,
    pub renames: Renames,
    pub notification_script: Option<Text>,
    pub reconfig_script: Option<Text>,
    /// In the order of their names.
    pub replicas: BTreeMap<Text, Replica>,
    pub peers: BTreeMap<Text, Peer>,
    /// The own vote.
    pub leader: Option<Text>,
    pub leader_epoch: u64,
    pub failover: Failover,
    /// `master_repl_offset` of the last INFO.
    pub repl_offset: u64,
    /// Since when another Sentinel announces another address with the same epoch.
    pub collision_since: Option<Ms>,
}

impl Master {
    pub fn new(id: MasterId, name: Text, node: Node, quorum: u32) -> Master {
        Master {
            id,
            name,
            node,
            config_epoch: 0,
            quorum,
            parallel_syncs: 1,
            down_after: 30_000,
            failover_timeout: 180_000,
            reboot_down_after: 0,
            reboot_since: NEVER,
            login: Login::default(),
            renames: Renames::default(),
            notification_script: None,
            reconfig_script: None,
            replicas: BTreeMap::new(),
            peers: BTreeMap::new(),
            leader: None,
            leader_epoch: 0,
            failover: Failover::idle(),
            repl_offset: 0,
            collision_since: None,
        }
    }

    pub fn in_failover(&self) -> bool {
        self.node.flags.contains(Flags::FAILOVER_IN_PROGRESS)
    }

    pub fn promoted(&self) -> Option<&Replica> {
        self.replicas.get(self.failover.promoted.as_ref()?)
    }

    /// The address that clients and other Sentinels are told: during a failover, from the promotion on, the new one.
    pub fn current_addr(&self) -> &Addr {
        match self.promoted() {
            Some(promoted)
                if self.in_failover() && self.failover.state >= FailoverState::ReconfSlaves =>
            {
                &promoted.node.addr
            }
            _ => &self.node.addr,
        }
    }

    /// The master answers, says that it is one, and its INFO is fresh.
    pub fn looks_sane(&self, now: Ms, info_period: Ms) -> bool {
        self.node.role_reported == Role::Master
            && !self.node.flags.intersects(Flags::S_DOWN | Flags::O_DOWN)
            && now - self.node.info_refresh < info_period.saturating_mul(2)
    }

    /// Back to what is known without a failover.
    pub fn forget_failover(&mut self) {
        let epoch = self.failover.epoch;
        self.failover = Failover::idle();
        self.failover.epoch = epoch;
        self.node
            .flags
            .remove(Flags::FAILOVER_IN_PROGRESS | Flags::FORCE_FAILOVER);
    }

    /// `master <name> <ip> <port>`
    pub fn text(&self, options: &Options) -> String {
        let mut text = String::with_capacity(48);
        text.push_str("master ");
        self.write_place(options, &mut text);
        text
    }

    fn write_place(&self, options: &Options, text: &mut String) {
        let addr = &self.node.addr;
        let _ = write!(text, "{} {} {}", self.name, shown(addr, options), addr.port);
    }

    /// `<type> <name> <ip> <port> @ <master name> <master ip> <master port>`
    pub fn child_text(&self, kind: &str, name: &str, addr: &Addr, options: &Options) -> String {
        let mut text = String::with_capacity(96);
        let _ = write!(
            text,
            "{kind} {name} {} {} @ ",
            shown(addr, options),
            addr.port
        );
        self.write_place(options, &mut text);
        text
    }

    pub fn replica_text(&self, replica: &Replica, options: &Options) -> String {
        self.child_text("slave", &replica.name, &replica.node.addr, options)
    }

    pub fn peer_text(&self, peer: &Peer, options: &Options) -> String {
        self.child_text("sentinel", &peer.name, &peer.node.addr, options)
    }
}

/// The address as others are told it.
pub fn shown<'a>(addr: &'a Addr, options: &Options) -> &'a str {
    if options.announce_hostnames {
        &addr.host
    } else {
        &addr.ip
    }
}

/// The name of a replica: `ip:port`, with brackets around IPv6 addresses.
pub fn replica_name(addr: &Addr) -> Text {
    if addr.ip.contains(':') {
        format!("[{}]:{}", addr.ip, addr.port).into()
    } else {
        format!("{}:{}", addr.ip, addr.port).into()
    }
}
