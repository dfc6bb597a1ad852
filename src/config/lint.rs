//! `check-config`: everything that can be found wrong with a configuration without starting a server.
//!
//! Errors would keep the server from starting; warnings name what starts and then surprises. Ports are tried by binding
//! them for a moment, files by asking for their rights: nothing is created or changed.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::enums::{AllowFrom, AppendFsync, MaxMemoryPolicy, OomScoreAdj};
use super::load::{FileLine, LoadError, Sources};
use super::setting::os_reason;
use super::store::Config;
use crate::base::sys;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// `Display` is `line N: error: …` as compilers write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// File, if it is an included one, and line.
    pub place: Option<String>,
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}", self.text)
    }
}

/// All findings about one file and what it includes.
///
/// `judge` finds what is wrong with lines whose rules are no business of the configuration: users, Sentinel, TLS; `advise`
/// what of them has no effect.
pub fn check_file(
    path: &Path,
    sources: &Sources,
    judge: fn(&Config) -> Vec<LoadError>,
    advise: fn(&Config) -> Vec<String>,
) -> Vec<Finding> {
    let (config, errors) = Config::check(sources);
    let mut report = Report::default();
    for error in errors.into_iter().chain(judge(&config)) {
        report.findings.push(finding_of(error, path));
    }
    for notice in config.notices.iter().cloned().chain(advise(&config)) {
        report.warn(notice);
    }
    if sources.sentinel_mode {
        check_sentinel(path, &config, &mut report);
    } else if path.exists() && !writable(path) {
        report.warn("the file is read-only for this user: CONFIG REWRITE will fail".into());
    }
    let secret = !config.requirepass.is_empty()
        || !config.masterauth.is_empty()
        || !config.users.is_empty()
        || config.sentinel.iter().any(holds_secret);
    if secret && std::fs::metadata(path).is_ok_and(|file| file.mode() & 0o004 != 0) {
        report.warn("the file holds a password and every user of this machine may read it".into());
    }
    if !sources.sentinel_mode {
        check_combinations(&config, &mut report);
    }
    check_listening(&config, &mut report);
    check_rights(&config, &mut report);
    check_ports(&config, &mut report);
    report.findings
}

fn finding_of(error: LoadError, path: &Path) -> Finding {
    let (place, text) = match error {
        LoadError::Line {
            origin,
            line,
            reason,
        } => {
            let file = (origin.source != path.display().to_string())
                .then(|| format!("{}: ", origin.source));
            let place = format!("{}line {}", file.unwrap_or_default(), origin.line);
            (
                Some(place),
                format!("'{line}': {}", reason.replace('\n', ". ")),
            )
        }
        other @ LoadError::Open { .. } => (None, other.to_string()),
        LoadError::Whole { reason } => (None, reason),
    };
    Finding {
        severity: Severity::Error,
        place,
        text,
    }
}

#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn warn(&mut self, text: String) {
        self.findings.push(Finding {
            severity: Severity::Warning,
            place: None,
            text,
        });
    }

    fn error(&mut self, text: String) {
        self.findings.push(Finding {
            severity: Severity::Error,
            place: None,
            text,
        });
    }
}

/// Directives that are each right and together dangerous.
fn check_combinations(config: &Config, report: &mut Report) {
    let everywhere = config
        .bind
        .addresses()
        .any(|(address, _)| matches!(address, "*" | "::*" | "0.0.0.0" | "::"));
    if everywhere
        && !config.protected_mode
        && config.requirepass.is_empty()
        && config.users.is_empty()
    {
        report.warn("everybody who reaches this machine may read and write: protected-mode is off, there is no password, and bind covers every address".into());
    }
    if config.metrics_port != 0
        && config
            .metrics_bind
            .addresses()
            .any(|(a, _)| !is_loopback(a))
        && !config.protected_mode
        && config.requirepass.is_empty()
        && config.users.is_empty()
        && config.aclfile.is_empty()
    {
        report.warn("everybody who reaches metrics-port may read all keys in the console: protected-mode is off and there is no password".into());
    }
    if config.metrics_port != 0 && config.metrics_port == config.port {
        report.error("metrics-port and port are the same".into());
    }
    if config.appendfsync == AppendFsync::Always && config.no_appendfsync_on_rewrite {
        report.warn("no-appendfsync-on-rewrite would take back what appendfsync always promises: it is ignored".into());
    }
    if config.maxmemory == 0 && config.maxmemory_policy != MaxMemoryPolicy::NoEviction {
        report.warn(format!(
            "maxmemory-policy {} does nothing without maxmemory",
            config.maxmemory_policy.name()
        ));
    }
    if config.maxmemory > 0 && config.maxmemory < 1 << 20 {
        report.warn(format!(
            "maxmemory {} is less than an empty server needs: was a unit forgotten?",
            config.maxmemory
        ));
    }
    if config.save.0.is_empty() && !config.appendonly {
        report.warn("nothing is ever written to disk: save is empty and appendonly is off".into());
    }
    if config.cluster_enabled && config.replicaof.0.is_some() {
        report.error("replicaof directive not allowed in cluster mode".into());
    }
    if !config.aclfile.is_empty() && !config.users.is_empty() {
        report.error("users may stand in the configuration or in aclfile, not in both".into());
    }
    if config.min_replicas_to_write > 0 && config.min_replicas_max_lag == 0 {
        report.warn("min-replicas-to-write has no effect while min-replicas-max-lag is 0".into());
    }
    for (name, from) in [
        ("enable-debug-command", config.enable_debug_command),
        ("enable-protected-configs", config.enable_protected_configs),
    ] {
        if from == AllowFrom::Yes {
            report.warn(format!(
                "{name} yes lets every client do what only an administrator should"
            ));
        }
    }
    if config.oom_score_adj == OomScoreAdj::Absolute
        && config.oom_score_adj_values.0.iter().any(|s| s.abs() > 1000)
    {
        report.warn("oom-score-adj absolute takes values from -1000 to 1000".into());
    }
    if config.replicaof.0.is_some()
        && config.masterauth.is_empty()
        && !config.requirepass.is_empty()
    {
        report.warn(
            "this replica has a password but no masterauth: can it log in to its master?".into(),
        );
    }
}

fn is_loopback(address: &str) -> bool {
    address == "localhost"
        || address
            .parse()
            .is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

fn check_listening(config: &Config, report: &mut Report) {
    if config.port == 0 && config.tls_port == 0 && config.unixsocket.is_empty() {
        report
            .error("the server would listen nowhere: port is 0 and there is no unixsocket".into());
    }
    if config.bind.0.is_empty() && config.unixsocket.is_empty() {
        report.error(
            "the server would listen nowhere: bind is empty and there is no unixsocket".into(),
        );
    }
}

fn word(line: &FileLine, at: usize) -> &[u8] {
    line.words.get(at).map_or(&[], Vec::as_slice)
}

fn holds_secret(line: &FileLine) -> bool {
    let name = word(line, 0);
    name.eq_ignore_ascii_case(b"auth-pass") || name.eq_ignore_ascii_case(b"sentinel-pass")
}

/// A Sentinel writes what it learns and promises into its file; what could keep it from electing anybody.
fn check_sentinel(path: &Path, config: &Config, report: &mut Report) {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    if path.exists() && !writable(path) {
        report
            .error("the file is read-only for this user: a Sentinel writes its state there".into());
    } else if path.exists() && !writable(parent.unwrap_or(Path::new("."))) {
        report.error(
            "the file's directory is read-only for this user: a Sentinel replaces the file there"
                .into(),
        );
    }
    let of = |name: &'static str| {
        let named = move |line: &&FileLine| word(line, 0).eq_ignore_ascii_case(name.as_bytes());
        config.sentinel.iter().filter(named)
    };
    if of("monitor").next().is_none() {
        report.warn("this Sentinel monitors nothing until SENTINEL MONITOR tells it to".into());
    }
    for line in of("monitor") {
        let name = word(line, 1);
        let quorum = std::str::from_utf8(word(line, 4))
            .ok()
            .and_then(|n| n.parse::<usize>().ok());
        let known = of("known-sentinel")
            .filter(|other| word(other, 1) == name)
            .count()
            + 1;
        let Some(quorum) = quorum else { continue };
        let name = String::from_utf8_lossy(name);
        if known > 1 && quorum > known {
            report.warn(format!(
                "{name}: a quorum of {quorum} cannot be reached by the {known} Sentinels that this file knows"
            ));
        }
        if quorum == 1 {
            report.warn(format!(
                "{name}: with a quorum of 1 a single Sentinel that sees nothing calls the master down"
            ));
        }
    }
}

/// Files and directories that the server reads or writes.
fn check_rights(config: &Config, report: &mut Report) {
    let root = Path::new(&config.dir);
    if !writable(root) {
        report.error(format!("dir {}: this user may not write there", config.dir));
    }
    let in_dir = |path: &str| root.join(path);
    for (name, path) in [
        ("logfile", &config.logfile),
        ("pidfile", &config.pidfile),
        ("unixsocket", &config.unixsocket),
    ] {
        if path.is_empty() {
            continue;
        }
        let path = in_dir(path);
        let parent = path.parent().unwrap_or(root);
        let possible = if path.exists() {
            writable(&path)
        } else {
            writable(parent)
        };
        if possible {
            continue;
        }
        let text = format!("{name} {}: this user cannot write it", path.display());
        // Without its pid file the server starts all the same.
        if name == "pidfile" {
            report.warn(text)
        } else {
            report.error(text)
        }
    }
    if !config.aclfile.is_empty()
        && let Err(error) = std::fs::File::open(in_dir(&config.aclfile))
    {
        report.error(format!("aclfile {}: {}", config.aclfile, os_reason(&error)));
    }
}

fn writable(path: &Path) -> bool {
    CString::new(path.as_os_str().as_bytes()).is_ok_and(|path| sys::may_write(&path))
}

/// A port in use is a warning: the server that this file belongs to may be running.
fn check_ports(config: &Config, report: &mut Report) {
    let ports = [
        ("port", config.port, &config.bind),
        ("tls-port", config.tls_port, &config.bind),
        ("metrics-port", config.metrics_port, &config.metrics_bind),
    ];
    for (name, port, bind) in ports {
        if port == 0 {
            continue;
        }
        for (address, optional) in bind.addresses() {
            let ip: IpAddr = match address {
                "*" => IpAddr::from([0, 0, 0, 0]),
                "::*" => IpAddr::from([0u16; 8]),
                literal => match literal.parse() {
                    Ok(ip) => ip,
                    // A host name: looking it up could take long and would say nothing about the next start.
                    Err(_) => continue,
                },
            };
            match TcpListener::bind((ip, port)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    report.warn(format!("{name} {port} on {address} is in use"));
                    break;
                }
                Err(_) if optional => {}
                Err(error) => {
                    report.error(format!("{name} {port} on {address}: {}", os_reason(&error)))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `text` to a file of its own and returns all findings as text.
    fn findings(name: &str, text: &str) -> Vec<String> {
        let path =
            std::env::temp_dir().join(format!("ferrite-lint-{}-{name}.conf", std::process::id()));
        std::fs::write(&path, text).unwrap();
        let found = check(&path).iter().map(Finding::to_string).collect();
        std::fs::remove_file(path).unwrap();
        found
    }

    fn check(path: &Path) -> Vec<Finding> {
        let sources = Sources {
            file: Some(path.to_path_buf()),
            ..Sources::default()
        };
        check_file(path, &sources, |_| Vec::new(), |_| Vec::new())
    }

    const QUIET: &str = "port 0\nunixsocket /tmp/ferrite-lint.sock\ndir /tmp\n";

    #[test]
    fn a_plain_configuration_has_no_findings() {
        assert_eq!(findings("plain", QUIET), Vec::<String>::new());
    }

    #[test]
    fn all_wrong_lines_are_reported() {
        let found = findings(
            "lines",
            &format!("{QUIET}maxmemroy 5\nport abc\n# fine\nhz \"\n"),
        );
        assert_eq!(
            found,
            [
                "line 4: error: 'maxmemroy 5': Bad directive or wrong number of arguments. Did you mean 'maxmemory'?",
                "line 5: error: 'port abc': argument couldn't be parsed into an integer",
                "line 7: error: 'hz \"': Unbalanced quotes in configuration line",
            ]
        );
    }

    #[test]
    fn dangerous_combinations_are_named() {
        let cases = [
            ("protected-mode no", "everybody who reaches"),
            (
                "appendfsync always\nno-appendfsync-on-rewrite yes",
                "takes back|would take back",
            ),
            (
                "maxmemory-policy allkeys-lru",
                "does nothing without maxmemory",
            ),
            ("maxmemory 100", "was a unit forgotten?"),
            ("save \"\"", "nothing is ever written"),
            (
                "cluster-enabled yes\nreplicaof h 1",
                "not allowed in cluster mode",
            ),
            ("unixsocket ''", "listen nowhere"),
            (
                "metrics-port 9121\nmetrics-bind 0.0.0.0\nprotected-mode no",
                "may read all keys in the console",
            ),
            (
                "port 7777\nmetrics-port 7777",
                "metrics-port and port are the same",
            ),
            ("enable-debug-command yes", "enable-debug-command"),
            ("activedefrag yes", "'activedefrag'"),
            (
                "aclfile /nonexistent/a",
                "aclfile /nonexistent/a: No such file",
            ),
            (
                "logfile /nonexistent/a.log",
                "logfile /nonexistent/a.log: this user cannot write it",
            ),
        ];
        for (index, (lines, expected)) in cases.iter().enumerate() {
            let found = findings(&format!("danger{index}"), &format!("{QUIET}{lines}\n"));
            let hit = found
                .iter()
                .any(|finding| expected.split('|').any(|text| finding.contains(text)));
            assert!(hit, "{lines}: {found:?}");
        }
        let open = findings(
            "open",
            &format!("{QUIET}protected-mode no\nrequirepass x\n"),
        );
        assert_eq!(
            open,
            ["warning: the file holds a password and every user of this machine may read it"]
        );
    }

    #[test]
    fn a_port_in_use_is_a_warning() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = findings("port", &format!("dir /tmp\nbind 127.0.0.1\nport {port}\n"));
        assert_eq!(
            found,
            [format!("warning: port {port} on 127.0.0.1 is in use")]
        );
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let found = check(Path::new("/nonexistent/x.conf"));
        assert!(
            found
                .iter()
                .any(|f| f.severity == Severity::Error
                    && f.text.contains("No such file or directory"))
        );
    }
}
