use super::*;
use std::fs;

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("ferrite-load-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn from_text(text: &str) -> Result<Config, LoadError> {
    Config::load(&Sources {
        stdin: Some(text.as_bytes().to_vec()),
        ..Sources::default()
    })
}

/// The error's line and reason.
fn failure(result: Result<Config, LoadError>) -> (usize, String, String) {
    match result.unwrap_err() {
        LoadError::Line {
            origin,
            line,
            reason,
        } => (origin.line, line, reason),
        other => panic!("{other:?}"),
    }
}

fn option_failure(options: &[&str]) -> (String, String) {
    let (_, line, reason) = failure(Config::parse_args(options));
    (line, reason)
}

#[test]
fn a_file_sets_typed_settings() {
    let config = from_text(
        "# comment\r\n\nPORT 7000\r\n  maxmemory 100mb \nbind 127.0.0.1 -::1\nlogfile ''\n\
         slave-read-only no\nsave 900 1\nsave 300 10\nnotify-keyspace-events KEA\n\
         client-output-buffer-limit replica 256mb 64mb 60\nshutdown-on-sigterm \"save force\"\n",
    )
    .unwrap();
    assert_eq!(
        (config.port, config.maxmemory, config.replica_read_only),
        (7000, 100 << 20, false)
    );
    assert_eq!(config.bind.0, ["127.0.0.1", "-::1"]);
    assert_eq!(config.get(&[b"save"])[0].1, b"900 1 300 10");
    assert_eq!(config.get(&[b"shutdown-on-sigterm"])[0].1, b"save force");
    assert!(config.notices.is_empty());
    assert!(Path::new(&config.dir).is_absolute());
}

#[test]
fn a_backlog_too_small_to_help_is_made_larger() {
    let config = from_text("repl-backlog-size 1\n").unwrap();
    assert_eq!(config.repl_backlog_size, 16384);
    assert_eq!(config.get(&[b"repl-backlog-size"])[0].1, b"16384");
    let config = from_text("repl-backlog-size 20kb\n").unwrap();
    assert_eq!(config.repl_backlog_size, 20480);
    assert!(from_text("repl-backlog-size 0\n").is_err());
}

#[test]
fn a_bad_line_is_named_with_its_reason() {
    assert_eq!(
        failure(from_text("port 1\n\nport abc\n")),
        (
            3,
            "port abc".into(),
            "argument couldn't be parsed into an integer".into()
        )
    );
    let cases = [
        ("port 1 \"a", "Unbalanced quotes in configuration line"),
        ("port", "wrong number of arguments"),
        (
            "rename-command get",
            "Bad directive or wrong number of arguments",
        ),
        (
            "maxmemroy 5",
            "Bad directive or wrong number of arguments\nDid you mean 'maxmemory'?",
        ),
        (
            "sentinel x",
            "sentinel directive while not in sentinel mode",
        ),
        ("dir /nonexistent", "No such file or directory"),
        ("save 1", "Invalid save parameters"),
    ];
    for (line, reason) in cases {
        assert_eq!(
            failure(from_text(line)),
            (1, line.to_string(), reason.to_string())
        );
    }
    let message = from_text("port abc").unwrap_err().to_string();
    assert!(
        message.starts_with("\n*** FATAL CONFIG FILE ERROR (Redis 7."),
        "{message}"
    );
    assert!(message.contains(
        "\nReading the configuration file, at line 1 of standard input\n>>> 'port abc'\n"
    ));
}

#[test]
fn passwords_do_not_reach_error_texts() {
    for line in [
        "requirepass s3cret more",
        "masterauth \"s3cret",
        "user bob on >s3cret \"x",
    ] {
        let message = from_text(line).unwrap_err().to_string();
        assert!(!message.contains("s3cret"), "{message}");
    }
}

#[test]
fn two_directives_may_exclude_each_other() {
    let error = from_text("cluster-enabled yes\nreplicaof h 1")
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("***\nreplicaof directive not allowed in cluster mode"),
        "{error}"
    );
}

#[test]
fn includes_follow_globs_and_end_recursion() {
    let dir = scratch("include");
    let write = |name: &str, text: String| fs::write(dir.join(name), text).unwrap();
    write("a.inc", "hz 20\nport 1".into());
    write("b.inc", "port 2".into());
    write(
        "main.conf",
        format!(
            "include {}/*.inc\ninclude {0}/none*.inc\nmaxclients 7\n",
            dir.display()
        ),
    );
    let config = Config::parse_file(&dir.join("main.conf")).unwrap();
    assert_eq!((config.hz, config.port, config.maxclients), (20, 2, 7));
    assert_eq!(
        config.file.as_deref(),
        Some(dir.join("main.conf").as_path())
    );

    write("loop.conf", format!("include {}/loop.conf", dir.display()));
    let (_, _, reason) = failure(Config::parse_file(&dir.join("loop.conf")));
    assert!(reason.starts_with("include is nested too deeply"));

    write("missing.conf", format!("include {}/none", dir.display()));
    let error = Config::parse_file(&dir.join("missing.conf"))
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("none': No such file or directory"),
        "{error}"
    );
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn debians_configuration_loads_unchanged() {
    let path = Path::new("/etc/redis/redis.conf");
    if fs::read(path).is_err() {
        return;
    }
    let (config, errors) = Config::check_file(path);
    // The package's directories need not exist on the machine that runs this test.
    let unexpected: Vec<_> = errors
        .iter()
        .filter(|e| !e.to_string().contains("'dir "))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    assert_eq!(config.pidfile, "/run/redis/redis-server.pid");
    assert!(config.daemonize);
}

#[test]
fn what_has_no_effect_is_said_once() {
    let config = from_text("activedefrag yes\nactivedefrag yes\nactiverehashing yes\nloadmodule /a.so\nloadmodule /b.so").unwrap();
    assert_eq!(config.notices.len(), 2, "{:?}", config.notices);
    assert!(config.notices[0].contains("'activedefrag'"));
    assert!(!config.activedefrag, "it would show what is not so");
    assert_eq!(config.modules.len(), 2);
}

#[test]
fn lines_for_other_parts_are_kept_with_their_place() {
    let config = from_text("user bob on >pw\nrename-command FLUSHALL \"\"\n").unwrap();
    assert_eq!(
        config.users[0].words,
        [b"bob".to_vec(), b"on".to_vec(), b">pw".to_vec()]
    );
    assert_eq!(
        config.renamed_commands[0].words,
        [b"FLUSHALL".to_vec(), Vec::new()]
    );
    let error = config.renamed_commands[0].error("No such command in rename-command");
    assert!(
        error
            .to_string()
            .contains("at line 2 of standard input\n>>> 'rename-command FLUSHALL \"\"'\n")
    );
}

#[test]
fn options_follow_redis_rules() {
    let cases: [(&[&str], &str, &str); 12] = [
        (
            &["--port", "7000", "--loglevel", "debug"],
            "loglevel",
            "debug",
        ),
        (
            &["--maxmemory 700mb", "--maxmemory-policy volatile-lru"],
            "maxmemory",
            "734003200",
        ),
        (
            &["--maxmemory 700mb", "--maxmemory-policy volatile-lru"],
            "maxmemory-policy",
            "volatile-lru",
        ),
        (
            &["loglevel", "verbose", "--maxmemory '700mb'"],
            "loglevel",
            "verbose",
        ),
        (
            &[
                "--proc-title-template",
                "--my--title",
                "--loglevel",
                "verbose",
            ],
            "proc-title-template",
            "--my--title",
        ),
        (
            &["--proc-title-template --my--title", "--loglevel verbose"],
            "loglevel",
            "verbose",
        ),
        (&["--save", "--loglevel", "verbose"], "save", ""),
        (&["--loglevel", "verbose", "--save"], "save", ""),
        (
            &["--save", "", "--loglevel", "verbose"],
            "loglevel",
            "verbose",
        ),
        (
            &["--save", "100", "100", "--save", "5 5"],
            "save",
            "100 100 5 5",
        ),
        (
            &[
                "--proc-title-template",
                "--save",
                "--save",
                "",
                "--loglevel",
                "verbose",
            ],
            "proc-title-template",
            "--save",
        ),
        (
            &[
                "--shutdown-on-sigint",
                "nosave",
                "force",
                "now",
                "--hz",
                "5",
            ],
            "shutdown-on-sigint",
            "nosave now force",
        ),
    ];
    for (options, name, value) in cases {
        let config = Config::parse_args(options).unwrap_or_else(|e| panic!("{options:?}: {e}"));
        assert_eq!(
            config.get(&[name.as_bytes()])[0].1,
            value.as_bytes(),
            "{options:?}"
        );
    }
}

#[test]
fn wrong_options_are_shown_as_the_line_they_make() {
    let cases: [(&[&str], &str, &str); 11] = [
        (
            &["--invalid"],
            "invalid",
            "Bad directive or wrong number of arguments",
        ),
        (&["--port"], "port", "wrong number of arguments"),
        (
            &["--port", "6380", "--loglevel"],
            "loglevel",
            "wrong number of arguments",
        ),
        (
            &["--port", "6379", "6380"],
            "port \"6379\" \"6380\"",
            "wrong number of arguments",
        ),
        (
            &["--port", "--loglevel", "verbose"],
            "port \"--loglevel\" \"verbose\"",
            "wrong number of arguments",
        ),
        (
            &["--port", "--bla", "--loglevel", "verbose"],
            "port \"--bla\"",
            "argument couldn't be parsed into an integer",
        ),
        (
            &["--logfile", "--my", "--loglevel", "--bla"],
            "loglevel \"--bla\"",
            "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
        ),
        (
            &["--shutdown-on-sigint"],
            "shutdown-on-sigint",
            "argument(s) must be one of the following: default, save, nosave, now, force",
        ),
        (
            &["--replicaof", "--127.0.0.1", "abc"],
            "replicaof \"--127.0.0.1\" \"abc\"",
            "Invalid master port",
        ),
        (
            &["--replicaof", "--127.0.0.1", "--abc"],
            "replicaof \"--127.0.0.1\"",
            "wrong number of arguments",
        ),
        (
            &["-x"],
            "\"-x\"",
            "Bad directive or wrong number of arguments",
        ),
    ];
    for (options, line, reason) in cases {
        assert_eq!(
            option_failure(options),
            (line.to_string(), reason.to_string()),
            "{options:?}"
        );
    }
}

#[test]
fn options_come_after_the_file_and_save_adds_up() {
    let sources = Sources {
        stdin: Some(b"save 900 1\nhz 20".to_vec()),
        options: ["--save", "100", "100", "--hz", "30"]
            .map(|w| w.as_bytes().to_vec())
            .to_vec(),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.get(&[b"save"])[0].1, b"900 1 100 100");
    assert_eq!(config.hz, 30);
}

#[test]
fn a_line_break_in_an_option_starts_no_new_directive() {
    let error = Config::parse_args(&["--hz 20\nport 1"]).unwrap_err();
    assert!(
        matches!(error, LoadError::Line { ref reason, .. } if reason == "wrong number of arguments"),
        "{error}"
    );
    let config = Config::parse_args(&["--requirepass", "a\nport 1"]).unwrap();
    assert_eq!(config.requirepass, b"a\nport 1");
}
