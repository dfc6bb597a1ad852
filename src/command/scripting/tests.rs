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
