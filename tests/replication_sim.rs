//! A deterministic simulator of replication without sockets: a master, two replicas and a replica
//! of a replica, driven through the decisions of `replication` (history, backlog, handshake, stream).
//!
//! Links deliver any number of bytes and are cut anywhere; servers restart from files, clean or
//! old; replicas become masters. A seed that fails is printed; `FERRITE_SIM_SEED=n` plays it again.

use std::collections::VecDeque;

use ferrite::base::rng::Rng;
use ferrite::replication::backlog::Backlog;
use ferrite::replication::handshake::{Handshake, Identity, Step, request};
use ferrite::replication::history::History;
use ferrite::replication::master::{Answer, decide};
use ferrite::replication::stream::Splitter;

const SEEDS: u64 = 300;
const STEPS: usize = 400;
const BACKLOG: u64 = 4000;
const NODES: usize = 4;

/// One command as it was applied: database and words.
type Applied = (usize, String);

/// What a file holds.
#[derive(Clone)]
struct File {
    data: Vec<Applied>,
    id: String,
    offset: u64,
    db: usize,
}

enum Stage {
    /// The data is on its way; these are still missing.
    Transfer(File, u32),
    Stream,
}

/// A connection from a node to its master.
struct Link {
    stage: Stage,
    wire: VecDeque<u8>,
    splitter: Splitter,
}

struct Node {
    history: History,
    backlog: Backlog,
    data: Vec<Applied>,
    /// The database that the stream has selected; `None`: a master selects it again.
    selected: Option<usize>,
    master: Option<usize>,
    link: Option<Link>,
    file: File,
    /// Nothing but cuts happened since the stream last came from this master.
    only_cut: bool,
}

impl Node {
    fn offset(&self) -> u64 {
        self.backlog.end()
    }

    fn save(&mut self) {
        self.file = File {
            data: self.data.clone(),
            id: self.history.id.clone(),
            offset: self.offset(),
            db: self.selected.unwrap_or(0),
        };
    }
}

struct Sim {
    rng: Rng,
    nodes: Vec<Node>,
    written: u64,
    partial: u64,
    full: u64,
}

/// The words of all commands in whole units.
fn commands(bytes: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut lines = text.split("\r\n");
    let mut all = Vec::new();
    while let Some(count) = lines.next().and_then(|l| l.strip_prefix('*')) {
        let count: usize = count.parse().expect("a count");
        let words = (0..count).map(|_| {
            let len = lines.next().and_then(|l| l.strip_prefix('$'));
            let word = lines.next().unwrap_or_default();
            assert_eq!(len, Some(word.len().to_string().as_str()), "half a word");
            word.to_string()
        });
        all.push(words.collect());
    }
    all
}

/// The words of the request that a handshake sends.
fn asked(bytes: &[u8]) -> Vec<String> {
    commands(bytes).remove(0)
}

impl Sim {
    fn new(seed: u64) -> Sim {
        let mut rng = Rng::new(seed);
        let masters = [None, Some(0), Some(0), Some(1)];
        let nodes = masters.map(|master| {
            let history = History::of(new_id(&mut rng));
            let file = File {
                data: Vec::new(),
                id: history.id.clone(),
                offset: 0,
                db: 0,
            };
            Node {
                history,
                backlog: Backlog::new(0, BACKLOG),
                data: Vec::new(),
                selected: None,
                master,
                link: None,
                file,
                only_cut: false,
            }
        });
        Sim {
            rng,
            nodes: nodes.into(),
            written: 0,
            partial: 0,
            full: 0,
        }
    }

    fn below(&mut self, n: usize) -> usize {
        (self.rng.next_u64() % n as u64) as usize
    }

    /// Appends to a node's stream and sends it on.
    fn append(&mut self, at: usize, bytes: &[u8]) {
        let mut needed = u64::MAX;
        for node in self.nodes.iter().filter(|n| n.master == Some(at)) {
            if let Some(Link {
                stage: Stage::Transfer(file, _),
                ..
            }) = &node.link
            {
                needed = needed.min(file.offset);
            }
        }
        self.nodes[at].backlog.append(bytes, needed);
        for node in self.nodes.iter_mut().filter(|n| n.master == Some(at)) {
            if let Some(link) = &mut node.link
                && matches!(link.stage, Stage::Stream)
            {
                link.wire.extend(bytes);
            }
        }
    }

    fn write(&mut self, at: usize) {
        let db = self.below(3);
        let count = [1, 1, 1, 3][self.below(4)];
        let mut bytes = Vec::new();
        if self.nodes[at].selected != Some(db) {
            bytes.extend(request(&[b"SELECT", db.to_string().as_bytes()]));
            self.nodes[at].selected = Some(db);
        }
        if count > 1 {
            bytes.extend(request(&[b"MULTI"]));
        }
        for _ in 0..count {
            self.written += 1;
            let value = "x".repeat(self.below(40));
            let key = self.written.to_string();
            bytes.extend(request(&[b"SET", key.as_bytes(), value.as_bytes()]));
            self.nodes[at].data.push((db, format!("{key} {value}")));
        }
        if count > 1 {
            bytes.extend(request(&[b"EXEC"]));
        }
        if self.below(5) == 0 {
            bytes.extend(request(&[b"PING"]));
        }
        self.append(at, &bytes);
    }

    /// Applies whole units.
    fn apply(&mut self, at: usize, units: &[u8]) {
        let node = &mut self.nodes[at];
        let mut open = false;
        for words in commands(units) {
            match words[0].as_str() {
                "MULTI" => open = true,
                "EXEC" => open = false,
                "SELECT" => node.selected = words[1].parse().ok(),
                "SET" => {
                    let db = node.selected.expect("a stream that selects first");
                    node.data.push((db, format!("{} {}", words[1], words[2])));
                }
                _ => {}
            }
        }
        assert!(!open, "half a transaction was applied");
        self.append(at, units);
    }

    /// Some bytes, or a part of a transfer, arrive.
    fn deliver(&mut self, at: usize) {
        let most = [1, 3, 17, 200, usize::MAX][self.below(5)];
        let Some(link) = &mut self.nodes[at].link else {
            return;
        };
        match &mut link.stage {
            Stage::Transfer(_, left) if *left > 0 => *left -= 1,
            Stage::Transfer(file, _) => {
                let file = file.clone();
                self.install(at, file);
            }
            Stage::Stream => {
                let n = link.wire.len().min(most);
                let bytes: Vec<u8> = link.wire.drain(..n).collect();
                link.splitter.feed(&bytes);
                let units = link.splitter.take().expect("a stream of commands");
                if !units.is_empty() {
                    self.apply(at, &units);
                }
                self.check_prefix(at);
            }
        }
    }

    fn install(&mut self, at: usize, file: File) {
        self.drop_links_to(at);
        for node in self.nodes.iter_mut().filter(|n| n.master == Some(at)) {
            node.only_cut = false;
        }
        let Some(master) = self.nodes[at].master else {
            return;
        };
        assert!(
            self.nodes[master].backlog.contains(file.offset),
            "what a transfer needs is kept"
        );
        let chunks = self.nodes[master].backlog.from(file.offset);
        let node = &mut self.nodes[at];
        node.data = file.data;
        node.history = History::of(file.id);
        node.backlog = Backlog::new(file.offset, BACKLOG);
        node.selected = Some(file.db);
        node.only_cut = true;
        let mut wire = VecDeque::new();
        for chunk in chunks {
            wire.extend(chunk.bytes());
        }
        node.link = Some(Link {
            stage: Stage::Stream,
            wire,
            splitter: Splitter::default(),
        });
        self.check_prefix(at);
    }

    /// A connected replica's data is a prefix of its master's.
    fn check_prefix(&self, at: usize) {
        let node = &self.nodes[at];
        let Some(master) = node.master.filter(|_| node.link.is_some()) else {
            return;
        };
        let whole = &self.nodes[master].data;
        assert!(
            whole.starts_with(&node.data),
            "node {at} has {} that node {master} has not: {:?} against {:?}",
            node.data.len(),
            node.data.last(),
            whole.get(node.data.len().saturating_sub(1)),
        );
    }

    fn drop_links_to(&mut self, at: usize) {
        for node in self.nodes.iter_mut().filter(|n| n.master == Some(at)) {
            node.link = None;
        }
    }

    /// Makes a link: the whole handshake, unless it is cut on the way.
    fn connect(&mut self, at: usize, sure: bool) {
        let (Some(master), None) = (self.nodes[at].master, &self.nodes[at].link) else {
            return;
        };
        let identity = Identity {
            port: 1,
            at: Some((self.nodes[at].history.id.clone(), self.nodes[at].offset())),
            ..Identity::default()
        };
        let (mut handshake, first) = Handshake::begin(identity);
        let mut step = Step::Send(first);
        loop {
            if !sure && self.below(40) == 0 {
                return;
            }
            step = match step {
                Step::Send(bytes) => {
                    let words = asked(&bytes);
                    match words[0].as_str() {
                        "PING" => handshake.line(b"+PONG"),
                        "INFO" => {
                            let text = self.info(master);
                            match handshake.line(format!("${}", text.len()).as_bytes()) {
                                Step::Bulk(len) => handshake.bulk(&text.as_bytes()[..len]),
                                other => panic!("{other:?}"),
                            }
                        }
                        "PSYNC" => {
                            let offset: u64 = words[2].parse().expect("an offset");
                            return self.answer(at, master, &mut handshake, &words[1], offset - 1);
                        }
                        _ => handshake.line(b"+OK"),
                    }
                }
                Step::Line => handshake.line(b""),
                other => panic!("{other:?}"),
            };
        }
    }

    fn info(&self, at: usize) -> String {
        let (history, offset) = (&self.nodes[at].history, self.nodes[at].offset());
        format!(
            "# Replication\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\nmaster_repl_offset:{offset}\r\n",
            history.id, history.id2
        )
    }

    fn answer(&mut self, at: usize, master: usize, link: &mut Handshake, id: &str, offset: u64) {
        let there = &self.nodes[master];
        let must =
            self.nodes[at].only_cut && there.offset() - offset.min(there.offset()) <= BACKLOG;
        match decide(&there.history, Some(&there.backlog), Some((id, offset))) {
            Answer::Continue(from) => {
                self.partial += 1;
                let line = format!("+CONTINUE {}", there.history.id);
                let Step::Continue { id: Some(id) } = link.line(line.as_bytes()) else {
                    panic!("the stream goes on");
                };
                let mut wire = VecDeque::new();
                for chunk in there.backlog.from(from) {
                    wire.extend(chunk.bytes());
                }
                let node = &mut self.nodes[at];
                node.only_cut = true;
                node.link = Some(Link {
                    stage: Stage::Stream,
                    wire,
                    splitter: Splitter::default(),
                });
                if id != node.history.id {
                    node.history.branch(offset, id);
                    self.drop_links_to(at);
                }
                self.check_prefix(at);
            }
            Answer::Full => {
                assert!(!must, "node {at} could have gone on at {offset}");
                self.full += 1;
                let file = File {
                    data: there.data.clone(),
                    id: there.history.id.clone(),
                    offset: there.offset(),
                    // A master selects again, a replica's stream is as it is.
                    db: there.selected.unwrap_or(0),
                };
                let line = format!("+FULLRESYNC {} {}", file.id, file.offset);
                assert!(matches!(link.line(line.as_bytes()), Step::Full { .. }));
                if there.master.is_none() {
                    self.nodes[master].selected = None;
                }
                let left = self.below(4) as u32;
                self.nodes[at].link = Some(Link {
                    stage: Stage::Transfer(file, left),
                    wire: VecDeque::new(),
                    splitter: Splitter::default(),
                });
            }
        }
    }

    /// The server starts anew from its file.
    fn restart(&mut self, at: usize, clean: bool) {
        if clean {
            self.nodes[at].save();
        }
        self.drop_links_to(at);
        let id = new_id(&mut self.rng);
        for node in self.nodes.iter_mut().filter(|n| n.master == Some(at)) {
            // The backlog is gone with the process.
            node.only_cut = false;
        }
        let node = &mut self.nodes[at];
        let file = node.file.clone();
        node.link = None;
        node.only_cut = false;
        node.data = file.data;
        node.history = History::of(file.id);
        node.backlog = Backlog::new(file.offset, BACKLOG);
        node.selected = Some(file.db);
        if node.master.is_none() {
            node.history.branch(file.offset, id);
            node.selected = None;
        }
    }

    /// A replica of the master becomes the master; the others follow it.
    fn promote(&mut self, new: usize) {
        let Some(old) = self.nodes[new].master else {
            return;
        };
        if self.nodes[old].master.is_some() {
            return;
        }
        let id = new_id(&mut self.rng);
        self.drop_links_to(new);
        let node = &mut self.nodes[new];
        let offset = node.offset();
        node.history.branch(offset, id);
        node.selected = None;
        node.master = None;
        node.link = None;
        for at in 0..NODES {
            let node = &mut self.nodes[at];
            if at != new && (at == old || node.master == Some(old)) {
                node.master = Some(new);
                node.link = None;
                node.only_cut = false;
            }
        }
        self.drop_links_to(old);
    }

    fn step(&mut self) {
        let at = self.below(NODES);
        let master = (0..NODES).find(|at| self.nodes[*at].master.is_none());
        let master = master.expect("there is a master");
        match self.below(100) {
            0..30 => self.write(master),
            30..75 => self.deliver(at),
            75..85 => self.connect(at, false),
            85..92 => self.nodes[at].link = None,
            92..96 => self.nodes[at].save(),
            96 => self.restart(at, true),
            97 => self.restart(at, false),
            98 => self.promote(at),
            _ => (0..20).for_each(|_| self.write(master)),
        }
    }

    /// With links that stay, all data becomes the same.
    fn settle(&mut self) {
        for _ in 0..2000 {
            for at in 0..NODES {
                self.connect(at, true);
                self.deliver(at);
            }
        }
        let master = self.nodes.iter().position(|n| n.master.is_none());
        let master = &self.nodes[master.expect("there is a master")];
        for (at, node) in self.nodes.iter().enumerate() {
            assert!(node.data == master.data, "node {at} has other data");
            assert_eq!(node.offset(), master.offset(), "node {at}");
            assert_eq!(node.history.id, master.history.id, "node {at}");
        }
    }
}

fn new_id(rng: &mut Rng) -> String {
    format!(
        "{:016x}{:016x}{:08x}",
        rng.next_u64(),
        rng.next_u64(),
        rng.next_u64() as u32
    )
}

fn play(seed: u64) -> (u64, u64) {
    let mut sim = Sim::new(seed);
    for _ in 0..STEPS {
        sim.step();
    }
    sim.settle();
    (sim.partial, sim.full)
}

#[test]
fn replicas_hold_a_prefix_of_their_master_and_come_to_agree() {
    let chosen = std::env::var("FERRITE_SIM_SEED").ok();
    let seeds = match chosen.and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..SEEDS,
    };
    let (mut partial, mut full) = (0, 0);
    for seed in seeds.clone() {
        let result = std::panic::catch_unwind(|| play(seed));
        let Ok((more_partial, more_full)) = result else {
            panic!("seed {seed} failed: FERRITE_SIM_SEED={seed} plays it again");
        };
        partial += more_partial;
        full += more_full;
    }
    if seeds.end - seeds.start > 1 {
        assert!(
            partial > 2 * SEEDS && full > SEEDS,
            "{partial} partial, {full} full"
        );
    }
}
