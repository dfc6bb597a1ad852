//! Breathing while a command runs for long.
//!
//! The actor's turns run on a stack of their own. When a script runs for long, the turn is suspended
//! in its middle ([`breathe`]): the other tasks of the thread get their turn, connections are read and
//! written, and the messages that came are handed to the turn when it goes on. It answers them where
//! it stands: most commands hear that the server is busy, a few may run. Nothing that changes data
//! may, so the running command finds everything as it left it.
//!
//! What has to wait for the end of the command (work for the whole server, news of the client whose
//! command runs) is put back in its order.

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::actor::Message;
use super::client::{Client, ClientFlags, Waiting};
use super::core::Core;
use super::held::Promise;
use super::run::{Runner, runs_in_multi};
use super::shutdown;
use crate::base::mailbox::Mailbox;
use crate::keyspace::Keyspace;
use crate::net::conn;
use crate::resp::reply::Reply;

/// Bytes of the actor's stack; only what is used takes memory.
const STACK: usize = 16 << 20;

scoped_tls::scoped_thread_local!(static WAY_OUT: Yielder<Vec<Message>, ()>);

/// The stack that turns run on.
pub struct TurnStack(Option<DefaultStack>);

impl TurnStack {
    /// # Errors
    /// If there is no room for it.
    pub fn new() -> std::io::Result<TurnStack> {
        DefaultStack::new(STACK).map(|stack| TurnStack(Some(stack)))
    }

    /// Runs `work` on this stack, giving the other tasks their turn as often as it breathes.
    pub async fn run<T: 'static>(
        &mut self,
        mut of: Box<T>,
        work: fn(&mut T),
        mailbox: &Mailbox<Message>,
    ) -> Box<T> {
        let Some(stack) = self.0.take() else {
            work(&mut of);
            return of;
        };
        let mut turn: Coroutine<Vec<Message>, (), Box<T>> =
            Coroutine::with_stack(stack, move |way_out, _| {
                WAY_OUT.set(way_out, || work(&mut of));
                of
            });
        let mut messages = Vec::new();
        loop {
            match turn.resume(std::mem::take(&mut messages)) {
                CoroutineResult::Return(of) => {
                    self.0 = Some(turn.into_stack());
                    return of;
                }
                CoroutineResult::Yield(()) => {
                    tokio::task::yield_now().await;
                    mailbox.take_now(&mut messages);
                }
            }
        }
    }
}

/// Whether what runs now can be suspended.
pub fn can_breathe() -> bool {
    WAY_OUT.is_set()
}

/// Gives the other tasks of the thread their turn and answers those who are not to wait.
pub fn breathe(ks: &mut Keyspace, core: &mut Core) {
    if !can_breathe() {
        return;
    }
    // Replies of this turn wait for its end otherwise.
    if core.held.promise != Promise::Synced {
        core.flush_marked(ks.log.offset(), usize::MAX);
    }
    conn::write_posted();
    let mut messages = Vec::from(std::mem::take(&mut core.inbox));
    messages.extend(WAY_OUT.with(|way_out| way_out.suspend(())));
    let outer_us = (core.now_us, core.unit_us);
    core.now_us = core.clock.mono_us();
    for message in messages {
        answer(ks, core, message);
    }
    shutdown::within_command(ks, core);
    conn::write_posted();
    (core.now_us, core.unit_us) = outer_us;
}

fn answer(ks: &mut Keyspace, core: &mut Core, message: Message) {
    match message {
        Message::Connected(conn) => core.connect(conn),
        Message::Batch {
            id,
            slot,
            batch,
            fault,
        } => {
            let slot = if slot == usize::MAX {
                core.clients.slot_of(id).unwrap_or(slot)
            } else {
                slot
            };
            let waiting = Waiting {
                batch,
                next: 0,
                fault,
            };
            if let Some(mut client) = core.clients.take(slot, id) {
                answer_batch(ks, core, &mut client, waiting);
                core.clients.put_back(slot, client);
                core.check_output_limit(id);
            }
        }
        Message::Closed { id, .. } if core.clients.get(id).is_some() => core.end_client(id),
        Message::Signal(name) => {
            tracing::warn!("Received {name} scheduling shutdown...");
            core.signal = Some(name);
        }
        Message::Look(look) => look(ks, core),
        Message::Early(work) if nothing_is_open(ks, core) => work(ks, core),
        later => core.put_off.push(later),
    }
}

/// The script that runs has changed nothing, and nothing around it has: data and log say the same.
fn nothing_is_open(ks: &Keyspace, core: &Core) -> bool {
    let running = core.scripts.running.as_ref();
    core.depth == 0 && running.is_some_and(|running| !running.wrote) && !ks.log.is_in_unit()
}

/// Answers all commands of a batch; what does not understand itself waits for the end.
fn answer_batch(ks: &mut Keyspace, core: &mut Core, client: &mut Client, mut waiting: Waiting) {
    core.stats.reads += 1;
    core.stats.writes += 1;
    let mut out = std::mem::take(&mut client.out);
    let mut run = Runner { ks, core };
    while waiting.next < waiting.batch.commands.len()
        && !client.is(ClientFlags::CLOSE_AFTER_REPLY)
        && run.core.shutdown.is_none()
    {
        let args = waiting.batch.args(waiting.next);
        let wire = u64::from(waiting.batch.commands[waiting.next].wire);
        client.total_in += wire;
        run.core.stats.net_in += wire;
        waiting.next += 1;
        let begin = out.mark();
        match run.resolve(client, &args) {
            Ok(command) if client.multi.is_some() && !runs_in_multi(command) => {
                let flags = run.core.scripts.flags_of_call(command, &args);
                client.queue(command, flags, &args);
                out.simple("QUEUED");
            }
            Ok(command) => {
                client.last = Some(command);
                run.nested(client, &mut out, command, args);
            }
            Err((command, error)) => run.reject(client, &mut out, command, error),
        }
        if client.is(ClientFlags::REPLY_OFF) {
            out.truncate(begin);
        }
    }
    run.core.stats.net_out += out.len() as u64;
    client.out = out;
    client.active_ms = run.core.now_ms();
    if waiting.fault.is_some() {
        // Its end is told when there is time for it.
        run.core.held.hand_out(client, None);
        client.waiting = Some(waiting);
        run.core.runnable.push_back(client.id);
    } else {
        run.core.held.hand_out(client, Some(waiting.batch));
    }
    if client.out.is_over() {
        client.out = Reply::new();
        client.flags.insert(ClientFlags::CLOSE_AFTER_REPLY);
        run.core.held.hand_out(client, None);
    }
}
