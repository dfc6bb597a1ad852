//! Start: configuration, log, listening sockets, the actor; and the orderly end.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ferrite::acl;
use ferrite::aof;
use ferrite::base::alloc::Counting;
use ferrite::base::failpoint;
use ferrite::base::mailbox::{Sender, mailbox};
use ferrite::base::process;
use ferrite::cli;
use ferrite::config::{Config, LoadError};
use ferrite::dispatch::actor::{Actor, Message};
use ferrite::dispatch::crash::Crash;
use ferrite::dispatch::server::Server;
use ferrite::dispatch::shutdown;
use ferrite::http;
use ferrite::logging::{Log, Role};
use ferrite::net::listen::{Listeners, io_threads};
use ferrite::rdb;
use ferrite::sentinel::shell::{self, State};
use ferrite::tls;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let sources = match cli::run(std::env::args_os()) {
        Ok(sources) => sources,
        Err(code) => return ExitCode::from(code),
    };
    let config = match cli::load(&sources) {
        Ok(config) => config,
        Err(code) => return ExitCode::from(code),
    };
    match serve(config, sources.sentinel_mode) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match failure {
                Failure::Start(reason) => tracing::error!("{reason}"),
                Failure::Config(error) => eprintln!("{error}"),
            }
            ExitCode::FAILURE
        }
    }
}

/// Why the server does not run.
enum Failure {
    /// Goes to the log.
    Start(String),
    /// Goes to standard error, where the errors of the configuration go: it is one.
    Config(LoadError),
}

impl From<String> for Failure {
    fn from(reason: String) -> Failure {
        Failure::Start(reason)
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        Failure::Config(error)
    }
}

fn serve(mut config: Config, sentinel_mode: bool) -> Result<(), Failure> {
    failpoint::arm_from_environment();
    let log = Log::new();
    log.install();
    process::enter_directory(&config)
        .map_err(|e| format!("Can't chdir to '{}': {e}", config.dir))?;
    // After entering the directory: relative names of scripts and of the log file stand in there.
    let sentinel = cli::sentinel(sentinel_mode, &config)?;
    let opened = log.open(&config);
    opened.map_err(|reason| LoadError::Whole { reason })?;
    process::daemonize(&config).map_err(|e| format!("Can't go to the background: {e}"))?;
    process::install_panic_hook(log.clone(), cli::FERRITE_VERSION, Arc::new(Crash));
    process::report_signals(log.clone(), cli::FERRITE_VERSION, Arc::new(Crash));
    greet(&config);
    let maxclients = process::adjust_open_files_limit(config.maxclients)?;
    if maxclients != config.maxclients {
        config.adjust(|settings| settings.maxclients = maxclients);
    }
    process::prepare_system(&config);
    process::set_title(&config, if sentinel.is_some() { "[sentinel]" } else { "" });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|e| format!("Can't start the event loop: {e}"))?;
    runtime.block_on(run(config, log, sentinel))?;
    Ok(())
}

fn greet(config: &Config) {
    tracing::warn!("oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo");
    tracing::warn!(
        "Redis version={}, bits=64, commit=00000000, modified=0, pid={}, just started (Ferrite {})",
        cli::REDIS_VERSION,
        std::process::id(),
        cli::FERRITE_VERSION
    );
    match &config.file {
        Some(_) => tracing::warn!("Configuration loaded"),
        None => tracing::warn!(
            "Warning: no config file specified, using the default config. In order to specify a config file use ferrite /path/to/redis.conf"
        ),
    }
    config
        .notices
        .iter()
        .for_each(|notice| tracing::warn!("{notice}"));
}

/// What `always-show-logo` shows; tools find the process id here.
fn banner(config: &Config, mode: &str) -> String {
    format!(
        "\n   Ferrite {} (Redis {}) 64 bit\n\n   Running in {mode} mode\n   Port: {}\n   PID: {}\n\n",
        cli::FERRITE_VERSION,
        cli::REDIS_VERSION,
        config.shown_port(),
        std::process::id()
    )
}

async fn run(config: Config, log: Arc<Log>, sentinel: Option<Box<State>>) -> Result<(), String> {
    let users = acl::file::at_start(&config)?;
    let pid_file = process::PidFile::create(&config);
    let supervisor = process::Supervisor::detect(config.supervised);
    let (sender, mailbox) = mailbox();
    let threads =
        io_threads(config.io_threads).map_err(|e| format!("Can't start I/O threads: {e}"))?;
    let tls = Arc::new(tls::Context::default());
    tls.configure(&config)
        .map_err(|reason| format!("Failed to configure TLS: {reason}"))?;
    let mut listeners = Listeners::new(sender.clone(), config.shared(), threads, tls.clone());
    listeners.open_tcp(&config)?;
    listeners.open_tls(&config)?;
    listeners.open_unix(&config)?;
    if !listeners.is_open() {
        return Err("Configured to not listen anywhere, exiting.".into());
    }
    let (mode, role) = match sentinel {
        Some(_) => ("sentinel", Role::Sentinel),
        None => ("standalone", Role::Primary),
    };
    log.set_role(role);
    if config.always_show_logo {
        log.write_raw(&banner(&config, mode));
    } else {
        tracing::info!("Running mode={mode}, port={}.", config.shown_port());
    }
    watch_signals(sender.clone()).map_err(|e| format!("Can't watch signals: {e}"))?;
    let mut server = Server::new(config);
    acl::clients::start(&mut server.core, users);
    server.core.listeners = Some(listeners);
    server.core.tls = tls;
    server.core.log = Some(log);
    server.core.mailbox = Some(sender);
    server.tick();
    http::open(&mut server.core)?;
    server.core.set_up_process();
    let ready = move |server: &mut Server| {
        if server.core.config.port != 0 {
            tracing::info!("Ready to accept connections tcp");
        }
        if server.core.config.tls_port != 0 {
            tracing::info!("Ready to accept connections tls");
        }
        if !server.core.config.unixsocket.is_empty() {
            tracing::info!("Ready to accept connections unix");
        }
        supervisor.ready();
    };
    if let Some(state) = sentinel {
        server.core.commands = ferrite::command::sentinel::names();
        shell::start(&mut server.core, state);
        ready(&mut server);
    } else {
        if let Some((host, port)) = server.core.config.replicaof.0.clone() {
            server.runner().follow(&host, port, false, false)?;
        }
        tracing::warn!("Server initialized");
        rdb::temp::sweep(Path::new("."));
        let loading = aof::start::start(&mut server, ready);
        loading.map_err(|e| format!("Can't load the data set: {e}"))?;
    }
    // As a task, because waking the future of `block_on` costs a system call.
    let actor = tokio::spawn(Actor::new(server, mailbox).run());
    let mut server = actor
        .await
        .map_err(|e| format!("The server ended unexpectedly: {e}"))?;
    supervisor.stopping();
    aof::state::close(&mut server);
    if let Some(listeners) = &mut server.core.listeners {
        listeners.close();
    }
    drop(pid_file);
    tracing::warn!("Redis is now ready to exit, bye bye...");
    Ok(())
}

/// Signals are watched by a thread of their own: the actor may be in the middle of its last save.
fn watch_signals(sender: Sender<Message>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (begun, begins) = std::sync::mpsc::channel();
    let run = move || runtime.block_on(pass_signals(&sender, begun));
    std::thread::Builder::new()
        .name("ferrite-signals".into())
        .spawn(run)?;
    // Before that, a signal would end the process as it is. An error means that there is nothing to wait for.
    let _ = begins.recv();
    Ok(())
}

/// Hands signals to the actor. `begun` is told when they are watched.
async fn pass_signals(sender: &Sender<Message>, begun: std::sync::mpsc::Sender<()>) {
    use tokio::signal::unix::{SignalKind, signal};
    let streams = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        // Whoever started the server has logged out, or has moved its log: it is watched so that it does not end the process.
        signal(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hang_up)) = streams else {
        tracing::warn!("Can't watch SIGTERM, SIGINT and SIGHUP");
        return;
    };
    // Nobody may have waited.
    let _ = begun.send(());
    loop {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hang_up.recv() => continue,
        };
        if name == "SIGINT" {
            shutdown::insist();
        }
        sender.send(Message::Signal(name));
    }
}
