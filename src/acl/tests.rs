//! Users, rules and rights through commands, in process.

use std::sync::Arc;

use super::user::Defaults;
use super::{User, may_channels};
use crate::command::testing::Bench;
use crate::dispatch::client::{Client, ClientFlags};
use crate::net::conn::Conn;

const DENIED: &str = "-NOPERM User u has no permissions to run the";
const NO_KEY: &str = "-NOPERM No permissions to access a key";

impl Bench {
    /// The replies of several commands, one a line of input.
    fn all(&mut self, lines: &str) -> Vec<String> {
        lines.lines().map(|line| self.say(line.trim())).collect()
    }

    /// Makes a user anew and logs in as it.
    fn become_user(&mut self, rules: &str) {
        self.client.user = self.server.core.acl.users.default_user().clone();
        assert_eq!(
            self.say(&format!("ACL SETUSER u reset on nopass {rules}")),
            "+OK"
        );
        assert_eq!(self.say("AUTH u x"), "+OK");
    }

    /// As the user `default`, whoever is logged in.
    fn admin(&mut self, line: &str) -> String {
        let user = std::mem::replace(&mut self.client.user, Arc::new(User::all_permitted()));
        let reply = self.say(line);
        // What the command changed of that user.
        let users = &self.server.core.acl.users;
        self.client.user = users.get(&user.name).cloned().unwrap_or(user);
        reply
    }

    /// Adds a second client with this user; returns its id.
    fn other(&mut self, user: &[u8]) -> u64 {
        let id = 100 + self.server.core.clients.len() as u64;
        let conn = Conn::new(id, "127.0.0.1:9".into(), String::new(), false, 0, true);
        let mut client = Box::new(Client::new(Arc::new(conn), 0, ClientFlags::AUTHENTICATED));
        client.user = self
            .server
            .core
            .acl
            .users
            .get(user)
            .expect("a user")
            .clone();
        self.server.core.clients.add(client);
        id
    }
}

fn line_of(rules: &str) -> String {
    let mut bench = Bench::new();
    assert_eq!(
        bench.say(&format!("ACL SETUSER u {rules}")),
        "+OK",
        "{rules}"
    );
    let user = bench.server.core.acl.users.get(b"u").expect("u");
    String::from_utf8_lossy(&user.line()).into_owned()
}

#[test]
fn users_are_written_as_redis_writes_them() {
    let cases = [
        ("", "off sanitize-payload resetchannels -@all"),
        (
            "ON nopass",
            "on nopass sanitize-payload resetchannels -@all",
        ),
        (
            "skip-sanitize-payload allkeys allchannels allcommands",
            "off skip-sanitize-payload ~* &* +@all",
        ),
        (
            "%R~a %W~a %RW~b %w~c ~d",
            "off sanitize-payload ~a ~b %W~c ~d resetchannels -@all",
        ),
        ("%R", "off sanitize-payload %R~ resetchannels -@all"),
        ("~a allkeys", "off sanitize-payload ~* resetchannels -@all"),
        ("&a &b &a", "off sanitize-payload resetchannels &a &b -@all"),
        (
            "+@all -get +client -client|kill +select|0",
            "off sanitize-payload resetchannels +@all -get +client -client|kill +select|0",
        ),
        (
            "+client|list +client|list +config|get +config +acl|list -acl",
            "off sanitize-payload resetchannels -@all +client|list +config -acl",
        ),
        (
            "+HGET -hset +hSet -hget",
            "off sanitize-payload resetchannels -@all +hset -hget",
        ),
        (
            "+@HASH +@slow +@hash",
            "off sanitize-payload resetchannels -@all +@slow +@hash",
        ),
        (
            "+select|A +GET|b +select|a",
            "off sanitize-payload resetchannels -@all +get|b +select|a",
        ),
        (
            "+select|0 +debug|segfault +select",
            "off sanitize-payload resetchannels -@all +debug|segfault +select",
        ),
        (
            "-@all -@dangerous",
            "off sanitize-payload resetchannels -@all -@dangerous",
        ),
        (
            "(+get ~x &c) () '( %R~y  -@all )'",
            "off sanitize-payload resetchannels -@all (~x resetchannels &c -@all +get) (resetchannels -@all) (%R~y resetchannels -@all)",
        ),
        (
            "(+get ~x ) ( +set )",
            "off sanitize-payload resetchannels -@all (~x resetchannels -@all +get) (resetchannels -@all +set)",
        ),
        (
            "on ~* +@all (+get) reset",
            "off sanitize-payload resetchannels -@all",
        ),
        (
            "(+get) clearselectors",
            "off sanitize-payload resetchannels -@all",
        ),
        ("''", "off sanitize-payload resetchannels -@all"),
    ];
    for (rules, expected) in cases {
        assert_eq!(line_of(rules), format!("user u {expected}"), "{rules}");
    }
    let x = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    let one = format!("user u off sanitize-payload #{x} resetchannels -@all");
    let none = "user u off sanitize-payload resetchannels -@all";
    assert_eq!(line_of("nopass >x >x"), one);
    assert_eq!(line_of(&format!("#{x}")), one);
    assert_eq!(line_of(">x <x"), none);
    assert_eq!(line_of(&format!(">x !{x}")), none);
    assert_eq!(line_of(">x resetpass"), none);
}

#[test]
fn a_bad_rule_changes_nothing() {
    let mut bench = Bench::new();
    for (rules, error) in [
        ("on ~x %", "modifier '%': Syntax error"),
        ("%RR~a", "modifier '%RR~a': Syntax error"),
        ("%~", "modifier '%~': Syntax error"),
        ("%X~a", "modifier '%X~a': Syntax error"),
        ("' ()'", "modifier ' ()': Syntax error"),
        ("'~a b'", "modifier '~a b': Syntax error"),
        ("((+get))", "modifier '((+get))': Syntax error"),
        ("(on)", "modifier '(on)': Syntax error"),
        ("(>x)", "modifier '(>x)': Syntax error"),
        ("'(~a) +get)'", "modifier '(~a) +get)': Syntax error"),
        ("(+get (~x )", "modifier '(+get (~x )': Syntax error"),
        ("+get|", "modifier '+get|': Syntax error"),
        ("'+get|a b'", "modifier '+get|a b': Syntax error"),
        (
            "+nosuch|",
            "modifier '+nosuch|': Unknown command or category name in ACL",
        ),
        (
            "+config|get|x",
            "modifier '+config|get|x': Allowing first-arg of a subcommand is not supported",
        ),
        (
            "+config|nosuch",
            "modifier '+config|nosuch': Unknown command or category name in ACL",
        ),
        (
            "-get|x",
            "modifier '-get|x': Unknown command or category name in ACL",
        ),
        (
            "+@nosuch",
            "modifier '+@nosuch': Unknown command or category name in ACL",
        ),
        (
            "<x",
            "modifier '<x': The password you are trying to remove from the user does not exist",
        ),
    ] {
        let reply = bench.say(&format!("ACL SETUSER u {rules}"));
        assert_eq!(reply, format!("-ERR Error in ACL SETUSER {error}"));
    }
    for rules in ["(", "(+get", "(%~x", "'(+get ~a) ('", "(+get) ( ~x"] {
        let reply = bench.say(&format!("ACL SETUSER u {rules}"));
        assert!(
            reply.starts_with("-ERR Unmatched parenthesis in acl selector starting at '("),
            "{reply}"
        );
    }
    assert_eq!(bench.say("ACL USERS"), "*1 $7 default");
}

#[test]
fn commands_and_their_sub_commands() {
    let mut bench = Bench::new();
    bench.become_user("~* -@all +get +acl|whoami +config -config|set +select|1 +select|2");
    let replies = bench.all("GET k\nSET k v\nACL WHOAMI\nACL LIST\nCONFIG GET port\nCONFIG SET port 1\nSELECT 2\nSELECT 0\nPING\nnosuch");
    let expected = [
        "$-1",
        &format!("{DENIED} 'set' command"),
        "$1 u",
        &format!("{DENIED} 'acl|list' command"),
        "*2 $4 port $4 6379",
        &format!("{DENIED} 'config|set' command"),
        "+OK",
        &format!("{DENIED} 'select' command"),
        &format!("{DENIED} 'ping' command"),
        "-ERR unknown command 'nosuch', with args beginning with:",
    ];
    assert_eq!(replies, expected);
    // To log in, or to leave, needs no right.
    assert_eq!(bench.say("HELLO 3").split(' ').next(), Some("%7"));
    assert_eq!(bench.say("RESET"), "+RESET");
    assert_eq!(bench.say("ACL WHOAMI"), "$7 default");
}

#[test]
fn keys_by_access() {
    let mut bench = Bench::new();
    bench.become_user("+@all ~a* %R~r* %W~w*");
    let replies = bench.all("GET r1\nSET w1 v\nGET w1\nAPPEND r1 x\nGETSET w1 x\nCOPY r1 w2\nCOPY w1 r2\nMGET a r b\nEXISTS w1\nEXISTS b\nSET w1 v GET\nSORT r1 STORE w1\nSORT w1");
    let expected = [
        "$-1", "+OK", NO_KEY, NO_KEY, NO_KEY, ":0", NO_KEY, NO_KEY, ":1", NO_KEY, NO_KEY, ":0",
        NO_KEY,
    ];
    assert_eq!(replies, expected);
}

#[test]
fn one_selector_must_allow_all_of_a_call() {
    let mut bench = Bench::new();
    bench.become_user("-@all (+@write ~w*) (+@read ~r*)");
    let replies = bench.all("SET w v\nGET r\nGET w\nSET r v\nCOPY r w\nPING");
    let expected = [
        "+OK",
        "$-1",
        NO_KEY,
        NO_KEY,
        NO_KEY,
        &format!("{DENIED} 'ping' command"),
    ];
    assert_eq!(replies, expected);
    // What is told is the denial that came furthest.
    bench.become_user("+mget ~key (+mget ~key ~otherkey)");
    bench.say("MGET key otherkey someotherkey");
    let entry = bench.server.core.acl.log.iter().next().expect("an entry");
    assert_eq!(entry.event.object, b"someotherkey");
}

#[test]
fn sort_reads_other_keys_only_with_the_right_to_all() {
    let mut bench = Bench::new();
    bench.say("RPUSH l 1");
    bench.become_user("(+sort ~l)");
    for (option, word) in [("BY v*", "BY"), ("GET v*", "GET"), ("GET #", "GET")] {
        let denied =
            format!("-ERR {word} option of SORT denied due to insufficient ACL permissions.");
        assert_eq!(bench.say(&format!("SORT l {option}")), denied);
    }
    assert_eq!(bench.say("SORT l BY nosort"), "*1 $1 1");
    bench.become_user("(+sort ~l %W~*)");
    assert!(bench.say("SORT l BY v*").starts_with("-ERR BY option"));
    bench.become_user("(+sort ~l %R~*)");
    assert_eq!(bench.say("SORT l BY v*"), "*1 $1 1");
}

#[test]
fn logins() {
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    let mut bench = Bench::new();
    bench.say("ACL SETUSER u >one >two +acl|whoami");
    assert_eq!(bench.say("AUTH u one"), wrong);
    bench.say("ACL SETUSER u on");
    assert_eq!(
        bench.all("AUTH u one\nAUTH u two\nAUTH u three\nAUTH v one"),
        ["+OK", "+OK", wrong, wrong]
    );
    assert_eq!(bench.say("ACL WHOAMI"), "$1 u");
    assert!(
        bench
            .say("HELLO 2 AUTH u three SETNAME x")
            .starts_with(wrong)
    );
    assert_eq!(bench.admin("ACL SETUSER u nopass"), "+OK");
    assert_eq!(bench.say("AUTH u whatever"), "+OK");
    assert_eq!(bench.server.core.stats.acl_denied_auth, 4);
    assert!(
        bench
            .say("AUTH x")
            .starts_with("-ERR AUTH <password> called without any password")
    );
}

#[test]
fn requirepass_is_the_password_of_the_default_user() {
    let mut bench = Bench::new();
    assert_eq!(bench.say("CONFIG SET requirepass x"), "+OK");
    let default = bench.say("ACL GETUSER default");
    assert!(default.contains("$64 2d711642b726b0"), "{default}");
    assert!(!default.contains("nopass"), "{default}");
    // Who was let in stays; who comes now has to log in.
    assert_eq!(bench.say("PING"), "+PONG");
    assert_eq!(bench.say("RESET"), "+RESET");
    assert_eq!(bench.say("PING"), "-NOAUTH Authentication required.");
    assert_eq!(bench.say("AUTH default x"), "+OK");
    // The setting stays what it was when the user gets another password.
    assert_eq!(bench.say("ACL SETUSER default >y"), "+OK");
    assert_eq!(
        bench.say("CONFIG GET requirepass"),
        "*2 $11 requirepass $1 x"
    );
    assert_eq!(bench.all("AUTH y\nAUTH x"), ["+OK", "+OK"]);
    assert_eq!(
        bench.all("RESET\nACL LIST"),
        ["+RESET", "-NOAUTH Authentication required."]
    );
    // An open server asks nobody, and those neither who came while it was closed.
    let mut user = User::all_permitted();
    user.set_only_password(b"");
    super::clients::install(&mut bench.server.core, &mut bench.client, user);
    assert!(!bench.client.is(ClientFlags::AUTHENTICATED));
    assert_eq!(bench.say("PING"), "+PONG");
    assert_eq!(bench.say("ACL SETUSER default off"), "+OK");
    assert_eq!(bench.say("PING"), "-NOAUTH Authentication required.");
}

#[test]
fn a_change_reaches_those_who_are_logged_in() {
    let mut bench = Bench::new();
    bench.become_user("+@all ~*");
    let other = bench.other(b"u");
    assert_eq!(bench.say("ACL SETUSER u -get"), "+OK");
    assert_eq!(bench.say("GET k"), format!("{DENIED} 'get' command"));
    let client = bench.server.core.clients.get(other).expect("still there");
    assert_eq!(client.user.name, bench.client.user.name);
    assert!(!client.user.is_unrestricted());

    assert_eq!(bench.say("ACL DELUSER nobody u"), ":1");
    assert!(bench.client.is(ClientFlags::CLOSE_AFTER_REPLY));
    assert!(bench.server.core.clients.get(other).is_none());
    assert_eq!(
        bench.admin("ACL DELUSER default"),
        "-ERR The 'default' user cannot be removed"
    );
}

#[test]
fn clients_are_killed_by_user() {
    let mut bench = Bench::new();
    bench.say("ACL SETUSER u on");
    let other = bench.other(b"u");
    assert_eq!(bench.say("CLIENT KILL USER v"), "-ERR No such user 'v'");
    let list = bench.say(&format!("CLIENT LIST ID {other}"));
    assert!(list.contains(" user=u "), "{list}");
    assert_eq!(bench.say("CLIENT KILL USER u"), ":1");
    assert!(bench.server.core.clients.get(other).is_none());
}

#[test]
fn transactions_ask_twice() {
    let mut bench = Bench::new();
    bench.become_user("+@all -set ~a ~b");
    assert_eq!(
        bench.all("MULTI\nSET a 1\nEXEC"),
        [
            "+OK",
            &format!("{DENIED} 'set' command"),
            "-EXECABORT Transaction discarded because of previous errors."
        ]
    );
    assert_eq!(
        bench.all("MULTI\nINCR a\nGET b\nINCR a"),
        ["+OK", "+QUEUED", "+QUEUED", "+QUEUED"]
    );
    let changed = bench.admin("ACL WHOAMI");
    assert_eq!(changed, "+QUEUED");
    // Somebody else changes the user meanwhile.
    let mut user = User::clone(&bench.client.user);
    super::rules::apply_all(
        &mut user,
        &["resetkeys", "~a", "-acl"].map(|r| r.as_bytes().to_vec()),
        Defaults::default(),
    )
    .expect("rules");
    super::clients::install(&mut bench.server.core, &mut bench.client, user);
    let begin = "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the following reason:";
    assert_eq!(
        bench.say("EXEC"),
        format!(
            "*4 :1 {begin} no permission to touch the specified keys :2 {begin} no permission to execute the command or subcommand"
        )
    );
    let log: Vec<(&str, &str, String, bool)> = bench
        .server
        .core
        .acl
        .log
        .iter()
        .map(|e| {
            let object = String::from_utf8_lossy(&e.event.object).into_owned();
            (
                e.event.reason.name(),
                e.event.context.name(),
                object,
                e.client.contains("cmd=exec"),
            )
        })
        .collect();
    let expected = [
        ("command", "multi", "acl|whoami".to_owned(), true),
        ("key", "multi", "b".into(), true),
        ("command", "multi", "set".into(), false),
    ];
    assert_eq!(log, expected);
}

#[test]
fn denials_are_counted_and_logged() {
    let mut bench = Bench::new();
    bench.become_user("+set ~a");
    bench.all("GET a\nGET b\nSET b 1\nAUTH u2 x");
    bench.become_user("");
    let stats = &bench.server.core.stats;
    assert_eq!(
        (
            stats.acl_denied_command,
            stats.acl_denied_key,
            stats.acl_denied_auth
        ),
        (2, 1, 1)
    );
    let log = bench.admin("ACL LOG");
    for part in [
        "$6 reason $4 auth $7 context $8 toplevel $6 object $4 AUTH $8 username $2 u2",
        "$6 reason $3 key",
        "$5 count :2 $6 reason $7 command $7 context $8 toplevel $6 object $3 get $8 username $1 u",
        "cmd=get user=u ",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert!(bench.admin("ACL LOG 1").starts_with("*1 *20"));
    assert_eq!(bench.admin("ACL LOG -1"), "*0");
    assert_eq!(bench.admin("ACL LOG reset"), "+OK");
    assert_eq!(bench.admin("ACL LOG"), "*0");
    bench.admin("CONFIG SET acllog-max-len 0");
    bench.say("GET a");
    assert_eq!(bench.admin("ACL LOG"), "*0");
}

#[test]
fn dryrun_tells_and_does_nothing() {
    let mut bench = Bench::new();
    bench.say("ACL SETUSER u +@all -set %R~r* %W~w* ~rw");
    let cases = [
        ("u get r", "+OK"),
        (
            "u GET w",
            "$47 User u has no permissions to access the 'w' key",
        ),
        (
            "u set rw v",
            "$50 User u has no permissions to run the 'set' command",
        ),
        ("u config set a b", "+OK"),
        ("u get", "-ERR wrong number of arguments for 'get' command"),
        ("u nosuch", "-ERR Command 'nosuch' not found"),
        ("u config nosuch", "-ERR Command 'config' not found"),
        (
            "u config",
            "-ERR wrong number of arguments for 'config' command",
        ),
        ("v get r", "-ERR User 'v' not found"),
        ("u georadius r 0 0 1 m STORE w", "+OK"),
        (
            "u georadius r 0 0 1 m STOREDIST r",
            "$47 User u has no permissions to access the 'r' key",
        ),
        (
            "u sintercard 2 r w",
            "$47 User u has no permissions to access the 'w' key",
        ),
        ("u type w", "+OK"),
        ("u append w v", "+OK"),
    ];
    for (call, reply) in cases {
        assert_eq!(bench.say(&format!("ACL DRYRUN {call}")), reply, "{call}");
    }
    assert_eq!(bench.server.core.acl.log.iter().len(), 0);
    assert_eq!(bench.say("EXISTS w"), ":0");
}

#[test]
fn channels() {
    let mut bench = Bench::new();
    bench.say("ACL SETUSER u resetchannels &foo &bar:* (&baz*)");
    let user = bench.server.core.acl.users.get(b"u").expect("u").clone();
    let may = |names: &[&str], is_pattern| {
        may_channels(&user, names.iter().map(|n| n.as_bytes()), is_pattern)
    };
    assert!(may(&["foo", "bar:1", "bazaar"], false));
    assert!(!may(&["foo", "zap"], false));
    assert!(may(&["bar:*", "foo"], true));
    assert!(!may(&["bar:baz"], true));
    bench.say("CONFIG SET acl-pubsub-default allchannels");
    bench.say("ACL SETUSER v");
    let v = bench.server.core.acl.users.get(b"v").expect("v");
    assert_eq!(v.root.channel_rules(), b"&*");
    assert!(bench.say("ACL SETUSER v &a").contains("'allchannels' flag"));
    // Who is there already is not touched.
    let user = bench.server.core.acl.users.get(b"u").expect("u");
    assert_eq!(user.root.channel_rules(), b"&foo &bar:*");
}

#[test]
fn small_commands() {
    let mut bench = Bench::new();
    assert_eq!(bench.say("ACL GENPASS 5").len(), "$2 ab".len());
    assert_eq!(bench.say("ACL GENPASS").len(), "$64 ".len() + 64);
    assert_ne!(bench.say("ACL GENPASS"), bench.say("ACL GENPASS"));
    let cat = "-ERR unknown subcommand or wrong number of arguments for 'CAT'. Try ACL HELP.";
    assert_eq!(bench.say("ACL CAT a b"), cat);
    assert_eq!(
        bench.say("ACL CAT nosuch"),
        "-ERR Unknown category 'nosuch'"
    );
    assert!(bench.say("ACL CAT").starts_with("*21 $8 keyspace $4 read"));
    let dangerous = bench.say("ACL CAT Dangerous");
    assert!(
        dangerous.contains(" $8 flushall ") && dangerous.contains("$10 config|set"),
        "{dangerous}"
    );
    assert_eq!(bench.say("ACL GETUSER nosuch"), "$-1");
    bench.say("ACL SETUSER u (+get ~k)");
    assert_eq!(
        bench.say("ACL GETUSER u"),
        "*12 $5 flags *2 $3 off $16 sanitize-payload $9 passwords *0 $8 commands $5 -@all $4 keys $0  $8 channels $0  $9 selectors *1 *6 $8 commands $10 -@all +get $4 keys $2 ~k $8 channels $0"
    );
    assert!(
        bench
            .say("ACL LOAD")
            .starts_with("-ERR This Redis instance is not configured to use an ACL file.")
    );
}

/// Whatever the rules are, nothing breaks, and what they make is read back from its own line.
#[test]
fn every_user_is_read_back() {
    const PARTS: &[&[u8]] = &[
        b"(", b")", b"~", b"%", b"R", b"W", b"&", b"+", b"-", b"@", b"|", b"*", b"a", b" ", b"get",
        b"config", b"read", b"all", b"\xff", b"\"", b"\\", b"'", b"#", b"\t", b"%R~", b"(+get ",
    ];
    let mut rng = crate::base::rng::Rng::new(7);
    let mut pick = |n: usize| rng.below(n as u64) as usize;
    let mut made = 0;
    for _ in 0..50_000 {
        let mut words: Vec<Vec<u8>> = Vec::new();
        for _ in 0..=pick(3) {
            words.push(
                (0..=pick(5))
                    .flat_map(|_| PARTS[pick(PARTS.len())].to_vec())
                    .collect(),
            );
        }
        let Ok(rules) = super::rules::join_selectors(&words) else {
            continue;
        };
        let mut user = User::new(b"u", Defaults::default());
        if super::rules::apply_all(&mut user, &rules, Defaults::default()).is_err() {
            continue;
        }
        made += 1;
        let line = user.line();
        let text = String::from_utf8_lossy(&line);
        let back = line.split(|b| *b == b' ').skip(2).map(<[u8]>::to_vec);
        let back: Vec<Vec<u8>> = back.collect();
        let back = super::rules::join_selectors(&back).unwrap_or_else(|_| panic!("{text}"));
        let mut again = User::new(b"u", Defaults::default());
        let applied = super::rules::apply_all(&mut again, &back, Defaults::default());
        assert!(applied.is_ok(), "{text}: {applied:?}");
        assert_eq!(again.line(), line, "{text}");
    }
    assert!(made > 1_000, "{made}");
}
