//! The actor's loop: the only part of it that knows tokio.
//!
//! One turn takes all messages that have come, runs their batches in order, gives clients with
//! long batches another slice, expires what is due, and runs the cron when its time has come.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use send_wrapper::SendWrapper;

use super::busy::TurnStack;
use super::client::{Client, ClientFlags, Waiting};
use super::core::Core;
use super::prefetch::PREFETCH;
use super::server::{Server, Turn};
use crate::base::mailbox::Mailbox;
use crate::keyspace::Keyspace;
use crate::keyspace::cycle::Slice;
use crate::net::conn::{self, Conn};
use crate::resp::reply::Reply;
use crate::resp::request::{Batch, Fault};

/// What connections and signals tell the actor.
pub enum Message {
    Connected(Arc<Conn>),
    Batch {
        id: u64,
        slot: usize,
        batch: Box<Batch>,
        fault: Option<Fault>,
    },
    /// The peer sends nothing more, while a batch is on its way.
    Eof {
        id: u64,
        slot: usize,
    },
    Closed {
        id: u64,
        slot: usize,
    },
    /// The input that waits has doubled.
    Grown {
        id: u64,
        slot: usize,
    },
    /// SIGTERM or SIGINT, by name.
    Signal(&'static str),
    /// Whatever another thread or task wants done here.
    Task(Task),
    /// Work that needs nothing but a moment when no effect is half told. It does not wait for a command that runs for
    /// long and has changed nothing yet.
    Early(Early),
    /// Whatever another thread wants to see. It does not wait for a command that runs for long.
    Look(Look),
}

/// A piece of work for the actor's thread.
pub type Task = Box<dyn FnOnce(&mut Server) + Send>;

/// A piece of work that may also come in the middle of a command that has changed nothing.
pub type Early = Box<dyn FnOnce(&mut Keyspace, &mut Core) + Send>;

/// A look at the state of the server.
pub type Look = Box<dyn FnOnce(&Keyspace, &Core) + Send>;

impl Message {
    fn batch(&self) -> Option<&Batch> {
        match self {
            Message::Batch { batch, .. } => Some(batch),
            _ => None,
        }
    }
}

/// The loop's own state.
pub struct Actor {
    server: Server,
    mailbox: Mailbox<Message>,
    inbox: Vec<Message>,
    timer: Pin<Box<Sleep>>,
    timer_at_us: i64,
    next_cron_us: i64,
    expire_more: bool,
}

impl Actor {
    pub fn new(server: Server, mailbox: Mailbox<Message>) -> Actor {
        Actor {
            server,
            mailbox,
            inbox: Vec::new(),
            timer: Box::pin(sleep_until(Instant::now())),
            timer_at_us: 0,
            next_cron_us: 0,
            expire_more: false,
        }
    }

    /// Runs until somebody wishes the process to end. It stays on the thread where it began.
    pub fn run(self) -> impl Future<Output = Server> + Send {
        SendWrapper::new(self.run_here())
    }

    async fn run_here(self) -> Server {
        let mut actor = Box::new(self);
        let mailbox = actor.mailbox.again();
        let mut stack = TurnStack::new().expect("there is room for the actor's stack");
        loop {
            std::future::poll_fn(|cx| actor.poll_work(cx)).await;
            actor = stack.run(actor, Actor::turn, &mailbox).await;
            if actor.server.core.shutdown.is_some() {
                return actor.server;
            }
            if actor.goes_on() {
                // Connections get their turn between slices.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Does what there is to do.
    fn turn(&mut self) {
        let begin_us = self.server.core.clock.mono_us();
        let commands = self.server.core.stats.total_commands;
        self.server
            .share_turn(self.inbox.len() + self.server.core.runnable.len());
        let inbox = std::mem::take(&mut self.inbox);
        self.inbox = self.handle_all(inbox);
        self.run_slices();
        conn::write_posted();
        self.housekeeping();
        self.server.hand_on_log();
        match self.server.core.shutdown {
            Some(_) => self.server.flush_pushes(),
            None => self.server.flush_some_pushes(begin_us),
        }
        conn::write_posted();
        self.count_turn(begin_us, commands);
    }

    /// There is more to do than has come.
    fn goes_on(&self) -> bool {
        let core = &self.server.core;
        !core.runnable.is_empty() || self.expire_more || core.pushes.is_waiting()
    }

    /// Counts the turn that began at `begin_us`, when so many commands had run.
    fn count_turn(&mut self, begin_us: i64, commands: u64) {
        let core = &mut self.server.core;
        let spent = core.now_us.saturating_sub(begin_us).max(0) as u64;
        // CONFIG RESETSTAT may have run in between.
        let commands = core.stats.total_commands.saturating_sub(commands);
        core.stats.turns.record(spent, commands);
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let messages = self.mailbox.poll_take(cx, &mut self.inbox).is_ready();
        if messages || self.goes_on() {
            return Poll::Ready(());
        }
        self.set_timer();
        self.timer.as_mut().poll(cx)
    }

    /// Arms the timer for the next cron, expiry or end of a pause, if that has changed.
    fn set_timer(&mut self) {
        let core = &self.server.core;
        let mut at_us = self.next_cron_us;
        if let Some(due_ms) = self.server.ks.next_expiry() {
            let wait_us = due_ms.saturating_sub(self.server.ks.now_ms).clamp(0, 1000) * 1000;
            at_us = at_us.min(core.now_us + wait_us.max(1000));
        }
        if let Some(at_ms) = core.blocking.next_deadline() {
            at_us = at_us.min(at_ms.saturating_mul(1000));
        }
        if let Some(pause) = core.pause {
            at_us = at_us.min(pause.until_ms.saturating_mul(1000));
        }
        if at_us != self.timer_at_us {
            self.timer_at_us = at_us;
            let wait = at_us.saturating_sub(core.clock.mono_us()).max(0);
            let deadline = Instant::now() + Duration::from_micros(wait as u64);
            self.timer.as_mut().reset(deadline);
        }
    }

    fn housekeeping(&mut self) {
        self.server.tick();
        let now_us = self.server.core.now_us;
        self.server.runner().time_out_blocked();
        let due = self
            .server
            .ks
            .next_expiry()
            .is_some_and(|at| at <= self.server.ks.now_ms);
        self.expire_more = due && self.server.expire() == Slice::More;
        if now_us >= self.next_cron_us {
            self.server.cron();
            self.server.tick();
            let spent = self.server.core.now_us - now_us;
            self.server.core.stats.turns.cron_us += spent.max(0) as u64;
            let hz = i64::from(self.server.core.config.hz.max(1));
            self.next_cron_us = now_us + 1_000_000 / hz;
        }
        if self.server.core.pause.is_some() && self.server.core.asked_pause().is_none() {
            self.server.core.pause = None;
        }
        if self.server.core.active_pause().is_none() {
            let core = &mut self.server.core;
            core.runnable.extend(core.paused.drain(..));
            self.server.runner().apply_held();
        }
    }

    /// Handles all messages in order, a few at a time, so that the memory of the next ones comes
    /// while it is still their turn. They lie where a command that runs for long finds them.
    /// Returns the vector, empty, for the next messages.
    fn handle_all(&mut self, inbox: Vec<Message>) -> Vec<Message> {
        self.server.core.inbox = inbox.into();
        while !self.server.core.inbox.is_empty() {
            let inbox = std::mem::take(&mut self.server.core.inbox);
            let few = inbox.len().min(PREFETCH);
            if few > 1 {
                // Most clients stay in the first database; a wrong guess costs only time.
                let batches = inbox.iter().take(few).filter_map(Message::batch);
                self.server
                    .prefetch(0, batches.filter(|b| !b.is_empty()).map(|b| b.args(0)));
            }
            self.server.core.inbox = inbox;
            for _ in 0..few {
                let Some(message) = self.server.core.inbox.pop_front() else {
                    break;
                };
                self.handle(message);
            }
        }
        let spent = std::mem::take(&mut self.server.core.inbox);
        // What had to wait for the end of a command that ran for long.
        while !self.server.core.put_off.is_empty() {
            for message in std::mem::take(&mut self.server.core.put_off) {
                self.handle(message);
            }
        }
        spent.into()
    }

    fn handle(&mut self, message: Message) {
        match message {
            // Whatever it did would not be in what was saved.
            Message::Batch { .. } if self.server.core.shutdown.is_some() => {}
            Message::Connected(conn) => self.server.core.connect(conn),
            Message::Batch {
                id,
                slot,
                batch,
                fault,
            } => {
                self.server.core.stats.reads += 1;
                // The first batch may have been sent before the client had a place.
                let clients = &mut self.server.core.clients;
                let slot = if slot == usize::MAX {
                    clients.slot_of(id).unwrap_or(slot)
                } else {
                    slot
                };
                let waiting = Waiting {
                    batch,
                    next: 0,
                    fault,
                };
                let Some(waiting) = self.admit(id, waiting) else {
                    return;
                };
                if let Some(client) = self.server.core.clients.take(slot, id) {
                    self.drive(slot, client, waiting);
                }
            }
            // Replies that are due still go out; what waits for others is given up, as in Redis.
            Message::Eof { id, .. } => {
                let core = &mut self.server.core;
                let Some(client) = core.clients.get_mut(id) else {
                    return;
                };
                client.flags.insert(ClientFlags::EOF);
                if client.blocked.is_some() || core.paused.contains(&id) {
                    core.end_client(id);
                }
            }
            Message::Closed { id, .. } => self.server.core.end_client(id),
            Message::Grown { id, .. } => self.server.core.weigh(id),
            Message::Task(task) => {
                self.server.tick();
                task(&mut self.server);
            }
            Message::Early(work) => {
                self.server.tick();
                work(&mut self.server.ks, &mut self.server.core);
            }
            Message::Look(look) => {
                self.server.tick();
                look(&self.server.ks, &self.server.core);
            }
            Message::Signal(name) => {
                tracing::warn!("Received {name} scheduling shutdown...");
                self.server.core.signal = Some(name);
            }
        }
    }

    /// Counts a batch that came towards `maxmemory-clients` before it runs. `None` if its client had
    /// to go for that.
    fn admit(&mut self, id: u64, waiting: Waiting) -> Option<Waiting> {
        let core = &mut self.server.core;
        if core
            .config
            .maxmemory_clients
            .bytes_of(core.config.maxmemory)
            == 0
        {
            return Some(waiting);
        }
        core.clients.get_mut(id)?.waiting = Some(waiting);
        core.weigh(id);
        core.clients.get_mut(id)?.waiting.take()
    }

    /// Runs a client's batch for one turn.
    fn drive(&mut self, slot: usize, mut client: Box<Client>, mut waiting: Waiting) {
        let (id, mut gives_up) = (client.id, false);
        self.server.core.stats.writes += 1;
        match self.server.run_batch(&mut client, &mut waiting) {
            Turn::Done => self
                .server
                .reply_when_safe(&mut client, Some(waiting.batch)),
            Turn::OverLimit => {
                client.out = Reply::new();
                self.server.core.clients.put_back(slot, client);
                return self.server.core.end_over_limit(id);
            }
            turn => {
                self.server.reply_when_safe(&mut client, None);
                client.waiting = Some(waiting);
                gives_up = client.is(ClientFlags::EOF) && !matches!(turn, Turn::Yield);
                match turn {
                    Turn::Paused => self.server.core.paused.push_back(id),
                    Turn::Blocked => {}
                    _ => self.server.core.runnable.push_back(id),
                }
            }
        }
        let check = client.conn.pending_out.load(Ordering::Relaxed) > 0;
        self.server.core.clients.put_back(slot, client);
        if gives_up {
            // What it is told before that still goes out.
            conn::write_posted();
            return self.server.core.end_client(id);
        }
        self.server.core.weigh(id);
        if check {
            self.server.core.check_output_limit(id);
        }
    }

    /// One more slice for each client that was not done.
    fn run_slices(&mut self) {
        for _ in 0..self.server.core.runnable.len() {
            if self.server.core.shutdown.is_some() {
                return;
            }
            let Some(id) = self.server.core.runnable.pop_front() else {
                return;
            };
            let Some(slot) = self.server.core.clients.slot_of(id) else {
                continue;
            };
            let Some(mut client) = self.server.core.clients.take(slot, id) else {
                continue;
            };
            match client.waiting.take() {
                Some(waiting) => self.drive(slot, client, waiting),
                None => self.server.core.clients.put_back(slot, client),
            }
        }
    }
}
