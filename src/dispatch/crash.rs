//! What a crash report says of the server: the command that ran and the last INFO.
//!
//! Kept in statics, because the panicking thread may not reach the server any more.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use crate::base::process::CrashContext;
use crate::command::registry;

/// No command runs.
const NONE: u16 = u16::MAX;

static COMMAND: AtomicU16 = AtomicU16::new(NONE);
static INFO: Mutex<String> = Mutex::new(String::new());
static ENABLED: AtomicBool = AtomicBool::new(true);
static EXIT_QUIETLY: AtomicBool = AtomicBool::new(false);

/// Notes which command runs.
#[inline]
pub fn running(command: Option<u16>) {
    COMMAND.store(command.unwrap_or(NONE), Ordering::Relaxed);
}

/// Notes the state of the server, now and then.
pub fn note_info(text: String) {
    if let Ok(mut info) = INFO.try_lock() {
        *info = text;
    }
}

/// `crash-log-enabled` and `use-exit-on-panic`.
pub fn configure(enabled: bool, exit_quietly: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
    EXIT_QUIETLY.store(exit_quietly, Ordering::Relaxed);
}

/// The context of the panic hook.
pub struct Crash;

impl CrashContext for Crash {
    fn info(&self) -> String {
        INFO.try_lock().map(|info| info.clone()).unwrap_or_default()
    }

    fn command(&self) -> Option<String> {
        let id = COMMAND.load(Ordering::Relaxed);
        registry::all()
            .get(usize::from(id))
            .map(|c| c.full_name.clone())
    }

    fn enabled(&self) -> bool {
        ENABLED.load(Ordering::Relaxed)
    }

    fn exit_quietly(&self) -> bool {
        EXIT_QUIETLY.load(Ordering::Relaxed)
    }
}
