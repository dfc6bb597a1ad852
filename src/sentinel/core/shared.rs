//! What all masters share: time, ids, settings, links, and the list of actions.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::instance::{Master, Node};
use super::link::{Connection, Links};
use super::scripts::Scripts;
use super::types::*;
use crate::base::rng::Rng;

/// Turns a name into an address; called only while `resolve-hostnames` is on.
pub type Resolver = Box<dyn Fn(&str) -> Option<IpAddr> + Send>;

/// Everything that is not of one master.
pub struct Shared {
    pub now: Ms,
    pub my_id: Text,
    pub current_epoch: u64,
    pub options: Options,
    pub timing: Timing,
    pub tilt_since: Option<Ms>,
    pub sim_failure: SimFailure,
    pub links: Links,
    pub scripts: Scripts,
    pub actions: VecDeque<Action>,
    pub rng: Rng,
    pub resolver: Resolver,
    pub(super) planted: Option<Planted>,
}

impl Shared {
    /// Whether a test planted this mistake.
    #[inline]
    pub fn planted(&self, what: Planted) -> bool {
        cfg!(debug_assertions) && self.planted == Some(what)
    }

    pub fn log(&mut self, level: Level, text: String) {
        self.actions.push_back(Action::Log(level, text));
    }

    pub fn flush(&mut self) {
        self.actions.push_back(Action::Flush);
    }

    /// Tells subscribers, the log and, from warnings on, the notification script of the master.
    pub fn event(
        &mut self,
        level: Level,
        channel: &'static str,
        master: Option<&Master>,
        payload: String,
    ) {
        if level == Level::Warning
            && let Some(path) = master.and_then(|m| m.notification_script.clone())
        {
            self.scripts
                .schedule(path, vec![channel.to_owned(), payload.clone()]);
        }
        self.actions.push_back(Action::Event {
            level,
            channel,
            payload,
        });
    }

    /// Runs the script that tells clients of a new address.
    pub fn call_reconfig_script(
        &mut self,
        master: &Master,
        role: &str,
        state: &str,
        from: &Addr,
        to: &Addr,
    ) {
        let Some(path) = master.reconfig_script.clone() else {
            return;
        };
        let options = &self.options;
        let args = vec![
            master.name.to_string(),
            role.to_owned(),
            state.to_owned(),
            super::instance::shown(from, options).to_owned(),
            from.port.to_string(),
            super::instance::shown(to, options).to_owned(),
            to.port.to_string(),
        ];
        self.scripts.schedule(path, args);
    }

    /// The address that a host (a number, or a name if those are allowed) and a port stand for.
    pub fn resolve(&self, host: &str, port: u16) -> Option<Addr> {
        if host.is_empty() || host.len() > 255 {
            return None;
        }
        let ip = match host.parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) if self.options.resolve_hostnames => (self.resolver)(host)?,
            Err(_) => return None,
        };
        Some(Addr {
            host: host.into(),
            ip: ip.to_string().into(),
            port,
        })
    }

    /// As [`Shared::resolve`]; a name that nobody knows now is kept, because somebody may know it later.
    pub fn resolve_or_keep(&self, host: &str, port: u16) -> Option<Addr> {
        self.resolve(host, port).or_else(|| {
            let plausible = self.options.resolve_hostnames
                && !host.is_empty()
                && host.len() <= 255
                && host.bytes().all(|b| b.is_ascii_graphic());
            plausible.then(|| Addr::new(host, port))
        })
    }

    /// Sends a request if the link is up and not choked. False if it was not sent.
    pub fn send(&mut self, link: LinkId, request: Request, renames: &Renames) -> bool {
        let state = self.links.of_mut(link);
        if !state.may_send() {
            return false;
        }
        state.pending += 1;
        self.actions.push_back(Action::Send {
            link,
            request,
            renames: renames.clone(),
        });
        true
    }

    /// Closes one connection of a link; it will be opened anew.
    pub fn close(&mut self, link: LinkId, wire: Wire) {
        let state = self.links.of_mut(link);
        let connection = match wire {
            Wire::Commands => {
                state.pending = 0;
                &mut state.commands
            }
            Wire::Hello => &mut state.hello,
        };
        if *connection != Connection::Closed {
            *connection = Connection::Closed;
            state.last_reconnect = NEVER;
            self.actions.push_back(Action::Disconnect { link, wire });
        }
    }

    /// Closes both connections of a link.
    pub fn disconnect(&mut self, link: LinkId) {
        self.close(link, Wire::Commands);
        self.close(link, Wire::Hello);
    }

    /// Gives a link back.
    pub fn release(&mut self, link: LinkId) {
        if self.links.release(link) {
            for wire in [Wire::Commands, Wire::Hello] {
                self.actions.push_back(Action::Disconnect { link, wire });
            }
        }
    }

    /// Asks for INFO at once.
    pub fn ask_info(&mut self, node: &mut Node, renames: &Renames) {
        if self.send(node.link, Request::Info, renames) {
            node.info_sent = self.now;
        }
    }
}
