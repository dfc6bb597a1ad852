//! The end of the process while a script runs for long: what was acknowledged is in the files, what the script did is not.

use std::time::{Duration, Instant};

use crate::files::filled;
use crate::machine::Machine;
use crate::support::{Client, Value};

const READS: &str = "while true do redis.call('get', 'text') end";
const WRITES: &str = "redis.call('incr', 'half') while true do redis.call('get', 'text') end";

/// Sends a script without waiting for it.
fn run(machine: &Machine, script: &str) -> Client {
    let mut client = machine.connect();
    client.send(&["EVAL", script, "0"]).expect("send");
    client
}

fn wait_busy(machine: &mut Machine) {
    machine.wait_until("BUSY", |m| m.call("PING").text().contains("BUSY"));
}

/// SHUTDOWN until it is obeyed.
fn shut_down(machine: &mut Machine) {
    let begin = Instant::now();
    while machine.is_running() {
        let late = begin.elapsed() > Duration::from_secs(10);
        assert!(!late, "it does not end:\n{}", machine.log());
        if let Ok(mut client) = Client::try_connect(machine.addr())
            && client.send(&["SHUTDOWN", "NOSAVE"]).is_ok()
        {
            let _ = client.read();
        }
    }
}

fn restart_with_file(machine: &mut Machine) {
    let words = ["--appendonly", "yes"];
    machine.options.extend(words.map(String::from));
    machine.start();
}

#[test]
fn a_first_rewrite_begins_and_ends_while_a_script_runs() {
    let mut machine = filled(&["--busy-reply-threshold", "10"]);
    let digest = machine.digest();
    let mut client = machine.connect();
    client
        .send(&["CONFIG", "SET", "appendonly", "yes"])
        .expect("send");
    client.send(&["EVAL", READS, "0"]).expect("send");
    wait_busy(&mut machine);
    shut_down(&mut machine);
    restart_with_file(&mut machine);
    assert_eq!(machine.digest(), digest);
}

#[test]
fn the_end_within_a_first_rewrite_keeps_what_was_written_beside_it() {
    let mut machine = filled(&["--busy-reply-threshold", "10"]);
    // 50 ms a key, of some fifty.
    machine.call("CONFIG SET rdb-key-save-delay 50000");
    machine.call("CONFIG SET appendonly yes");
    // The increment is there before the snapshot is: a script that began in between would keep the rewrite from it.
    let base = format!("temp-rewriteaof-bg-{}.aof", machine.process_id());
    machine.wait_until("the base", |m| m.aof(&base).exists());
    machine.call("SET beside 1");
    let digest = machine.digest();
    let _client = run(&machine, WRITES);
    wait_busy(&mut machine);
    shut_down(&mut machine);
    assert!(machine.log().contains("Writing initial AOF, can't exit"));
    restart_with_file(&mut machine);
    assert_eq!(machine.digest(), digest);
}

#[test]
fn a_script_that_the_end_interrupts_has_done_nothing() {
    let mut machine = filled(&["--busy-reply-threshold", "10", "--appendonly", "yes"]);
    let digest = machine.digest();
    let _client = run(&machine, WRITES);
    wait_busy(&mut machine);
    shut_down(&mut machine);
    machine.start();
    assert_eq!(machine.digest(), digest);
    // The same within a transaction.
    let mut client = machine.connect();
    for words in [
        &["MULTI"][..],
        &["SET", "first", "1"],
        &["EVAL", WRITES, "0"],
        &["EXEC"],
    ] {
        client.send(words).expect("send");
    }
    wait_busy(&mut machine);
    shut_down(&mut machine);
    machine.start();
    assert_eq!(machine.digest(), digest);
}

#[test]
fn nothing_is_acknowledged_behind_the_end() {
    let mut machine = filled(&["--appendonly", "yes"]);
    let mut clients: Vec<Client> = (0..20).map(|_| machine.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let key = format!("behind:{index}");
        if index == 7 {
            client.send(&["SHUTDOWN", "SAVE"]).expect("send");
        }
        for _ in 0..50 {
            // The server may be gone by now.
            let _ = client.send(&["INCR", &key]);
        }
    }
    let mut told = vec![0; clients.len()];
    for (index, client) in clients.iter_mut().enumerate() {
        client.set_read_timeout(Duration::from_secs(5));
        while let Ok(reply) = client.read() {
            told[index] = reply.int();
        }
    }
    machine.wait_until("the end", |m| !m.is_running());
    machine.start();
    for (index, told) in told.into_iter().enumerate() {
        let is = match machine.call(&format!("GET behind:{index}")) {
            Value::Bulk(text) => String::from_utf8_lossy(&text).parse().expect("a number"),
            _ => 0,
        };
        assert!(is >= told, "client {index}: {is} of {told}");
    }
}
