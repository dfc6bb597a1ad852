use crate::command::testing::Bench;

#[test]
fn scripts_run() {
    let mut bench = Bench::new();
    assert_eq!(bench.say("EVAL 'return 1' 0"), ":1");
    assert_eq!(
        bench.say("EVAL 'return {KEYS[1],ARGV[1],ARGV[2]}' 1 k a b"),
        "*3 $1 k $1 a $1 b"
    );
    assert_eq!(
        bench.say("EVAL \"return redis.call('set', KEYS[1], ARGV[1])\" 1 k v"),
        "+OK"
    );
    assert_eq!(bench.say("GET k"), "$1 v");
}

#[test]
fn what_scripts_leave_is_collected() {
    let mut bench = Bench::new();
    for _ in 0..10_000 {
        bench.say("EVAL \"return redis.call('incr', KEYS[1])\" 1 x");
    }
    assert_eq!(bench.say("GET x"), "$5 10000");
    let memory = bench.server.core.scripts.eval.memory();
    assert!(memory < 256 * 1024, "{memory} bytes");
}

#[test]
fn effects_go_where_a_script_says() {
    use crate::log::Consumer;
    let mut bench = Bench::new();
    bench.say("SET due 1 PX 10");
    bench.pass_ms(20);
    let log = &mut bench.server.ks.log;
    log.attach(Consumer::File);
    log.attach(Consumer::Replicas);
    bench.say("EVAL \"redis.call('set', 'a', 1) redis.set_repl(redis.REPL_NONE) redis.call('get', 'due') redis.call('set', 'b', 2) redis.set_repl(redis.REPL_AOF) redis.call('set', 'c', 3) redis.set_repl(redis.REPL_REPLICA) redis.call('set', 'd', 4)\" 0");
    let taken = bench.server.ks.log.take();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\r\n", " ");
    let sets = |text: &str| {
        let names = ["$1 a ", "$1 b ", "$1 c ", "$1 d ", "$3 due "];
        names.map(|name| text.contains(name))
    };
    // That a key's time is over is told to all, whatever the script said.
    let replicas = shown(&taken.bytes);
    assert_eq!(
        sets(&replicas),
        [true, false, false, true, true],
        "{replicas}"
    );
    let file = shown(&taken.instead[0].1);
    assert_eq!(sets(&file), [true, false, true, false, true], "{file}");
    assert!(
        file.starts_with("*1 $5 MULTI ") && file.ends_with("EXEC "),
        "{file}"
    );
    // The next unit is for both again.
    bench.say("SET e 5");
    assert!(bench.server.ks.log.take().instead.is_empty());
}

#[test]
fn function_flush_names_what_was_said() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.say("FUNCTION FLUSH ASYNC SYNC"),
        "-ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP."
    );
}
