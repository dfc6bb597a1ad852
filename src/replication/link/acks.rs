//! What a replica says to its master without being asked: how far it is, and that it lives.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{End, NO_FILE, Shared, text};
use crate::replication::handshake::request;
use crate::tls::blocking::Stream;

/// It says so this often.
const EVERY: Duration = Duration::from_secs(1);

/// Sends an empty line each second while a data set is loaded.
pub(super) struct KeepAlive {
    done: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl KeepAlive {
    pub fn start(socket: &Stream) -> Result<KeepAlive, End> {
        let mut socket = socket
            .try_clone()
            .map_err(text("Unable to set up the link"))?;
        let (done, gone) = sync_channel::<()>(0);
        let run = move || {
            while let Err(RecvTimeoutError::Timeout) = gone.recv_timeout(EVERY) {
                if socket.write_all(b"\n").is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("ferrite-alive".into())
            .spawn(run);
        let thread = thread.map_err(text("Unable to start a thread"))?;
        Ok(KeepAlive {
            done: Some(done),
            thread: Some(thread),
        })
    }
}

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.done = None;
        if let Some(thread) = self.thread.take() {
            // It ends with its channel; a panic has been reported.
            let _ = thread.join();
        }
    }
}

/// Tells the master how far the replica is.
pub(super) struct Acks {
    pub socket: Stream,
    pub shared: Arc<Shared>,
    pub asked: Arc<Mutex<Receiver<()>>>,
    pub gone: Receiver<()>,
}

impl Acks {
    pub fn run(mut self) {
        let asked = self.asked.clone();
        let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // First what is on the disk: it is never ahead of what was applied.
            let synced = self.shared.synced.load(Ordering::Acquire);
            let offset = self.shared.applied.load(Ordering::Acquire);
            let texts = (offset.to_string(), synced.min(offset).to_string());
            let mut words: Vec<&[u8]> = vec![b"REPLCONF", b"ACK", texts.0.as_bytes()];
            if synced != NO_FILE {
                words.extend([&b"FACK"[..], texts.1.as_bytes()]);
            }
            let ack = request(&words);
            if self.socket.write_all(&ack).is_err() {
                // The reading side notices as well.
                return;
            }
            match asked.recv_timeout(EVERY) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while asked.try_recv().is_ok() {}
            if let Err(TryRecvError::Disconnected) = self.gone.try_recv() {
                return;
            }
        }
    }
}
