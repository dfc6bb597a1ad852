//! `help`: what a command does and how it is written; and the text of `ferrite cli --help`.

use std::fmt::Write;

use super::facts::{Fact, Facts};

/// Whether these words are a question to the client itself.
pub fn is_asked(words: &[Vec<u8>]) -> bool {
    let first = words.first().map(Vec::as_slice);
    first.is_some_and(|word| word.eq_ignore_ascii_case(b"help") || word == b"?")
}

/// The answer to `help` with these words behind it.
pub fn answer(facts: &Facts, words: &[Vec<u8>], color: bool) -> String {
    let Some(first) = words.first() else {
        return general();
    };
    let paint = Paint(color);
    let mut out = String::from("\n");
    if let Some(group) = first.strip_prefix(b"@") {
        let group = normal(&String::from_utf8_lossy(group));
        for fact in facts.iter().filter(|fact| normal(&fact.group) == group) {
            paint.entry(fact, false, &mut out);
        }
    } else {
        let name = words.join(&b' ').to_ascii_uppercase();
        let name = String::from_utf8_lossy(&name).into_owned();
        let part_of = format!("{name} ");
        for fact in facts.iter() {
            if fact.name == name || fact.name.starts_with(&part_of) {
                paint.entry(fact, true, &mut out);
            }
        }
    }
    out.push('\n');
    out
}

/// `sorted-set` and `sorted_set` are the same group.
fn normal(group: &str) -> String {
    group.to_ascii_lowercase().replace('_', "-")
}

struct Paint(bool);

impl Paint {
    fn code(&self, code: &'static str) -> &'static str {
        if self.0 { code } else { "" }
    }

    fn entry(&self, fact: &Fact, with_group: bool, out: &mut String) {
        let (bold, gray, yellow, plain) = (
            self.code("\x1b[1m"),
            self.code("\x1b[90m"),
            self.code("\x1b[33m"),
            self.code("\x1b[0m"),
        );
        let syntax = fact.syntax();
        let _ = writeln!(out, "  {bold}{}{plain} {gray}{syntax}{plain}", fact.name);
        let mut line = |name: &str, text: &str| {
            if !text.is_empty() {
                let _ = writeln!(out, "  {yellow}{name}:{plain} {text}");
            }
        };
        line("summary", &fact.summary);
        line("since", &fact.since);
        if with_group {
            line("group", &fact.group);
            line("complexity", &fact.complexity);
        }
        if let Some(instead) = &fact.deprecated {
            let instead = match instead.as_str() {
                "" => "do not use it any more",
                text => text,
            };
            line("deprecated", instead);
        }
        out.push('\n');
    }
}

fn general() -> String {
    "ferrite cli, which is used as redis-cli is\n\
     To get help about Redis commands type:\n\
     \x20     \"help @<group>\" to get a list of commands in <group>\n\
     \x20     \"help <command>\" for help on <command>\n\
     \x20     \"help <tab>\" to get a list of possible help topics\n\
     \x20     \"quit\" to exit\n\
     \n\
     To set preferences:\n\
     \x20     \":set hints\" enable online hints\n\
     \x20     \":set nohints\" disable online hints\n\
     Set your preferences in ~/.redisclirc\n"
        .into()
}

/// What may follow `help `.
pub fn topics(facts: &Facts) -> impl Iterator<Item = String> {
    let groups = facts.groups().into_iter().map(|group| format!("@{group}"));
    let names = facts.iter().map(|fact| fact.name.clone());
    groups.chain(names)
}

/// `ferrite cli --help`.
pub const USAGE: &str = r#"ferrite cli: a client for Ferrite, Redis and Valkey, used as redis-cli is

Usage: ferrite cli [OPTIONS] [cmd [arg [arg ...]]]
  -h <hostname>      Server hostname (default: 127.0.0.1).
  -p <port>          Server port (default: 6379).
  -t <timeout>       Longest wait for the connection, in seconds.
  -s <socket>        Server socket (overrides hostname and port).
  -a <password>      Password. The environment variable REDISCLI_AUTH does the
                     same more safely (the option takes precedence).
  --user <username>  User for AUTH; needs a password.
  --pass <password>  The same as -a.
  --askpass          Ask for the password; -a and REDISCLI_AUTH are ignored.
  -u <uri>           redis://[[user:]password@]host[:port][/db]; rediss:// with TLS.
  -r <repeat>        Run the command N times (-1: without end).
  -i <interval>      Wait so many seconds between the repetitions of -r, the lines
                     of --stat, the cycles of --scan, and 100 SCANs of --bigkeys,
                     --memkeys and --hotkeys. Fractions are understood.
  -n <db>            Database number.
  -2                 Start in RESP2.
  -3                 Start in RESP3 (default on a terminal, where the server has it).
  -x                 Read the last argument from standard input.
  -X <tag>           Read the argument <tag> from standard input.
  -d <delimiter>     Between the elements of a raw reply (default: \n).
  -D <delimiter>     Behind a raw reply (default: \n).
  -c                 Follow -ASK and -MOVED redirections.
  -e                 End with exit code 1 when a command's reply is an error.
  --tls              Connect with TLS.
  --sni <host>       Server name for TLS.
  --cacert <file>    Certificates to trust.
  --cacertdir <dir>  Directory of certificates to trust.
  --insecure         Do not check the server's certificate.
  --cert <file>      Client certificate.
  --key <file>       Its private key.
  --raw              Replies as they are (default when the output is no terminal).
  --no-raw           Replies for people, wherever the output goes.
  --csv              Replies as CSV.
  --json             Replies as JSON (in RESP3, unless -2 is given).
  --quoted-json      The same, with other bytes than ASCII escaped.
  --quoted-input     Arguments are quoted strings.
  --show-pushes <yn> Show messages of RESP3 that come by themselves
                     (default when the output is a terminal).
  --stat             Show keys, memory, clients and requests, line by line.
  --latency          Measure latency. When the output is no terminal, or with --raw
                     or --csv, for one second (or -i): one line.
  --latency-history  The same, with a new line every 15 seconds (or -i).
  --latency-dist     Latency as a spectrum; needs 256 colors.
  --replica          Show the commands that replicas get.
  --rdb <file>       Copy the data set as an RDB file ("-": to standard output).
  --functions-rdb <file>  The same, functions alone.
  --pipe             Send raw protocol from standard input.
  --pipe-timeout <n> Seconds to wait for the last reply (default: 30; 0: for ever).
  --bigkeys          Find the keys with most elements.
  --memkeys          Find the keys that take most memory.
  --memkeys-samples <n>  The same, looking at so many elements of each.
  --hotkeys          Find the keys used most; needs a maxmemory-policy of LFU.
  --scan             List keys.
  --pattern <pat>    Which keys: for --scan, --bigkeys, --memkeys and --hotkeys.
  --quoted-pattern <pat>  The same as a quoted string.
  --count <n>        Keys looked at by one SCAN (default: 10).
  --type <type>      List keys of this type only (--scan).
  --intrinsic-latency <sec>  Measure how long the system keeps a busy process waiting.
  --eval <file>      Run a Lua script: keys, a comma, arguments follow.
  --verbose          Say more.
  --no-auth-warning  No warning about a password on the command line.
  --help             Show this.
  --version          Show the version.

Examples:
  ferrite cli                                   a session, with completion, hints and help
  cat /etc/passwd | ferrite cli -x set mypasswd
  ferrite cli -r 100 -i 1 info | grep used_memory_human:
  ferrite cli --quoted-input set '"null-\x00-separated"' value
  ferrite cli --eval myscript.lua key1 key2 , arg1 arg2 arg3
  ferrite cli --scan --pattern '*:12345*'
  ferrite cli --rdb backup.rdb"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> String {
        let words = crate::base::words::split(line.as_bytes()).unwrap();
        answer(&Facts::own(), &words, false)
    }

    #[test]
    fn a_command_with_all_that_is_known() {
        let get = ask("get");
        assert!(get.starts_with("\n  GET key\n  summary: "), "{get}");
        assert!(get.contains("\n  since: 1.0.0\n  group: string\n  complexity: O(1)\n"));
        assert!(!get.contains("GETDEL"));
        let config = ask("Config");
        assert!(
            config.contains("  CONFIG SET parameter value") && config.contains("  CONFIG GET ")
        );
        assert!(ask("getset").contains("deprecated: "));
        assert_eq!(ask("nosuch"), "\n\n");
    }

    #[test]
    fn groups_and_topics() {
        let group = ask("@Sorted_Set");
        assert!(group.contains("  ZADD key ") && !group.contains("group:"));
        assert!(ask("").contains("\"help <command>\""));
        let topics: Vec<String> = topics(&Facts::own()).collect();
        assert!(topics.contains(&"@hash".to_owned()) && topics.contains(&"ACL SETUSER".to_owned()));
        assert!(answer(&Facts::own(), &[b"get".to_vec()], true).contains("\x1b[1mGET\x1b[0m"));
    }
}
