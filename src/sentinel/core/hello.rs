//! Announcements: each Sentinel tells the others through `__sentinel__:hello` where it is, and what it takes for the master.

use super::instance::{Master, Node, Peer, shown};
use super::shared::Shared;
use super::types::*;

/// An announcement as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    pub ip: &'a str,
    pub port: u16,
    pub runid: &'a str,
    pub current_epoch: u64,
    pub master_name: &'a str,
    pub master_ip: &'a str,
    pub master_port: u16,
    pub master_epoch: u64,
}

impl<'a> Hello<'a> {
    /// `None`: not an announcement, or one that cannot be true.
    pub fn parse(text: &'a str) -> Option<Hello<'a>> {
        let mut fields = text.split(',');
        let mut next = || fields.next();
        let hello = Hello {
            ip: next()?,
            port: next()?.parse().ok()?,
            runid: next()?,
            current_epoch: next()?.parse().ok()?,
            master_name: next()?,
            master_ip: next()?,
            master_port: next()?.parse().ok()?,
            master_epoch: next()?.parse().ok()?,
        };
        let sound = fields.next().is_none()
            && hello.port != 0
            && hello.master_port != 0
            && is_runid(hello.runid)
            && hello.current_epoch <= EPOCH_MAX
            && hello.master_epoch <= EPOCH_MAX;
        sound.then_some(hello)
    }
}

/// Epochs beyond this are no epochs: one forged message must not use them up.
pub const EPOCH_MAX: u64 = i64::MAX as u64 / 2;

/// 40 hexadecimal digits.
pub fn is_runid(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What is announced of one master, whoever is told.
pub struct News {
    name: Text,
    addr: Addr,
    epoch: u64,
}

impl News {
    pub fn of(master: &Master) -> News {
        News {
            name: master.name.clone(),
            addr: master.current_addr().clone(),
            epoch: master.config_epoch,
        }
    }

    /// The announcement for one link: by default the own address is the one that the link comes from.
    pub fn compose(&self, sh: &Shared, link: LinkId) -> Option<Text> {
        let options = &sh.options;
        let local = sh.links.of(link).local_ip.as_deref();
        let ip = options.announce_ip.as_deref().or(local)?;
        let port = if options.announce_port != 0 {
            options.announce_port
        } else {
            options.listen_port
        };
        let text = format!(
            "{ip},{port},{},{},{},{},{},{}",
            sh.my_id,
            sh.current_epoch,
            self.name,
            shown(&self.addr, options),
            self.addr.port,
            self.epoch
        );
        Some(text.into())
    }
}

/// Sends announcements with the next tick, not when their time comes.
pub fn hurry(sh: &Shared, master: &mut Master) {
    let due = sh.now - sh.timing.publish_period - 1;
    let nodes = std::iter::once(&mut master.node)
        .chain(master.replicas.values_mut().map(|r| &mut r.node))
        .chain(master.peers.values_mut().map(|p| &mut p.node));
    for node in nodes {
        node.last_pub = node.last_pub.min(due);
    }
}

/// Takes an announcement over. `shared` is the link to the same Sentinel that another master has.
pub fn receive(sh: &mut Shared, master: &mut Master, hello: &Hello<'_>, shared: Option<LinkId>) {
    if hello.runid == &*sh.my_id {
        return;
    }
    let Some(place) = sh.resolve(hello.ip, hello.port) else {
        return;
    };
    let known = master.peers.get(hello.runid);
    if known.is_none_or(|peer| !peer.node.addr.same(&place)) {
        meet(sh, master, hello.runid, place, shared);
    }
    if hello.current_epoch > sh.current_epoch {
        sh.current_epoch = hello.current_epoch;
        sh.flush();
        let text = sh.current_epoch.to_string();
        sh.event(Level::Warning, "+new-epoch", Some(master), text);
    }
    let newer = master.config_epoch < hello.master_epoch
        || sh.planted(Planted::TakesOlderConfig) && master.config_epoch != hello.master_epoch;
    let announced = sh.resolve(hello.master_ip, hello.master_port);
    // A configuration whose address means nothing here cannot be followed, so it is not known either.
    if let Some(addr) = announced {
        if newer {
            master.config_epoch = hello.master_epoch;
            master.collision_since = None;
            // A failover of this Sentinel that is older than the news must not go on, least of all under their epoch.
            let outrun = master.in_failover() && master.failover.epoch <= hello.master_epoch;
            if addr.same(&master.node.addr) && !outrun {
                sh.flush();
            } else {
                follow(sh, master, hello.runid, addr);
            }
        } else {
            settle(sh, master, hello, &addr);
        }
    }
    let now = sh.now;
    if let Some(peer) = master.peers.get_mut(hello.runid) {
        peer.last_hello = now;
    }
}

/// A Sentinel that is new, or at a new place.
fn meet(
    sh: &mut Shared,
    master: &mut Master,
    runid: &str,
    place: Addr,
    shared_link: Option<LinkId>,
) {
    let mut removed = false;
    if let Some(old) = master.peers.remove(runid) {
        removed = true;
        let text = format!(
            "{} ip {} port {} for {runid}",
            master.text(&sh.options),
            shown(&place, &sh.options),
            place.port
        );
        sh.event(
            Level::Notice,
            "+sentinel-address-switch",
            Some(master),
            text,
        );
        sh.release(old.node.link);
    } else if let Some(name) = master
        .peers
        .values()
        .find(|p| p.node.addr.same(&place))
        .map(|p| p.name.clone())
        && let Some(old) = master.peers.remove(&name)
    {
        // Another process has taken the place: the one that was there is gone.
        let text = master.peer_text(&old, &sh.options);
        sh.event(Level::Notice, "+sentinel-invalid-addr", Some(master), text);
        sh.release(old.node.link);
    }
    let same_place = shared_link.filter(|_| !removed);
    let added = add_peer(sh, master, runid.into(), place, same_place);
    if added && !removed {
        let text = master
            .peers
            .get(runid)
            .map(|peer| master.peer_text(peer, &sh.options));
        sh.event(
            Level::Notice,
            "+sentinel",
            Some(master),
            text.unwrap_or_default(),
        );
    }
    sh.flush();
}

/// Sentinels of one master that are remembered: more are no group but an attack.
const PEERS_MAX: usize = 256;

/// Adds another Sentinel; false if there are too many.
pub fn add_peer(
    sh: &mut Shared,
    master: &mut Master,
    runid: Text,
    place: Addr,
    shared_link: Option<LinkId>,
) -> bool {
    if master.peers.len() >= PEERS_MAX {
        return false;
    }
    let link = match shared_link {
        Some(link) => {
            sh.links.of_mut(link).refcount += 1;
            link
        }
        None => sh.links.add(sh.now),
    };
    let mut node = Node::new(place, link, Role::Master, sh.now);
    node.runid = Some(runid.clone());
    let peer = Peer {
        node,
        name: runid.clone(),
        last_hello: sh.now,
        last_master_down_reply: NEVER,
        leader: None,
        leader_epoch: 0,
        logged_vote: 0,
    };
    master.peers.insert(runid, peer);
    true
}

/// Follows the switch that another Sentinel made.
fn follow(sh: &mut Shared, master: &mut Master, runid: &str, to: Addr) {
    if let Some(peer) = master.peers.get(runid) {
        let text = master.peer_text(peer, &sh.options);
        sh.event(Level::Warning, "+config-update-from", Some(master), text);
    }
    let from = master.current_addr().clone();
    if !from.same(&to) {
        announce_switch(sh, master, &from, &to);
        sh.call_reconfig_script(master, "observer", "start", &from, &to);
    }
    super::failover::reset_and_move(sh, master, to);
}

pub fn announce_switch(sh: &mut Shared, master: &Master, from: &Addr, to: &Addr) {
    let text = format!(
        "{} {} {} {} {}",
        master.name,
        shown(from, &sh.options),
        from.port,
        shown(to, &sh.options),
        to.port
    );
    sh.event(Level::Warning, "+switch-master", Some(master), text);
}

/// Two Sentinels announce different masters with the same epoch: both were told to fail over by hand, or one lost its
/// votes. No announcement is newer, so the split would last. One of them takes a new epoch: the one with the smaller id at
/// once, the other one if that did not help.
fn settle(sh: &mut Shared, master: &mut Master, hello: &Hello<'_>, announced: &Addr) {
    let clash = hello.master_epoch > 0
        && hello.master_epoch == master.config_epoch
        && !announced.same(master.current_addr())
        && !master.in_failover();
    if !clash {
        if hello.master_epoch == master.config_epoch {
            master.collision_since = None;
        }
        return;
    }
    let since = *master.collision_since.get_or_insert(sh.now);
    let patience = if *sh.my_id < *hello.runid {
        0
    } else {
        sh.timing.publish_period * 4
    };
    if sh.now - since < patience || !master.looks_sane(sh.now, sh.timing.info_period) {
        return;
    }
    master.collision_since = None;
    sh.current_epoch = sh.current_epoch.saturating_add(1);
    master.config_epoch = sh.current_epoch;
    // Nobody else may win this epoch with the own vote.
    master.leader = Some(sh.my_id.clone());
    master.leader_epoch = sh.current_epoch;
    sh.flush();
    let text = sh.current_epoch.to_string();
    sh.event(Level::Warning, "+new-epoch", Some(master), text);
    hurry(sh, master);
}

#[cfg(test)]
mod tests {
    use super::Hello;

    const ID: &str = "46c886ea33cd33e07cd0fa0a4850a3751e4da343";

    #[test]
    fn announcements_are_read_whole_or_not_at_all() {
        let good = format!("127.0.0.1,26379,{ID},3,mymaster,127.0.0.1,6379,2");
        let hello = Hello::parse(&good).unwrap();
        assert_eq!(
            (hello.port, hello.current_epoch, hello.master_epoch),
            (26379, 3, 2)
        );
        for bad in [
            "".into(),
            "1,2".into(),
            format!("{good},x"),
            format!("127.0.0.1,0,{ID},3,mymaster,127.0.0.1,6379,2"),
            format!("127.0.0.1,70000,{ID},3,mymaster,127.0.0.1,6379,2"),
            format!("127.0.0.1,26379,{ID},-1,mymaster,127.0.0.1,6379,2"),
            format!("127.0.0.1,26379,{ID},18446744073709551615,mymaster,127.0.0.1,6379,2"),
            "127.0.0.1,26379,short,3,mymaster,127.0.0.1,6379,2".into(),
            format!("127.0.0.1,26379,{ID}\n,3,mymaster,127.0.0.1,6379,2"),
        ] {
            assert_eq!(Hello::parse(&bad), None, "{bad}");
        }
    }
}
