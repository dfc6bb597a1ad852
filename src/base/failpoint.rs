//! Named places where tests make things go wrong: `FERRITE_FAILPOINTS="aof.write=enospc@5x3;aof.fsync=abort"`.
//!
//! Actions: `abort` (the process ends at once, as if killed), `eio`, `enospc`, `short` (half of a write is done, then
//! `enospc`), `delay:<ms>`. `@n` begins at the n-th passage, `xk` goes on for k passages (1). Without the variable a
//! point costs one load of a flag.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

static ARMED: AtomicBool = AtomicBool::new(false);
static POINTS: OnceLock<Mutex<Vec<Point>>> = OnceLock::new();

struct Point {
    name: String,
    action: Action,
    /// Passages until it acts, and how often it acts then.
    wait: u64,
    left: u64,
}

#[derive(Clone, Copy)]
enum Action {
    Abort,
    Error(i32),
    Short,
    Delay(u64),
}

/// Takes what the environment asks for; called once at start.
pub fn arm_from_environment() {
    if let Ok(spec) = std::env::var("FERRITE_FAILPOINTS") {
        arm(&spec);
    }
}

/// Sets the points; an empty text clears them. What cannot be understood is left out.
pub fn arm(spec: &str) {
    let points: Vec<Point> = spec.split(';').filter_map(parse).collect();
    ARMED.store(!points.is_empty(), Ordering::Relaxed);
    *all() = points;
}

fn all() -> std::sync::MutexGuard<'static, Vec<Point>> {
    let points = POINTS.get_or_init(Mutex::default);
    points.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parse(text: &str) -> Option<Point> {
    let (name, rest) = text.trim().split_once('=')?;
    let (rest, times) = rest
        .rsplit_once('x')
        .filter(|(_, n)| n.parse::<u64>().is_ok())
        .unwrap_or((rest, "1"));
    let (action, first) = rest.split_once('@').unwrap_or((rest, "1"));
    let action = match action.split_once(':') {
        Some(("delay", ms)) => Action::Delay(ms.parse().ok()?),
        None if action == "abort" => Action::Abort,
        None if action == "eio" => Action::Error(libc::EIO),
        None if action == "enospc" => Action::Error(libc::ENOSPC),
        None if action == "short" => Action::Short,
        _ => return None,
    };
    Some(Point {
        name: name.into(),
        action,
        wait: first.parse::<u64>().ok()?.checked_sub(1)?,
        left: times.parse().ok()?,
    })
}

/// The passage of a point.
///
/// # Errors
/// The error that a test asked for here.
#[inline]
pub fn pass(name: &str) -> io::Result<()> {
    if !ARMED.load(Ordering::Relaxed) {
        return Ok(());
    }
    act(name).map(|_| ())
}

/// As [`pass`], before a write: true if only half of it is to be done.
#[inline]
pub fn pass_write(name: &str) -> io::Result<bool> {
    if !ARMED.load(Ordering::Relaxed) {
        return Ok(false);
    }
    act(name)
}

#[cold]
fn act(name: &str) -> io::Result<bool> {
    let action = {
        let mut points = all();
        let Some(point) = points.iter_mut().find(|p| p.name == name && p.left > 0) else {
            return Ok(false);
        };
        if point.wait > 0 {
            point.wait -= 1;
            return Ok(false);
        }
        point.left -= 1;
        point.action
    };
    match action {
        Action::Abort => super::sys::kill_self(),
        Action::Error(code) => Err(io::Error::from_raw_os_error(code)),
        Action::Short => Ok(true),
        Action::Delay(ms) => {
            std::thread::sleep(Duration::from_millis(ms));
            Ok(false)
        }
    }
}

/// Points belong to the whole process: tests that set them, or that they could hit, hold this while they run.
#[cfg(test)]
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_from_the_named_passage_on_as_often_as_said() {
        let _alone = alone();
        arm("test.a=eio@2x2;test.b=short;nonsense;test.c=what");
        assert!(pass("test.a").is_ok() && pass("test.z").is_ok());
        assert_eq!(pass("test.a").unwrap_err().raw_os_error(), Some(libc::EIO));
        assert!(pass("test.a").is_err() && pass("test.a").is_ok());
        assert!(pass_write("test.b").unwrap() && !pass_write("test.b").unwrap());
        arm("");
        assert!(pass("test.a").is_ok());
    }
}
