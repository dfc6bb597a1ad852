//! How words of the command line are understood.

use super::*;

fn mode(words: &[&str]) -> Mode {
    parse(words.iter().map(OsString::from))
}

fn sources(words: &[&str]) -> (Option<PathBuf>, Vec<String>) {
    match mode(words) {
        Mode::Server(sources) => {
            let options = sources
                .options
                .into_iter()
                .map(|o| String::from_utf8(o).unwrap());
            (sources.file, options.collect())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn memory_is_tested_by_the_megabyte() {
    let tests = mode(&["redis-server", "--test-memory", "16"]);
    assert!(matches!(tests, Mode::TestMemory(16)), "{tests:?}");
    for words in [&[][..], &["0"], &["x"], &["-1"], &["1", "2"]] {
        let words = [&["ferrite", "--test-memory"], words].concat();
        match mode(&words) {
            Mode::Print { text, code: 1 } => assert!(
                text.starts_with("Please specify the amount of memory to test in megabytes.\n"),
                "{text}"
            ),
            other => panic!("{words:?}: {other:?}"),
        }
    }
}

#[test]
fn server_words() {
    assert_eq!(sources(&["ferrite"]), (None, vec![]));
    assert_eq!(
        sources(&["redis-server", "a.conf"]),
        (Some("a.conf".into()), vec![])
    );
    let (file, options) = sources(&["ferrite", "a.conf", "--port", "1", "--save", ""]);
    assert_eq!(
        (file, options),
        (
            Some("a.conf".into()),
            ["--port", "1", "--save", ""].map(String::from).to_vec()
        )
    );
    assert_eq!(sources(&["ferrite", "--port", "1"]).1, ["--port", "1"]);
    assert_eq!(
        sources(&["ferrite", "server", "a.conf"]).0,
        Some("a.conf".into())
    );
}

#[test]
fn version_has_the_word_that_tools_look_for() {
    let Mode::Print { text, code: 0 } = mode(&["ferrite", "-v"]) else {
        panic!()
    };
    let version = text
        .split(' ')
        .find_map(|word| word.strip_prefix("v="))
        .unwrap();
    assert!(
        version.split('.').count() == 3 && version.split('.').all(|n| n.parse::<u32>().is_ok())
    );
    assert!(text.contains(&format!("ferrite={FERRITE_VERSION}")));
}

#[test]
fn client_by_word_and_by_name() {
    for words in [
        &["ferrite", "cli", "-h", "host"][..],
        &["/usr/bin/redis-cli", "-h", "host"],
        &["ferrite-cli", "-h", "host"],
    ] {
        let Mode::Client(rest) = mode(words) else {
            panic!("{words:?}");
        };
        assert_eq!(rest, ["-h", "host"]);
    }
}

#[test]
fn check_rdb_by_word_and_by_name() {
    for words in [
        &["ferrite", "check-rdb", "--stats", "dump.rdb"][..],
        &["/usr/bin/redis-check-rdb", "dump.rdb", "--stats"],
    ] {
        let Mode::CheckRdb(task) = mode(words) else {
            panic!("{words:?}");
        };
        assert_eq!(task.file, PathBuf::from("dump.rdb"));
        assert!(task.stats && task.salvage.is_none());
    }
    let Mode::CheckRdb(task) = mode(&["ferrite", "check-rdb", "a", "--salvage", "b"]) else {
        panic!("it is a mode");
    };
    assert_eq!(task.salvage, Some(PathBuf::from("b")));
    assert!(matches!(
        mode(&["ferrite", "check-rdb"]),
        Mode::Print { code: 2, .. }
    ));
}

#[test]
fn check_aof_by_word_and_by_name() {
    for words in [
        &["ferrite", "check-aof", "--fix", "x.manifest"][..],
        &["/usr/bin/redis-check-aof", "--fix", "x.manifest"],
    ] {
        let Mode::CheckAof(task) = mode(words) else {
            panic!("{words:?}");
        };
        assert!(task.fix && task.truncate_to.is_none());
        assert_eq!(task.file, PathBuf::from("x.manifest"));
    }
    for wrong in [
        &["--fix"][..],
        &["a", "b"],
        &["--nosuch", "a"],
        &["--truncate-to-timestamp", "x", "a"],
    ] {
        let words = [&["redis-check-aof"], wrong].concat();
        assert!(
            matches!(mode(&words), Mode::Print { code: 1, .. }),
            "{words:?}"
        );
    }
    let Mode::Restore(task) = mode(&["ferrite", "restore", "--seq", "7", "--out", "d", "m"]) else {
        panic!("it is a mode");
    };
    assert_eq!(task.moment, Moment::Seq(7));
    assert!(matches!(
        mode(&["ferrite", "restore", "--out", "d", "m"]),
        Mode::Print { code: 2, .. }
    ));
}

#[test]
fn defaults_of_a_packager() {
    let lines: Vec<_> = defaults(b"protected-mode no; ;maxmemory 1gb\nsave 60 1\n").collect();
    assert_eq!(
        lines,
        [&b"protected-mode no"[..], b"maxmemory 1gb", b"save 60 1"]
    );
}

#[test]
fn the_three_ways_to_a_sentinel() {
    let calls: [&[&str]; 4] = [
        &["ferrite", "sentinel", "s.conf", "--port", "1"],
        &["ferrite", "s.conf", "--sentinel", "--port", "1"],
        &["ferrite", "s.conf", "--port", "1", "--sentinel"],
        &["/usr/bin/redis-sentinel", "s.conf", "--port", "1"],
    ];
    for call in calls {
        let Mode::Server(sources) = mode(call) else {
            panic!("{call:?}")
        };
        assert!(sources.sentinel_mode, "{call:?}");
        assert_eq!(sources.file, Some("s.conf".into()));
        assert_eq!(sources.options, [b"--port".to_vec(), b"1".to_vec()]);
    }
}

#[test]
fn check_config_words() {
    let Mode::CheckConfig {
        files,
        strict: true,
    } = mode(&["ferrite", "check-config", "--strict", "a", "b"])
    else {
        panic!()
    };
    assert_eq!(files, [PathBuf::from("a"), PathBuf::from("b")]);
    assert!(matches!(
        mode(&["ferrite", "check-config"]),
        Mode::Print { code: 2, .. }
    ));
    assert!(matches!(
        mode(&["ferrite", "check-config", "--help"]),
        Mode::Print { code: 0, .. }
    ));
}
