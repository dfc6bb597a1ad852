//! The data set at start: read beside the actor, who answers `LOADING` until it is there.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::load::{LoadError, LoadOptions, Loaded, Progress, VERSION_CHECKSUM, load};
use super::read::{Cause, Reader, Source};
use crate::base::alloc;
use crate::dispatch::actor::Message;
use crate::dispatch::core::Core;
use crate::dispatch::server::Server;
use crate::keyspace::Keyspace;

/// Seconds between two progress lines in the log.
const TELL_EVERY_S: u64 = 5;

/// A load that goes on.
pub struct Loading {
    pub progress: Arc<Progress>,
    pub started: Instant,
    /// Unix seconds.
    pub start_s: i64,
    told_s: u64,
}

impl Loading {
    pub fn new(core: &Core) -> Loading {
        let progress = Progress::default();
        progress
            .delay_us
            .store(core.config.key_load_delay, Ordering::Relaxed);
        Loading {
            progress: Arc::new(progress),
            started: Instant::now(),
            start_s: core.unix_us() / 1_000_000,
            told_s: 0,
        }
    }

    /// Bytes of all, and bytes read.
    pub fn bytes(&self) -> (u64, u64) {
        let total = self.progress.total.load(Ordering::Relaxed);
        let read = self.progress.bytes.load(Ordering::Relaxed);
        (total.max(read), read)
    }

    /// Seconds that are left, if it goes on as it went.
    pub fn eta_s(&self) -> i64 {
        let (total, read) = self.bytes();
        if read == 0 {
            return 1;
        }
        let elapsed = self.started.elapsed().as_secs_f64();
        (elapsed * (total - read) as f64 / read as f64) as i64
    }

    /// Has the log show from time to time how far it is.
    pub fn tell(&mut self) {
        let seconds = self.started.elapsed().as_secs();
        if seconds < self.told_s + TELL_EVERY_S {
            return;
        }
        self.told_s = seconds;
        let (total, read) = self.bytes();
        tracing::info!(
            "Loading: {} of {} MB ({:.0} %), {} keys in {seconds} seconds",
            read >> 20,
            total >> 20,
            read as f64 * 100.0 / total.max(1) as f64,
            self.progress.keys.load(Ordering::Relaxed),
        );
    }
}

/// How this server loads now.
pub fn load_options(ks: &Keyspace, core: &Core) -> LoadOptions {
    LoadOptions {
        databases: ks.dbs.len(),
        limits: ks.limits,
        access: ks.access,
        now_ms: ks.now_ms,
        drop_expired: !core.repl.is_replica(),
        checksum: core.config.rdbchecksum && !core.debug.skip_checksum,
    }
}

/// Why a data set could not be loaded, with the way out.
pub fn explain(path: &Path, error: &LoadError) -> String {
    let file = path.display();
    if let Cause::Io(error) = &error.fault.cause {
        return format!("Fatal error: can't open the RDB file {file} for reading: {error}");
    }
    let nothing = "Nothing was loaded, the file is as it was.";
    let away = "To start without this data, move the file away.";
    match &error.fault.cause {
        Cause::Refused(_) => format!("{error} of the RDB file {file}. {nothing} {away}"),
        Cause::Unsupported(_) => format!("The file {file} {error}. {nothing} {away}"),
        _ => format!(
            "The RDB file {file} {error}. {nothing} 'ferrite check-rdb {file}' lists the damage, 'ferrite check-rdb \
             {file} --salvage NEW' writes what is intact to a new file. {away}"
        ),
    }
}

/// Opens and reads a file.
///
/// # Errors
/// As [`load`]; a file that is not there is one of kind [`io::ErrorKind::NotFound`].
pub fn load_file(
    path: &Path,
    options: &LoadOptions,
    progress: &Progress,
) -> Result<Loaded, LoadError> {
    let open = || -> io::Result<(File, u64)> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    };
    let (file, size) = open().map_err(LoadError::of_io)?;
    progress.total.store(size, Ordering::Relaxed);
    let mut reader = Reader::new(file, Some(size));
    let loaded = load(&mut reader, options, progress)?;
    // A flipped bit makes an old version of a new one, and old ones have no checksum.
    if loaded.stats.version < VERSION_CHECKSUM && reader.offset() < size {
        return Err(LoadError {
            fault: reader.bad("there are bytes behind the end of the file"),
            key: None,
            db: 0,
        });
    }
    tell_aux(&loaded);
    Ok(loaded)
}

/// What Redis tells of a file that it loads.
fn tell_aux(loaded: &Loaded) {
    let version = loaded.aux.get("redis-ver").or(loaded.aux.get("valkey-ver"));
    if let Some(version) = version {
        tracing::info!("Loading RDB produced by version {version}");
    }
    if let Some(bytes) = loaded.aux_number("used-mem") {
        tracing::info!(
            "RDB memory usage when created {:.2} Mb",
            bytes as f64 / 1_048_576.0
        );
    }
    let stats = &loaded.stats;
    tracing::info!(
        "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
        stats.loaded,
        stats.expired,
        stats.empty
    );
}

/// Puts a data set in the place of the present one, which is freed elsewhere.
pub fn install(ks: &mut Keyspace, core: &mut Core, loaded: Loaded) {
    core.rdb.loaded = loaded.stats.loaded;
    core.rdb.load_expired = loaded.stats.expired;
    core.rdb.aux = loaded.aux;
    core.replace_functions(loaded.functions);
    let old = std::mem::replace(&mut ks.dbs, loaded.dbs);
    for index in 0..ks.dbs.len() {
        ks.effects.change_whole(index);
    }
    ks.reaper.free_databases(old);
}

/// Begins to load `dbfilename`, if there is such a file. True if it does; `ready` is called when all is there.
///
/// # Errors
/// If no thread can be had.
pub fn start(
    server: &mut Server,
    ready: impl FnOnce(&mut Server) + Send + 'static,
) -> io::Result<bool> {
    let path = PathBuf::from(&server.core.config.dbfilename);
    if matches!(path.try_exists(), Ok(false)) {
        return Ok(false);
    }
    let Some(mailbox) = server.core.mailbox.clone() else {
        return Ok(false);
    };
    server.tick();
    let loading = Loading::new(&server.core);
    let progress = loading.progress.clone();
    let options = load_options(&server.ks, &server.core);
    server.core.rdb.loading = Some(loading);
    let body = move || {
        let result = load_file(&path, &options, &progress);
        mailbox.send(Message::Task(Box::new(move |server| {
            finish(server, &path, result);
            ready(server);
        })));
    };
    std::thread::Builder::new()
        .name("ferrite-load".into())
        .spawn(body)?;
    Ok(true)
}

/// The end of the load at start. A data set that cannot be read is no reason to begin with an empty one.
fn finish(server: &mut Server, path: &Path, result: Result<Loaded, LoadError>) {
    let loading = server.core.rdb.loading.take();
    match result {
        Ok(loaded) => {
            install(&mut server.ks, &mut server.core, loaded);
            server.runner().resume_history();
            let seconds = loading.map_or(0.0, |l| l.started.elapsed().as_secs_f64());
            tracing::info!("DB loaded from disk: {seconds:.3} seconds");
            alloc::used_memory();
        }
        Err(error) => refuse(&explain(path, &error)),
    }
}

/// Ends the process, because data that is there cannot be read.
pub fn refuse(why: &str) -> ! {
    // A record of the log is one line.
    for line in why.lines().filter(|line| !line.is_empty()) {
        tracing::error!("{line}");
    }
    tracing::error!("Terminating server after rdb file reading failure.");
    tracing::error!("Fatal error loading the DB, check server logs. Exiting.");
    std::process::exit(1);
}
