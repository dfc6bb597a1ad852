//! The decisions of Sentinel, without input or output: time, replies and announcements go in, [`Action`]s come out. The
//! same code runs behind sockets ([`super::shell`]) and in the simulator of the tests, where a run is replayed from its seed.
//!
//! What is persisted ([`conf`]) is what may never be forgotten: the votes given, the epochs, and who is known.

pub mod admin;
pub mod conf;
mod down;
mod election;
pub mod failover;
pub mod hello;
mod info;
pub mod instance;
pub mod link;
pub mod scripts;
pub mod shared;
pub mod types;

use std::collections::VecDeque;

use crate::base::rng::Rng;
use down::Kind;
use hello::{Hello, News};
use instance::{Master, Node};
use link::Connection;
use scripts::ScriptEnd;
use shared::{Resolver, Shared};
use types::*;

/// A Sentinel.
pub struct Sentinel {
    pub sh: Shared,
    pub masters: Vec<Master>,
    next_master: MasterId,
    /// The shell's clock at the last tick.
    clock: Option<Ms>,
    /// The own time at the last tick.
    ticked: Ms,
}

impl Sentinel {
    /// `seed` decides everything that is left to chance, the id too (a configuration file that has one wins).
    pub fn new(seed: u64, resolver: Resolver) -> Sentinel {
        let mut rng = Rng::new(seed);
        let words: [u64; 3] = std::array::from_fn(|_| rng.next_u64());
        let id = format!(
            "{:016x}{:016x}{:08x}",
            words[0],
            words[1],
            words[2] & 0xffff_ffff
        );
        Sentinel {
            sh: Shared {
                now: 0,
                my_id: id.into(),
                current_epoch: 0,
                options: Options::default(),
                timing: Timing::default(),
                tilt_since: None,
                sim_failure: SimFailure::empty(),
                links: Default::default(),
                scripts: Default::default(),
                actions: VecDeque::new(),
                rng,
                resolver,
                planted: None,
            },
            masters: Vec::new(),
            next_master: 1,
            clock: None,
            ticked: 0,
        }
    }

    /// Plants a mistake, for tests of the tests; without effect in builds without debug assertions.
    pub fn plant(&mut self, what: Planted) {
        self.sh.planted = Some(what);
    }

    pub fn master(&self, name: &str) -> Option<&Master> {
        self.masters.iter().find(|m| &*m.name == name)
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        self.sh.actions.pop_front()
    }

    /// Lets time pass: to be called about ten to twenty times a second. `clock` may jump; then decisions rest for a while.
    pub fn tick(&mut self, clock: Ms) {
        self.check_clock(clock);
        let sh = &mut self.sh;
        for master in &mut self.masters {
            tick_master(sh, master);
        }
        let now = sh.now;
        for path in sh.scripts.tick(now, &sh.timing, &mut sh.actions) {
            sh.event(Level::Warning, "-script-timeout", None, path.to_string());
        }
    }

    /// Lets the time since the last tick pass, so that what comes between two ticks has its right time. After a jump
    /// decisions rest from here on: what comes first after a pause must not be answered from what was known before it.
    pub fn advance(&mut self, clock: Ms) {
        let Some(last) = self.clock else { return };
        let delta = clock - last;
        if (0..=self.sh.timing.tilt_trigger).contains(&delta) {
            self.sh.now = self.sh.now.max(self.ticked + delta);
        } else {
            self.check_clock(clock);
        }
    }

    fn check_clock(&mut self, clock: Ms) {
        let sh = &mut self.sh;
        let delta = clock - *self.clock.get_or_insert(clock);
        self.clock = Some(clock);
        sh.now = sh.now.max(self.ticked + delta.max(0));
        self.ticked = sh.now;
        if (delta < 0 || delta > sh.timing.tilt_trigger) && !sh.planted(Planted::NoTilt) {
            // Either this process did not run, or its clock is wrong: what is known of others is old.
            sh.tilt_since = Some(sh.now);
            let text = "#tilt mode entered".to_owned();
            sh.event(Level::Warning, "+tilt", None, text);
        } else if let Some(since) = sh.tilt_since
            && sh.now - since >= sh.timing.tilt_period
        {
            sh.tilt_since = None;
            let text = "#tilt mode exited".to_owned();
            sh.event(Level::Warning, "-tilt", None, text);
        }
    }

    /// A connection was made. `local_ip`: the own address as seen there.
    pub fn connected(&mut self, link: LinkId, wire: Wire, local_ip: &str) {
        let now = self.sh.now;
        let Some(link) = self.sh.links.get_mut(link) else {
            return;
        };
        match wire {
            Wire::Commands => {
                link.commands = Connection::Open;
                link.commands_since = now;
                link.pending = 0;
                link.local_ip = Some(local_ip.into());
                // What was asked on the old connection stays unanswered; this PING may be.
                link.last_ping = NEVER;
            }
            Wire::Hello => {
                link.hello = Connection::Open;
                link.hello_since = now;
                link.hello_activity = now;
            }
        }
    }

    /// A connection ended, or did not come about.
    pub fn closed(&mut self, link: LinkId, wire: Wire) {
        let now = self.sh.now;
        let Some(link) = self.sh.links.get_mut(link) else {
            return;
        };
        match wire {
            Wire::Commands => link.lost(now),
            Wire::Hello => link.hello = Connection::Closed,
        }
    }

    /// Something came through a hello channel, an announcement or not.
    pub fn heard_hello(&mut self, link: LinkId, text: &str) {
        let now = self.sh.now;
        if let Some(link) = self.sh.links.get_mut(link) {
            link.hello_activity = now;
        }
        self.hello(text);
    }

    /// An announcement, by whatever way. False if it is none.
    pub fn hello(&mut self, text: &str) -> bool {
        let Some(hello) = Hello::parse(text) else {
            return false;
        };
        let at = self
            .masters
            .iter()
            .position(|m| &*m.name == hello.master_name);
        let Some(at) = at else {
            return true;
        };
        let link_of = |m: &Master| m.peers.get(hello.runid).map(|p| p.node.link);
        let before = link_of(&self.masters[at]);
        let mut shared = None;
        if before.is_none() {
            shared = self.link_of_peer(at, &hello);
        }
        hello::receive(&mut self.sh, &mut self.masters[at], &hello, shared);
        if before.is_some() && before != link_of(&self.masters[at]) {
            self.move_peer(at, hello.runid);
        }
        true
    }

    /// The link that another master has to the same Sentinel at the same place.
    fn link_of_peer(&self, at: usize, hello: &Hello<'_>) -> Option<LinkId> {
        let others = self.masters.iter().enumerate().filter(|(i, _)| *i != at);
        others
            .filter_map(|(_, m)| m.peers.get(hello.runid))
            .find(|p| *p.node.addr.ip == *hello.ip && p.node.addr.port == hello.port)
            .map(|p| p.node.link)
    }

    /// A Sentinel has a new address: all masters that know it learn of it and share the new link.
    fn move_peer(&mut self, at: usize, runid: &str) {
        let Some(peer) = self.masters[at].peers.get(runid) else {
            return;
        };
        let (addr, link) = (peer.node.addr.clone(), peer.node.link);
        for master in &mut self.masters {
            if let Some(peer) = master.peers.get_mut(runid)
                && peer.node.link != link
            {
                self.sh.release(peer.node.link);
                self.sh.links.of_mut(link).refcount += 1;
                peer.node.link = link;
                peer.node.addr = addr.clone();
            }
        }
    }

    /// The answer to a request.
    pub fn answer(&mut self, link: LinkId, request: &Request, answer: &Answer<'_>) {
        let now = self.sh.now;
        let Some(state) = self.sh.links.get_mut(link) else {
            return;
        };
        state.pending = state.pending.saturating_sub(1);
        match (request, answer) {
            (Request::Ping, answer) => {
                state.last_pong = now;
                if is_alive(answer) {
                    state.last_avail = now;
                    state.heard = now;
                    state.act_ping = None;
                }
                self.pinged(link, answer);
            }
            (Request::Info, Answer::Bulk(info)) => self.informed(link, info),
            (
                Request::AskDown { master, .. },
                Answer::Vote {
                    down,
                    leader,
                    epoch,
                },
            ) => {
                if let Some(master) = self.masters.iter_mut().find(|m| m.id == *master) {
                    down::heard(&mut self.sh, master, link, *down, leader, *epoch);
                }
            }
            (Request::Slaveof(to), answer) => self.reconfigured(link, to.as_ref(), answer),
            (Request::Pause(_), answer) => {
                if let Some(master) = self.masters.iter_mut().find(|m| m.node.link == link) {
                    failover::pause_answered(&mut self.sh, master, answer);
                }
            }
            (Request::Info | Request::AskDown { .. }, _)
            | (Request::Hello(_) | Request::ScriptKill | Request::Unpause, _) => {}
        }
    }

    fn pinged(&mut self, link: LinkId, answer: &Answer<'_>) {
        let busy = matches!(answer, Answer::Error(text) if text.starts_with("BUSY"));
        let pong = matches!(answer, Answer::Status("PONG"));
        for master in &mut self.masters {
            if pong && master.node.link == link {
                master.node.flags.remove(Flags::MASTER_REBOOT);
            }
            if busy
                && let Some(node) = server_of(master, link)
                && node.is_down()
                && !node.flags.contains(Flags::SCRIPT_KILL_SENT)
            {
                node.flags.insert(Flags::SCRIPT_KILL_SENT);
                let renames = master.renames.clone();
                self.sh.send(link, Request::ScriptKill, &renames);
            }
        }
    }

    fn informed(&mut self, link: LinkId, text: &str) {
        for master in &mut self.masters {
            if master.node.link == link {
                info::of_master(&mut self.sh, master, text);
                return failover::informed(&mut self.sh, master);
            }
            let replica = master.replicas.values().find(|r| r.node.link == link);
            if let Some(name) = replica.map(|r| r.name.clone()) {
                info::of_replica(&mut self.sh, master, &name, text);
                return failover::informed(&mut self.sh, master);
            }
        }
    }

    fn reconfigured(&mut self, link: LinkId, to: Option<&Addr>, answer: &Answer<'_>) {
        let sh = &mut self.sh;
        for master in &mut self.masters {
            let renames = master.renames.clone();
            let Some(node) = server_of(master, link) else {
                continue;
            };
            if let Answer::Error(error) = answer {
                let target = to.map_or("NO ONE".to_owned(), |a| format!("{}:{}", a.host, a.port));
                let text = format!(
                    "{}:{} refused SLAVEOF {target}: {error}",
                    node.addr.ip, node.addr.port
                );
                sh.log(Level::Warning, text);
            } else {
                // Its new role shows at once, not with the next regular INFO.
                sh.ask_info(node, &renames);
            }
        }
    }

    /// `SENTINEL IS-MASTER-DOWN-BY-ADDR`: the own opinion, and the vote if one was asked for.
    pub fn asked(&mut self, ip: &str, port: u16, epoch: u64, runid: &str) -> (bool, Text, u64) {
        let sh = &mut self.sh;
        let found = self.masters.iter_mut().find(|m| {
            m.node.addr.port == port && (*m.node.addr.ip == *ip || *m.node.addr.host == *ip)
        });
        let mut reply = (false, Text::from("*"), 0);
        if let Some(master) = found {
            reply.0 = sh.tilt_since.is_none() && master.node.is_down();
            if runid != "*" {
                let (leader, leader_epoch) = election::vote(sh, master, epoch, runid);
                if let Some(leader) = leader {
                    reply = (reply.0, leader, leader_epoch);
                }
            }
        }
        reply
    }

    pub fn script_started(&mut self, id: u64, pid: u32) {
        self.sh.scripts.started(id, pid);
    }

    pub fn script_ended(&mut self, id: u64, end: ScriptEnd) {
        let sh = &mut self.sh;
        if let Some(path) = sh.scripts.ended(id, end, sh.now, &sh.timing) {
            let (signal, code) = match end {
                ScriptEnd::Exit(code) => (0, code),
                ScriptEnd::Signal(signal) => (signal, 0),
                ScriptEnd::NotStarted => (0, 2),
            };
            let text = format!("{path} {signal} {code}");
            sh.event(Level::Warning, "-script-error", None, text);
        }
    }
}

/// The server of a master, itself or a replica, behind a link.
fn server_of(master: &mut Master, link: LinkId) -> Option<&mut Node> {
    if master.node.link == link {
        return Some(&mut master.node);
    }
    let mut replicas = master.replicas.values_mut();
    replicas.find(|r| r.node.link == link).map(|r| &mut r.node)
}

/// The instance answers PING and is no more than busy with its data.
fn is_alive(answer: &Answer<'_>) -> bool {
    match answer {
        Answer::Status(text) => *text == "PONG",
        Answer::Error(text) => text.starts_with("LOADING") || text.starts_with("MASTERDOWN"),
        _ => false,
    }
}

fn tick_master(sh: &mut Shared, master: &mut Master) {
    let acting = sh.tilt_since.is_none();
    let news = News::of(master);
    let hurried = master.in_failover() || master.node.flags.contains(Flags::O_DOWN);

    // Out of its place, so that the master can be looked at beside it.
    let stand_in = Node::new(master.node.addr.clone(), 0, Role::Master, 0);
    let mut node = std::mem::replace(&mut master.node, stand_in);
    contact(sh, master, &mut node, Kind::Master, false, &news);
    if acting {
        let text = |options: &Options| master.text(options);
        down::check_s_down(sh, master, &mut node, Kind::Master, text);
    }
    master.node = node;
    if acting {
        down::check_o_down(sh, master);
        if failover::start_if_needed(sh, master) {
            down::ask_others(sh, master, true);
        }
        failover::tick(sh, master);
        down::ask_others(sh, master, false);
    }

    let mut replicas = std::mem::take(&mut master.replicas);
    for replica in replicas.values_mut() {
        let fast = hurried
            || replica.master_link_down_time != 0
            || replica.node.role_reported == Role::Master;
        contact(sh, master, &mut replica.node, Kind::Replica, fast, &news);
        if acting {
            let (name, addr) = (&replica.name, replica.node.addr.clone());
            let text = |options: &Options| master.child_text("slave", name, &addr, options);
            down::check_s_down(sh, master, &mut replica.node, Kind::Replica, text);
        }
    }
    master.replicas = replicas;

    let mut peers = std::mem::take(&mut master.peers);
    for peer in peers.values_mut() {
        contact(sh, master, &mut peer.node, Kind::Peer, false, &news);
        if acting {
            let (name, addr) = (&peer.name, peer.node.addr.clone());
            let text = |options: &Options| master.child_text("sentinel", name, &addr, options);
            down::check_s_down(sh, master, &mut peer.node, Kind::Peer, text);
        }
    }
    master.peers = peers;
    if acting {
        failover::finish(sh, master);
    }
}

/// Opens the connections that are missing, and sends what is due.
fn contact(
    sh: &mut Shared,
    master: &Master,
    node: &mut Node,
    kind: Kind,
    info_fast: bool,
    news: &News,
) {
    connect(sh, master, node, kind);
    let (now, link_id) = (sh.now, node.link);
    let link = sh.links.of(link_id);
    if !link.may_send() {
        return;
    }
    let no_renames = Renames::default();
    let renames = if kind == Kind::Peer {
        &no_renames
    } else {
        &master.renames
    };
    let ping_period = sh.timing.ping_period.min(master.down_after);
    // A connection that has not answered yet is asked at once: its silence counts already.
    let fresh = link.last_ping == NEVER;
    let ping =
        fresh || now - link.last_pong > ping_period && now - link.last_ping > ping_period / 2;
    let info_period = if info_fast {
        sh.timing.info_period.min(1000)
    } else {
        sh.timing.info_period
    };
    if kind != Kind::Peer
        && now - node.info_refresh > info_period
        && now - node.info_sent > info_period.min(1000)
    {
        sh.ask_info(node, renames);
    }
    if ping && sh.send(link_id, Request::Ping, renames) {
        let link = sh.links.of_mut(link_id);
        link.last_ping = now;
        // On a connection that has not answered yet, the silence before it counts too.
        let since = if link.last_avail >= link.commands_since {
            now
        } else {
            link.heard
        };
        link.act_ping.get_or_insert(since);
    }
    // PUBLISH waits at a server whose writes are paused, and everything behind it.
    let paused = kind == Kind::Master
        && node.flags.contains(Flags::FORCE_FAILOVER)
        && (FailoverState::WaitCatchUp..=FailoverState::WaitPromotion)
            .contains(&master.failover.state);
    if !paused
        && now - node.last_pub > sh.timing.publish_period
        && let Some(text) = news.compose(sh, link_id)
        && sh.send(link_id, Request::Hello(text), renames)
    {
        node.last_pub = now;
    }
}

fn connect(sh: &mut Shared, master: &Master, node: &Node, kind: Kind) {
    let now = sh.now;
    let link = sh.links.of_mut(node.link);
    let wants = [Wire::Commands, Wire::Hello]
        .map(|wire| (wire != Wire::Hello || kind != Kind::Peer) && link.wants(wire));
    if wants == [false, false]
        || now - link.last_reconnect < sh.timing.ping_period
        || node.addr.port == 0
    {
        return;
    }
    link.last_reconnect = now;
    let login = match kind {
        Kind::Peer => Login {
            user: sh.options.sentinel_user.clone(),
            pass: sh.options.sentinel_pass.clone(),
        },
        Kind::Master | Kind::Replica => master.login.clone(),
    };
    let renames = match kind {
        Kind::Peer => Renames::default(),
        Kind::Master | Kind::Replica => master.renames.clone(),
    };
    for (wire, wanted) in [Wire::Commands, Wire::Hello].into_iter().zip(wants) {
        if !wanted {
            continue;
        }
        match wire {
            Wire::Commands => link.commands = Connection::Opening,
            Wire::Hello => link.hello = Connection::Opening,
        }
        sh.actions.push_back(Action::Connect {
            link: node.link,
            wire,
            addr: node.addr.clone(),
            login: login.clone(),
            renames: renames.clone(),
        });
    }
}
