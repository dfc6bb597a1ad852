//! The command line of `ferrite cli`, which is redis-cli's.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use super::uri;

/// How replies are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Standard,
    Raw,
    Csv,
    Json,
    /// JSON whose strings are ASCII: other bytes are written as `\xHH`.
    QuotedJson,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The command given, or commands from standard input.
    Commands,
    Eval(PathBuf),
    Pipe,
    Scan,
    Stat,
    Latency,
    LatencyHistory,
    LatencyDist,
    BigKeys,
    /// With the number of elements to sample; `None`: as the server does by itself.
    MemKeys(Option<u64>),
    HotKeys,
    /// To this file, with functions alone or with everything.
    Rdb {
        file: PathBuf,
        functions_only: bool,
    },
    IntrinsicLatency(Duration),
    Replica,
    /// Compare hints with those that a file wants.
    TestHints(PathBuf),
}

/// Where the server is and who comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub port: u16,
    /// Path of a Unix socket, instead of host and port.
    pub socket: Option<PathBuf>,
    pub user: Option<Vec<u8>>,
    pub password: Option<Vec<u8>>,
    pub db: i64,
    pub tls: Option<Tls>,
    /// Longest wait for the connection.
    pub timeout: Option<Duration>,
}

/// What `--tls` and its options say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    pub sni: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub ca_dir: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub ciphers: Option<String>,
    pub ciphersuites: Option<String>,
    pub insecure: bool,
}

/// Where an argument is read from standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stdin {
    No,
    /// `-x`: the last argument.
    Last,
    /// `-X`: the argument that is this word.
    Tag(Vec<u8>),
}

/// Which protocol to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, and RESP3 where the output wants it and the server has it.
    Either,
    Resp2,
    Resp3,
}

/// Everything that the command line says.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    pub mode: Mode,
    pub output: Option<Output>,
    pub protocol: Protocol,
    /// Negative: without an end.
    pub repeat: i64,
    pub interval: Duration,
    pub stdin: Stdin,
    /// Between the elements of a raw reply, and behind a raw reply.
    pub element_end: Vec<u8>,
    pub reply_end: Vec<u8>,
    pub cluster: bool,
    pub exit_code: bool,
    pub show_pushes: Option<bool>,
    pub quoted_input: bool,
    pub askpass: bool,
    pub verbose: bool,
    pub pipe_timeout: Duration,
    pub pattern: Option<Vec<u8>>,
    pub count: Option<u64>,
    pub key_type: Option<Vec<u8>>,
    pub args: Vec<Vec<u8>>,
}

impl Options {
    /// `-i`, or what a mode takes without it.
    pub fn interval_or(&self, usual: Duration) -> Duration {
        match self.interval {
            Duration::ZERO => usual,
            interval => interval,
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            target: Target {
                host: "127.0.0.1".into(),
                port: 6379,
                socket: None,
                user: None,
                password: None,
                db: 0,
                tls: None,
                timeout: None,
            },
            mode: Mode::Commands,
            output: None,
            protocol: Protocol::Either,
            repeat: 1,
            interval: Duration::ZERO,
            stdin: Stdin::No,
            element_end: b"\n".to_vec(),
            reply_end: b"\n".to_vec(),
            cluster: false,
            exit_code: false,
            show_pushes: None,
            quoted_input: false,
            askpass: false,
            verbose: false,
            pipe_timeout: Duration::from_secs(30),
            pattern: None,
            count: None,
            key_type: None,
            args: Vec::new(),
        }
    }
}

/// What to do instead of running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    Help,
    Version,
    /// For standard error; the code is 1.
    Error(String),
}

fn error<T>(text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Error(text.into()))
}

/// Reads the words behind the program's name. `password` is what the environment has.
pub fn parse(words: Vec<OsString>, password: Option<Vec<u8>>) -> Result<Options, Stop> {
    let mut parser = Parser {
        words: words.into_iter().map(OsStringExt::into_vec).collect(),
        at: 0,
        options: Options::default(),
        warn: true,
        tls: Tls::default(),
        wants_tls: false,
        resp2: false,
        resp3: false,
    };
    while let Some(word) = parser.words.get(parser.at)
        && word.starts_with(b"-")
    {
        let word = String::from_utf8_lossy(word).into_owned();
        parser.at += 1;
        if !(parser.connection(&word)? || parser.format(&word)? || parser.mode(&word)?) {
            return error(format!(
                "Unrecognized option or bad number of args for: '{word}'"
            ));
        }
    }
    parser.finish(password)
}

struct Parser {
    words: Vec<Vec<u8>>,
    at: usize,
    options: Options,
    warn: bool,
    tls: Tls,
    wants_tls: bool,
    resp2: bool,
    resp3: bool,
}

impl Parser {
    /// The value behind `option`.
    fn bytes(&mut self, option: &str) -> Result<Vec<u8>, Stop> {
        match self.words.get(self.at) {
            Some(word) => {
                self.at += 1;
                Ok(word.clone())
            }
            None => error(format!(
                "Unrecognized option or bad number of args for: '{option}'"
            )),
        }
    }

    fn text(&mut self, option: &str) -> Result<String, Stop> {
        self.bytes(option)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn path(&mut self, option: &str) -> Result<PathBuf, Stop> {
        self.bytes(option)
            .map(|bytes| PathBuf::from(OsString::from_vec(bytes)))
    }

    fn number<N: std::str::FromStr>(&mut self, option: &str) -> Result<N, Stop> {
        let text = self.text(option)?;
        let number = text.trim().parse();
        number.or_else(|_| error(format!("Invalid number for {option}: '{text}'")))
    }

    fn seconds(&mut self, option: &str) -> Result<Duration, Stop> {
        let seconds: f64 = self.number(option)?;
        Duration::try_from_secs_f64(seconds)
            .or_else(|_| error(format!("Invalid number for {option}: '{seconds}'")))
    }

    fn connection(&mut self, word: &str) -> Result<bool, Stop> {
        match word {
            "-h" if self.at == self.words.len() => return Err(Stop::Help),
            "-h" => self.options.target.host = self.text(word)?,
            "-p" => {
                let port = self.text(word)?;
                let port = port.trim().parse().ok();
                let Some(port) = port else {
                    return error("Invalid server port.");
                };
                self.options.target.port = port;
            }
            "-t" => self.options.target.timeout = Some(self.seconds(word)?),
            "-s" => self.options.target.socket = Some(self.path(word)?),
            "-a" | "--pass" => self.options.target.password = Some(self.bytes(word)?),
            "--user" => self.options.target.user = Some(self.bytes(word)?),
            "--askpass" => self.options.askpass = true,
            "-u" => {
                let text = self.bytes(word)?;
                self.wants_tls |=
                    uri::parse(&text, &mut self.options.target).map_err(Stop::Error)?;
            }
            "-n" => self.options.target.db = self.number(word)?,
            "-c" => self.options.cluster = true,
            "--tls" => self.wants_tls = true,
            "--sni" => self.tls.sni = Some(self.text(word)?),
            "--cacert" => self.tls.ca_file = Some(self.path(word)?),
            "--cacertdir" => self.tls.ca_dir = Some(self.path(word)?),
            "--cert" => self.tls.cert = Some(self.path(word)?),
            "--key" => self.tls.key = Some(self.path(word)?),
            "--tls-ciphers" => self.tls.ciphers = Some(self.text(word)?),
            "--tls-ciphersuites" => self.tls.ciphersuites = Some(self.text(word)?),
            "--insecure" => self.tls.insecure = true,
            "--no-auth-warning" => self.warn = false,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn format(&mut self, word: &str) -> Result<bool, Stop> {
        match word {
            "-2" => self.resp2 = true,
            "-3" => self.resp3 = true,
            "-d" => self.options.element_end = self.bytes(word)?,
            "-D" => self.options.reply_end = self.bytes(word)?,
            "--raw" => self.options.output = Some(Output::Raw),
            "--no-raw" => self.options.output = Some(Output::Standard),
            "--csv" => self.options.output = Some(Output::Csv),
            "--json" => self.options.output = Some(Output::Json),
            "--quoted-json" => self.options.output = Some(Output::QuotedJson),
            "--quoted-input" => self.options.quoted_input = true,
            "-e" => self.options.exit_code = true,
            "--verbose" => self.options.verbose = true,
            "--show-pushes" => {
                let text = self.text(word)?;
                let yes = text.starts_with(['y', 'Y']);
                if !yes && !text.starts_with(['n', 'N']) {
                    eprintln!("Unknown --show-pushes value '{text}' (valid: '[y]es', '[n]o')");
                }
                self.options.show_pushes = Some(yes);
            }
            "-x" => {
                self.options.stdin = match self.options.stdin {
                    Stdin::Tag(_) => return exclusive_stdin(),
                    Stdin::No | Stdin::Last => Stdin::Last,
                }
            }
            "-X" => {
                let tag = self.bytes(word)?;
                if self.options.stdin == Stdin::Last {
                    return exclusive_stdin();
                }
                self.options.stdin = Stdin::Tag(tag);
            }
            "-r" => self.options.repeat = self.number(word)?,
            "-i" => self.options.interval = self.seconds(word)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn mode(&mut self, word: &str) -> Result<bool, Stop> {
        self.options.mode = match word {
            "--help" => return Err(Stop::Help),
            "-v" | "--version" => return Err(Stop::Version),
            "--eval" => Mode::Eval(self.path(word)?),
            "--pipe" => Mode::Pipe,
            "--scan" => Mode::Scan,
            "--stat" => Mode::Stat,
            "--latency" => Mode::Latency,
            "--latency-history" => Mode::LatencyHistory,
            "--latency-dist" => Mode::LatencyDist,
            "--bigkeys" => Mode::BigKeys,
            "--memkeys" => Mode::MemKeys(None),
            "--memkeys-samples" => Mode::MemKeys(Some(self.number(word)?)),
            "--hotkeys" => Mode::HotKeys,
            "--rdb" | "--functions-rdb" => Mode::Rdb {
                file: self.path(word)?,
                functions_only: word == "--functions-rdb",
            },
            "--intrinsic-latency" => Mode::IntrinsicLatency(self.seconds(word)?),
            "--replica" | "--slave" => Mode::Replica,
            "--test_hint_file" => Mode::TestHints(self.path(word)?),
            "--cluster" => {
                return error(
                    "ferrite cli has no cluster manager: Ferrite is not a cluster node. \
                     Use redis-cli --cluster for a Redis or Valkey cluster.",
                );
            }
            "--lru-test" => {
                return error("ferrite cli has no --lru-test: use redis-cli --lru-test.");
            }
            "--ldb" | "--ldb-sync-mode" => {
                return error("ferrite cli has no Lua debugger: use redis-cli --ldb.");
            }
            _ => return self.mode_value(word),
        };
        Ok(true)
    }

    fn mode_value(&mut self, word: &str) -> Result<bool, Stop> {
        match word {
            "--pipe-timeout" => self.options.pipe_timeout = self.seconds(word)?,
            "--pattern" => self.options.pattern = Some(self.bytes(word)?),
            "--quoted-pattern" => {
                let text = self.bytes(word)?;
                let Some(pattern) = unquote(&text) else {
                    return error("Invalid quoted string specified for --quoted-pattern.");
                };
                self.options.pattern = Some(pattern);
            }
            "--count" => self.options.count = Some(self.number(word)?),
            "--type" => self.options.key_type = Some(self.bytes(word)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn finish(mut self, password: Option<Vec<u8>>) -> Result<Options, Stop> {
        if self.resp2 && self.resp3 {
            return error("Options -2 and -3 are mutually exclusive.");
        }
        let mut options = self.options;
        options.args = self.words.split_off(self.at);
        if self.resp2 {
            options.protocol = Protocol::Resp2;
        } else if self.resp3 {
            options.protocol = Protocol::Resp3;
        }
        if self.wants_tls {
            options.target.tls = Some(self.tls);
        }
        if options.target.password.is_some() && self.warn && !options.askpass {
            eprintln!(
                "Warning: Using a password with '-a' or '-u' option on the command line interface may not be safe."
            );
        }
        if options.target.password.is_none() {
            options.target.password = password;
        }
        Ok(options)
    }
}

fn exclusive_stdin<T>() -> Result<T, Stop> {
    error("Options -x and -X are mutually exclusive.")
}

/// The one word that a quoted string holds; without quotes it is the word.
pub fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    if !text.starts_with(b"\"") && !text.starts_with(b"'") {
        return Some(text.to_vec());
    }
    let mut words = crate::base::words::split(text)?;
    match words.len() {
        1 => words.pop(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, Stop> {
        let words = line.split(' ').filter(|word| !word.is_empty());
        parse(
            words.map(OsString::from).collect(),
            Some(b"secret".to_vec()),
        )
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let options = parsed("-h h -p 7 -n 3 -r 5 -i 0.5 --csv get -p 8").unwrap();
        let target = &options.target;
        assert_eq!((&*target.host, target.port, target.db), ("h", 7, 3));
        assert_eq!(target.password.as_deref(), Some(&b"secret"[..]));
        assert_eq!(
            (options.repeat, options.interval),
            (5, Duration::from_millis(500))
        );
        assert_eq!(options.output, Some(Output::Csv));
        assert_eq!(
            options.args,
            [b"get".to_vec(), b"-p".to_vec(), b"8".to_vec()]
        );
    }

    #[test]
    fn wrong_command_lines_say_why() {
        let told = |line: &str| match parsed(line) {
            Err(Stop::Error(text)) => text,
            other => panic!("{line}: {other:?}"),
        };
        let unknown =
            |word: &str| format!("Unrecognized option or bad number of args for: '{word}'");
        assert_eq!(told("--nosuch"), unknown("--nosuch"));
        assert_eq!(told("-X"), unknown("-X"));
        assert_eq!(told("-p 99999"), "Invalid server port.");
        assert_eq!(told("-2 -3"), "Options -2 and -3 are mutually exclusive.");
        assert_eq!(told("-x -X a"), "Options -x and -X are mutually exclusive.");
        assert_eq!(told("-u http://a"), "Invalid URI scheme");
        assert!(told("--cluster info").contains("redis-cli --cluster"));
        assert_eq!(parsed("-h").unwrap_err(), Stop::Help);
    }

    #[test]
    fn modes_and_their_values() {
        let options = parsed("--scan --pattern a* --count 5 --type hash").unwrap();
        assert_eq!(options.mode, Mode::Scan);
        assert_eq!(
            (options.pattern, options.count),
            (Some(b"a*".to_vec()), Some(5))
        );
        let options = parsed("--eval f.lua k , v").unwrap();
        assert_eq!(options.mode, Mode::Eval("f.lua".into()));
        assert_eq!(options.args.len(), 3);
        let options = parsed("-u rediss://h/2 --cacert ca.pem ping").unwrap();
        assert_eq!(options.target.db, 2);
        assert_eq!(options.target.tls.unwrap().ca_file, Some("ca.pem".into()));
    }

    #[test]
    fn quoted_words() {
        assert_eq!(unquote(br#""a\x00b""#), Some(b"a\0b".to_vec()));
        assert_eq!(unquote(b"a b"), Some(b"a b".to_vec()));
        assert_eq!(unquote(br#""a" "b""#), None);
        assert_eq!(unquote(br#""a"#), None);
    }
}
