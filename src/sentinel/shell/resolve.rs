//! Host names: looked up on a thread of their own with a short limit, and remembered for a while, so that a slow name server
//! does not make this Sentinel look dead to the others.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::sentinel::core::shared::Resolver;

/// How long the decisions wait for a name.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long an answer is taken for right.
const VALID: Duration = Duration::from_secs(10);
/// Names that are remembered.
const NAMES_MAX: usize = 4096;

type Known = Arc<Mutex<HashMap<String, Answer>>>;

/// What is known of a name.
#[derive(Default)]
struct Answer {
    ip: Option<IpAddr>,
    /// When the last look-up ended.
    at: Option<Instant>,
    looking: bool,
}

pub fn resolver() -> Resolver {
    let known: Known = Arc::default();
    Box::new(move |host| look_up(&known, host, first))
}

/// An address that was known stays known while it is looked up again, and when that fails: the name of a machine that died
/// may be gone with it (a container's is), and a name server may be out of reach just when a failover is due. Only for a
/// name without an address there is a wait, and one only for each look-up.
fn look_up(known: &Known, host: &str, ask: fn(&str) -> Option<IpAddr>) -> Option<IpAddr> {
    let before = {
        let mut table = lock(known);
        if table.len() >= NAMES_MAX && !table.contains_key(host) {
            table.clear();
        }
        let answer = table.entry(host.to_owned()).or_default();
        if answer.looking || answer.at.is_some_and(|at| at.elapsed() < VALID) {
            return answer.ip;
        }
        answer.looking = true;
        answer.ip
    };
    let (sender, receiver) = mpsc::channel();
    let (name, table) = (host.to_owned(), known.clone());
    let looking = std::thread::Builder::new()
        .name("ferrite-resolve".into())
        .spawn(move || {
            let ip = ask(&name);
            learn(&table, &name, ip);
            // Nobody waits any more if it took too long; the next one finds it.
            let _ = sender.send(ip);
        });
    if looking.is_err() {
        learn(known, host, None);
    } else if before.is_none() {
        return receiver.recv_timeout(PATIENCE).ok().flatten();
    }
    before
}

fn learn(known: &Known, host: &str, ip: Option<IpAddr>) {
    let mut table = lock(known);
    let answer = table.entry(host.to_owned()).or_default();
    *answer = Answer {
        ip: ip.or(answer.ip),
        at: Some(Instant::now()),
        looking: false,
    };
}

fn lock(known: &Known) -> MutexGuard<'_, HashMap<String, Answer>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// IPv4 before IPv6: instances announce themselves with numbers that must compare equal.
fn first(host: &str) -> Option<IpAddr> {
    let found: Vec<IpAddr> = (host, 0).to_socket_addrs().ok()?.map(|a| a.ip()).collect();
    let four = found.iter().find(|ip| ip.is_ipv4());
    four.or(found.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const NEW: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn slow(_: &str) -> Option<IpAddr> {
        std::thread::sleep(PATIENCE * 2);
        Some(NEW)
    }

    fn nobody(_: &str) -> Option<IpAddr> {
        None
    }

    /// A table in which the name's answer is too old.
    fn outdated() -> Known {
        let known = Known::default();
        learn(&known, "name", Some(OLD));
        lock(&known).get_mut("name").unwrap().at = Instant::now().checked_sub(VALID);
        known
    }

    fn ended(known: &Known) -> Option<IpAddr> {
        let start = Instant::now();
        while lock(known)["name"].looking {
            assert!(start.elapsed() < PATIENCE * 20);
            std::thread::sleep(Duration::from_millis(10));
        }
        lock(known)["name"].ip
    }

    #[test]
    fn a_slow_name_server_is_waited_for_once() {
        let known = Known::default();
        assert_eq!(look_up(&known, "name", slow), None);
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(look_up(&known, "name", slow), None);
        }
        assert!(start.elapsed() < PATIENCE / 2);
        assert_eq!(ended(&known), Some(NEW));
        assert_eq!(look_up(&known, "name", nobody), Some(NEW));
    }

    #[test]
    fn a_known_address_is_used_while_it_is_looked_up_again() {
        let known = outdated();
        let start = Instant::now();
        assert_eq!(look_up(&known, "name", slow), Some(OLD));
        assert!(start.elapsed() < PATIENCE / 2);
        assert_eq!(ended(&known), Some(NEW));
    }

    #[test]
    fn a_name_that_is_gone_keeps_its_last_address() {
        let known = outdated();
        assert_eq!(look_up(&known, "name", nobody), Some(OLD));
        assert_eq!(ended(&known), Some(OLD));
    }
}
