//! The simulated world: servers, Sentinels, and a network between them, all from one seed.
//!
//! A connection keeps its order, as TCP does; different connections overtake each other. What a blocked way swallows is
//! never heard of, as behind a firewall; a process that is down answers with a reset.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use ferrite::base::rng::Rng;
use ferrite::sentinel::core::Sentinel;
use ferrite::sentinel::core::conf::rank;
use ferrite::sentinel::core::types::*;

use crate::checks::Checks;
use crate::server::Server;

pub const TICK_MS: u64 = 100;

pub enum Event {
    Tick(usize),
    Servers,
    Connected(usize, bool),
    Request(usize, Request),
    Answer(usize, Request, Owned),
    Hello(usize, Text),
    Reset(usize),
    Fault(Fault),
}

pub enum Owned {
    Status(&'static str),
    Error(&'static str),
    Bulk(String),
    Vote(bool, Text, u64),
    Other,
}

impl Owned {
    fn view(&self) -> Answer<'_> {
        match self {
            Owned::Status(text) => Answer::Status(text),
            Owned::Error(text) => Answer::Error(text),
            Owned::Bulk(text) => Answer::Bulk(text),
            Owned::Vote(down, leader, epoch) => Answer::Vote {
                down: *down,
                leader,
                epoch: *epoch,
            },
            Owned::Other => Answer::Other,
        }
    }
}

#[derive(Clone, Debug)]
pub enum Fault {
    CrashServer(usize),
    CrashMaster,
    CrashOnPromotion,
    RestartServer(usize),
    PauseServer(usize, Ms),
    CrashSentinel(usize),
    RestartSentinel(usize),
    PauseSentinel(usize, Ms),
    StepClock(usize, Ms),
    /// Cuts the ways from each of the first to each of the second; both ways if so said.
    Cut(Vec<usize>, Vec<usize>, bool),
    Heal,
    Loss(u64),
    Failover(usize),
}

struct Conn {
    sentinel: usize,
    link: LinkId,
    wire: Wire,
    host: usize,
    open: bool,
    /// When what was sent last arrives, in each direction.
    there: Ms,
    back: Ms,
}

pub struct Node {
    /// `None` while the process is down.
    pub core: Option<Sentinel>,
    pub conf: Vec<Vec<String>>,
    pub clock_offset: Ms,
    pub paused_until: Ms,
    pub incarnation: u64,
    conns: HashMap<(LinkId, Wire), usize>,
    /// Events of an earlier life do not count.
    pub ticking: bool,
}

struct Entry(Ms, u64, Event);
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub struct Setup {
    pub servers: usize,
    pub sentinels: usize,
    pub quorum: usize,
    pub down_after: Ms,
    pub failover_timeout: Ms,
    pub planted: Option<Planted>,
}

pub struct World {
    pub now: Ms,
    pub rng: Rng,
    pub setup: Setup,
    pub servers: Vec<Server>,
    pub nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
    conns: Vec<Option<Conn>>,
    /// `blocked[from][to]`
    blocked: Vec<Vec<bool>>,
    /// Of 1,000 messages so many are lost.
    loss: u64,
    /// No message is slow.
    pub quiet: bool,
    /// The next server that is to be promoted dies of it.
    crash_on_promotion: bool,
    pub checks: Checks,
    pub trace: Option<Vec<String>>,
    pub steps: u64,
    /// A digest of everything that happened, to compare runs.
    pub digest: u64,
}

impl World {
    pub fn new(seed: u64, setup: Setup) -> World {
        let (servers, sentinels) = (setup.servers, setup.sentinels);
        let mut world = World {
            now: 0,
            rng: Rng::new(seed),
            servers: (0..servers)
                .map(|n| Server::new(n, (n > 0).then_some(0)))
                .collect(),
            nodes: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            conns: Vec::new(),
            blocked: vec![vec![false; servers + sentinels]; servers + sentinels],
            loss: 0,
            quiet: false,
            crash_on_promotion: false,
            checks: Checks::new(&setup),
            setup,
            trace: None,
            steps: 0,
            digest: 0,
        };
        for number in 0..sentinels {
            let conf = world.first_conf();
            world.nodes.push(Node {
                core: None,
                conf,
                clock_offset: 0,
                paused_until: 0,
                incarnation: 0,
                conns: HashMap::new(),
                ticking: false,
            });
            world.start_sentinel(number);
        }
        world.at(0, Event::Servers);
        world
    }

    fn first_conf(&self) -> Vec<Vec<String>> {
        let setup = &self.setup;
        let lines = [
            format!("monitor m {} 6379 {}", Server::ip(0), setup.quorum),
            format!("down-after-milliseconds m {}", setup.down_after),
            format!("failover-timeout m {}", setup.failover_timeout),
        ];
        lines
            .iter()
            .map(|l| l.split(' ').map(str::to_owned).collect())
            .collect()
    }

    fn at(&mut self, time: Ms, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry(time, self.sequence, event)));
    }

    pub fn fault_at(&mut self, time: Ms, fault: Fault) {
        self.at(time, Event::Fault(fault));
    }

    /// A number of the host in the network.
    fn sentinel_host(&self, sentinel: usize) -> usize {
        self.servers.len() + sentinel
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>8} {}", self.now, text()));
        }
    }

    fn mix(&mut self, n: u64) {
        self.digest = (self.digest ^ n)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(23);
    }

    /// Runs until that time, or until an invariant is broken.
    pub fn run_until(&mut self, time: Ms) -> Result<(), String> {
        while let Some(Reverse(entry)) = self.queue.peek() {
            if entry.0 > time {
                break;
            }
            let Some(Reverse(Entry(at, sequence, event))) = self.queue.pop() else {
                break;
            };
            self.now = at;
            self.steps += 1;
            self.mix(at as u64 ^ sequence << 32);
            self.step(event);
            if let Some(broken) = self.checks.broken.take() {
                return Err(format!("at {} ms: {broken}", self.now));
            }
        }
        self.now = time;
        Ok(())
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Tick(sentinel) => self.tick(sentinel),
            Event::Servers => self.step_servers(),
            Event::Connected(conn, ok) => self.connected(conn, ok),
            Event::Request(conn, request) => self.request(conn, request),
            Event::Answer(conn, request, answer) => self.answer(conn, request, answer),
            Event::Hello(conn, text) => self.push(conn, text),
            Event::Reset(conn) => self.reset(conn),
            Event::Fault(fault) => self.fault(fault),
        }
    }

    // Sentinels

    fn start_sentinel(&mut self, number: usize) {
        let seed = self.rng.next_u64();
        let planted = self.setup.planted;
        let node = &mut self.nodes[number];
        let mut core = Sentinel::new(seed, Box::new(|_| None));
        if let Some(bug) = planted {
            core.plant(bug);
        }
        let mut lines = node.conf.clone();
        lines.sort_by_key(|words| rank(words));
        for words in &lines {
            core.apply(words)
                .unwrap_or_else(|e| panic!("own line {words:?}: {e}"));
        }
        core.sh.options.announce_ip = Some(sentinel_ip(number).into());
        node.core = Some(core);
        node.incarnation += 1;
        node.conns.clear();
        self.persist(number);
        if !self.nodes[number].ticking {
            self.nodes[number].ticking = true;
            let delay = self.rng.below(TICK_MS) as Ms;
            self.at(self.now + delay, Event::Tick(number));
        }
    }

    fn clock(&self, number: usize) -> Ms {
        self.now + self.nodes[number].clock_offset
    }

    fn persist(&mut self, number: usize) {
        if let Some(core) = &self.nodes[number].core {
            self.nodes[number].conf = core
                .lines()
                .into_iter()
                .filter(|l| l.words[0] != "announce-ip")
                .map(|l| l.words)
                .collect();
        }
    }

    fn tick(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.core.is_none() {
            node.ticking = false;
            return;
        }
        if node.paused_until > self.now {
            let until = node.paused_until;
            return self.at(until, Event::Tick(number));
        }
        let clock = self.now + node.clock_offset;
        if let Some(core) = &mut node.core {
            self.checks.before_tick(number, core, clock);
            core.tick(clock);
            self.checks.ticked(number, core);
        }
        self.act(number);
        if let Some(core) = &self.nodes[number].core {
            self.checks.after_tick(number, core, self.now);
        }
        let pause = TICK_MS / 2 + self.rng.below(TICK_MS / 2);
        self.at(self.now + pause as Ms, Event::Tick(number));
    }

    /// Does what a Sentinel wants done.
    fn act(&mut self, number: usize) {
        loop {
            let Some(core) = &mut self.nodes[number].core else {
                return;
            };
            let Some(action) = core.next_action() else {
                return;
            };
            match action {
                Action::Connect {
                    link, wire, addr, ..
                } => self.connect(number, link, wire, &addr),
                Action::Disconnect { link, wire } => {
                    if let Some(conn) = self.nodes[number].conns.remove(&(link, wire)) {
                        self.conns[conn] = None;
                    }
                }
                Action::Send { link, request, .. } => {
                    let key = (link, Wire::Commands);
                    if let Some(&conn) = self.nodes[number].conns.get(&key) {
                        self.checks
                            .sending(number, &self.nodes, &self.servers, self.now, &request);
                        self.send(conn, request);
                    }
                }
                Action::Event {
                    channel, payload, ..
                } => {
                    self.note(|| format!("S{number} {channel} {payload}"));
                    self.mix(channel.len() as u64 + payload.len() as u64 * 64 + number as u64);
                    self.checks.event(
                        number,
                        &self.nodes,
                        &self.servers,
                        self.now,
                        channel,
                        &payload,
                    );
                }
                Action::Log(_, text) => self.note(|| format!("S{number} log {text}")),
                Action::Flush => self.persist(number),
                Action::RunScript { .. } | Action::KillScript { .. } | Action::Crash => {}
            }
        }
    }

    // Network

    fn host_of(&self, addr: &Addr) -> Option<usize> {
        let mut parts = addr.ip.split('.').skip(1);
        let kind = parts.next()?;
        let number: usize = parts.nth(1)?.parse().ok()?;
        Some(if kind == "0" {
            number
        } else {
            self.sentinel_host(number)
        })
    }

    fn delay(&mut self) -> Ms {
        let slow = !self.quiet && self.rng.below(100) == 0;
        let most = if slow { 800 } else { 20 };
        1 + self.rng.below(most) as Ms
    }

    fn lost(&mut self, from: usize, to: usize) -> bool {
        self.blocked[from][to] || self.loss > 0 && self.rng.below(1000) < self.loss
    }

    fn is_up(&self, host: usize) -> bool {
        match host.checked_sub(self.servers.len()) {
            None => self.servers[host].up,
            Some(sentinel) => self.nodes[sentinel].core.is_some(),
        }
    }

    fn paused_until(&self, host: usize) -> Ms {
        match host.checked_sub(self.servers.len()) {
            None => self.servers[host].paused_until,
            Some(sentinel) => self.nodes[sentinel].paused_until,
        }
    }

    fn connect(&mut self, number: usize, link: LinkId, wire: Wire, addr: &Addr) {
        let from = self.sentinel_host(number);
        let host = self.host_of(addr).expect("an address of this world");
        let conn = self.conns.len();
        self.conns.push(Some(Conn {
            sentinel: number,
            link,
            wire,
            host,
            open: false,
            there: self.now,
            back: self.now,
        }));
        self.nodes[number].conns.insert((link, wire), conn);
        if self.lost(from, host) || self.lost(host, from) {
            self.at(self.now + 3000, Event::Connected(conn, false));
        } else {
            let time = self.now + self.delay();
            let up = self.is_up(host);
            self.at(time, Event::Connected(conn, up));
        }
    }

    fn connected(&mut self, id: usize, ok: bool) {
        let Some(conn) = &mut self.conns[id] else {
            return;
        };
        let (number, link, wire) = (conn.sentinel, conn.link, conn.wire);
        conn.open = ok;
        let clock = self.clock(number);
        if let Some(core) = &mut self.nodes[number].core {
            core.advance(clock);
            if ok {
                core.connected(link, wire, "10.1.0.99");
            } else {
                core.closed(link, wire);
            }
        }
        if !ok {
            self.nodes[number].conns.remove(&(link, wire));
            self.conns[id] = None;
        }
        self.act(number);
    }

    fn send(&mut self, id: usize, request: Request) {
        let Some((sentinel, host)) = self.conns[id].as_ref().map(|c| (c.sentinel, c.host)) else {
            return;
        };
        let from = self.sentinel_host(sentinel);
        if self.lost(from, host) {
            return;
        }
        let delay = self.delay();
        let Some(conn) = &mut self.conns[id] else {
            return;
        };
        conn.there = conn.there.max(self.now + delay);
        let time = conn.there;
        self.at(time, Event::Request(id, request));
    }

    fn reply(&mut self, id: usize, request: Request, answer: Owned) {
        let Some((sentinel, host)) = self.conns[id].as_ref().map(|c| (c.sentinel, c.host)) else {
            return;
        };
        let to = self.sentinel_host(sentinel);
        if self.lost(host, to) {
            return;
        }
        let delay = self.delay();
        let Some(conn) = &mut self.conns[id] else {
            return;
        };
        conn.back = conn.back.max(self.now + delay);
        let time = conn.back;
        self.at(time, Event::Answer(id, request, answer));
    }

    fn request(&mut self, id: usize, request: Request) {
        let Some(host) = self.conns[id].as_ref().map(|c| c.host) else {
            return;
        };
        if !self.is_up(host) {
            let delay = self.delay();
            return self.at(self.now + delay, Event::Reset(id));
        }
        let paused = self.paused_until(host);
        if paused > self.now {
            return self.at(paused, Event::Request(id, request));
        }
        match host.checked_sub(self.servers.len()) {
            None => self.serve(id, host, request),
            Some(sentinel) => self.serve_as_sentinel(id, sentinel, request),
        }
    }

    fn serve(&mut self, id: usize, host: usize, request: Request) {
        let now = self.now;
        let server = &mut self.servers[host];
        let answer = match &request {
            Request::Ping if server.loading_until > now => Owned::Error("LOADING data"),
            Request::Ping => Owned::Status("PONG"),
            Request::Info => Owned::Bulk(server.info(now)),
            Request::Hello(_) if server.writes_paused_until > now => {
                // PUBLISH counts as a write; the connection waits.
                let until = server.writes_paused_until;
                return self.at(until, Event::Request(id, request));
            }
            Request::Hello(text) => {
                self.spread(host, text);
                Owned::Other
            }
            Request::Pause(ms) if server.can_pause => {
                server.writes_paused_until = server.writes_paused_until.max(now + ms);
                Owned::Status("OK")
            }
            Request::Pause(_) => Owned::Error("ERR syntax error"),
            Request::Unpause => {
                server.writes_paused_until = 0;
                Owned::Status("OK")
            }
            Request::Slaveof(to) => {
                let master = to.as_ref().map(|a| self.host_of(a).expect("of this world"));
                self.slaveof(host, master, id);
                Owned::Other
            }
            Request::AskDown { .. } | Request::ScriptKill => Owned::Error("ERR unknown command"),
        };
        self.reply(id, request, answer);
    }

    fn slaveof(&mut self, host: usize, master: Option<usize>, keep: usize) {
        let now = self.now;
        if master.is_none() && std::mem::take(&mut self.crash_on_promotion) {
            self.note(|| format!("server {host} dies of its promotion"));
            return self.crash_server(host);
        }
        self.note(|| format!("server {host} slaveof {master:?}"));
        let before: u64 = self.servers[host].offset;
        self.checks.slaveof(&self.servers, host, master, now);
        let server = &mut self.servers[host];
        if server.master != master && master != Some(host) {
            server.master = master;
            server.link_up = false;
            server.link_down_since = now;
            server.offset = before;
        }
        // CLIENT KILL
        for id in 0..self.conns.len() {
            if id != keep
                && self.conns[id]
                    .as_ref()
                    .is_some_and(|c| c.host == host && c.open)
            {
                let delay = self.delay();
                self.at(now + delay, Event::Reset(id));
            }
        }
    }

    /// An announcement reaches all who listen at that server.
    fn spread(&mut self, host: usize, text: &Text) {
        for id in 0..self.conns.len() {
            let Some(conn) = &self.conns[id] else {
                continue;
            };
            if conn.host != host || conn.wire != Wire::Hello || !conn.open {
                continue;
            }
            let to = self.sentinel_host(conn.sentinel);
            if self.lost(host, to) {
                continue;
            }
            let delay = self.delay();
            if let Some(conn) = &mut self.conns[id] {
                conn.back = conn.back.max(self.now + delay);
                let time = conn.back;
                self.at(time, Event::Hello(id, text.clone()));
            }
        }
    }

    fn serve_as_sentinel(&mut self, id: usize, number: usize, request: Request) {
        let clock = self.clock(number);
        let Some(core) = &mut self.nodes[number].core else {
            return;
        };
        core.advance(clock);
        let answer = match &request {
            Request::Ping => Owned::Status("PONG"),
            Request::Hello(text) => {
                core.hello(text);
                Owned::Other
            }
            Request::AskDown {
                addr, epoch, runid, ..
            } => {
                let (down, leader, epoch) = core.asked(&addr.ip, addr.port, *epoch, runid);
                Owned::Vote(down, leader, epoch)
            }
            _ => Owned::Error("ERR unknown command"),
        };
        self.act(number);
        if let Owned::Vote(_, leader, epoch) = &answer {
            self.checks
                .voted(number, &self.nodes[number], leader, *epoch);
        }
        self.reply(id, request, answer);
    }

    fn answer(&mut self, id: usize, request: Request, answer: Owned) {
        let Some((number, link)) = self.conns[id].as_ref().map(|c| (c.sentinel, c.link)) else {
            return;
        };
        let paused = self.nodes[number].paused_until;
        if paused > self.now {
            return self.at(paused, Event::Answer(id, request, answer));
        }
        let clock = self.clock(number);
        if self.checks.lossless {
            self.note(|| format!("S{number} answer to {request:?}"));
        }
        if let Some(core) = &mut self.nodes[number].core {
            core.advance(clock);
            core.answer(link, &request, &answer.view());
        }
        self.act(number);
    }

    fn push(&mut self, id: usize, text: Text) {
        let Some((number, link)) = self.conns[id].as_ref().map(|c| (c.sentinel, c.link)) else {
            return;
        };
        let paused = self.nodes[number].paused_until;
        if paused > self.now {
            return self.at(paused, Event::Hello(id, text));
        }
        let clock = self.clock(number);
        if let Some(core) = &mut self.nodes[number].core {
            core.advance(clock);
            core.heard_hello(link, &text);
        }
        self.act(number);
    }

    fn reset(&mut self, id: usize) {
        let Some(conn) = self.conns[id].take() else {
            return;
        };
        let clock = self.clock(conn.sentinel);
        self.note(|| format!("S{} loses {:?} to {}", conn.sentinel, conn.wire, conn.host));
        let node = &mut self.nodes[conn.sentinel];
        node.conns.remove(&(conn.link, conn.wire));
        if let Some(core) = &mut node.core {
            core.advance(clock);
            core.closed(conn.link, conn.wire);
        }
        self.act(conn.sentinel);
    }

    // Servers

    fn step_servers(&mut self) {
        let now = self.now;
        for number in 0..self.servers.len() {
            if self.servers[number].takes_writes(now) {
                self.servers[number].offset += 1 + self.rng.below(100);
                self.servers[number].moved = now;
            }
            self.replicate(number);
        }
        self.at(now + 50, Event::Servers);
    }

    fn replicate(&mut self, number: usize) {
        let now = self.now;
        let Some(master) = self.servers[number].master else {
            return;
        };
        let reachable = self.servers[number].runs(now)
            && self.servers[master].runs(now)
            && self.servers[master].loading_until <= now
            && !self.blocked[number][master]
            && !self.blocked[master][number];
        // A replica of a replica has a link while that one has.
        let (offset, whole) = {
            let of = &self.servers[master];
            (of.offset, of.master.is_none() || of.link_up)
        };
        let linked = reachable && whole;
        if self.servers[number].runs(now) && !linked && self.servers[number].link_up {
            self.servers[number].link_up = false;
            self.servers[number].link_down_since = now;
        }
        if linked {
            let lag = self.rng.below(20);
            let server = &mut self.servers[number];
            let target = if server.link_up && offset > lag + server.offset && self.now % 7 != 0 {
                offset - lag
            } else {
                offset
            };
            if server.offset != target {
                server.offset = target;
                server.moved = now;
            }
            server.link_up = true;
            if !self.servers[master].followers.contains(&number) {
                self.servers[master].followers.push(number);
                self.servers[master].followers.sort_unstable();
            }
        } else if self.servers[master].up {
            self.servers[master].followers.retain(|f| *f != number);
        }
    }

    // Faults

    fn fault(&mut self, fault: Fault) {
        self.note(|| format!("fault {fault:?}"));
        let now = self.now;
        match fault {
            Fault::CrashServer(number) => self.crash_server(number),
            Fault::CrashMaster => {
                let master = self.servers.iter().find(|s| s.takes_writes(now));
                if let Some(number) = master.map(|s| s.number) {
                    self.crash_server(number);
                }
            }
            Fault::CrashOnPromotion => self.crash_on_promotion = true,
            Fault::RestartServer(number) => {
                let loading = self.rng.below(1500) as Ms;
                let server = &mut self.servers[number];
                if !server.up {
                    server.up = true;
                    server.incarnation += 1;
                    server.link_up = false;
                    server.link_down_since = now;
                    server.followers.clear();
                    server.writes_paused_until = 0;
                    server.loading_until = now + loading;
                }
            }
            Fault::PauseServer(number, ms) => self.servers[number].paused_until = now + ms,
            Fault::CrashSentinel(number) => {
                self.nodes[number].core = None;
                self.nodes[number].conns.clear();
                self.checks.crashed(number);
                let host = self.sentinel_host(number);
                for id in 0..self.conns.len() {
                    match &self.conns[id] {
                        Some(conn) if conn.sentinel == number => self.conns[id] = None,
                        Some(conn) if conn.host == host => {
                            let delay = self.delay();
                            self.at(now + delay, Event::Reset(id));
                        }
                        _ => {}
                    }
                }
            }
            Fault::RestartSentinel(number) => {
                if self.nodes[number].core.is_none() {
                    self.start_sentinel(number);
                }
            }
            Fault::PauseSentinel(number, ms) => self.nodes[number].paused_until = now + ms,
            Fault::StepClock(number, ms) => self.nodes[number].clock_offset += ms,
            Fault::Cut(from, to, both) => {
                for &a in &from {
                    for &b in to.iter().filter(|b| **b != a) {
                        self.blocked[a][b] = true;
                        if both {
                            self.blocked[b][a] = true;
                        }
                    }
                }
            }
            Fault::Heal => {
                self.crash_on_promotion = false;
                self.blocked.iter_mut().for_each(|row| row.fill(false));
            }
            Fault::Loss(of_thousand) => self.loss = of_thousand,
            Fault::Failover(number) => {
                if let Some(core) = &mut self.nodes[number].core
                    && core.failover("m") == Some(Ok(()))
                {
                    self.checks.forced(number, core);
                }
                self.act(number);
            }
        }
    }

    fn crash_server(&mut self, number: usize) {
        self.servers[number].up = false;
        for id in 0..self.conns.len() {
            if self.conns[id].as_ref().is_some_and(|c| c.host == number) {
                let to = self.conns[id].as_ref().map_or(0, |c| c.sentinel);
                let to = self.sentinel_host(to);
                if !self.blocked[number][to] {
                    let delay = self.delay();
                    self.at(self.now + delay, Event::Reset(id));
                }
            }
        }
    }

    /// What each Sentinel that runs takes for the master: (address, epoch).
    pub fn views(&self) -> BTreeMap<usize, (usize, u64)> {
        let running = self.nodes.iter().enumerate();
        running
            .filter_map(|(number, node)| {
                let master = node.core.as_ref()?.master("m")?;
                let host = self.host_of(master.current_addr())?;
                Some((number, (host, master.config_epoch)))
            })
            .collect()
    }
}

pub fn sentinel_ip(number: usize) -> String {
    format!("10.1.0.{number}")
}
