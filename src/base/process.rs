//! The process as a service: background, pid file, supervision, open files, hints about the system, crash report.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use tracing::{info, warn};

use super::sys;
use super::sys::fault::Struck;
use crate::config::enums::Supervised;
use crate::config::setting::os_reason;
use crate::config::{Config, Settings};
use crate::logging::Log;

/// Files that the server itself keeps open beside its clients: logs, data files, listening sockets. Redis' own number.
const RESERVED_FILES: u64 = 32;

/// Where the pid goes if `daemonize` is on and no file is named.
const DEFAULT_PID_FILE: &str = "/var/run/redis.pid";

/// The pid file, removed when this is dropped.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes the pid where the settings ask for it. As with Redis, a failure is logged and does not prevent the start.
    pub fn create(settings: &Settings) -> Option<PidFile> {
        let path = match settings.pidfile.as_str() {
            "" if settings.daemonize => DEFAULT_PID_FILE,
            "" => return None,
            path => path,
        };
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        match fs::write(&path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(PidFile(path)),
            Err(error) => {
                warn!("Failed to write PID file: {}", os_reason(&error));
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let ours = fs::read_to_string(&self.0)
            .is_ok_and(|pid| pid.trim() == std::process::id().to_string());
        if ours {
            info!("Removing the pid file.");
            // It may be gone or out of reach by now; there is nothing left to do about it.
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// Who watches over this process, as far as it must be told of our state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervisor {
    None,
    Systemd,
    Upstart,
}

impl Supervisor {
    /// Finds the supervisor that the settings name or, with `auto`, that the environment shows; says so if it is missing.
    pub fn detect(mode: Supervised) -> Supervisor {
        let found = Supervisor::find(mode);
        match (found, mode) {
            (Supervisor::None, Supervised::Systemd) => {
                warn!("systemd supervision requested, but NOTIFY_SOCKET not found");
            }
            (Supervisor::None, Supervised::Upstart) => {
                warn!("upstart supervision requested, but UPSTART_JOB not found");
            }
            _ => {}
        }
        found
    }

    fn find(mode: Supervised) -> Supervisor {
        let shown = |name: &str| std::env::var_os(name).is_some();
        match mode {
            Supervised::Systemd | Supervised::Auto if shown("NOTIFY_SOCKET") => Supervisor::Systemd,
            Supervised::Upstart | Supervised::Auto if shown("UPSTART_JOB") => Supervisor::Upstart,
            _ => Supervisor::None,
        }
    }

    /// The server takes connections from now on.
    pub fn ready(self) {
        match self {
            Supervisor::Systemd => notify("READY=1\nSTATUS=Ready to accept connections"),
            Supervisor::Upstart => sys::stop_self(),
            Supervisor::None => {}
        }
    }

    /// A line for `systemctl status`, for instance while loading.
    pub fn status(self, text: &str) {
        if self == Supervisor::Systemd {
            notify(&format!("STATUS={}", text.replace('\n', " ")));
        }
    }

    pub fn stopping(self) {
        if self == Supervisor::Systemd {
            notify("STOPPING=1");
        }
    }
}

fn notify(state: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = notify_at(&address.to_string_lossy(), state) {
        warn!(
            "systemd supervision error: sd_notify: {}",
            os_reason(&error)
        );
    }
}

/// Sends one notification; an address that starts with `@` is in Linux' abstract name space.
fn notify_at(address: &str, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    socket.send_to_addr(state.as_bytes(), &address).map(|_| ())
}

/// Raises the limit of open files for `maxclients`, at start. `Ok` is the number of clients that there is room for, with the
/// reasons logged in Redis' words; `Err` is the reason for not starting.
pub fn adjust_open_files_limit(maxclients: u32) -> Result<u32, String> {
    let wanted = u64::from(maxclients) + RESERVED_FILES;
    let soft = match sys::open_files_limit() {
        Ok((soft, _)) => soft,
        Err(error) => {
            warn!(
                "Unable to obtain the current NOFILE limit ({}), assuming 1024 and setting the max clients configuration accordingly.",
                os_reason(&error)
            );
            return Ok(1024 - RESERVED_FILES as u32);
        }
    };
    if soft >= wanted {
        return Ok(maxclients);
    }
    let (reached, failure) = raise_open_files_limit(soft, wanted);
    let Some(failure) = failure else {
        info!(
            "Increased maximum number of open files to {wanted} (it was originally set to {soft})."
        );
        return Ok(maxclients);
    };
    let room = reached.saturating_sub(RESERVED_FILES);
    if room == 0 {
        return Err(format!(
            "Your current 'ulimit -n' of {soft} is not enough for the server to start. Please increase your open file limit to at least {wanted}. Exiting."
        ));
    }
    warn!(
        "You requested maxclients of {maxclients} requiring at least {wanted} max file descriptors."
    );
    warn!("Server can't set maximum open files to {wanted} because of OS error: {failure}.");
    warn!(
        "Current maximum open files is {reached}. maxclients has been reduced to {room} to compensate for low ulimit. If you need higher maxclients increase 'ulimit -n'."
    );
    Ok(u32::try_from(room).unwrap_or(u32::MAX))
}

/// The same for CONFIG SET maxclients; the error is its reason.
pub fn make_room_for_clients(maxclients: u32) -> Result<(), String> {
    let wanted = u64::from(maxclients) + RESERVED_FILES;
    let soft = sys::open_files_limit().map_or(1024, |(soft, _)| soft);
    if soft >= wanted {
        return Ok(());
    }
    match raise_open_files_limit(soft, wanted) {
        (_, None) => Ok(()),
        (reached, Some(_)) => Err(format!(
            "The operating system is not able to handle the specified number of clients, try with {}",
            reached.saturating_sub(RESERVED_FILES)
        )),
    }
}

/// Goes as near to `wanted` as the system allows; the reason if that is not all the way.
fn raise_open_files_limit(soft: u64, wanted: u64) -> (u64, Option<String>) {
    let Err(error) = sys::set_open_files_limit(wanted) else {
        return (wanted, None);
    };
    let hard = sys::open_files_limit()
        .map_or(soft, |(_, hard)| hard)
        .min(wanted);
    let reached = if hard > soft && sys::set_open_files_limit(hard).is_ok() {
        hard
    } else {
        soft
    };
    (reached, Some(os_reason(&error)))
}

/// One finding about the system that the server runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemCheck {
    pub name: &'static str,
    /// What to do about it; `None` if all is well.
    pub warning: Option<String>,
}

/// What `--check-system` shows and the start logs.
pub fn check_system(settings: &Settings) -> Vec<SystemCheck> {
    let read = |path: &str| fs::read_to_string(path).ok();
    vec![
        SystemCheck {
            name: "overcommit",
            warning: overcommit_warning(read("/proc/sys/vm/overcommit_memory")),
        },
        SystemCheck {
            name: "THP",
            warning: huge_pages_warning(
                read("/sys/kernel/mm/transparent_hugepage/enabled"),
                settings.disable_thp,
            ),
        },
        SystemCheck {
            name: "tcp-backlog",
            warning: backlog_warning(read("/proc/sys/net/core/somaxconn"), settings.tcp_backlog),
        },
    ]
}

/// This server never forks, so Redis' advice to switch overcommit on does not apply; strict accounting, however, makes
/// allocations fail while memory is free.
fn overcommit_warning(mode: Option<String>) -> Option<String> {
    (mode?.trim() == "2").then(|| {
        "Memory overcommit is strict (vm.overcommit_memory = 2): allocations may fail although memory is free. \
         To fix this issue set 'vm.overcommit_memory = 0' or '1' in /etc/sysctl.conf and then reboot or run the command \
         'sysctl vm.overcommit_memory=1' for this to take effect."
            .to_string()
    })
}

fn huge_pages_warning(enabled: Option<String>, disabled_here: bool) -> Option<String> {
    (enabled?.contains("[always]") && !disabled_here).then(|| {
        "You have Transparent Huge Pages (THP) support enabled in your kernel. This will create latency and memory usage \
         issues with Redis. To fix this issue run the command 'echo madvise > /sys/kernel/mm/transparent_hugepage/enabled' \
         as root, and add it to your /etc/rc.local in order to retain the setting after a reboot. Redis must be restarted \
         after THP is disabled (set to 'madvise' or 'never')."
            .to_string()
    })
}

fn backlog_warning(somaxconn: Option<String>, backlog: u32) -> Option<String> {
    let limit: u64 = somaxconn?.trim().parse().ok()?;
    (limit < u64::from(backlog)).then(|| {
        format!(
            "The TCP backlog setting of {backlog} cannot be enforced because /proc/sys/net/core/somaxconn is set to the lower value of {limit}."
        )
    })
}

/// Logs the warnings at start and switches huge pages off for this process if `disable-thp` says so.
pub fn prepare_system(settings: &Settings) {
    if settings.disable_thp
        && let Err(error) = sys::disable_huge_pages()
    {
        warn!(
            "Unable to disable Transparent Huge Pages for this process: {}",
            os_reason(&error)
        );
    }
    for warning in check_system(settings)
        .into_iter()
        .filter_map(|check| check.warning)
    {
        warn!("WARNING: {warning}");
    }
}

/// What the crash report tells beside the panic itself. Called in the panicking thread, so it must take no lock that this
/// thread could hold; arguments of commands must not be in it.
pub trait CrashContext: Send + Sync + 'static {
    /// The last INFO text.
    fn info(&self) -> String;
    /// Name of the command being executed, if any.
    fn command(&self) -> Option<String>;
    /// `crash-log-enabled`.
    fn enabled(&self) -> bool {
        true
    }
    /// `use-exit-on-panic`: exit instead of abort, so that no core is dumped.
    fn exit_quietly(&self) -> bool {
        false
    }
}

/// From now on a panic of any thread writes a crash report and ends the process: data may be half changed.
pub fn install_panic_hook(log: Arc<Log>, version: &'static str, context: Arc<dyn CrashContext>) {
    let reporting = AtomicBool::new(false);
    std::panic::set_hook(Box::new(move |panic| {
        // A panic while reporting must not report again, only end.
        if !reporting.swap(true, Ordering::SeqCst) && context.enabled() {
            let backtrace = std::backtrace::Backtrace::force_capture().to_string();
            log.write_raw(&report_head(version, panic, context.command(), &backtrace));
            // Separate, so that a panic in there loses nothing of the above.
            log.write_raw(&report_info(&context.info()));
        }
        if context.exit_quietly() {
            std::process::exit(1);
        }
        // This report is enough.
        sys::fault::ignore_end();
        std::process::abort();
    }));
}

/// From now on a signal that ends the process (a fault, SIGABRT) leaves a crash report, and SIGALRM has the log show where
/// the process is.
pub fn report_signals(log: Arc<Log>, version: &'static str, context: Arc<dyn CrashContext>) {
    let watched = sys::fault::watch(move |struck| {
        let stack = struck.stack.join("\n");
        if !struck.is_end() {
            warn!("Received SIGALRM");
            log.write_raw(&format!("\n------ STACK TRACE ------\n{stack}\n"));
        } else if context.enabled() {
            let Struck {
                signal,
                code,
                address,
                ..
            } = struck;
            let crash = format!("signal: {signal}, si_code: {code}, address: {address:#x}");
            let place = format!("process {}", std::process::id());
            log.write_raw(&report(version, &crash, &place, context.command(), &stack));
            log.write_raw(&report_info(&context.info()));
        }
    });
    if let Err(error) = watched {
        warn!("Can't watch for faults: {}", os_reason(&error));
    }
}

fn report_head(
    version: &str,
    panic: &PanicHookInfo<'_>,
    command: Option<String>,
    backtrace: &str,
) -> String {
    let payload = panic.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)");
    let place = panic
        .location()
        .map_or_else(|| "unknown".to_string(), ToString::to_string);
    let thread = std::thread::current()
        .name()
        .unwrap_or("unnamed")
        .to_string();
    let pid = std::process::id();
    let place = format!("{place} in thread '{thread}', process {pid}");
    report(
        version,
        &format!("panic: {message}"),
        &place,
        command,
        backtrace,
    )
}

fn report(
    version: &str,
    crash: &str,
    place: &str,
    command: Option<String>,
    backtrace: &str,
) -> String {
    let command = command.unwrap_or_else(|| "none".into());
    format!(
        "\n\n=== FERRITE BUG REPORT START: Cut & paste starting from here ===\n\
         Ferrite {version} crashed by {crash}\n\
         Guilty line: {place}\n\
         Current command: {command}\n\
         \n------ STACK TRACE ------\n{backtrace}\n"
    )
}

fn report_info(info: &str) -> String {
    format!(
        "\n------ INFO OUTPUT ------\n{info}\n\
         \n=== FERRITE BUG REPORT END. Make sure to include from START to END. ===\n\n"
    )
}

/// Leaves the terminal if the settings ask for it, but never a supervisor: that would take us for dead. Call it before the
/// first thread starts.
pub fn daemonize(settings: &Settings) -> io::Result<()> {
    if settings.daemonize && Supervisor::find(settings.supervised) == Supervisor::None {
        sys::fork_to_background()
    } else {
        Ok(())
    }
}

/// Enters the working directory that was checked when it was configured.
pub fn enter_directory(settings: &Settings) -> Result<(), String> {
    std::env::set_current_dir(Path::new(&settings.dir)).map_err(|error| os_reason(&error))
}

/// The name that the process was started under, read before the first title overwrites it.
static PROGRAM: LazyLock<String> = LazyLock::new(|| {
    std::env::args_os().next().map_or_else(
        || "ferrite".into(),
        |name| name.to_string_lossy().into_owned(),
    )
});

/// Shows `proc-title-template` as the process title, unless `set-proc-title` is off. Nothing may read the process' arguments
/// after the first call. Errors are left alone: the title is a courtesy.
///
/// `mode` is what `{server-mode}` stands for: `[sentinel]`, or nothing.
pub fn set_title(config: &Config, mode: &str) {
    let title = title(config, &PROGRAM, mode);
    if config.set_proc_title {
        let _ = sys::overwrite_command_line(title.as_bytes());
    }
}

fn title(config: &Config, program: &str, mode: &str) -> String {
    let first_address = config
        .bind
        .addresses()
        .next()
        .map_or("*", |(address, _)| address);
    let listen = match config.shown_port() {
        0 => config.unixsocket.clone(),
        port => format!("{first_address}:{port}"),
    };
    let file = config
        .file
        .as_ref()
        .map_or_else(String::new, |file| file.display().to_string());
    let title = config
        .proc_title_template
        .replace("{title}", program)
        .replace("{listen-addr}", &listen)
        .replace("{server-mode}", mode)
        .replace("{port}", &config.port.to_string())
        .replace("{tls-port}", &config.tls_port.to_string())
        .replace("{unixsocket}", &config.unixsocket)
        .replace("{config-file}", &file);
    title.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_lives_as_long_as_its_owner() {
        let path = std::env::temp_dir().join(format!("ferrite-pid-{}", std::process::id()));
        let mut settings = Settings {
            pidfile: path.display().to_string(),
            ..Settings::default()
        };
        let file = PidFile::create(&settings).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!("{}\n", std::process::id())
        );
        drop(file);
        assert!(!path.exists());

        let file = PidFile::create(&settings).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists(), "another process took it over");
        fs::remove_file(&path).unwrap();

        settings.pidfile = "/nonexistent/x".into();
        assert!(PidFile::create(&settings).is_none());
        settings.pidfile.clear();
        assert!(PidFile::create(&settings).is_none());
    }

    #[test]
    fn systemd_gets_its_datagrams() {
        let path = std::env::temp_dir().join(format!("ferrite-notify-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        notify_at(&path.display().to_string(), "READY=1").unwrap();
        let name = format!("ferrite-test-{}", std::process::id());
        let hidden =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        notify_at(&format!("@{name}"), "STOPPING=1").unwrap();
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
        let length = hidden.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STOPPING=1");
        fs::remove_file(path).unwrap();
        assert!(notify_at("/nonexistent", "x").is_err());
    }

    #[test]
    fn hints_appear_only_where_they_apply() {
        let some = |text: &str| Some(text.to_string());
        assert!(overcommit_warning(some("2\n")).is_some());
        assert!(overcommit_warning(some("0\n")).is_none());
        assert!(huge_pages_warning(some("[always] madvise never"), false).is_some());
        assert!(huge_pages_warning(some("[always] madvise never"), true).is_none());
        assert!(huge_pages_warning(some("always [madvise] never"), false).is_none());
        assert_eq!(
            backlog_warning(some("128\n"), 511).unwrap(),
            "The TCP backlog setting of 511 cannot be enforced because /proc/sys/net/core/somaxconn is set to the lower value of 128."
        );
        assert!(backlog_warning(some("4096"), 511).is_none());
        assert!(backlog_warning(None, 511).is_none());
    }

    #[test]
    fn clients_beyond_the_system_are_refused_with_a_number() {
        let error = make_room_for_clients(u32::MAX - 100);
        if let Err(text) = error {
            assert!(
                text.starts_with("The operating system is not able to handle"),
                "{text}"
            );
        }
        assert_eq!(make_room_for_clients(1), Ok(()));
        assert_eq!(adjust_open_files_limit(1), Ok(1));
    }

    #[test]
    fn the_title_shows_where_the_server_listens() {
        let mut config = Config::new(Settings::default());
        assert_eq!(title(&config, "redis-server", ""), "redis-server *:6379");
        config.adjust(|s| {
            s.port = 0;
            s.unixsocket = "/tmp/s".into();
            s.proc_title_template =
                "{title} {listen-addr} p={port} f={config-file} {server-mode}".into();
        });
        config.file = Some("/a.conf".into());
        let shown = "ferrite /tmp/s p=0 f=/a.conf";
        assert_eq!(title(&config, "ferrite", ""), shown);
        let shown = format!("{shown} [sentinel]");
        assert_eq!(title(&config, "ferrite", "[sentinel]"), shown);
    }

    struct Context;

    impl CrashContext for Context {
        fn info(&self) -> String {
            panic!("a second fault while reporting the first")
        }

        fn command(&self) -> Option<String> {
            Some("debug|panic".into())
        }
    }

    const CRASH_LOG: &str = "FERRITE_TEST_CRASH_LOG";

    /// Runs itself as a child that panics with the hook in place; the report must be complete up to a second fault.
    #[test]
    fn a_panic_is_reported_and_ends_the_process() {
        if let Some(path) = std::env::var_os(CRASH_LOG) {
            let settings = Settings {
                logfile: path.into_string().unwrap(),
                ..Settings::default()
            };
            let log = Log::new();
            log.open(&settings).unwrap();
            install_panic_hook(log, "0.0.1", Arc::new(Context));
            panic!("broken invariant {}", 7);
        }
        let path = std::env::temp_dir().join(format!("ferrite-crash-{}", std::process::id()));
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "base::process::tests::a_panic_is_reported_and_ends_the_process",
            ])
            .env(CRASH_LOG, &path)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(libc::SIGABRT)
        );
        let report = fs::read_to_string(&path).unwrap();
        fs::remove_file(path).unwrap();
        for part in [
            "=== FERRITE BUG REPORT START",
            "Ferrite 0.0.1 crashed by panic: broken invariant 7",
            "src/base/process.rs:",
            "Current command: debug|panic",
            "------ STACK TRACE ------",
        ] {
            assert!(report.contains(part), "{part}: {report}");
        }
        assert_eq!(
            report.matches("BUG REPORT START").count(),
            1,
            "one report for two faults"
        );
    }
}
