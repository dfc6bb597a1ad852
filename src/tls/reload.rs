//! `tls-auto-reload-interval`: files that changed are read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Context, build};

/// When the files were looked at last, and whether that goes on.
#[derive(Debug)]
pub struct Watch {
    last: Instant,
    busy: Arc<AtomicBool>,
    /// What was said of files that cannot be used, to say it once.
    told: Arc<std::sync::Mutex<String>>,
}

impl Default for Watch {
    fn default() -> Watch {
        Watch {
            last: Instant::now(),
            busy: Arc::default(),
            told: Arc::default(),
        }
    }
}

/// Looks at the files if `interval` is over, on a thread of its own: reading may take its time. `interval` of 0: never.
pub fn watch(watch: &mut Watch, context: &Arc<Context>, interval: Duration) {
    if interval.is_zero() || watch.last.elapsed() < interval {
        return;
    }
    watch.last = Instant::now();
    if context.current().is_none() || watch.busy.swap(true, Ordering::AcqRel) {
        return;
    }
    let (context, busy, told) = (context.clone(), watch.busy.clone(), watch.told.clone());
    let thread = std::thread::Builder::new().name("ferrite-tls-look".into());
    let spawned = thread.spawn(move || {
        let text = look(&context).err().unwrap_or_default();
        let mut told = told.lock().unwrap_or_else(|e| e.into_inner());
        if !text.is_empty() && *told != text {
            tracing::warn!("TLS files have changed and cannot be used; what was read before stays in force: {text}");
        }
        *told = text;
        busy.store(false, Ordering::Release);
    });
    if let Err(error) = spawned {
        tracing::warn!("Can't look at the TLS files: {error}");
        watch.busy.store(false, Ordering::Release);
    }
}

/// Reads the files anew and takes them if they are others.
fn look(context: &Context) -> Result<(), String> {
    let Some(before) = context.current() else {
        return Ok(());
    };
    let (material, _) = build(before.options.clone())?;
    if material.print == before.print {
        return Ok(());
    }
    // CONFIG SET may have been quicker.
    if context.replace_if(&before, material) {
        tracing::info!("TLS certificates were read again, because their files have changed");
    }
    Ok(())
}
