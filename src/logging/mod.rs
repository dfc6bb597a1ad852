//! The log: `tracing` events become lines in Redis' form, `pid:role date mark message`, or in JSON, and go to standard
//! output or `logfile`, and to syslog if asked.
//!
//! Levels: `error` and `warn` are Redis' warning `#`, `info` is notice `*`, `debug` is verbose `-`, `trace` is debug `.`.
//! A file is opened for appending and opened anew as soon as its name points elsewhere, so rotating it needs no signal.
//! Nothing here waits for anything but that one write.

mod format;
mod sink;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::base::sys;
use crate::config::Settings;
use crate::config::enums::{LogFormat, LogLevel, LogTimestampFormat, SyslogFacility};
use crate::config::setting::os_reason;
use format::Record;
use sink::Sink;

/// How long the crash report waits for another thread to finish its line.
const RAW_WAIT: Duration = Duration::from_secs(1);

/// The letter after the process id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    Primary = b'M',
    Replica = b'S',
    Sentinel = b'X',
    /// Before the server knows what it is, and in helpers.
    Child = b'C',
}

/// The log of this process. One exists per process; tests may have their own.
#[derive(Debug)]
pub struct Log {
    role: AtomicU8,
    /// Index into [`LEVELS`].
    level: AtomicU8,
    format: AtomicU8,
    timestamps: AtomicU8,
    syslog: AtomicBool,
    sink: Mutex<Sink>,
}

const LEVELS: [LogLevel; 5] = [
    LogLevel::Debug,
    LogLevel::Verbose,
    LogLevel::Notice,
    LogLevel::Warning,
    LogLevel::Nothing,
];
const FORMATS: [LogFormat; 4] = [
    LogFormat::Redis,
    LogFormat::Json,
    LogFormat::Legacy,
    LogFormat::Logfmt,
];
const TIMESTAMPS: [LogTimestampFormat; 3] = [
    LogTimestampFormat::Legacy,
    LogTimestampFormat::Iso8601,
    LogTimestampFormat::Milliseconds,
];

fn index_of<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|each| each == one).unwrap_or(0) as u8
}

impl Log {
    /// A log to standard output at level notice.
    pub fn new() -> Arc<Log> {
        Arc::new(Log {
            role: AtomicU8::new(Role::Child as u8),
            level: AtomicU8::new(index_of(&LEVELS, &LogLevel::Notice)),
            format: AtomicU8::new(0),
            timestamps: AtomicU8::new(0),
            syslog: AtomicBool::new(false),
            sink: Mutex::new(Sink::stdout()),
        })
    }

    /// Makes this log the one that all `tracing` events of the process go to. Only the first call in a process counts.
    pub fn install(self: &Arc<Log>) {
        let subscriber = tracing_subscriber::registry().with(LogLayer(Arc::clone(self)));
        // A second log in one process would be a test; the first one stays.
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// Takes over level, format, file and syslog, at start. The error is the reason for not starting.
    pub fn open(&self, settings: &Settings) -> Result<(), String> {
        let sink = Sink::open(&settings.logfile)
            .map_err(|error| format!("Can't open the log file: {}", os_reason(&error)))?;
        *self.sink.lock().unwrap_or_else(PoisonError::into_inner) = sink;
        if settings.syslog_enabled {
            sys::open_syslog(&settings.syslog_ident, facility(settings.syslog_facility));
        }
        self.syslog.store(settings.syslog_enabled, Relaxed);
        self.apply(settings);
        Ok(())
    }

    /// Takes over what may change at run time: level and format.
    pub fn apply(&self, settings: &Settings) {
        self.level
            .store(index_of(&LEVELS, &settings.loglevel), Relaxed);
        self.format
            .store(index_of(&FORMATS, &settings.log_format), Relaxed);
        self.timestamps.store(
            index_of(&TIMESTAMPS, &settings.log_timestamp_format),
            Relaxed,
        );
        // Call sites that were switched off keep that in a static of their own.
        tracing::callsite::rebuild_interest_cache();
    }

    pub fn set_role(&self, role: Role) {
        self.role.store(role as u8, Relaxed);
    }

    /// Text that must appear as it is, line breaks included: the crash report. It is written even if this very thread was
    /// struck while it held the log; then it goes to standard error.
    pub fn write_raw(&self, text: &str) {
        match self.lock_within(RAW_WAIT) {
            Some(mut sink) => sink.write(text.as_bytes()),
            None => eprint!("{text}"),
        }
        if self.syslog.load(Relaxed) {
            text.lines()
                .for_each(|line| sys::syslog(libc::LOG_CRIT, line));
        }
    }

    fn lock_within(&self, limit: Duration) -> Option<MutexGuard<'_, Sink>> {
        let start = Instant::now();
        loop {
            match self.sink.try_lock() {
                Ok(sink) => return Some(sink),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if start.elapsed() < limit => {
                    std::thread::sleep(RAW_WAIT / 20)
                }
                Err(TryLockError::WouldBlock) => return None,
            }
        }
    }

    fn level(&self) -> LogLevel {
        LEVELS[usize::from(self.level.load(Relaxed)).min(LEVELS.len() - 1)]
    }

    fn max_level(&self) -> LevelFilter {
        match self.level() {
            LogLevel::Debug => LevelFilter::TRACE,
            LogLevel::Verbose => LevelFilter::DEBUG,
            LogLevel::Notice => LevelFilter::INFO,
            LogLevel::Warning => LevelFilter::WARN,
            LogLevel::Nothing => LevelFilter::OFF,
        }
    }

    fn record(&self, level: Level, message: &str) {
        let record = Record {
            pid: std::process::id(),
            role: char::from(self.role.load(Relaxed)),
            level,
            time: SystemTime::now(),
            message,
        };
        let format = FORMATS[usize::from(self.format.load(Relaxed)).min(FORMATS.len() - 1)];
        let timestamps =
            TIMESTAMPS[usize::from(self.timestamps.load(Relaxed)).min(TIMESTAMPS.len() - 1)];
        self.write(record.line(format, timestamps).as_bytes());
        if self.syslog.load(Relaxed) {
            sys::syslog(format::syslog_priority(level), message);
        }
    }

    fn write(&self, bytes: &[u8]) {
        // A panic while logging must not silence the crash report.
        self.sink
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes);
    }
}

fn facility(facility: SyslogFacility) -> i32 {
    match facility {
        SyslogFacility::User => libc::LOG_USER,
        SyslogFacility::Local0 => libc::LOG_LOCAL0,
        SyslogFacility::Local1 => libc::LOG_LOCAL1,
        SyslogFacility::Local2 => libc::LOG_LOCAL2,
        SyslogFacility::Local3 => libc::LOG_LOCAL3,
        SyslogFacility::Local4 => libc::LOG_LOCAL4,
        SyslogFacility::Local5 => libc::LOG_LOCAL5,
        SyslogFacility::Local6 => libc::LOG_LOCAL6,
        SyslogFacility::Local7 => libc::LOG_LOCAL7,
    }
}

struct LogLayer(Arc<Log>);

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.0.max_level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.max_level())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = EventText::default();
        event.record(&mut text);
        text.message.push_str(&text.fields);
        self.0.record(*event.metadata().level(), &text.message);
    }
}

/// The message of an event, then its fields as ` name=value`.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        use std::fmt::Write;
        // Writing to a `String` cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::{debug, info, trace, warn};

    fn log_to(name: &str) -> (Arc<Log>, std::path::PathBuf, Settings) {
        let path = std::env::temp_dir().join(format!("ferrite-log-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let settings = Settings {
            logfile: path.display().to_string(),
            ..Settings::default()
        };
        let log = Log::new();
        log.open(&settings).unwrap();
        (log, path, settings)
    }

    fn with(log: &Arc<Log>, run: impl FnOnce()) {
        let subscriber = tracing_subscriber::registry().with(LogLayer(Arc::clone(log)));
        tracing::subscriber::with_default(subscriber, run);
    }

    #[test]
    fn events_become_lines_at_the_level_of_the_moment() {
        let (log, path, mut settings) = log_to("levels");
        log.set_role(Role::Primary);
        let events = || {
            with(&log, || {
                warn!("w");
                info!(port = 7, "i {}", 1);
                debug!("d");
                trace!("t");
            })
        };
        events();
        settings.loglevel = LogLevel::Debug;
        log.apply(&settings);
        events();
        settings.loglevel = LogLevel::Nothing;
        log.apply(&settings);
        events();
        let text = std::fs::read_to_string(&path).unwrap();
        let ends: Vec<_> = text
            .lines()
            .map(|line| line.splitn(6, ' ').last().unwrap())
            .collect();
        assert_eq!(
            ends,
            ["# w", "* i 1 port=7", "# w", "* i 1 port=7", "- d", ". t"]
        );
        assert!(text.starts_with(&format!("{}:M ", std::process::id())));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn line_breaks_cannot_forge_a_line() {
        let (log, path, _) = log_to("breaks");
        with(&log, || {
            info!("a\r\n1:M 01 Jan 2020 00:00:00.000 # forged\x1b[0m")
        });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(
            text.contains("a\\r\\n1:M") && text.contains("\\u{1b}[0m"),
            "{text}"
        );
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let (log, path, _) = log_to("rotate");
        with(&log, || info!("one"));
        std::fs::remove_file(&path).unwrap();
        with(&log, || info!("two"));
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("* two\n"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn raw_text_does_not_wait_for_a_lock_that_nobody_gives_back() {
        let (log, path, _) = log_to("locked");
        let held = log.sink.lock().unwrap();
        log.write_raw("");
        drop(held);
        log.write_raw("a\nb\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a\nb\n");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_unusable_file_is_a_reason_not_to_start() {
        let settings = Settings {
            logfile: "/nonexistent/a".into(),
            ..Settings::default()
        };
        assert_eq!(
            Log::new().open(&settings).unwrap_err(),
            "Can't open the log file: No such file or directory"
        );
    }
}
