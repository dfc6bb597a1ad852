//! S61 to S64, S71: rules that are no rules, and calls that would reach more than their user may.

use crate::harness::{Target, Want, shown};

/// S61: each of these rules is refused or means what it says, and the user that it leaves can be used.
#[test]
fn odd_rules() {
    let mut target = Target::new(&[]);
    let unmatched = || Want::Error("ERR Unmatched parenthesis in acl selector starting at '");
    let syntax = || Want::Error("ERR Error in ACL SETUSER modifier '");
    target.say("ACL SETUSER u on nopass +@all");
    let deep = format!("ACL SETUSER u {}", "(".repeat(10_000));
    let stars = format!("ACL SETUSER u ~{}b", "*a".repeat(2_000));
    for (line, want) in [
        ("ACL SETUSER u %", syntax()),
        ("ACL SETUSER u %~", syntax()),
        ("ACL SETUSER u %R", Want::Is("OK")),
        ("ACL SETUSER u %X~a", syntax()),
        ("ACL SETUSER u %RRRRRRRRRRRRRRRRR~a", syntax()),
        ("ACL SETUSER u (%~x", unmatched()),
        ("ACL SETUSER u '(+get ~a) ('", unmatched()),
        ("ACL SETUSER u (", unmatched()),
        ("ACL SETUSER u )", syntax()),
        ("ACL SETUSER u ((((+get))))", syntax()),
        ("ACL SETUSER u +", syntax()),
        ("ACL SETUSER u +|", syntax()),
        ("ACL SETUSER u +get|", syntax()),
        ("ACL SETUSER u +@", syntax()),
        ("ACL SETUSER u '+get|a b'", syntax()),
        ("ACL SETUSER u '~a\\nuser evil on'", syntax()),
        ("ACL SETUSER u \"~a\\nuser evil on nopass +@all\"", syntax()),
        ("ACL SETUSER u \"+x\\r\\n+OK\"", syntax()),
        (
            "ACL SETUSER \"u\\nuser evil\" on",
            Want::Error("ERR Usernames can't contain spaces"),
        ),
        (&deep, unmatched()),
        (&stars, Want::Is("OK")),
    ] {
        target.attack(line, &want);
        let mut user = target.server.connect();
        assert_eq!(shown(&user.line("AUTH u x")), "OK", "{line}");
        let reply = user.line("GET aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        assert_eq!(
            shown(&reply),
            "-NOPERM No permissions to access a key",
            "{line}"
        );
        assert_eq!(shown(&user.line("PING")), "PONG", "{line}");
    }
    assert_eq!(shown(&target.say("ACL USERS")), "[default u]");
}

/// S62, S63: the key that is checked is the key that is used.
#[test]
fn no_way_around_the_checked_key() {
    let mut target = Target::new(&[]);
    target.say("RPUSH allowed 1");
    target.say("RPUSH forbidden 1");
    target.say("SET o_1 secret");
    target.say("GEOADD places 1 1 here");
    target.say("ACL SETUSER u on nopass ~allowed ~places +@all");
    target.say("AUTH u x");
    let denied = || Want::Error("NOPERM No permissions to access a key");
    for line in [
        "SORT forbidden",
        "SORT allowed STORE forbidden",
        "SORT allowed STORE allowed STORE forbidden",
        "SORT_RO forbidden",
        "GEORADIUS places 0 0 500 km STORE allowed STOREDIST forbidden",
        "GEORADIUS places 0 0 500 km STORE forbidden",
        "GEORADIUSBYMEMBER places here 1 km STORE forbidden",
        "GEOSEARCHSTORE forbidden places FROMMEMBER here BYRADIUS 1 km",
        "MSETEX 2 allowed v forbidden v",
        "MSET allowed v forbidden v",
        "BITOP AND allowed forbidden",
        "COPY allowed forbidden",
        "COPY forbidden allowed",
        "RENAME allowed forbidden",
        "LMPOP 2 allowed forbidden LEFT",
        "ZUNIONSTORE allowed 2 places forbidden",
        "ZDIFF 2 places forbidden",
        "SINTERCARD 2 allowed forbidden",
        "SMOVE allowed forbidden 1",
        "PFMERGE forbidden",
        "BLPOP allowed forbidden 1",
        "LMOVE allowed forbidden LEFT LEFT",
        "OBJECT ENCODING forbidden",
        "MEMORY USAGE forbidden",
        "WATCH forbidden",
    ] {
        target.attack(line, &denied());
    }
    for (line, word) in [
        ("SORT allowed BY w_* GET o_*", "BY"),
        ("SORT_RO allowed BY nosort GET o_*", "GET"),
        ("SORT allowed GET o_* STORE allowed", "GET"),
    ] {
        let error =
            format!("-ERR {word} option of SORT denied due to insufficient ACL permissions.");
        target.attack(line, &Want::Any);
        assert_eq!(shown(&target.say(line)), error);
    }
    // What nobody may call with these arguments touches nothing either.
    for line in [
        "ZUNIONSTORE allowed 99999999999999999999 forbidden",
        "LMPOP -1 forbidden LEFT",
        "SINTERCARD 00001 forbidden",
    ] {
        target.attack(line, &Want::Error(""));
    }
    let keys = target.server.connect().line("DBSIZE");
    assert_eq!(shown(&keys), "4");
}

/// S71: a denied command gets one reply, in a transaction too.
#[test]
fn one_reply_to_a_denied_command() {
    let mut target = Target::new(&["--enable-debug-command", "yes"]);
    target.say("ACL SETUSER u on nopass ~a +multi +exec +discard +echo +get");
    target.say("AUTH u x");
    let no = Want::Error("NOPERM User u has no permissions to run the '");
    for line in [
        "SET a b",
        "CONFIG GET *",
        "DEBUG SLEEP 0",
        "FLUSHALL",
        "ACL LIST",
        "MONITOR",
        "SHUTDOWN NOSAVE",
        "CLIENT LIST",
    ] {
        target.attack(line, &no);
        assert_eq!(shown(&target.say("MULTI")), "OK");
        let reply = target.say(line).text();
        let refused = reply.starts_with("NOPERM") || reply.ends_with("inside a transaction");
        assert!(refused, "{line}: {reply}");
        assert!(target.say("EXEC").text().starts_with("EXECABORT"));
    }
}

/// S65: who tracks everything is told of no key but those of its user.
#[test]
fn invalidations_name_no_foreign_keys() {
    let mut target = Target::new(&[]);
    target.say("ACL SETUSER u on nopass ~mine:* %R~read:* +@all");
    let mut spy = target.server.connect_resp3();
    assert_eq!(shown(&spy.line("AUTH u x")), "OK");
    assert_eq!(shown(&spy.line("CLIENT TRACKING ON BCAST")), "OK");
    let mut loopless = target.server.connect_resp3();
    loopless.line("AUTH u x");
    assert_eq!(
        shown(&loopless.line("CLIENT TRACKING ON BCAST NOLOOP")),
        "OK"
    );
    for key in ["secret:1", "mine:1", "secret:2", "read:1"] {
        target.client.call(&["SET", key, "v"]);
    }
    target
        .client
        .call(&["MSET", "secret:3", "v", "mine:2", "v"]);
    for client in [&mut spy, &mut loopless] {
        client.set_read_timeout(std::time::Duration::from_secs(5));
        let mut seen = String::new();
        while !seen.contains("mine:2") {
            seen += &shown(&client.read().expect("an invalidation"));
        }
        assert!(seen.contains("mine:1") && seen.contains("read:1"), "{seen}");
        assert!(!seen.contains("secret"), "{seen}");
    }
}
