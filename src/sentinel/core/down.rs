//! Who is down: subjectively, by the own PINGs, and objectively, by asking the other Sentinels.

use super::instance::{Master, Node, Peer};
use super::shared::Shared;
use super::types::*;

/// An opinion that was not repeated for so many periods is none any more.
const OPINION_ASKS: Ms = 5;

/// Looks whether an instance answers. `text` names it for the events.
pub fn check_s_down(
    sh: &mut Shared,
    master: &Master,
    node: &mut Node,
    kind: Kind,
    text: impl FnOnce(&Options) -> String,
) {
    let now = sh.now;
    let silent = drop_stuck(sh, master, node, kind);
    let lies = kind == Kind::Master
        && node.role_reported == Role::Slave
        && now - node.role_reported_time > master.down_after + sh.timing.info_period * 2;
    let rebooted = kind == Kind::Master
        && node.flags.contains(Flags::MASTER_REBOOT)
        && now - master.reboot_since > master.reboot_down_after;
    let down = silent > master.down_after || lies || rebooted;
    if down == node.is_down() {
        return;
    }
    let text = text(&sh.options);
    if down {
        node.flags.insert(Flags::S_DOWN);
        node.s_down_since = now;
        sh.event(Level::Warning, "+sdown", Some(master), text);
    } else {
        node.flags.remove(Flags::S_DOWN | Flags::SCRIPT_KILL_SENT);
        sh.event(Level::Warning, "-sdown", Some(master), text);
    }
}

/// What an instance is to its master's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Master,
    Replica,
    Peer,
}

/// For how long the instance has not answered. Connections that seem stuck are closed, to be opened anew.
fn drop_stuck(sh: &mut Shared, master: &Master, node: &Node, kind: Kind) -> Ms {
    let (now, timing) = (sh.now, sh.timing.clone());
    let link = sh.links.of(node.link);
    let silent = match link.act_ping {
        Some(since) => now - since,
        None if !link.is_connected() => now - link.heard,
        None => 0,
    };
    let half = master.down_after / 2;
    let stuck = link.is_connected()
        && now - link.commands_since > timing.min_link_reconnect_period
        && link.act_ping.is_some_and(|since| now - since > half)
        && now - link.last_pong > half;
    let deaf = kind != Kind::Peer
        && link.hello == super::link::Connection::Open
        && now - link.hello_since > timing.min_link_reconnect_period
        && now - link.hello_activity > timing.publish_period * 3;
    if stuck {
        sh.close(node.link, Wire::Commands);
    }
    if deaf {
        sh.close(node.link, Wire::Hello);
    }
    silent
}

/// Counts who agrees that the master is down.
pub fn check_o_down(sh: &mut Shared, master: &mut Master) {
    let mut agreed = 0;
    if master.node.is_down() {
        // Opinions from before a pause of this process are none.
        let valid = sh.timing.ask_period * OPINION_ASKS;
        let agrees = |p: &&Peer| {
            p.node.flags.contains(Flags::MASTER_DOWN) && sh.now - p.last_master_down_reply <= valid
        };
        agreed = 1 + master.peers.values().filter(agrees).count();
    }
    let needed = master.quorum as usize;
    let down = agreed > 0 && (agreed >= needed || sh.planted(Planted::OdownAlone));
    if down == master.node.flags.contains(Flags::O_DOWN) {
        return;
    }
    if down {
        master.node.flags.insert(Flags::O_DOWN);
        master.node.o_down_since = sh.now;
        let text = format!("{} #quorum {agreed}/{needed}", master.text(&sh.options));
        sh.event(Level::Warning, "+odown", Some(master), text);
    } else {
        master.node.flags.remove(Flags::O_DOWN);
        let text = master.text(&sh.options);
        sh.event(Level::Warning, "-odown", Some(master), text);
    }
}

/// Asks the other Sentinels for their opinion, and during an election for their vote; `forced`: now, not in time.
pub fn ask_others(sh: &mut Shared, master: &mut Master, forced: bool) {
    let now = sh.now;
    let electing = master.failover.state > FailoverState::None;
    let runid: Text = if electing {
        sh.my_id.clone()
    } else {
        "*".into()
    };
    for peer in master.peers.values_mut() {
        if now - peer.last_master_down_reply > sh.timing.ask_period * OPINION_ASKS {
            peer.node.flags.remove(Flags::MASTER_DOWN);
            peer.leader = None;
        }
        if !master.node.is_down() || !sh.links.of(peer.node.link).is_connected() {
            continue;
        }
        if !forced && now - peer.last_master_down_reply < sh.timing.ask_period {
            continue;
        }
        let request = Request::AskDown {
            master: master.id,
            addr: master.node.addr.clone(),
            epoch: sh.current_epoch,
            runid: runid.clone(),
        };
        sh.send(peer.node.link, request, &Renames::default());
    }
}

/// Another Sentinel's answer to that.
pub fn heard(
    sh: &mut Shared,
    master: &mut Master,
    link: LinkId,
    down: bool,
    leader: &str,
    epoch: u64,
) {
    let Some(peer) = master.peers.values_mut().find(|p| p.node.link == link) else {
        return;
    };
    peer.last_master_down_reply = sh.now;
    peer.node.flags.set(Flags::MASTER_DOWN, down);
    if leader == "*" {
        return;
    }
    peer.leader = Some(leader.into());
    peer.leader_epoch = epoch;
    if peer.logged_vote != epoch {
        peer.logged_vote = epoch;
        let text = format!("{} voted for {leader} {epoch}", peer.name);
        sh.log(Level::Notice, text);
    }
}
