//! The invariants, looked at after each step.

use std::collections::{BTreeMap, BTreeSet};

use ferrite::sentinel::core::Sentinel;
use ferrite::sentinel::core::instance::Replica;
use ferrite::sentinel::core::types::*;

use crate::server::Server;
use crate::world::{Node, Setup};

#[derive(Default, Clone, Copy, PartialEq, Eq)]
struct Epochs {
    current: u64,
    config: u64,
    leader: u64,
    tried: u64,
}

pub struct Checks {
    /// The first rule that was broken.
    pub broken: Option<String>,
    sentinels: usize,
    quorum: usize,
    votes: BTreeMap<(u64, usize), String>,
    leaders: BTreeMap<u64, usize>,
    /// Epochs that somebody took without votes.
    unvoted: BTreeSet<u64>,
    configs: BTreeMap<u64, String>,
    epochs: Vec<Epochs>,
    clocks: Vec<Option<Ms>>,
    jumped: Vec<bool>,
    /// The Sentinel's own time until which it may decide nothing.
    rest_until: Vec<Ms>,
    /// When each Sentinel last took the master for down.
    last_down: Vec<Ms>,
    /// When a planned failover was ordered in quiet times: no write may be lost from then on.
    pub lossless: bool,
    pub lost: u64,
}

impl Checks {
    pub fn new(setup: &Setup) -> Checks {
        Checks {
            broken: None,
            sentinels: setup.sentinels,
            quorum: setup.quorum,
            votes: BTreeMap::new(),
            leaders: BTreeMap::new(),
            unvoted: BTreeSet::new(),
            configs: BTreeMap::new(),
            epochs: vec![Epochs::default(); setup.sentinels],
            clocks: vec![None; setup.sentinels],
            jumped: vec![false; setup.sentinels],
            rest_until: vec![NEVER; setup.sentinels],
            last_down: vec![NEVER; setup.sentinels],
            lossless: false,
            lost: 0,
        }
    }

    fn fail(&mut self, text: String) {
        self.broken.get_or_insert(text);
    }

    pub fn crashed(&mut self, number: usize) {
        self.clocks[number] = None;
        self.rest_until[number] = NEVER;
    }

    /// A failover by hand takes an epoch without asking.
    pub fn forced(&mut self, number: usize, core: &Sentinel) {
        let _ = number;
        self.unvoted.insert(core.sh.current_epoch);
    }

    pub fn before_tick(&mut self, number: usize, core: &Sentinel, clock: Ms) {
        if let Some(last) = self.clocks[number]
            && (clock < last || clock - last > core.sh.timing.tilt_trigger)
        {
            self.jumped[number] = true;
        }
        self.clocks[number] = Some(clock);
    }

    /// Before what the tick decided is done.
    pub fn ticked(&mut self, number: usize, core: &Sentinel) {
        if std::mem::take(&mut self.jumped[number]) {
            let since = core.sh.tilt_since.unwrap_or(core.sh.now);
            self.rest_until[number] = since + core.sh.timing.tilt_period;
        }
    }

    pub fn after_tick(&mut self, number: usize, core: &Sentinel, now: Ms) {
        let Some(master) = core.master("m") else {
            return self.fail(format!("Sentinel {number} forgot the master"));
        };
        if master.node.is_down() {
            self.last_down[number] = now;
        }
        let new = Epochs {
            current: core.sh.current_epoch,
            config: master.config_epoch,
            leader: master.leader_epoch,
            tried: master.failover.epoch.max(self.epochs[number].tried),
        };
        let old = std::mem::replace(&mut self.epochs[number], new);
        if new.current < old.current || new.config < old.config || new.leader < old.leader {
            self.fail(format!("an epoch of Sentinel {number} went back"));
        }
        if master.config_epoch > core.sh.current_epoch {
            self.fail(format!(
                "Sentinel {number} has a configuration of an epoch that was not yet"
            ));
        }
        // Two masters in one epoch only where somebody did not ask for votes.
        let epoch = master.config_epoch;
        let addr = master.current_addr();
        let place = &*addr.ip;
        if self.configs.get(&epoch).is_none_or(|known| *known != place) {
            if let Some(known) = self.configs.get(&epoch)
                && !self.unvoted.contains(&epoch)
                && self.unvoted.is_empty()
            {
                self.fail(format!("epoch {epoch} has the masters {known} and {place}"));
            }
            self.configs.insert(epoch, place.to_owned());
        }
    }

    /// An answer to a question for a vote is about to leave.
    pub fn voted(&mut self, number: usize, node: &Node, leader: &str, epoch: u64) {
        if leader == "*" || epoch == 0 {
            return;
        }
        self.vote(number, leader, epoch);
        let on_disk = node
            .conf
            .iter()
            .find(|words| words[0] == "leader-epoch")
            .and_then(|words| words[2].parse::<u64>().ok());
        if on_disk < Some(epoch) {
            self.fail(format!(
                "Sentinel {number} answered with a vote of epoch {epoch} that is not on disk"
            ));
        }
    }

    fn vote(&mut self, number: usize, leader: &str, epoch: u64) {
        let known = self
            .votes
            .entry((epoch, number))
            .or_insert_with(|| leader.to_owned());
        if known != leader {
            let text = format!(
                "Sentinel {number} voted twice in epoch {epoch}: for {known} and for {leader}"
            );
            self.fail(text);
        }
    }

    pub fn event(
        &mut self,
        number: usize,
        nodes: &[Node],
        servers: &[Server],
        now: Ms,
        channel: &str,
        payload: &str,
    ) {
        let Some(core) = &nodes[number].core else {
            return;
        };
        // A failover by hand may be ordered at any time; it waits.
        let deciding = matches!(
            channel,
            "+sdown" | "+odown" | "+elected-leader" | "+promoted-slave"
        );
        if deciding && core.sh.now < self.rest_until[number] {
            self.fail(format!(
                "Sentinel {number} decides {channel} after a jump of its clock"
            ));
        }
        match channel {
            "+vote-for-leader" => {
                if let Some((leader, epoch)) = payload.split_once(' ') {
                    self.vote(number, leader, epoch.parse().unwrap_or(0));
                }
            }
            "+try-failover" => self.tries(number, core),
            "+elected-leader" => self.elected(number, core),
            "+odown" => self.agreed(number, core, now),
            "+selected-slave" => self.selected(number, core, servers, now),
            _ => {}
        }
    }

    fn tries(&mut self, number: usize, core: &Sentinel) {
        let epoch = core.master("m").map_or(0, |m| m.failover.epoch);
        if epoch <= self.epochs[number].tried {
            self.fail(format!(
                "Sentinel {number} tries a failover in epoch {epoch} again"
            ));
        }
        self.epochs[number].tried = epoch;
    }

    fn elected(&mut self, number: usize, core: &Sentinel) {
        let Some(master) = core.master("m") else {
            return;
        };
        let epoch = master.failover.epoch;
        if master.node.flags.contains(Flags::FORCE_FAILOVER) {
            self.unvoted.insert(epoch);
            return;
        }
        let id = &*core.sh.my_id;
        let votes = self
            .votes
            .range((epoch, 0)..=(epoch, usize::MAX))
            .filter(|(_, leader)| leader.as_str() == id)
            .count();
        let needed = (self.sentinels / 2 + 1).max(self.quorum);
        if votes < needed {
            self.fail(format!(
                "Sentinel {number} leads epoch {epoch} with {votes} votes of {needed}"
            ));
        }
        let first = *self.leaders.entry(epoch).or_insert(number);
        if first != number {
            self.fail(format!(
                "epoch {epoch} has the leaders {first} and {number}"
            ));
        }
    }

    fn agreed(&mut self, number: usize, core: &Sentinel, now: Ms) {
        let window = core.sh.timing.ask_period * 5 + 3000;
        let agreeing = self
            .last_down
            .iter()
            .enumerate()
            .filter(|(i, at)| *i == number || now - **at <= window)
            .count();
        if agreeing < self.quorum {
            self.fail(format!(
                "Sentinel {number} takes the master for down with {agreeing} of {} opinions",
                self.quorum
            ));
        }
    }

    /// Only an instance that answers is promoted, and none that answers has had more data for a while.
    fn selected(&mut self, number: usize, core: &Sentinel, servers: &[Server], now: Ms) {
        let Some(master) = core.master("m") else {
            return;
        };
        let Some(chosen) = master.promoted() else {
            return self.fail(format!("Sentinel {number} chose nobody"));
        };
        let answers = |r: &Replica| {
            let link = core.sh.links.get(r.node.link);
            !r.node.is_down()
                && link.is_some_and(|l| {
                    l.is_connected() && core.sh.now - l.last_avail < 4 * core.sh.timing.ping_period
                })
        };
        let link = core.sh.links.get(chosen.node.link);
        if link.is_none_or(|l| core.sh.now - l.last_avail > 6 * core.sh.timing.ping_period) {
            self.fail(format!("Sentinel {number} chose one that does not answer"));
        }
        let truth = |r: &Replica| {
            let number: usize = r.node.addr.ip.rsplit('.').next()?.parse().ok()?;
            servers.get(number)
        };
        let Some(best) = truth(chosen) else { return };
        for other in master.replicas.values() {
            let Some(server) = truth(other) else { continue };
            // One that was down a moment ago was perhaps still down when the choice was made.
            let fresh = core.sh.now - other.node.info_refresh < 1000
                && core.sh.now - other.node.s_down_since > 20_000;
            // What both have has not changed since the Sentinel looked.
            let still = now - server.moved > 3000 && now - best.moved > 3000;
            let replicates = server.master.is_some() && best.master.is_some();
            if answers(other)
                && fresh
                && still
                && replicates
                && other.priority == chosen.priority
                && server.offset > best.offset
            {
                self.fail(format!(
                    "Sentinel {number} chose server {} with {} bytes though server {} has {}",
                    best.number, best.offset, server.number, server.offset
                ));
            }
        }
    }

    pub fn sending(
        &mut self,
        number: usize,
        nodes: &[Node],
        _servers: &[Server],
        _now: Ms,
        request: &Request,
    ) {
        if let (Request::Slaveof(_), Some(core)) = (request, &nodes[number].core)
            && core.sh.now < self.rest_until[number]
        {
            self.fail(format!(
                "Sentinel {number} changes a role after a jump of its clock"
            ));
        }
    }

    /// A server changes its role: bytes that only it has are lost.
    pub fn slaveof(&mut self, servers: &[Server], host: usize, master: Option<usize>, now: Ms) {
        let Some(to) = master else {
            // The others can still have more, as long as they are no masters that take writes.
            let most = servers
                .iter()
                .filter(|s| s.master.is_none() && s.number != host)
                .map(|s| s.offset)
                .max()
                .unwrap_or(0);
            let _ = now;
            self.lost += most.saturating_sub(servers[host].offset);
            if self.lossless && self.lost > 0 {
                self.fail(format!("a planned failover loses {} bytes", self.lost));
            }
            return;
        };
        let _ = to;
    }
}
