//! INFO of masters and replicas: what it says, and what follows from it.

use super::failover;
use super::hello;
use super::instance::{Master, Node, Replica, replica_name};
use super::shared::Shared;
use super::types::*;

/// Replicas of one master that are remembered: an INFO with more is taken for broken.
const REPLICAS_MAX: usize = 1024;

/// The lines of INFO that concern Sentinel.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facts<'a> {
    pub run_id: Option<&'a str>,
    pub role: Option<Role>,
    /// Replicas of a master, with port.
    pub replicas: Vec<(&'a str, u16)>,
    pub link_down_s: Option<i64>,
    pub master_host: Option<&'a str>,
    pub master_port: Option<u16>,
    pub link_up: Option<bool>,
    pub priority: Option<u32>,
    pub offset: Option<u64>,
    pub announced: Option<bool>,
    pub master_offset: Option<u64>,
}

impl<'a> Facts<'a> {
    pub fn read(info: &'a str) -> Facts<'a> {
        let mut facts = Facts::default();
        for line in info.lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            match name {
                "run_id" => facts.run_id = hello::is_runid(value).then_some(value),
                "role" => {
                    facts.role = match value {
                        "master" => Some(Role::Master),
                        "slave" => Some(Role::Slave),
                        _ => None,
                    }
                }
                "master_link_down_since_seconds" => facts.link_down_s = value.parse().ok(),
                "master_host" => facts.master_host = Some(value),
                "master_port" => facts.master_port = value.parse().ok(),
                "master_link_status" => facts.link_up = Some(value.eq_ignore_ascii_case("up")),
                "slave_priority" | "replica_priority" => facts.priority = value.parse().ok(),
                "slave_repl_offset" => facts.offset = value.parse().ok(),
                "replica_announced" => facts.announced = value.parse::<i64>().ok().map(|n| n != 0),
                "master_repl_offset" => facts.master_offset = value.parse().ok(),
                _ => {
                    let number = name.strip_prefix("slave").unwrap_or_default();
                    if number.starts_with(|c: char| c.is_ascii_digit())
                        && facts.replicas.len() < REPLICAS_MAX
                    {
                        facts.replicas.extend(replica_place(value));
                    }
                }
            }
        }
        facts
    }
}

/// `ip=127.0.0.1,port=6380,state=…`, or as servers before 2.8 wrote it `127.0.0.1,6380,…`.
fn replica_place(value: &str) -> Option<(&str, u16)> {
    let mut fields = value.split(',');
    if value.contains("ip=") {
        let (mut ip, mut port) = (None, None);
        for field in fields {
            if let Some(text) = field.strip_prefix("ip=") {
                ip = Some(text);
            } else if let Some(text) = field.strip_prefix("port=") {
                port = text.parse().ok();
            }
        }
        return Some((ip?, port?));
    }
    Some((fields.next()?, fields.next()?.parse().ok()?))
}

/// Adds a replica that nobody knew; false if it is known, or one too many.
pub fn add_replica(sh: &mut Shared, master: &mut Master, addr: Addr) -> bool {
    let name = replica_name(&addr);
    if master.replicas.len() >= REPLICAS_MAX
        || master.replicas.contains_key(&name)
        || master.replicas.values().any(|r| r.node.addr.same(&addr))
    {
        return false;
    }
    let link = sh.links.add(sh.now);
    let replica = Replica {
        node: Node::new(addr, link, Role::Slave, sh.now),
        name: name.clone(),
        master_link_down_time: 0,
        priority: 100,
        announced: true,
        reconf_sent_time: NEVER,
        master_host: None,
        master_port: 0,
        master_link_up: false,
        offset: 0,
        conf_change_time: sh.now,
    };
    let text = master.replica_text(&replica, &sh.options);
    master.replicas.insert(name, replica);
    sh.event(Level::Notice, "+slave", Some(master), text);
    true
}

/// What both kinds of servers say. Returns the role that was reported before.
fn take_common(
    sh: &mut Shared,
    node: &mut Node,
    facts: &Facts<'_>,
    info: &str,
) -> (bool, Option<Role>) {
    let mut rebooted = false;
    if let Some(id) = facts.run_id
        && node.runid.as_deref() != Some(id)
    {
        rebooted = node.runid.is_some();
        node.runid = Some(id.into());
    }
    node.info_refresh = sh.now;
    node.info = Some(info.into());
    let changed = facts.role.filter(|role| *role != node.role_reported);
    if let Some(role) = changed {
        node.role_reported = role;
        node.role_reported_time = sh.now;
    }
    (rebooted, changed)
}

/// INFO of the master.
pub fn of_master(sh: &mut Shared, master: &mut Master, info: &str) {
    let facts = Facts::read(info);
    let (rebooted, changed) = take_common(sh, &mut master.node, &facts, info);
    if rebooted {
        if master.reboot_down_after != 0 {
            master.node.flags.insert(Flags::MASTER_REBOOT);
            master.reboot_since = sh.now;
        }
        let text = master.text(&sh.options);
        sh.event(Level::Notice, "+reboot", Some(master), text);
    }
    if let Some(role) = changed {
        let channel = if role == Role::Master {
            "+role-change"
        } else {
            "-role-change"
        };
        let text = format!(
            "{} new reported role is {}",
            master.text(&sh.options),
            role.name()
        );
        sh.event(Level::Verbose, channel, Some(master), text);
    }
    if facts.role == Some(Role::Master) {
        let mut added = false;
        for (host, port) in &facts.replicas {
            if let Some(addr) = sh.resolve(host, *port).filter(|a| a.port != 0) {
                added |= add_replica(sh, master, addr);
            }
        }
        if added {
            sh.flush();
        }
        if let Some(offset) = facts.master_offset {
            master.repl_offset = offset;
            if master
                .failover
                .paused
                .is_some_and(|since| master.node.info_sent >= since)
            {
                master.failover.catch_up.get_or_insert(offset);
            }
        }
    }
}

/// INFO of the replica with that name.
pub fn of_replica(sh: &mut Shared, master: &mut Master, name: &Text, info: &str) {
    // Out of its place, so that the master can be looked at beside it.
    let Some(mut replica) = master.replicas.remove(name) else {
        return;
    };
    let facts = Facts::read(info);
    take_facts(sh, master, &mut replica, &facts, info);
    let acting = sh.tilt_since.is_none();
    let promoted = acting
        && facts.role == Some(Role::Master)
        && replica.node.flags.contains(Flags::PROMOTED)
        && master.in_failover()
        && master.failover.state == FailoverState::WaitPromotion;
    if acting && !promoted {
        match replica.node.role_reported {
            Role::Master => demote(sh, master, &mut replica),
            Role::Slave => correct(sh, master, &mut replica),
        }
    }
    master.replicas.insert(name.clone(), replica);
    if promoted {
        failover::promoted(sh, master, name);
    } else if acting {
        failover::follow_reconfiguration(sh, master, name);
    }
}

fn take_facts(
    sh: &mut Shared,
    master: &Master,
    replica: &mut Replica,
    facts: &Facts<'_>,
    info: &str,
) {
    let (rebooted, changed) = take_common(sh, &mut replica.node, facts, info);
    if rebooted {
        let text = master.replica_text(replica, &sh.options);
        sh.event(Level::Notice, "+reboot", Some(master), text);
    }
    replica.master_link_down_time = facts.link_down_s.unwrap_or(0).saturating_mul(1000);
    if facts.role == Some(Role::Slave) {
        let host_changed = facts.master_host != replica.master_host.as_deref();
        let port_changed = facts.master_port.is_some_and(|p| p != replica.master_port);
        if host_changed || port_changed {
            replica.master_host = facts.master_host.map(Text::from);
            replica.master_port = facts.master_port.unwrap_or(0);
            replica.conf_change_time = sh.now;
        }
        replica.master_link_up = facts.link_up.unwrap_or(replica.master_link_up);
        replica.priority = facts.priority.unwrap_or(replica.priority);
        replica.offset = facts.offset.unwrap_or(replica.offset);
        replica.announced = facts.announced.unwrap_or(replica.announced);
    }
    if let Some(role) = changed {
        if role == Role::Slave {
            replica.conf_change_time = sh.now;
        }
        let channel = if role == Role::Slave {
            "+role-change"
        } else {
            "-role-change"
        };
        let text = format!(
            "{} new reported role is {}",
            master.replica_text(replica, &sh.options),
            role.name()
        );
        sh.event(Level::Verbose, channel, Some(master), text);
    }
}

/// A replica that calls itself master, such as an old master that came back: after a while, in which a newer
/// configuration would have been announced, it is made a replica again.
fn demote(sh: &mut Shared, master: &Master, replica: &mut Replica) {
    let wait = sh.timing.publish_period * 4;
    let wrong = !replica.node.flags.contains(Flags::PROMOTED)
        && master.looks_sane(sh.now, sh.timing.info_period)
        && replica.node.up_for(sh.now, wait)
        && sh.now - replica.node.role_reported_time > wait;
    if !wrong || sh.planted(Planted::NeverDemotes) {
        return;
    }
    let target = failover::target(sh, &master.node.addr);
    if sh.send(replica.node.link, target, &master.renames) {
        let text = master.replica_text(replica, &sh.options);
        sh.event(Level::Notice, "+convert-to-slave", Some(master), text);
    }
}

/// A replica that follows somebody else: after a failover would have ended, it is set right.
fn correct(sh: &mut Shared, master: &Master, replica: &mut Replica) {
    let reconfiguring = Flags::RECONF_SENT | Flags::RECONF_INPROG | Flags::RECONF_DONE;
    if replica.node.flags.intersects(reconfiguring) && master.in_failover() {
        return;
    }
    let addr = &master.node.addr;
    let Some(host) = replica.master_host.clone() else {
        return;
    };
    let wait = master.failover_timeout;
    // The time first: names are not looked up for nothing.
    if sh.now - replica.conf_change_time <= wait
        || !replica.node.up_for(sh.now, wait)
        || !master.looks_sane(sh.now, sh.timing.info_period)
    {
        return;
    }
    let right = replica.master_port == addr.port
        && (*host == *addr.ip
            || *host == *addr.host
            || sh
                .resolve(&host, replica.master_port)
                .is_some_and(|a| a.same(addr)));
    if right {
        return;
    }
    let target = failover::target(sh, addr);
    if sh.send(replica.node.link, target, &master.renames) {
        let text = master.replica_text(replica, &sh.options);
        sh.event(Level::Notice, "+fix-slave-config", Some(master), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_replica_lines() {
        let info = "# Replication\r\nrole:master\r\nslave0:ip=10.0.0.1,port=6380,state=online,offset=1,lag=0\r\nslave1:10.0.0.2,6381,online\r\nslave_x:1\r\nslave2:ip=1,port=99999\r\nmaster_repl_offset:77\r\nrun_id:0000000000000000000000000000000000000abc\r\n";
        let facts = Facts::read(info);
        assert_eq!(facts.replicas, [("10.0.0.1", 6380), ("10.0.0.2", 6381)]);
        assert_eq!(
            (facts.role, facts.master_offset),
            (Some(Role::Master), Some(77))
        );
        assert!(facts.run_id.is_some());
        assert_eq!(
            Facts::read("nonsense\r\nrole:\r\nrun_id:x"),
            Facts::default()
        );
    }
}
