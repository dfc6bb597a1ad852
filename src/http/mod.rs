//! The observability port: metrics, health, and the web console, over a small HTTP/1.1 of our own.
//!
//! It runs on a thread of its own. The actor gives numbers ([`snapshot`]) and runs the console's commands ([`visit`]);
//! everything else happens here: reading heads ([`head`]), routes and who may see what ([`route`]), the formats.
//!
//! Nothing here changes data, and nothing is read from a peer but the head of a request.

mod answer;
mod api;
mod ask;
mod auth;
mod head;
mod json;
mod metrics;
mod ready;
mod resp;
mod route;
mod serve;
mod snapshot;
mod visit;

use std::io;
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;

use socket2::SockRef;

use crate::base::mailbox::{Mailbox, Sender, mailbox};
use crate::config::Config;
use crate::dispatch::core::Core;
use crate::net::listen::{bind_all, os_text};
use ask::Actor;
use route::Site;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 64;

/// The port while it is open; it is closed on drop.
pub struct Port {
    sockets: Vec<TcpListener>,
    stop: Sender<()>,
}

impl Drop for Port {
    fn drop(&mut self) {
        // The thread holds second handles; shutting down frees the addresses at once.
        for socket in &self.sockets {
            let _ = SockRef::from(socket).shutdown(Shutdown::Both);
        }
        self.stop.send(());
    }
}

/// Opens the port of `metrics-port` and `metrics-bind`, closing the one that was open.
///
/// # Errors
/// The text for the log; no port is open then.
pub fn open(core: &mut Core) -> Result<(), String> {
    core.port = None;
    let (config, Some(actor)) = (&core.config, core.mailbox.clone()) else {
        return Ok(());
    };
    if config.metrics_port == 0 {
        return Ok(());
    }
    let sockets = bind(config)?;
    let hosts = config.metrics_hosts.0.iter();
    let hosts = hosts.map(|name| String::from_utf8_lossy(name).into_owned());
    let site = Site::new(Actor::new(actor), config.shared(), hosts.collect());
    let failed = |error: io::Error| format!("Can't serve metrics: {error}");
    let (stop, stopped) = mailbox();
    let clones: io::Result<Vec<_>> = sockets.iter().map(TcpListener::try_clone).collect();
    start(clones.map_err(failed)?, site, stopped).map_err(failed)?;
    tracing::info!("Metrics and console on port {}", config.metrics_port);
    core.port = Some(Port { sockets, stop });
    Ok(())
}

fn bind(config: &Config) -> Result<Vec<TcpListener>, String> {
    let port = config.metrics_port;
    let mut sockets = Vec::new();
    for (address, optional) in config.metrics_bind.addresses() {
        match bind_all(address, port, BACKLOG) {
            Ok(bound) => sockets.extend(bound),
            Err(error) => {
                let harmless = [libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT];
                let code = error.raw_os_error().unwrap_or_default();
                if !(optional && harmless.contains(&code)) {
                    let reason = os_text(&error);
                    return Err(format!("Can't serve metrics on {address}:{port}: {reason}"));
                }
            }
        }
    }
    match sockets.is_empty() {
        true => Err("metrics-bind names no address of this machine".into()),
        false => Ok(sockets),
    }
}

fn start(sockets: Vec<TcpListener>, site: Site, stop: Mailbox<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut listeners = Vec::new();
    {
        let _inside = runtime.enter();
        for socket in sockets {
            socket.set_nonblocking(true)?;
            listeners.push(tokio::net::TcpListener::from_std(socket)?);
        }
    }
    let run = move || runtime.block_on(serve::serve(listeners, Arc::new(site), stop));
    std::thread::Builder::new()
        .name("ferrite-http".into())
        .spawn(run)?;
    Ok(())
}
