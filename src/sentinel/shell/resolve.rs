//! Host names: looked up on a thread of their own with a short limit, and remembered for a while, so that a slow name server
//! does not make this Sentinel look dead to the others.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sentinel::core::shared::Resolver;

/// How long the decisions wait for a name.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long an answer is taken for right.
const VALID: Duration = Duration::from_secs(10);
/// Names that are remembered.
const NAMES_MAX: usize = 4096;

type Known = Arc<Mutex<HashMap<String, (Option<IpAddr>, Instant)>>>;

pub fn resolver() -> Resolver {
    let known: Known = Arc::default();
    Box::new(move |host| look_up(&known, host))
}

fn look_up(known: &Known, host: &str) -> Option<IpAddr> {
    let lock = |known: &Known| {
        known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(host)
            .copied()
    };
    let before = lock(known);
    if let Some((ip, at)) = before
        && at.elapsed() < VALID
    {
        return ip;
    }
    let (sender, receiver) = mpsc::channel();
    let (name, table) = (host.to_owned(), known.clone());
    let looking = std::thread::Builder::new()
        .name("ferrite-resolve".into())
        .spawn(move || {
            let ip = first(&name);
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            if table.len() >= NAMES_MAX {
                table.clear();
            }
            table.insert(name, (ip, Instant::now()));
            drop(table);
            // Nobody waits any more if it took too long; the next one finds it.
            let _ = sender.send(ip);
        });
    looking.ok()?;
    match receiver.recv_timeout(PATIENCE) {
        Ok(ip) => ip,
        Err(_) => before.and_then(|(ip, _)| ip),
    }
}

/// IPv4 before IPv6: instances announce themselves with numbers that must compare equal.
fn first(host: &str) -> Option<IpAddr> {
    let found: Vec<IpAddr> = (host, 0).to_socket_addrs().ok()?.map(|a| a.ip()).collect();
    let four = found.iter().find(|ip| ip.is_ipv4());
    four.or(found.first()).copied()
}
