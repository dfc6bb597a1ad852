//! A queue from many senders to one receiver that takes everything at once.
//!
//! Senders pay one short lock; the receiver pays one lock and at most one wake-up for all
//! messages that came since it looked last. That is what a batch of commands costs on its way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

struct Shared<T> {
    queue: Mutex<(Vec<T>, Option<Waker>)>,
    /// Something is in the queue: the receiver looks here before it locks.
    filled: AtomicBool,
}

/// The sending end. `Clone` for more senders.
pub struct Sender<T>(Arc<Shared<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(self.0.clone())
    }
}

/// The receiving end.
pub struct Mailbox<T>(Arc<Shared<T>>);

/// A new queue.
pub fn mailbox<T>() -> (Sender<T>, Mailbox<T>) {
    let shared = Arc::new(Shared {
        queue: Mutex::new((Vec::new(), None)),
        filled: AtomicBool::new(false),
    });
    (Sender(shared.clone()), Mailbox(shared))
}

impl<T> Sender<T> {
    pub fn send(&self, message: T) {
        let waker = {
            let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.0.push(message);
            self.0.filled.store(true, Ordering::Release);
            queue.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Mailbox<T> {
    /// Moves all messages to the end of `out`. Pending, and woken later, if there is none.
    pub fn poll_take(&self, cx: &mut Context<'_>, out: &mut Vec<T>) -> Poll<()> {
        if !self.0.filled.load(Ordering::Acquire) {
            let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.0.is_empty() {
                queue.1 = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.filled.store(false, Ordering::Release);
        if out.is_empty() {
            std::mem::swap(&mut queue.0, out);
        } else {
            out.append(&mut queue.0);
        }
        Poll::Ready(())
    }

    /// Another hand on the same queue: what one takes the other does not get.
    pub fn again(&self) -> Mailbox<T> {
        Mailbox(self.0.clone())
    }

    /// Moves all messages that there are to the end of `out`.
    pub fn take_now(&self, out: &mut Vec<T>) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.filled.store(false, Ordering::Release);
        out.append(&mut queue.0);
    }

    /// Whether messages wait.
    pub fn is_filled(&self) -> bool {
        self.0.filled.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_and_wakes_once_per_sleep() {
        let (sender, mailbox) = mailbox();
        let mut got = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(mailbox.poll_take(&mut cx, &mut got).is_pending());
        let threads: Vec<_> = (0..4)
            .map(|t| {
                let sender = sender.clone();
                std::thread::spawn(move || (0..1000).for_each(|n| sender.send((t, n))))
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert!(mailbox.poll_take(&mut cx, &mut got).is_ready());
        assert_eq!(got.len(), 4000);
        for thread in 0..4 {
            let own: Vec<_> = got.iter().filter(|m| m.0 == thread).map(|m| m.1).collect();
            assert_eq!(own, (0..1000).collect::<Vec<_>>());
        }
        assert!(mailbox.poll_take(&mut cx, &mut got).is_pending());
    }
}
