//! Start: configuration, log, listening sockets, the actor; and the orderly end.

use std::process::ExitCode;
use std::sync::Arc;

use ferrite::base::alloc::Counting;
use ferrite::base::mailbox::mailbox;
use ferrite::base::process;
use ferrite::cli;
use ferrite::config::Config;
use ferrite::dispatch::actor::{Actor, Message};
use ferrite::dispatch::server::Server;
use ferrite::logging::Log;
use ferrite::net::listen::{Listeners, io_threads};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()).and_then(|sources| cli::load(&sources)) {
        Ok(config) => serve(config),
        Err(code) => ExitCode::from(code),
    }
}

fn serve(config: Config) -> ExitCode {
    let log = Log::new();
    if let Err(error) = log.open(&config) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    log.install();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("Cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(run(config, log))
}

async fn run(config: Config, _log: Arc<Log>) -> ExitCode {
    let pid_file = process::PidFile::create(&config);
    let (sender, mailbox) = mailbox();
    let threads = match io_threads(config.io_threads) {
        Ok(threads) => threads,
        Err(error) => {
            tracing::error!("Cannot start I/O threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut listeners = Listeners::new(sender.clone(), config.shared(), threads);
    let opened = listeners.open_tcp(&config).and_then(|()| listeners.open_unix(&config));
    if let Err(error) = opened {
        tracing::error!("{error}");
        return ExitCode::FAILURE;
    }
    watch_signals(sender);
    let mut server = Server::new(config);
    server.core.listeners = Some(listeners);
    tracing::info!("Ready to accept connections tcp");
    let (mut server, _wish) = Actor::new(server, mailbox).run().await;
    if let Some(listeners) = &mut server.core.listeners {
        listeners.close();
    }
    drop(pid_file);
    tracing::warn!("Redis is now ready to exit, bye bye...");
    ExitCode::SUCCESS
}

fn watch_signals(sender: ferrite::base::mailbox::Sender<Message>) {
    use tokio::signal::unix::{SignalKind, signal};
    for (kind, name) in [(SignalKind::terminate(), "SIGTERM"), (SignalKind::interrupt(), "SIGINT")] {
        let sender = sender.clone();
        match signal(kind) {
            Ok(mut stream) => {
                tokio::spawn(async move {
                    while stream.recv().await.is_some() {
                        sender.send(Message::Signal(name));
                    }
                });
            }
            Err(error) => tracing::warn!("Cannot watch {name}: {error}"),
        }
    }
}
