//! What users order: masters to monitor, their settings, resets.

use super::Sentinel;
use super::failover::{self, Refusal};
use super::instance::{Master, Node};
use super::types::*;
use crate::base::glob;

/// Masters of one Sentinel.
const MASTERS_MAX: usize = 65_536;

/// Why a master is not monitored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorError {
    Duplicate,
    Quorum,
    Port,
    Host,
    Name,
    TooMany,
}

impl MonitorError {
    pub fn text(self) -> &'static str {
        match self {
            MonitorError::Duplicate => "Duplicate master name.",
            MonitorError::Quorum => "Quorum must be 1 or greater.",
            MonitorError::Port => "Invalid port number.",
            MonitorError::Host => "Can't resolve instance hostname.",
            MonitorError::Name => "Invalid master name.",
            MonitorError::TooMany => "Too many masters.",
        }
    }
}

/// Whether enough Sentinels can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    pub usable: usize,
    pub quorum: bool,
    pub majority: bool,
}

/// A name that can stand in an announcement, an event and a line of the configuration.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.contains(|c: char| c.is_control() || c.is_whitespace() || c == ',')
}

impl Sentinel {
    /// `SENTINEL MONITOR`. `keep`: a host name that cannot be resolved now is kept.
    pub fn monitor(
        &mut self,
        name: &str,
        host: &str,
        port: i64,
        quorum: i64,
        keep: bool,
    ) -> Result<(), MonitorError> {
        let quorum = u32::try_from(quorum)
            .ok()
            .filter(|q| *q > 0)
            .ok_or(MonitorError::Quorum)?;
        let port = u16::try_from(port)
            .ok()
            .filter(|p| *p > 0)
            .ok_or(MonitorError::Port)?;
        if !is_name(name) {
            return Err(MonitorError::Name);
        }
        if self.master(name).is_some() {
            return Err(MonitorError::Duplicate);
        }
        if self.masters.len() >= MASTERS_MAX {
            return Err(MonitorError::TooMany);
        }
        let sh = &mut self.sh;
        let addr = if keep {
            sh.resolve_or_keep(host, port)
        } else {
            sh.resolve(host, port)
        };
        let addr = addr.ok_or(MonitorError::Host)?;
        let link = sh.links.add(sh.now);
        let node = Node::new(addr, link, Role::Master, sh.now);
        let mut master = Master::new(self.next_master, name.into(), node, quorum);
        self.next_master += 1;
        master.down_after = sh.timing.default_down_after;
        master.failover_timeout = sh.timing.default_failover_timeout;
        self.masters.push(master);
        Ok(())
    }

    /// Tells that a master is monitored: at the start for all of the file, later for each.
    pub fn announce_monitor(&mut self, name: &str) {
        if let Some(master) = self.masters.iter().find(|m| &*m.name == name) {
            let text = format!("{} quorum {}", master.text(&self.sh.options), master.quorum);
            self.sh
                .event(Level::Warning, "+monitor", Some(master), text);
        }
    }

    /// `SENTINEL REMOVE`; false if there is no such master.
    pub fn remove(&mut self, name: &str) -> bool {
        let Some(at) = self.masters.iter().position(|m| &*m.name == name) else {
            return false;
        };
        let mut master = self.masters.remove(at);
        let sh = &mut self.sh;
        let text = master.text(&sh.options);
        sh.event(Level::Warning, "-monitor", Some(&master), text);
        failover::reset(sh, &mut master, false);
        sh.release(master.node.link);
        sh.flush();
        true
    }

    /// `SENTINEL RESET`: how many masters matched.
    pub fn reset(&mut self, pattern: &[u8]) -> usize {
        let sh = &mut self.sh;
        let mut count = 0;
        for master in &mut self.masters {
            if glob::matches(pattern, master.name.as_bytes(), false) {
                failover::reset(sh, master, false);
                let text = master.text(&sh.options);
                sh.event(Level::Warning, "+reset-master", Some(master), text);
                count += 1;
            }
        }
        if count > 0 {
            sh.flush();
        }
        count
    }

    /// `SENTINEL FAILOVER`; `None` if there is no such master.
    pub fn failover(&mut self, name: &str) -> Option<Result<(), Refusal>> {
        let master = self.masters.iter_mut().find(|m| &*m.name == name)?;
        Some(failover::force(&mut self.sh, master))
    }

    /// `SENTINEL CKQUORUM`
    pub fn quorum(&self, name: &str) -> Option<Quorum> {
        let master = self.master(name)?;
        let down = Flags::S_DOWN | Flags::O_DOWN;
        let usable = 1 + master
            .peers
            .values()
            .filter(|p| !p.node.flags.intersects(down))
            .count();
        Some(Quorum {
            usable,
            quorum: usable >= master.quorum as usize,
            majority: usable > master.peers.len().div_ceil(2),
        })
    }

    /// Changes a master's record, tells it as `+set`, and writes it down. `shown`: option and value for the event.
    pub fn set(&mut self, name: &str, shown: &str, change: impl FnOnce(&mut Master)) {
        let sh = &mut self.sh;
        let Some(master) = self.masters.iter_mut().find(|m| &*m.name == name) else {
            return;
        };
        let login = master.login.clone();
        change(master);
        if master.login != login {
            sh.disconnect(master.node.link);
            for replica in master.replicas.values() {
                sh.disconnect(replica.node.link);
            }
        }
        let text = format!("{} {shown}", master.text(&sh.options));
        sh.event(Level::Warning, "+set", Some(master), text);
        sh.flush();
    }

    /// `SENTINEL CONFIG SET`, with a value that was checked.
    pub fn configure(&mut self, name: &str, value: &str) {
        let options = &mut self.sh.options;
        let some = (!value.is_empty()).then(|| Text::from(value));
        let yes = value.eq_ignore_ascii_case("yes");
        match name {
            "resolve-hostnames" => options.resolve_hostnames = yes,
            "announce-hostnames" => options.announce_hostnames = yes,
            "announce-ip" => options.announce_ip = some,
            "announce-port" => options.announce_port = value.parse().unwrap_or(0),
            "sentinel-user" => options.sentinel_user = some,
            "sentinel-pass" => options.sentinel_pass = some,
            _ => return,
        }
        if name.starts_with("sentinel-") {
            // The links to other Sentinels are opened anew, with the new login.
            for peer in self.masters.iter().flat_map(|m| m.peers.values()) {
                self.sh.disconnect(peer.node.link);
            }
        }
        self.sh.flush();
    }
}
