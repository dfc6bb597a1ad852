//! Sentinel's hands: connections, the configuration file, scripts, and the clock, around the [core](super::core).
//!
//! Everything runs on the actor's thread; connections report through its mailbox. Each input goes to the core, and what the
//! core orders is done at once, in order.

mod file;
mod link;
mod reply;
mod resolve;
mod script;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use crate::base::mailbox::{Sender, mailbox};
use crate::base::rng::Rng;
use crate::config::{Config, LoadError};
use crate::dispatch::actor::Message;
use crate::dispatch::core::Core;
use crate::sentinel::core::Sentinel;
use crate::sentinel::core::conf::rank;
use crate::sentinel::core::types::*;
use crate::tls;
pub use link::CHANNEL;
use link::{Job, Order, Report};
use reply::Value;

/// Time between two ticks, in ms: chance keeps Sentinels from doing everything at the same moment.
const TICK_MS: (u64, u64) = (50, 100);

/// A Sentinel with everything around it.
pub struct State {
    pub core: Sentinel,
    file: PathBuf,
    begin: Instant,
    mailbox: Option<Sender<Message>>,
    links: HashMap<(LinkId, Wire), Open>,
    scripts: HashMap<u64, Arc<AtomicBool>>,
    /// The file could not be written the last time.
    unsaved: Option<String>,
    opened: u64,
    tls: Arc<tls::Context>,
    /// `tls-replication`: instances are reached with TLS.
    wants_tls: bool,
}

/// A connection or an attempt at one.
struct Open {
    orders: Sender<Order>,
    task: AbortHandle,
    /// Tells it from earlier ones of the same link.
    number: u64,
    /// Why the last one ended, so that the same reason is logged once.
    addr: Addr,
}

/// Takes the `sentinel` lines over that are right, and returns what is wrong with the others.
fn apply_lines(core: &mut Sentinel, config: &Config) -> Vec<LoadError> {
    let mut errors = Vec::new();
    let mut lines: Vec<(Vec<String>, &_)> = Vec::new();
    for line in &config.sentinel {
        let words: Result<Vec<String>, _> =
            line.words.iter().cloned().map(String::from_utf8).collect();
        match words {
            Ok(words) => lines.push((words, line)),
            Err(_) => errors.push(line.error("Invalid UTF-8 in configuration.")),
        }
    }
    lines.sort_by_key(|(words, _)| rank(words));
    for (words, line) in &lines {
        if let Err(reason) = core.apply(words) {
            errors.push(line.error(reason));
        }
    }
    errors
}

/// What is wrong with the `sentinel` lines of a configuration.
pub fn wrong_lines(config: &Config) -> Vec<LoadError> {
    if config.sentinel.is_empty() {
        return Vec::new();
    }
    apply_lines(&mut Sentinel::new(0, resolve::resolver()), config)
}

impl State {
    /// Takes the `sentinel` lines of the configuration over.
    ///
    /// # Errors
    /// At a line that is wrong, or without a file to write.
    pub fn load(config: &Config) -> Result<State, LoadError> {
        let whole = |reason: String| LoadError::Whole { reason };
        let file = config.file.clone().ok_or_else(|| {
            whole("Sentinel needs config file on disk, can't start without.  Exiting...".into())
        })?;
        let writable = std::fs::OpenOptions::new().append(true).open(&file);
        writable.map_err(|e| {
            whole(format!(
                "Sentinel config file {} is not writable: {e}. Exiting...",
                file.display()
            ))
        })?;
        let seed = getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id()));
        let mut core = Sentinel::new(seed, resolve::resolver());
        core.sh.options.listen_port = config.announced_port();
        if let Some(error) = apply_lines(&mut core, config).into_iter().next() {
            return Err(error);
        }
        // What loading changed is news to nobody.
        core.sh.actions.clear();
        if core.sh.options.sentinel_pass.is_none() && !config.requirepass.is_empty() {
            core.sh.options.sentinel_pass =
                Some(String::from_utf8_lossy(config.requirepass.as_ref()).into());
        }
        Ok(State {
            core,
            file,
            begin: Instant::now(),
            mailbox: None,
            links: HashMap::new(),
            scripts: HashMap::new(),
            unsaved: None,
            opened: 0,
            tls: Arc::default(),
            wants_tls: config.tls_replication,
        })
    }

    fn clock(&self) -> Ms {
        Ms::try_from(self.begin.elapsed().as_millis()).unwrap_or(Ms::MAX)
    }

    /// Writes the state to the file.
    ///
    /// # Errors
    /// The system's words.
    pub fn save(&mut self) -> Result<(), String> {
        let result = file::save(&self.file, &self.core.lines());
        match &result {
            Ok(()) => tracing::info!("Sentinel new configuration saved on disk"),
            Err(error) => tracing::warn!(
                "WARNING: Sentinel was not able to save the new configuration on disk!!!: {error}"
            ),
        }
        let result = result.map_err(|e| crate::net::listen::os_text(&e));
        self.unsaved = result.clone().err();
        result
    }

    /// Why the file is not what the state is, if so: then nothing may be promised.
    pub fn unsaved(&self) -> Option<&str> {
        self.unsaved.as_deref()
    }
}

/// Starts to monitor; to be called where the actor runs.
pub fn start(core: &mut Core, mut state: Box<State>) {
    state.mailbox = core.mailbox.clone();
    state.tls = core.tls.clone();
    state.core.tick(state.clock());
    // The id is in the file before anybody hears it.
    let _ = state.save();
    tracing::warn!("Sentinel ID is {}", state.core.sh.my_id);
    let names: Vec<Text> = state.core.masters.iter().map(|m| m.name.clone()).collect();
    for name in names {
        state.core.announce_monitor(&name);
    }
    let mailbox = state.mailbox.clone();
    core.sentinel = Some(state);
    drive(core);
    if let Some(mailbox) = mailbox {
        tokio::spawn(keep_ticking(mailbox));
    }
}

async fn keep_ticking(mailbox: Sender<Message>) {
    let mut rng = Rng::from_os();
    loop {
        let pause = TICK_MS.0 + rng.below(TICK_MS.1 - TICK_MS.0);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let tick = Message::Task(Box::new(|server| {
            with(&mut server.core, |state| {
                let clock = state.clock();
                state.core.tick(clock);
            });
        }));
        mailbox.send(tick);
    }
}

/// Gives the core an input and does what it orders.
pub fn with<R>(core: &mut Core, input: impl FnOnce(&mut State) -> R) -> Option<R> {
    let state = core.sentinel.as_mut()?;
    let clock = state.clock();
    state.core.advance(clock);
    let result = input(state);
    drive(core);
    Some(result)
}

/// Does what the core ordered.
fn drive(core: &mut Core) {
    while let Some(action) = core.sentinel.as_mut().and_then(|s| s.core.next_action()) {
        if let Action::Event {
            level,
            channel,
            payload,
        } = action
        {
            let line = format!("{channel} {payload}");
            log(level, line.trim_end());
            if level > Level::Debug {
                core.publish(false, channel.as_bytes(), payload.as_bytes());
            }
        } else if let Some(state) = &mut core.sentinel {
            state.act(action);
        }
    }
}

fn log(level: Level, text: &str) {
    match level {
        Level::Debug => tracing::trace!("{text}"),
        Level::Verbose => tracing::debug!("{text}"),
        Level::Notice => tracing::info!("{text}"),
        Level::Warning => tracing::warn!("{text}"),
    }
}

impl State {
    fn act(&mut self, action: Action) {
        match action {
            Action::Connect {
                link,
                wire,
                addr,
                login,
                renames,
            } => self.connect(link, wire, addr, login, renames),
            Action::Disconnect { link, wire } => {
                if let Some(open) = self.links.remove(&(link, wire)) {
                    open.task.abort();
                }
            }
            Action::Send {
                link,
                request,
                renames,
            } => {
                if let Some(open) = self.links.get(&(link, Wire::Commands)) {
                    open.orders.send((request, renames));
                }
            }
            Action::Log(level, text) => log(level, &text),
            Action::Flush => {
                // A failure is logged, and kept in `unsaved`.
                let _ = self.save();
            }
            Action::RunScript { id, path, args } => self.run_script(id, &path, &args),
            Action::KillScript { id } => {
                if let Some(kill) = self.scripts.get(&id) {
                    kill.store(true, Ordering::Relaxed);
                }
            }
            Action::Crash => {
                tracing::warn!("Sentinel exits as simulate-failure wants it");
                std::process::exit(99);
            }
            Action::Event { .. } => {}
        }
    }

    fn connect(&mut self, link: LinkId, wire: Wire, addr: Addr, login: Login, renames: Renames) {
        let Some(mailbox) = self.mailbox.clone() else {
            return;
        };
        self.opened += 1;
        let number = self.opened;
        let (sender, orders) = mailbox_of_orders();
        let kind = match wire {
            Wire::Commands => "cmd",
            Wire::Hello => "pubsub",
        };
        let job = Job {
            wire,
            addr: addr.clone(),
            login,
            renames,
            name: format!("sentinel-{}-{kind}", &self.core.sh.my_id[..8]),
            tls: self.tls.for_client(self.wants_tls),
        };
        let report = move |report: Report| {
            mailbox.send(Message::Task(Box::new(move |server| {
                with(&mut server.core, |state| {
                    state.report(link, wire, number, report);
                });
            })));
        };
        let task = tokio::spawn(link::run(job, orders, report)).abort_handle();
        let open = Open {
            orders: sender,
            task,
            number,
            addr,
        };
        if let Some(old) = self.links.insert((link, wire), open) {
            old.task.abort();
        }
    }

    fn report(&mut self, link: LinkId, wire: Wire, number: u64, report: Report) {
        let current = self.links.get(&(link, wire));
        let Some(open) = current.filter(|open| open.number == number) else {
            return;
        };
        match report {
            Report::Connected { local_ip } => self.core.connected(link, wire, &local_ip),
            Report::Answer(request, value) => {
                let answer = view(&request, &value);
                self.core.answer(link, &request, &answer);
            }
            Report::Hello(text) => self.core.heard_hello(link, &text),
            Report::Closed(reason) => {
                let place = &open.addr;
                tracing::debug!("Connection to {}:{}: {reason}", place.host, place.port);
                self.links.remove(&(link, wire));
                self.core.closed(link, wire);
            }
        }
    }

    fn run_script(&mut self, id: u64, path: &str, args: &[String]) {
        let Some(mailbox) = self.mailbox.clone() else {
            return;
        };
        let kill = Arc::new(AtomicBool::new(false));
        self.scripts.insert(id, kill.clone());
        let ended = move |end| {
            mailbox.send(Message::Task(Box::new(move |server| {
                with(&mut server.core, |state| {
                    state.scripts.remove(&id);
                    state.core.script_ended(id, end);
                });
            })));
        };
        if let Some(pid) = script::start(path, args, kill, ended) {
            self.core.script_started(id, pid);
        }
    }
}

fn mailbox_of_orders() -> (Sender<Order>, crate::base::mailbox::Mailbox<Order>) {
    mailbox()
}

/// A reply as the core understands it.
fn view<'a>(request: &Request, value: &'a Value) -> Answer<'a> {
    match (request, value) {
        (_, Value::Status(text)) => Answer::Status(text),
        (_, Value::Error(text)) => Answer::Error(text),
        (Request::Slaveof(_), Value::Null) => Answer::Error("the transaction was aborted"),
        (Request::Slaveof(_), Value::Array(parts)) => match parts.first() {
            Some(Value::Error(text)) => Answer::Error(text),
            _ => Answer::Other,
        },
        (Request::AskDown { .. }, Value::Array(parts)) => match parts.as_slice() {
            [Value::Int(down), Value::Bulk(leader), Value::Int(epoch)] if *epoch >= 0 => {
                Answer::Vote {
                    down: *down == 1,
                    leader,
                    epoch: epoch.unsigned_abs(),
                }
            }
            _ => Answer::Other,
        },
        (_, Value::Bulk(text)) => Answer::Bulk(text),
        _ => Answer::Other,
    }
}
