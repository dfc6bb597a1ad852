//! Scripts run as processes of their own; a thread each waits for the end.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::sentinel::core::scripts::ScriptEnd;

/// How often a running script is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Starts a script. `ended` is called from another thread. Returns its process id; storing true in `kill` ends it.
pub fn start(
    path: &str,
    args: &[String],
    kill: Arc<AtomicBool>,
    ended: impl FnOnce(ScriptEnd) + Send + 'static,
) -> Option<u32> {
    let child = Command::new(path).args(args).stdin(Stdio::null()).spawn();
    let Ok(mut child) = child else {
        ended(ScriptEnd::NotStarted);
        return None;
    };
    let pid = child.id();
    let waiting = std::thread::Builder::new()
        .name("ferrite-script".into())
        .spawn(move || {
            let end = loop {
                if kill.swap(false, Ordering::Relaxed) {
                    // It may have ended by itself in between.
                    let _ = child.kill();
                }
                match child.try_wait() {
                    Ok(Some(status)) => {
                        break match (status.code(), status.signal()) {
                            (Some(code), _) => ScriptEnd::Exit(code),
                            (None, Some(signal)) => ScriptEnd::Signal(signal),
                            (None, None) => ScriptEnd::NotStarted,
                        };
                    }
                    Ok(None) => std::thread::sleep(LOOK),
                    Err(_) => break ScriptEnd::NotStarted,
                }
            };
            ended(end);
        });
    waiting.is_ok().then_some(pid)
}
