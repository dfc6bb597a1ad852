//! The state as lines of the configuration file, in Redis' own form, and back.

use super::Sentinel;
use super::admin::MonitorError;
use super::hello::{self, EPOCH_MAX, is_runid};
use super::info;
use super::types::*;

/// One line to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The words after `sentinel`.
    pub words: Vec<String>,
    /// So many of the words say what the line is about; the others are its value.
    pub key: usize,
    /// It says what holds anyway: written only where a line of its kind stands already.
    pub default: bool,
}

/// Directives with the number of words after `sentinel`, and so many of them that are key.
const DIRECTIVES: &[(&str, usize, usize)] = &[
    ("monitor", 5, 2),
    ("down-after-milliseconds", 3, 2),
    ("failover-timeout", 3, 2),
    ("parallel-syncs", 3, 2),
    ("notification-script", 3, 2),
    ("client-reconfig-script", 3, 2),
    ("auth-pass", 3, 2),
    ("auth-user", 3, 2),
    ("master-reboot-down-after-period", 3, 2),
    ("primary-reboot-down-after-period", 3, 2),
    ("config-epoch", 3, 2),
    ("leader-epoch", 3, 2),
    ("rename-command", 4, 3),
    ("known-replica", 4, 4),
    ("known-slave", 4, 4),
    ("known-sentinel", 5, 4),
    ("current-epoch", 2, 1),
    ("myid", 2, 1),
    ("announce-ip", 2, 1),
    ("announce-port", 2, 1),
    ("deny-scripts-reconfig", 2, 1),
    ("sentinel-user", 2, 1),
    ("sentinel-pass", 2, 1),
    ("resolve-hostnames", 2, 1),
    ("announce-hostnames", 2, 1),
];

/// The part of a line that says what it is about, for lines that have the right number of words.
pub fn key(words: &[String]) -> Option<Vec<String>> {
    let name = words.first()?.to_ascii_lowercase();
    let (_, _, key) = DIRECTIVES.iter().find(|d| d.0 == name)?;
    let mut key: Vec<String> = words.get(..*key)?.to_vec();
    key[0] = match name.as_str() {
        "known-slave" => "known-replica".into(),
        "primary-reboot-down-after-period" => "master-reboot-down-after-period".into(),
        _ => name,
    };
    Some(key)
}

/// In which order lines take effect, wherever they stand: settings that later ones need, masters, what belongs to masters.
pub fn rank(words: &[String]) -> u8 {
    let name = words.first().map(|w| w.to_ascii_lowercase());
    match name.as_deref() {
        Some("monitor") => 1,
        Some(
            "resolve-hostnames"
            | "announce-hostnames"
            | "announce-ip"
            | "announce-port"
            | "deny-scripts-reconfig"
            | "myid"
            | "current-epoch"
            | "sentinel-user"
            | "sentinel-pass",
        ) => 0,
        _ => 2,
    }
}

fn number(word: &str, least: i64, most: i64) -> Option<i64> {
    word.parse().ok().filter(|n| (least..=most).contains(n))
}

fn yes_no(word: &str) -> Result<bool, String> {
    match word.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("argument must be 'yes' or 'no'".into()),
    }
}

/// Where an epoch may be.
fn epoch(word: &str) -> Result<u64, String> {
    let parsed = word.parse().ok().filter(|e| *e <= EPOCH_MAX);
    parsed.ok_or_else(|| "Invalid epoch.".into())
}

/// A file that can be run.
pub fn is_script(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

impl Sentinel {
    /// Takes one line over: the words after `sentinel`.
    ///
    /// # Errors
    /// What is wrong with it, in Redis' words.
    pub fn apply(&mut self, words: &[String]) -> Result<(), String> {
        let name = words.first().map(|w| w.to_ascii_lowercase());
        let name = name.as_deref().unwrap_or_default();
        let Some((_, count, _)) = DIRECTIVES.iter().find(|d| d.0 == name) else {
            return Err("Unrecognized sentinel configuration statement.".into());
        };
        // Without an id, as old versions wrote it.
        let old_sentinel = name == "known-sentinel" && words.len() == 4;
        if words.len() != *count && !old_sentinel {
            return Err("Unrecognized sentinel configuration statement.".into());
        }
        if words.iter().any(|w| w.contains(['\n', '\r', '\0'])) {
            return Err("Control characters are not allowed.".into());
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match rank_of_directive(name) {
            0 => self.apply_global(name, words[1]),
            1 => self.apply_monitor(&words),
            _ => self.apply_to_master(name, &words),
        }
    }

    fn apply_global(&mut self, name: &str, value: &str) -> Result<(), String> {
        let options = &mut self.sh.options;
        let some = |value: &str| (!value.is_empty()).then(|| Text::from(value));
        match name {
            "myid" if is_runid(value) => self.sh.my_id = value.into(),
            "myid" => return Err("Malformed Sentinel id in myid option.".into()),
            "current-epoch" => self.sh.current_epoch = self.sh.current_epoch.max(epoch(value)?),
            "announce-ip" => options.announce_ip = some(value),
            "announce-port" => {
                options.announce_port = value
                    .parse()
                    .map_err(|_| "Invalid port number.".to_owned())?;
            }
            "deny-scripts-reconfig" => options.deny_scripts_reconfig = yes_no(value)?,
            "sentinel-user" => options.sentinel_user = some(value),
            "sentinel-pass" => options.sentinel_pass = some(value),
            "resolve-hostnames" => options.resolve_hostnames = yes_no(value)?,
            _ => options.announce_hostnames = yes_no(value)?,
        }
        Ok(())
    }

    fn apply_monitor(&mut self, words: &[&str]) -> Result<(), String> {
        let quorum = words[4].parse().unwrap_or(0);
        let port = words[3].parse().unwrap_or(0);
        self.monitor(words[1], words[2], port, quorum, true)
            .map_err(|error: MonitorError| error.text().to_owned())
    }

    fn apply_to_master(&mut self, name: &str, words: &[&str]) -> Result<(), String> {
        let Some(at) = self.masters.iter().position(|m| &*m.name == words[1]) else {
            return Err("No such master with specified name.".into());
        };
        let sh = &mut self.sh;
        let master = &mut self.masters[at];
        let value = words[2];
        let positive =
            |what: &str| number(value, 1, i64::from(i32::MAX)).ok_or_else(|| what.to_owned());
        let script = |what: &str| {
            if is_script(value) {
                Ok(Some(Text::from(value)))
            } else {
                Err(format!(
                    "{what} script seems non existing or non executable."
                ))
            }
        };
        match name {
            "down-after-milliseconds" => {
                master.down_after = positive("negative or zero time parameter.")?;
            }
            "failover-timeout" => {
                master.failover_timeout = positive("negative or zero time parameter.")?;
            }
            "parallel-syncs" => {
                master.parallel_syncs = positive("Invalid number of parallel syncs.")? as u32;
            }
            "notification-script" => master.notification_script = script("Notification")?,
            "client-reconfig-script" => {
                master.reconfig_script = script("Client reconfiguration")?;
            }
            "auth-pass" => master.login.pass = Some(value.into()),
            "auth-user" => master.login.user = Some(value.into()),
            "master-reboot-down-after-period" | "primary-reboot-down-after-period" => {
                master.reboot_down_after =
                    number(value, 0, i64::from(i32::MAX)).ok_or("negative time parameter.")?;
            }
            "config-epoch" => {
                master.config_epoch = epoch(value)?;
                sh.current_epoch = sh.current_epoch.max(master.config_epoch);
            }
            "leader-epoch" => master.leader_epoch = epoch(value)?,
            "rename-command" => {
                let mut renames = (*master.renames).clone();
                if renames
                    .iter()
                    .any(|(from, _)| from.eq_ignore_ascii_case(value))
                {
                    return Err("Same command renamed multiple times with rename-command.".into());
                }
                renames.push((value.into(), words[3].into()));
                master.renames = renames.into();
            }
            "known-replica" | "known-slave" => {
                let addr = known_place(sh, value, words[3])
                    .ok_or("Wrong hostname or port for replica.")?;
                info::add_replica(sh, master, addr);
            }
            _ => {
                let addr = known_place(sh, value, words[3])
                    .ok_or("Wrong hostname or port for sentinel.")?;
                match words.get(4) {
                    Some(id) if !is_runid(id) => {
                        return Err("Malformed Sentinel id in known-sentinel option.".into());
                    }
                    Some(id) if **id != *sh.my_id => {
                        hello::add_peer(sh, master, (*id).into(), addr, None);
                    }
                    // Itself, or one whose id is found out by its first announcement.
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The whole state, in the order in which new lines are written.
    pub fn lines(&self) -> Vec<Line> {
        let sh = &self.sh;
        let options = &sh.options;
        let mut lines = Lines(Vec::new());
        lines.put(1, false, &["myid", &sh.my_id]);
        let yes = |on: bool| if on { "yes" } else { "no" };
        lines.put(
            1,
            options.deny_scripts_reconfig,
            &["deny-scripts-reconfig", yes(options.deny_scripts_reconfig)],
        );
        lines.put(
            1,
            !options.resolve_hostnames,
            &["resolve-hostnames", yes(options.resolve_hostnames)],
        );
        lines.put(
            1,
            !options.announce_hostnames,
            &["announce-hostnames", yes(options.announce_hostnames)],
        );
        for master in &self.masters {
            lines.put_master(self, master);
        }
        lines.put(1, false, &["current-epoch", &sh.current_epoch.to_string()]);
        if let Some(ip) = &options.announce_ip {
            lines.put(1, false, &["announce-ip", ip]);
        }
        if options.announce_port != 0 {
            let port = options.announce_port.to_string();
            lines.put(1, false, &["announce-port", &port]);
        }
        if let Some(user) = &options.sentinel_user {
            lines.put(1, false, &["sentinel-user", user]);
        }
        if let Some(pass) = &options.sentinel_pass {
            lines.put(1, false, &["sentinel-pass", pass]);
        }
        lines.0
    }
}

fn rank_of_directive(name: &str) -> u8 {
    rank(&[name.to_owned()])
}

fn known_place(sh: &super::shared::Shared, host: &str, port: &str) -> Option<Addr> {
    let port = port.parse().ok().filter(|p| *p != 0)?;
    sh.resolve_or_keep(host, port)
}

struct Lines(Vec<Line>);

impl Lines {
    fn put(&mut self, key: usize, default: bool, words: &[&str]) {
        self.0.push(Line {
            words: words.iter().map(|w| (*w).to_owned()).collect(),
            key,
            default,
        });
    }

    fn put_master(&mut self, sentinel: &Sentinel, master: &super::instance::Master) {
        let options = &sentinel.sh.options;
        let shown = |addr| super::instance::shown(addr, options).to_owned();
        let name = &*master.name;
        let current = master.current_addr();
        let (host, port) = (shown(current), current.port.to_string());
        let quorum = master.quorum.to_string();
        self.put(2, false, &["monitor", name, &host, &port, &quorum]);
        let numbers = [
            ("down-after-milliseconds", master.down_after, 30_000),
            ("failover-timeout", master.failover_timeout, 180_000),
            ("parallel-syncs", i64::from(master.parallel_syncs), 1),
            (
                "master-reboot-down-after-period",
                master.reboot_down_after,
                0,
            ),
        ];
        for (directive, value, default) in numbers {
            self.put(2, value == default, &[directive, name, &value.to_string()]);
        }
        let texts = [
            ("notification-script", &master.notification_script),
            ("client-reconfig-script", &master.reconfig_script),
            ("auth-pass", &master.login.pass),
            ("auth-user", &master.login.user),
        ];
        for (directive, value) in texts {
            if let Some(value) = value {
                self.put(2, false, &[directive, name, value]);
            }
        }
        let (config, leader) = (
            master.config_epoch.to_string(),
            master.leader_epoch.to_string(),
        );
        self.put(2, false, &["config-epoch", name, &config]);
        self.put(2, false, &["leader-epoch", name, &leader]);
        for replica in master.replicas.values() {
            // While a failover goes on, the new master is no replica any more, and the old one is.
            let addr = if replica.node.addr.same(current) {
                &master.node.addr
            } else {
                &replica.node.addr
            };
            let port = addr.port.to_string();
            self.put(4, false, &["known-replica", name, &shown(addr), &port]);
        }
        for peer in master.peers.values() {
            let addr = &peer.node.addr;
            let port = addr.port.to_string();
            let words = ["known-sentinel", name, &shown(addr), &port, &peer.name];
            self.put(4, false, &words);
        }
        for (from, to) in master.renames.iter() {
            self.put(3, false, &["rename-command", name, from, to]);
        }
    }
}
