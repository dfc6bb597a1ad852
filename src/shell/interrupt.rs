//! Ctrl-C while a command waits for its reply: it ends the connection, not the process.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::Socket;
use tokio::signal::unix::{SignalKind, signal};

use super::link::Link;

/// What a shell ends with after SIGINT.
const INTERRUPTED: i32 = 130;

#[derive(Debug, Default)]
struct Shared {
    /// The connection that is waited for.
    waiting: Mutex<Option<Socket>>,
    hit: AtomicBool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Option<Socket>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn interrupt(&self) {
        let waiting = self.waiting();
        if self.hit.swap(true, Ordering::AcqRel) {
            // The first one did not help.
            std::process::exit(INTERRUPTED);
        }
        if let Some(socket) = &*waiting {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Watches SIGINT on a thread of its own.
#[derive(Debug)]
pub struct Interrupts(Arc<Shared>);

impl Interrupts {
    pub fn start() -> io::Result<Interrupts> {
        let shared = Arc::new(Shared::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // At once: the line editor has a handler of its own while it reads, and puts back the one that it found.
        let mut signals = {
            let _context = runtime.enter();
            signal(SignalKind::interrupt())?
        };
        let watched = shared.clone();
        let run = move || {
            runtime.block_on(async {
                while signals.recv().await.is_some() {
                    watched.interrupt();
                }
            });
        };
        std::thread::Builder::new()
            .name("ferrite-interrupt".into())
            .spawn(run)?;
        Ok(Interrupts(shared))
    }

    /// Until the guard is dropped, Ctrl-C ends this connection; so does one that came just before.
    pub fn watch(&self, link: &Link) -> Watch {
        let mut waiting = self.0.waiting();
        *waiting = link.handle().ok();
        if self.0.hit.load(Ordering::Acquire)
            && let Some(socket) = &*waiting
        {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
        Watch(self.0.clone())
    }

    /// True once after an interruption.
    pub fn take(&self) -> bool {
        self.0.hit.swap(false, Ordering::AcqRel)
    }
}

/// See [`Interrupts::watch`].
pub struct Watch(Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        *self.0.waiting() = None;
    }
}
