//! Questions to the actor, from the thread of this port.

use std::time::Duration;

use crate::base::mailbox::{Sender, mailbox};
use crate::dispatch::actor::Message;
use crate::dispatch::core::Core;
use crate::dispatch::server::Server;
use crate::keyspace::Keyspace;

/// The way to the actor.
#[derive(Clone)]
pub struct Actor(Sender<Message>);

impl Actor {
    pub fn new(mailbox: Sender<Message>) -> Actor {
        Actor(mailbox)
    }

    /// Looks at the server's state, also while a script runs. `None` if there is no answer in time.
    pub async fn look<T: Send + 'static>(
        &self,
        patience: Duration,
        look: impl FnOnce(&Keyspace, &Core) -> T + Send + 'static,
    ) -> Option<T> {
        let (answers, answer) = mailbox();
        let look = move |ks: &Keyspace, core: &Core| answers.send(look(ks, core));
        self.0.send(Message::Look(Box::new(look)));
        first(answer, patience).await
    }

    /// Has something done when the actor is at leisure. `None` if there is no answer in time.
    pub async fn task<T: Send + 'static>(
        &self,
        patience: Duration,
        task: impl FnOnce(&mut Server) -> T + Send + 'static,
    ) -> Option<T> {
        let (answers, answer) = mailbox();
        let task = move |server: &mut Server| answers.send(task(server));
        self.0.send(Message::Task(Box::new(task)));
        first(answer, patience).await
    }
}

async fn first<T>(answer: crate::base::mailbox::Mailbox<T>, patience: Duration) -> Option<T> {
    let mut got = Vec::new();
    let come = std::future::poll_fn(|cx| answer.poll_take(cx, &mut got));
    tokio::time::timeout(patience, come).await.ok()?;
    got.pop()
}
