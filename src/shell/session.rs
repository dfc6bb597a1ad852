//! A session with a server: connecting, logging in, sending commands, showing what comes back.

use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::format::{Format, is_verbatim};
use super::interrupt::Interrupts;
use super::link::{Broken, Link};
use super::listener::{Listener, Listening, locked};
use super::options::{Options, Output, Protocol};
use crate::resp::decode::Value;

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Yes,
    /// There is no connection, or it ended; that was said.
    Failed,
    /// The user did not want to wait any longer.
    Interrupted,
    /// The reply was an error and the process is to end with that.
    ErrorReply,
}

/// A session.
pub struct Session {
    pub options: Options,
    pub format: Format,
    link: Option<Link>,
    /// Commands come one after another, and the session goes on after errors.
    pub interactive: bool,
    /// RESP3 was asked for, in the options or by HELLO.
    resp3: bool,
    /// The database of the prompt.
    db: i64,
    in_multi: bool,
    /// The database before MULTI.
    db_before: i64,
    listener: Arc<Mutex<Listener>>,
    pub interrupts: Option<Interrupts>,
    /// The next command of a redirection goes to an importing node.
    asking: bool,
}

impl Session {
    pub fn new(options: Options, tty: bool) -> Session {
        let default = if tty { Output::Standard } else { Output::Raw };
        let format = Format {
            output: options.output.unwrap_or(default),
            element_end: options.element_end.clone(),
            reply_end: options.reply_end.clone(),
        };
        let wants3 = matches!(format.output, Output::Json | Output::QuotedJson);
        let resp3 = match options.protocol {
            Protocol::Either => wants3,
            Protocol::Resp2 => false,
            Protocol::Resp3 => true,
        };
        let listener = Listener {
            listening: Listening::default(),
            format: format.clone(),
            show_pushes: options.show_pushes.unwrap_or(tty),
        };
        Session {
            db: options.target.db,
            db_before: options.target.db,
            options,
            format,
            link: None,
            interactive: false,
            resp3,
            in_multi: false,
            listener: Arc::new(Mutex::new(listener)),
            interrupts: None,
            asking: false,
        }
    }

    /// RESP3 unless the command line says otherwise or the server has none.
    pub fn prefer_resp3(&mut self) {
        self.resp3 |= self.options.protocol == Protocol::Either;
    }

    pub fn link(&mut self) -> Option<&mut Link> {
        self.link.as_mut()
    }

    pub fn take_link(&mut self) -> Option<Link> {
        self.link.take()
    }

    pub fn put_link(&mut self, link: Option<Link>) {
        self.link = link;
    }

    /// Who takes what comes by itself.
    pub fn listener(&self) -> Arc<Mutex<Listener>> {
        self.listener.clone()
    }

    fn listening(&self) -> Listening {
        locked(&self.listener).listening
    }

    fn set_listening(&self, listening: Listening) {
        locked(&self.listener).listening = listening;
    }

    /// Messages may come without being asked for.
    pub fn is_listening(&self) -> bool {
        self.listening() != Listening::default()
    }

    /// Host and port, or the path of the socket.
    pub fn place(&self) -> String {
        let target = &self.options.target;
        match &target.socket {
            Some(path) => path.display().to_string(),
            None => format!("{}:{}", target.host, target.port),
        }
    }

    pub fn prompt(&self) -> String {
        if self.link.is_none() {
            return "not connected> ".into();
        }
        let target = &self.options.target;
        let mut prompt = match &target.socket {
            Some(path) => format!("redis {}", path.display()),
            None if target.host.contains(':') => format!("[{}]:{}", target.host, target.port),
            None => self.place(),
        };
        if self.db != 0 {
            prompt.push_str(&format!("[{}]", self.db));
        }
        if self.in_multi {
            prompt.push_str("(TX)");
        }
        if self.listening().monitor {
            prompt.push_str("(monitor mode)");
        } else if self.is_listening() {
            prompt.push_str("(subscribed mode)");
        }
        prompt + "> "
    }

    /// Connects again, logs in and selects the database. What fails is said, unless `quiet`.
    pub fn connect(&mut self, quiet: bool) -> bool {
        self.link = None;
        self.set_listening(Listening::default());
        if self.in_multi {
            (self.in_multi, self.db) = (false, self.db_before);
        }
        match Link::open(&self.options.target) {
            Ok(link) => {
                self.link = Some(link);
                self.greet();
                self.link.is_some()
            }
            Err(reason) => {
                if !quiet {
                    eprintln!("Could not connect to Redis at {}: {reason}", self.place());
                }
                false
            }
        }
    }

    /// AUTH, SELECT and HELLO. A refusal is said and is no reason to give up; a lost connection is.
    fn greet(&mut self) {
        let target = &self.options.target;
        let mut steps: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
        if let Some(password) = &target.password {
            let mut words = vec![b"AUTH".to_vec()];
            words.extend(target.user.clone());
            words.push(password.clone());
            steps.push(("AUTH".into(), words));
        }
        if self.db != 0 {
            let db = self.db.to_string();
            steps.push((format!("SELECT {db}"), vec![b"SELECT".to_vec(), db.into()]));
        }
        if self.resp3 {
            let words = vec![b"HELLO".to_vec(), b"3".to_vec()];
            steps.push(("HELLO 3".into(), words));
        }
        for (what, words) in steps {
            let Some(link) = &mut self.link else {
                return;
            };
            match link.call(&words) {
                Ok(Value::Error(text)) => {
                    let must = what != "HELLO 3" || self.options.protocol == Protocol::Resp3;
                    if must {
                        eprintln!("{what} failed: {}", String::from_utf8_lossy(&text));
                    }
                    if what.starts_with("SELECT") {
                        self.db = 0;
                    } else if what == "HELLO 3" {
                        self.resp3 = false;
                    }
                }
                Ok(_) => {}
                Err(broken) => {
                    eprintln!("Error: {broken}");
                    self.link = None;
                }
            }
        }
    }

    /// Leaves what keeps the connection busy: subscriptions, MONITOR, a command that waits.
    pub fn leave(&mut self) {
        self.connect(true);
    }

    /// A connection that ended unnoticed is made again, before anything is sent on it.
    fn refresh(&mut self) -> bool {
        if self.interactive
            && let Some(link) = &mut self.link
            && link.is_drained()
            && link.is_readable(0)
            && link.fill().is_err()
        {
            self.link = None;
        }
        self.link.is_some() || self.connect(false)
    }

    /// Sends a command and shows the reply, following redirections if they are wanted.
    pub fn run(&mut self, args: &[Vec<u8>]) -> Done {
        if self.listening().monitor {
            self.leave();
        }
        loop {
            let done = self.run_here(args);
            match done {
                Some(done) => return done,
                None if self.link.is_none() && !self.connect(false) => return Done::Failed,
                None => {}
            }
        }
    }

    /// `None`: again, elsewhere.
    fn run_here(&mut self, args: &[Vec<u8>]) -> Option<Done> {
        if !self.refresh() {
            return Some(Done::Failed);
        }
        let name = word(args, 0);
        if name == "sync" || name == "psync" {
            println!("Entering replica output mode...  (press Ctrl-C to quit)");
            let code = super::modes::replica::follow(self);
            return Some(if code == 0 { Done::Yes } else { Done::Failed });
        }
        if std::mem::take(&mut self.asking) {
            let asked = self.link.as_mut().map(|link| link.call(&["ASKING"]));
            if let Some(Err(broken)) = asked {
                return Some(self.broken(&broken, &name));
            }
        }
        let begin = self.interrupts.as_ref().zip(self.link.as_ref());
        let guard = begin.map(|(interrupts, link)| interrupts.watch(link));
        let result = self.exchange(args, &name);
        drop(guard);
        match result {
            Ok(done) => done,
            Err(broken) => Some(self.broken(&broken, &name)),
        }
    }

    fn broken(&mut self, broken: &Broken, name: &str) -> Done {
        self.link = None;
        self.set_listening(Listening::default());
        if self.interrupts.as_ref().is_some_and(Interrupts::take) {
            println!();
            self.connect(true);
            return Done::Interrupted;
        }
        if name == "shutdown" && matches!(broken, Broken::Closed) {
            return Done::Yes;
        }
        eprintln!("Error: {broken}");
        Done::Failed
    }

    fn exchange(&mut self, args: &[Vec<u8>], name: &str) -> Result<Option<Done>, Broken> {
        let Some(link) = &mut self.link else {
            return Err(Broken::Closed);
        };
        link.send(args)?;
        let subscribes = matches!(
            name,
            "subscribe"
                | "psubscribe"
                | "ssubscribe"
                | "unsubscribe"
                | "punsubscribe"
                | "sunsubscribe"
        );
        if subscribes {
            return self.confirm(args, name).map(Some);
        }
        let verbatim = is_verbatim(args);
        let reply = loop {
            let Some(link) = &mut self.link else {
                return Err(Broken::Closed);
            };
            match link.read()? {
                Value::Push(items) => self.pushed(&items),
                // In RESP2 a message looks like a reply.
                Value::Array(items) if self.is_message(&items, name) => self.pushed(&items),
                reply => break reply,
            }
        };
        if self.options.cluster
            && let Value::Error(text) = &reply
            && self.redirected(text)
        {
            return Ok(None);
        }
        self.note(args, name, &reply);
        let done = self.show(&reply, verbatim);
        if name == "monitor" && !matches!(reply, Value::Error(_)) {
            self.set_listening(Listening {
                monitor: true,
                ..self.listening()
            });
        }
        Ok(Some(done))
    }

    /// A message that an earlier SUBSCRIBE brings, in RESP2.
    fn is_message(&self, items: &[Value], name: &str) -> bool {
        let first = items.first().and_then(Value::text);
        let kinds: [&[u8]; 3] = [b"message", b"pmessage", b"smessage"];
        !self.resp3
            && name != "ping"
            && self.is_listening()
            && first.is_some_and(|kind| kinds.contains(&kind))
    }

    /// Waits for as many confirmations as there are channels; without channels for one.
    fn confirm(&mut self, args: &[Vec<u8>], name: &str) -> Result<Done, Broken> {
        if !self.interactive && self.format.output != Output::Raw {
            println!("Reading messages... (press Ctrl-C to quit)");
        }
        let mut left = args.len().saturating_sub(1).max(1);
        while left > 0 {
            let Some(link) = &mut self.link else {
                return Err(Broken::Closed);
            };
            let value = link.read()?;
            match &value {
                Value::Push(items) | Value::Array(items) => {
                    let kind = items.first().and_then(Value::text).unwrap_or_default();
                    if kind.eq_ignore_ascii_case(name.as_bytes()) {
                        left -= 1;
                    }
                    self.pushed(items);
                }
                reply => return Ok(self.show(reply, false)),
            }
        }
        Ok(Done::Yes)
    }

    /// Notes and shows a message.
    fn pushed(&self, items: &[Value]) {
        let text = locked(&self.listener).message(items);
        if let Some(text) = text {
            print(&text);
        }
    }

    /// Follows MOVED and ASK.
    fn redirected(&mut self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text).into_owned();
        let mut words = text.split(' ');
        let (Some(kind @ ("MOVED" | "ASK")), Some(slot), Some(place)) =
            (words.next(), words.next(), words.next())
        else {
            return false;
        };
        let Some((host, port)) = place.rsplit_once(':') else {
            return false;
        };
        let Ok(port) = port.parse() else {
            return false;
        };
        if !host.is_empty() {
            self.options.target.host = host.to_owned();
        }
        self.options.target.port = port;
        if self.interactive {
            println!("-> Redirected to slot [{slot}] located at {}", self.place());
        }
        self.asking = kind == "ASK";
        self.link = None;
        true
    }

    /// What follows from a reply for the session.
    fn note(&mut self, args: &[Vec<u8>], name: &str, reply: &Value) {
        let refused = matches!(reply, Value::Error(_));
        let number = |at: usize| {
            let text = args.get(at).map(|arg| String::from_utf8_lossy(arg));
            text.and_then(|text| text.trim().parse::<i64>().ok())
        };
        match name {
            "select" if !refused => self.db = number(1).unwrap_or(self.db),
            "multi" if !refused => (self.in_multi, self.db_before) = (true, self.db),
            "exec" | "discard" if self.in_multi => {
                self.in_multi = false;
                if name == "discard" || refused || *reply == Value::Null {
                    self.db = self.db_before;
                }
            }
            "auth" if !refused => {
                let target = &mut self.options.target;
                target.password = args.last().cloned();
                target.user = (args.len() == 3).then(|| args[1].clone());
            }
            "hello" if !refused => {
                if let Some(version) = number(1) {
                    self.resp3 = version == 3;
                }
                let auth = args.windows(3).find(|w| w[0].eq_ignore_ascii_case(b"auth"));
                if let Some(auth) = auth {
                    self.options.target.user = Some(auth[1].clone());
                    self.options.target.password = Some(auth[2].clone());
                }
            }
            "reset" if !refused => {
                (self.in_multi, self.db, self.resp3) = (false, 0, false);
                self.set_listening(Listening::default());
            }
            _ => {}
        }
    }

    fn show(&mut self, reply: &Value, verbatim: bool) -> Done {
        if self.options.exit_code
            && let Value::Error(text) = reply
        {
            eprintln!("{}", String::from_utf8_lossy(text));
            return Done::ErrorReply;
        }
        print(&self.format.reply(reply, verbatim));
        Done::Yes
    }

    /// Runs a command as often as asked; the process's exit code.
    pub fn repeat(&mut self, args: &[Vec<u8>]) -> u8 {
        let mut left = self.options.repeat;
        while left != 0 {
            left -= i64::from(left > 0);
            match self.run(args) {
                Done::Yes => {}
                Done::Failed | Done::Interrupted | Done::ErrorReply => return 1,
            }
            if self.is_listening() {
                return self.listen();
            }
            if !self.options.interval.is_zero() {
                std::thread::sleep(self.options.interval);
            }
        }
        0
    }

    pub fn is_monitor(&self) -> bool {
        self.listening().monitor
    }

    /// Shows messages until the connection ends.
    pub fn listen(&mut self) -> u8 {
        while let Some(link) = &mut self.link {
            match link.read() {
                Ok(value) => {
                    let text = locked(&self.listener).show(value);
                    print(&text);
                }
                Err(broken) => {
                    eprintln!("Error: {broken}");
                    return 1;
                }
            }
        }
        1
    }

    /// Shows what comes by itself until `input` has something too. False: the connection ended.
    pub fn listen_until(&mut self, input: &impl AsFd) -> bool {
        const READING: &str =
            "Reading messages... (press Ctrl-C to quit or any key to type command)\r";
        let erase = self.format.output == Output::Standard;
        loop {
            let mut text = Vec::new();
            loop {
                let next = match &mut self.link {
                    Some(link) => link.ready(),
                    None => return false,
                };
                match next {
                    Ok(None) => break,
                    Ok(Some(value)) => text.extend(locked(&self.listener).show(value)),
                    Err(broken) => {
                        eprintln!("Error: {broken}");
                        self.link = None;
                        return false;
                    }
                }
            }
            print(&text);
            if erase {
                print(READING.as_bytes());
            }
            let Some(link) = &mut self.link else {
                return false;
            };
            let watched = self.interrupts.as_ref().map(|i| i.watch(link));
            let mut fds = [
                PollFd::new(input.as_fd(), PollFlags::POLLIN),
                PollFd::new(link.as_fd(), PollFlags::POLLIN),
            ];
            // An interrupted wait is no reason to stop.
            let _ = poll(&mut fds, PollTimeout::NONE);
            let has = |fd: &PollFd| fd.revents().is_some_and(|events| !events.is_empty());
            let (typed, came) = (has(&fds[0]), has(&fds[1]));
            drop(watched);
            if erase {
                print(b"\x1b[K");
            }
            if typed {
                return true;
            }
            if came && let Err(broken) = link.fill() {
                self.broken(&broken, "");
                return false;
            }
        }
    }
}

/// Writes to standard output; without a reader there is nothing left to do.
pub fn print(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(141);
    }
}

/// An argument in lower case.
pub fn word(args: &[Vec<u8>], at: usize) -> String {
    let arg = args.get(at).map(|arg| arg.to_ascii_lowercase());
    String::from_utf8_lossy(&arg.unwrap_or_default()).into_owned()
}

/// Rests, unless there is nothing to rest for.
pub fn rest(interval: Duration) {
    if !interval.is_zero() {
        std::thread::sleep(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session::new(Options::default(), true)
    }

    fn words(line: &str) -> Vec<Vec<u8>> {
        line.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    }

    fn note(session: &mut Session, line: &str, reply: Value) {
        let args = words(line);
        session.note(&args, &word(&args, 0), &reply);
    }

    fn ok() -> Value {
        Value::Status(b"OK".to_vec())
    }

    #[test]
    fn the_database_follows_select_and_transactions() {
        let mut session = session();
        note(&mut session, "SELECT 3", ok());
        assert_eq!(session.db, 3);
        note(&mut session, "SELECT 99", Value::Error(b"ERR".to_vec()));
        assert_eq!(session.db, 3);
        note(&mut session, "multi", ok());
        note(&mut session, "select 5", Value::Status(b"QUEUED".to_vec()));
        assert_eq!((session.db, session.in_multi), (5, true));
        note(&mut session, "discard", ok());
        assert_eq!((session.db, session.in_multi), (3, false));
        note(&mut session, "reset", ok());
        assert_eq!(session.db, 0);
    }

    #[test]
    fn what_logs_in_is_kept_for_the_next_connection() {
        let mut session = session();
        note(&mut session, "auth ann secret", ok());
        assert_eq!(session.options.target.user.as_deref(), Some(&b"ann"[..]));
        assert_eq!(
            session.options.target.password.as_deref(),
            Some(&b"secret"[..])
        );
        note(
            &mut session,
            "auth other",
            Value::Error(b"WRONGPASS".to_vec()),
        );
        assert_eq!(
            session.options.target.password.as_deref(),
            Some(&b"secret"[..])
        );
        note(&mut session, "hello 3 auth bob pw", Value::Map(vec![]));
        assert_eq!(session.options.target.user.as_deref(), Some(&b"bob"[..]));
        assert!(session.resp3);
    }

    #[test]
    fn confirmations_count() {
        let session = session();
        let confirmation = |kind: &str, count: i64| {
            [
                Value::Bulk(kind.into()),
                Value::Bulk("c".into()),
                Value::Int(count),
            ]
        };
        for (kind, count, listens) in [
            ("subscribe", 1, true),
            ("ssubscribe", 1, true),
            ("unsubscribe", 0, true),
            ("sunsubscribe", 0, false),
        ] {
            let text = locked(&session.listener).message(&confirmation(kind, count));
            assert!(text.is_some());
            assert_eq!(session.is_listening(), listens, "{kind}");
        }
    }
}
