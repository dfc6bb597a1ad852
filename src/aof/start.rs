//! The append-only file at start, and when it is read again: what is there is loaded beside the actor and taken over.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::dir::{Dir, Place};
use super::load::{self, Loaded, Refused, Request};
use super::rewrite;
use super::sink::{Resume, Sink};
use super::state::{Ready, State, lock, pass_on, promise_of, select_for_file};
use crate::config::enums::AppendFsync;
use crate::dispatch::actor::Message;
use crate::dispatch::busy;
use crate::dispatch::core::Core;
use crate::dispatch::server::Server;
use crate::keyspace::Keyspace;
use crate::log::Consumer;
use crate::rdb::boot::{self, Loading};
use crate::rdb::load::Progress;
use crate::rdb::temp;

/// While the files are read again, so long passes between two looks at who wants something.
const RELOAD_LOOK: Duration = Duration::from_millis(1);

fn request(ks: &Keyspace, core: &Core, progress: Arc<Progress>, may_cut: bool) -> Request {
    let settings = &core.config;
    Request {
        settings: Box::new((**settings).clone()),
        renamed: core.config.renamed_commands.clone(),
        rdb: crate::rdb::load::LoadOptions {
            // What a command makes of a key depends on whether it is there.
            drop_expired: false,
            ..boot::load_options(ks, core)
        },
        progress,
        may_cut,
    }
}

/// Reads what is there at start; without `appendonly` that is the RDB file. `ready` is called when the server may begin.
///
/// # Errors
/// If no thread can be had.
pub fn start(
    server: &mut Server,
    ready: impl FnOnce(&mut Server) + Send + 'static,
) -> io::Result<()> {
    let place = Place::of(&server.core.config);
    temp::sweep_rewrites(&place.home, &place.dir);
    if !server.core.config.appendonly {
        let orphans = place.parts_on_disk();
        let no_rdb = !std::path::Path::new(&server.core.config.dbfilename).exists();
        if !orphans.is_empty() && no_rdb {
            tracing::warn!(
                "There is no RDB file, but AOF files are in {} and 'appendonly' is off: their data is not loaded.",
                place.dir.display()
            );
        }
        return rdb_or_nothing(server, Box::new(ready));
    }
    let Some(mailbox) = server.core.mailbox.clone() else {
        ready(server);
        return Ok(());
    };
    server.tick();
    let loading = Loading::new(&server.core);
    let request = request(&server.ks, &server.core, loading.progress.clone(), true);
    server.core.rdb.loading = Some(loading);
    let body = move || {
        let result = load::load(place, &request);
        mailbox.send(Message::Task(Box::new(move |server| {
            arrived(server, result, Box::new(ready))
        })));
    };
    std::thread::Builder::new()
        .name("aof-load".into())
        .spawn(body)?;
    Ok(())
}

fn rdb_or_nothing(server: &mut Server, ready: Ready) -> io::Result<()> {
    // `ready` is called once, by whoever gets it.
    let shared = Arc::new(Mutex::new(Some(ready)));
    let later = shared.clone();
    let call = move |server: &mut Server| {
        let ready = later.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ready) = ready {
            ready(server);
        }
    };
    if !boot::start(server, call.clone())? {
        call(server);
    }
    Ok(())
}

/// The files were read.
fn arrived(server: &mut Server, result: Result<Option<Loaded>, Refused>, ready: Ready) {
    let loading = server.core.rdb.loading.take();
    match result {
        Err(Refused(why)) => boot::refuse(&why),
        Ok(Some(loaded)) => {
            let seconds = loading.map_or(0.0, |l| l.started.elapsed().as_secs_f64());
            if let Err(error) = go_on(server, loaded) {
                boot::refuse(&format!("Can't open the append-only file: {error}"));
            }
            tracing::info!("DB loaded from append only file: {seconds:.3} seconds");
            ready(server);
        }
        Ok(None) => {
            // A snapshot that is there becomes the base of the new file.
            let then = Box::new(move |server: &mut Server| begin_new(server, ready));
            if let Err(error) = rdb_or_nothing(server, then) {
                boot::refuse(&format!("Can't load the data set: {error}"));
            }
        }
    }
}

/// Makes the first files of a server that has none. Until they are there it answers LOADING.
fn begin_new(server: &mut Server, ready: Ready) {
    server.core.rdb.loading = Some(Loading::new(&server.core));
    server.core.aof.boot = Some(ready);
    if !server.ks.is_empty() {
        tracing::info!(
            "There is an RDB file and no append-only file: its data becomes the base of a new one."
        );
    }
    if let Err(error) = rewrite::start(&mut server.core) {
        boot::refuse(&format!("Can't create the append-only file: {error}"));
    }
}

/// The first rewrite is done. True if the server was starting.
pub fn booted(server: &mut Server, result: Result<(), &io::Error>) {
    let Some(ready) = server.core.aof.boot.take() else {
        return;
    };
    if let Err(error) = result {
        boot::refuse(&format!("Can't create the append-only file: {error}"));
    }
    server.core.rdb.loading = None;
    ready(server);
}

/// Takes a loaded data set over and goes on writing where its files end.
fn go_on(server: &mut Server, loaded: Loaded) -> io::Result<()> {
    let retention = u64::from(server.core.config.aof_history_retention);
    let place = loaded.place.clone();
    let (mut dir, resume) = install(server, loaded);
    dir.make()?;
    if let Some((id, offset, db)) = place {
        server.runner().resume_at(id, offset, db);
    }
    let (open, resume) = match dir.open_last_incr()? {
        Some(open) => (open, resume),
        None => {
            let open = dir.create_incr()?;
            dir.add_incr(&open.part)?;
            let chain = resume.chain;
            (
                open,
                Resume {
                    chain,
                    ..Resume::default()
                },
            )
        }
    };
    dir.forget_sum(&open.part.name);
    dir.persist_seal()?;
    if !server.core.config.aof_disable_auto_gc {
        dir.drop_history(Duration::from_secs(retention))?;
    }
    let size = dir.size();
    let runs = dir.place.runs();
    let dir = Arc::new(Mutex::new(dir));
    let core = &mut server.core;
    core.repl.divergence.runs.go_on(&runs, resume.chain.seq);
    let history = &mut core.repl.history;
    history.earlier = core.repl.divergence.runs.before(&history.id2);
    pass_on(&mut server.ks, core);
    server.ks.log.attach(Consumer::File);
    let policy = core.config.appendfsync;
    let sink = Sink::new(
        open,
        resume,
        server.ks.log.offset(),
        policy != AppendFsync::No,
    );
    core.aof.writer = Some(State::start_writer(core, sink, dir.clone())?);
    core.aof.forget_history();
    core.aof.dir = Some(dir);
    core.aof.sized(size);
    core.held.promise = promise_of(policy);
    core.held.safe = server.ks.log.offset();
    select_for_file(&server.ks, &server.core);
    server.note_history();
    Ok(())
}

/// Puts loaded data in the place of the present ones.
fn install(server: &mut Server, loaded: Loaded) -> (Dir, Resume) {
    let old = std::mem::replace(&mut server.ks.dbs, loaded.dbs);
    for index in 0..server.ks.dbs.len() {
        server.ks.effects.change_whole(index);
    }
    server.ks.reaper.free_databases(old);
    if let Some(stats) = loaded.base {
        server.core.rdb.loaded = stats.loaded;
        server.core.rdb.load_expired = stats.expired;
    }
    server.core.replace_functions(loaded.functions);
    (loaded.dir, loaded.resume)
}

/// `DEBUG LOADAOF`: everything is read again from the files. Meanwhile others hear that the server is loading.
///
/// # Errors
/// What is to be told to the client.
pub fn reload(ks: &mut Keyspace, core: &mut Core) -> Result<(), String> {
    if core.rdb.loading.is_some() {
        return Err("ERR the data set is being loaded".into());
    }
    pass_on(ks, core);
    if let Some(writer) = &core.aof.writer {
        writer.drain();
    }
    let place = match &core.aof.dir {
        Some(dir) => lock(dir).place.clone(),
        None => Place::of(&core.config),
    };
    let loading = Loading::new(core);
    let request = request(ks, core, loading.progress.clone(), false);
    core.rdb.loading = Some(loading);
    let result = std::thread::scope(|scope| {
        let body = || load::load(place, &request);
        let thread = std::thread::Builder::new()
            .name("aof-load".into())
            .spawn_scoped(scope, body)?;
        while !thread.is_finished() {
            busy::breathe(ks, core);
            std::thread::sleep(RELOAD_LOOK);
        }
        Ok::<_, io::Error>(thread.join())
    });
    core.rdb.loading = None;
    let loaded = match result {
        Ok(Ok(Ok(Some(loaded)))) => loaded,
        Ok(Ok(Ok(None))) => {
            return Err(
                "ERR Error trying to load the AOF files, check server logs: there are none".into(),
            );
        }
        Ok(Ok(Err(Refused(why)))) => {
            tracing::warn!("{why}");
            return Err("ERR Error trying to load the AOF files, check server logs".into());
        }
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => return Err(format!("ERR {error}")),
    };
    core.replace_functions(loaded.functions);
    let old = std::mem::replace(&mut ks.dbs, loaded.dbs);
    ks.reaper.free_databases(old);
    for index in 0..ks.dbs.len() {
        ks.effects.change_whole(index);
    }
    ks.stats.dirty = 0;
    Ok(())
}
