//! Eviction beside what is freed on another thread.

mod support;

use support::replicas::{info, server};

/// A large database that was flushed takes its memory for a while yet. What is written in the meantime is no victim for it.
#[test]
fn what_is_flushed_goes_before_what_is_there() {
    let server = server(&["--maxmemory-policy", "allkeys-random"]);
    let mut client = server.connect();
    let value = "x".repeat(20_000);
    for round in 0..10 {
        client.line("CONFIG SET maxmemory 0");
        client.line("FLUSHALL SYNC");
        client.line("DEBUG POPULATE 100000 k 100");
        let used: u64 = info(&mut client, "used_memory").parse().expect("a number");
        // Less than what is written now, and that is less than an eighth of it.
        let limit = (used + 512 * 1024).to_string();
        client.call(&["CONFIG", "SET", "maxmemory", &limit]);
        let mut commands = vec![vec!["FLUSHALL".to_string(), "ASYNC".into()]];
        commands.extend((0..60).map(|n| vec!["SET".into(), format!("new:{n}"), value.clone()]));
        for reply in client.pipeline(&commands) {
            assert_eq!(reply.text(), "OK");
        }
        assert_eq!(client.line("DBSIZE").int(), 60, "round {round}");
    }
    assert_eq!(info(&mut client, "evicted_keys"), "0");
}
