//! Users of a running server: the ACL file, the configuration file, and what becomes of connections.

mod support;

use std::time::Duration;

use support::{Client, Server, TempDir, Value};

fn say(client: &mut Client, line: &str) -> String {
    client.line(line).text()
}

fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(Value::text).collect(),
        other => panic!("{other:?}"),
    }
}

/// A server with this ACL file.
fn with_file(dir: &TempDir, text: &str, options: &[&str]) -> (Server, String) {
    let path = dir.path().join("users.acl").display().to_string();
    std::fs::write(&path, text).unwrap();
    let options = [&["--aclfile", &path], options].concat();
    (Server::with_options(&options), path)
}

const DEFAULT: &str = "user default on nopass sanitize-payload ~* &* +@all";

#[test]
fn the_file_is_saved_and_loaded() {
    let dir = TempDir::new();
    let (server, path) = with_file(&dir, "user alice on >pw ~a* +@all\n", &[]);
    let mut admin = server.connect();
    let mut alice = server.connect();
    assert_eq!(say(&mut alice, "AUTH alice pw"), "OK");
    assert_eq!(say(&mut alice, "SET a1 v"), "OK");
    assert_eq!(
        say(&mut admin, "ACL SETUSER bob on nopass (+get ~b*) &x"),
        "OK"
    );
    assert_eq!(say(&mut admin, "ACL SAVE"), "OK");
    let written = std::fs::read_to_string(&path).unwrap();
    let listed = lines(&admin.line("ACL LIST"));
    assert_eq!(written, listed.join("\n") + "\n");
    assert_eq!(listed[2], DEFAULT);
    assert_eq!(
        listed[1],
        "user bob on nopass sanitize-payload resetchannels &x -@all (~b* resetchannels -@all +get)"
    );

    // A bad file changes nothing and says all that is wrong.
    std::fs::write(&path, "user alice on nopass +foo\n\nuser alice\nnonsense\n").unwrap();
    let error = say(&mut admin, "ACL LOAD");
    for part in [
        &format!("ERR {path}:1: Error in applying operation '+foo': Unknown command"),
        "Duplicate user 'alice' found on line 3. ",
        &format!(
            "{path}:4 should start with user keyword followed by the username. WARNING: ACL errors"
        ),
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(lines(&admin.line("ACL LIST")), listed);
    assert_eq!(say(&mut alice, "PING"), "PONG");

    // A good one is in force at once; those whose user is gone are sent away.
    let mut bob = server.connect();
    assert_eq!(say(&mut bob, "AUTH bob x"), "OK");
    std::fs::write(&path, "user alice on >other ~b* +@all").unwrap();
    assert_eq!(say(&mut admin, "ACL LOAD"), "OK");
    bob.set_read_timeout(Duration::from_secs(5));
    assert!(bob.is_closed());
    assert_eq!(
        say(&mut alice, "SET a1 v"),
        "NOPERM No permissions to access a key"
    );
    assert_eq!(say(&mut alice, "SET b1 v"), "OK");
    assert_eq!(lines(&admin.line("ACL USERS")), ["alice", "default"]);

    // With an ACL file no users go into the configuration file.
    std::fs::remove_file(&path).unwrap();
    assert!(say(&mut admin, "ACL LOAD").contains("opening file"));
    assert_eq!(say(&mut admin, "ACL SAVE"), "OK");
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("user alice on ")
    );
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let dir = TempDir::new();
    let (server, path) = with_file(&dir, "", &[]);
    let mut admin = server.connect();
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let error = "ERR There was an error trying to save the ACLs. Please check the server logs for more information";
    assert_eq!(say(&mut admin, "ACL SAVE"), error);
    assert!(server.log().contains("ACL SAVE failed"));
}

#[test]
fn users_stand_in_a_rewritten_configuration() {
    let dir = TempDir::new();
    let path = dir.path().join("r.conf");
    std::fs::write(
        &path,
        "# head\nuser default on nopass ~* &* +@all -flushdb\n",
    )
    .unwrap();
    let file = path.display().to_string();
    let server = Server::with_file(&file);
    let mut admin = server.connect();
    assert!(say(&mut admin, "FLUSHDB").starts_with("NOPERM User default"));
    assert_eq!(
        say(
            &mut admin,
            "ACL SETUSER \"\\xff\\\"q\" on >pw ~a\\\"b (%R~x +get)"
        ),
        "OK"
    );
    assert_eq!(say(&mut admin, "CONFIG REWRITE"), "OK");
    let listed = lines(&admin.line("ACL LIST"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.starts_with("# head\nuser default on nopass sanitize-payload ~* &* +@all -flushdb\n"),
        "{text}"
    );
    assert!(!text.contains("pw"), "{text}");
    drop(server);
    // The next server has a directory of its own.
    let kept = text.lines().filter(|line| !line.starts_with("dir "));
    std::fs::write(&path, kept.collect::<Vec<_>>().join("\n")).unwrap();
    let server = Server::with_file(&file);
    let mut admin = server.connect();
    assert_eq!(lines(&admin.line("ACL LIST")), listed);
    // What requirepass says alone needs no line.
    assert_eq!(
        say(
            &mut admin,
            "ACL SETUSER default reset on nopass ~* &* +@all"
        ),
        "OK"
    );
    assert_eq!(say(&mut admin, "CONFIG SET requirepass x"), "OK");
    assert_eq!(say(&mut admin, "CONFIG REWRITE"), "OK");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("requirepass") && !text.contains("user default"),
        "{text}"
    );
}

#[test]
fn connections_of_removed_users_end() {
    let server = Server::start();
    let (mut admin, mut user, mut pipelined) =
        (server.connect(), server.connect(), server.connect());
    assert_eq!(say(&mut admin, "ACL SETUSER u on nopass +@all"), "OK");
    say(&mut user, "AUTH u x");
    say(&mut pipelined, "AUTH u x");
    // Its own removal still gets an answer, and nothing after it runs.
    pipelined.send(&["ACL", "DELUSER", "u"]).unwrap();
    assert_eq!(pipelined.read().unwrap().int(), 1);
    assert!(pipelined.is_closed());
    user.set_read_timeout(Duration::from_secs(5));
    assert!(user.is_closed());
    assert_eq!(say(&mut admin, "ACL WHOAMI"), "default");
}

#[test]
fn who_has_not_logged_in_may_send_little() {
    let server = Server::with_options(&[
        "--user", "default", "off", "--user", "u", "on", "nopass", "+@all", "~*",
    ]);
    let mut client = server.connect();
    assert_eq!(say(&mut client, "PING"), "NOAUTH Authentication required.");
    client.send_raw(b"*100\r\n").unwrap();
    assert!(
        client
            .read()
            .unwrap()
            .text()
            .contains("unauthenticated multibulk length")
    );
    let mut client = server.connect();
    assert_eq!(say(&mut client, "AUTH u x"), "OK");
    let words: Vec<String> = std::iter::once("DEL".into())
        .chain((0..200).map(|n| format!("k{n}")))
        .collect();
    assert_eq!(client.call(&words).int(), 0);
    assert_eq!(say(&mut client, "RESET"), "RESET");
    client.send_raw(b"*100\r\n").unwrap();
    assert!(
        client
            .read()
            .unwrap()
            .text()
            .contains("unauthenticated multibulk length")
    );
}

#[test]
fn check_config_judges_users() {
    let dir = TempDir::new();
    let path = dir.path().join("c.conf");
    let check = |text: &str| {
        std::fs::write(&path, format!("port 0\nunixsocket s\n{text}\n")).unwrap();
        let output = std::process::Command::new(support::binary())
            .arg("check-config")
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), said)
    };
    assert_eq!(check("user u on >pw ~* +@all").0, Some(0));
    let (code, said) = check("user u on >secret +nosuch");
    assert_eq!(code, Some(1));
    assert!(
        said.contains(
            "line 3: error: 'user (redacted)': Error in user declaration '+nosuch': Unknown command"
        ),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
    let dir_line = format!("dir {}", dir.path().display());
    std::fs::write(dir.path().join("u.acl"), "user u on\nuser v ~a b\n").unwrap();
    let (code, said) = check(&format!("{dir_line}\naclfile u.acl"));
    assert_eq!(code, Some(1));
    assert!(said.contains("error: u.acl:2: Syntax error."), "{said}");
}

/// A client with a name that subscribes.
fn subscriber(server: &Server, line: &str) -> Client {
    let mut client = server.connect();
    assert_eq!(say(&mut client, "AUTH u x"), "OK");
    client.line(line);
    client
}

fn is_there(admin: &mut Client, id: i64) -> bool {
    !say(admin, &format!("CLIENT LIST ID {id}")).is_empty()
}

#[test]
fn channels_are_checked_and_lost_rights_end_subscriptions() {
    let server = Server::start();
    let mut admin = server.connect();
    let allow = |admin: &mut Client, channels: &str| {
        let line = format!("ACL SETUSER u on nopass +@all resetchannels {channels}");
        assert_eq!(say(admin, &line), "OK");
    };
    allow(&mut admin, "&foo &bar:*");
    let mut user = server.connect();
    say(&mut user, "AUTH u x");
    let denied = "NOPERM No permissions to access a channel";
    for line in [
        "PUBLISH x m",
        "SPUBLISH x m",
        "SUBSCRIBE foo x",
        "SSUBSCRIBE x",
        "PSUBSCRIBE bar:1",
        "PSUBSCRIBE *",
    ] {
        assert_eq!(say(&mut user, line), denied, "{line}");
    }
    assert_eq!(user.line("PUBLISH bar:2 m").int(), 0);

    for (subscribe, kept, lost) in [
        ("SUBSCRIBE foo", "&foo", "&bar:*"),
        ("SUBSCRIBE bar:1", "&bar:?", "&foo"),
        ("SSUBSCRIBE foo", "allchannels", "&bar:*"),
        ("PSUBSCRIBE bar:*", "&bar:* &x", "&bar:?"),
    ] {
        allow(&mut admin, "&foo &bar:*");
        let mut client = server.connect();
        say(&mut client, "AUTH u x");
        let id = client.line("CLIENT ID").int();
        assert!(!client.line(subscribe).is_error(), "{subscribe}");
        allow(&mut admin, kept);
        assert!(is_there(&mut admin, id), "{subscribe} {kept}");
        allow(&mut admin, lost);
        assert!(!is_there(&mut admin, id), "{subscribe} {lost}");
        client.set_read_timeout(Duration::from_secs(5));
        assert!(client.is_closed(), "{subscribe}");
    }
    // Who subscribes to nothing stays.
    assert_eq!(say(&mut user, "PING"), "PONG");
}

#[test]
fn loading_users_ends_subscriptions_that_they_lost() {
    let dir = TempDir::new();
    let (server, path) = with_file(&dir, "user u on nopass &a* +@all\n", &[]);
    let mut admin = server.connect();
    let mut stays = subscriber(&server, "SUBSCRIBE a1");
    let goes = subscriber(&server, "SUBSCRIBE a2");
    std::fs::write(&path, "user u on nopass &a1 +@all\n").unwrap();
    assert_eq!(say(&mut admin, "ACL LOAD"), "OK");
    assert_eq!(admin.line("PUBLISH a2 m").int(), 0);
    assert_eq!(admin.line("PUBLISH a1 m").int(), 1);
    stays.set_read_timeout(Duration::from_secs(5));
    assert!(stays.read().is_ok());
    let mut goes = goes;
    goes.set_read_timeout(Duration::from_secs(5));
    assert!(goes.is_closed());
}
