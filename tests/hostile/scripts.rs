//! Scripts that mean harm: rows S1 to S18 of the list.

use std::time::{Duration, Instant};

use crate::harness::{Target, Want, Want::*, shown};
use crate::support::Server;

/// Answers as Redis gives them, where it survives the script.
#[rustfmt::skip]
const ROWS: &[(&str, Want)] = &[
    // S1: deep and cut MessagePack; integers of 2 GB.
    (r#"EVAL "return cmsgpack.unpack(string.rep(string.char(0x93), 1e6))" 0"#, Error("ERR user_script:1: stack overflow")),
    (r#"EVAL "return struct.unpack('>I2147483647', 'x')" 0"#, Error("ERR user_script:1: integral size 2147483647 is larger than limit of 32")),
    // S2: sizes that overflow.
    (r#"EVAL "return struct.pack('>I2147483648', '10')" 0"#, Error("ERR user_script:1: integral size overflow")),
    (r#"EVAL "return struct.pack('c99999999999', '10')" 0"#, Error("ERR user_script:1: integral size overflow")),
    (r#"EVAL "return struct.unpack('c0', 'abc', 2147483647)" 0"#, Error("ERR user_script:1: bad argument #2 to 'unpack' (data string too short)")),
    (r#"EVAL "return struct.unpack('bc0', 'abc', -9223372036854775808)" 0"#, Error("ERR user_script:1: bad argument #2 to 'unpack'")),
    // S3: nesting, and as many arguments as Lua takes.
    (r#"EVAL "local t = {} for i = 1, 7999 do t[i] = 'v' .. i end return redis.call('lpush', 'l', unpack(t))" 0"#, Any),
    (r#"EVAL "local t = {} for i = 1, 7999 do t[i] = 'v' .. i end return #cmsgpack.pack(unpack(t))" 0"#, Is("46887")),
    (r#"EVAL "local t = {} for i = 1, 9000 do t[i] = 1 end return redis.call('lpush', 'l', unpack(t))" 0"#, Error("ERR user_script:1: too many results to unpack")),
    (r#"EVAL "return cjson.decode(string.rep('[', 1e6))" 0"#, Error("ERR user_script:1: Found too many nested data structures (1001)")),
    (r#"EVAL "cjson.decode_max_depth(1e9) return cjson.decode(string.rep('[', 1e6))" 0"#, Error("ERR user_script:1: Found too many nested data structures (1501)")),
    (r#"EVAL "local t = {} for i = 1, 2000 do t = {t} end return cjson.encode(t)" 0"#, Error("ERR user_script:1: Cannot serialise, excessive nesting (1001)")),
    (r#"EVAL "local function f() return coroutine.wrap(f)() end f()" 0"#, Error("ERR")),
    (r#"EVAL "local function f() return f() + 1 end f()" 0"#, Error("ERR user_script:1: stack overflow")),
    (r#"EVAL "return string.find(string.rep('a', 100), string.rep('a-', 1e6))" 0"#, Error("ERR user_script:1: pattern too complex")),
    // S4: the debugger is not there to be abused.
    ("SCRIPT DEBUG SYNC", Error("ERR")),
    // S5: ways out of the sandbox.
    (r#"EVAL "return package.loadlib('/usr/lib/x86_64-linux-gnu/liblua5.1.so.0', 'luaopen_io')" 0"#, Error("ERR user_script:1: Script attempted to access nonexistent global variable 'package'")),
    (r#"EVAL "os.execute('id')" 0"#, Error("ERR user_script:1: attempt to call field 'execute'")),
    (r#"EVAL "return io.open('/etc/passwd')" 0"#, Error("ERR user_script:1: Script attempted to access nonexistent global variable 'io'")),
    (r#"EVAL "require('os')" 0"#, Error("ERR user_script:1: Script attempted to access nonexistent global variable 'require'")),
    (r#"EVAL "dofile('/etc/passwd')" 0"#, Error("ERR user_script:1: Script attempted to access nonexistent global variable 'dofile'")),
    (r#"EVAL "return debug.getinfo(1)" 0"#, Error("ERR user_script:1: Script attempted to access nonexistent global variable 'debug'")),
    (r#"EVAL "return setfenv(1, {})" 0"#, Error("ERR user_script:1: Script attempted to access nonexistent global variable 'setfenv'")),
    (r#"EVAL "return loadstring(string.dump(function() return 1 end))()" 0"#, Error("ERR user_script:1: attempt to call a nil value")),
    (r#"EVAL "local d = string.dump(function() end) return load(function() local now = d d = nil return now end)()" 0"#, Error("ERR user_script:1: attempt to call a nil value")),
    // S6, S12: what scripts share cannot be changed.
    (r#"EVAL "redis.call = function() end" 0"#, Error("ERR user_script:1: Attempt to modify a readonly table")),
    (r#"EVAL "rawset(_G, 'x', 1)" 0"#, Error("ERR Attempt to modify a readonly table")),
    (r#"EVAL "rawset(redis, 'call', 1)" 0"#, Error("ERR Attempt to modify a readonly table")),
    (r#"EVAL "table.insert(redis, 1)" 0"#, Error("ERR Attempt to modify a readonly table")),
    (r#"EVAL "getmetatable('').__index = function() end" 0"#, Error("ERR user_script:1: Attempt to modify a readonly table")),
    (r#"EVAL "getmetatable('').__index.rep = function() end" 0"#, Error("ERR user_script:1: Attempt to modify a readonly table")),
    (r#"EVAL "getmetatable(_G).__index = {}" 0"#, Error("ERR user_script:1: Attempt to modify a readonly table")),
    (r#"EVAL "setmetatable(_G, {})" 0"#, Error("ERR Attempt to modify a readonly table")),
    (r#"EVAL "setmetatable(string, {})" 0"#, Error("ERR Attempt to modify a readonly table")),
    (r#"EVAL "local _, t = pairs(redis) t.call = 1" 0"#, Error("ERR user_script:1: Attempt to modify a readonly table")),
    (r#"EVAL "for k in pairs(string) do string[k] = nil end" 0"#, Error("ERR user_script:1: Attempt to modify a readonly table")),
    (r#"EVAL "return {redis.call('ping'), type(string.rep), type(redis.pcall)}" 0"#, Is("[PONG function function]")),
    // S7: text that closes the function around it.
    (r#"EVAL "end)(function()" 0"#, Error("ERR Error compiling script (new function): user_script:1: '<eof>' expected near 'end'")),
    (r#"SCRIPT LOAD "return 1 end function x()""#, Error("ERR Error compiling script (new function)")),
    // S9.
    (r#"EVAL "return bit.tohex(65535, -2147483648)" 0"#, Is("0000FFFF")),
    // S10: nothing with a finalizer can be made.
    (r#"EVAL "return newproxy(true)" 0"#, Error("ERR user_script:1: Script attempted to access nonexistent global variable 'newproxy'")),
    (r#"EVAL "local t = setmetatable({}, {__gc = function() redis.call('set', 'x', 1) end}) return 1" 0"#, Is("1")),
    ("SCRIPT FLUSH", Is("OK")),
    ("FUNCTION FLUSH", Is("OK")),
    // S11.
    (r#"EVAL "return unpack({1,2,3}, -2147483648, 2147483647)" 0"#, Error("ERR user_script:1: too many results to unpack")),
    (r#"EVAL "return {unpack({1,2,3}, 2147483647, 2147483648)}" 0"#, Any),
    (r#"EVAL "return table.concat({unpack({1,2,3}, -1e300, 1e300)})" 0"#, Error("ERR user_script:1: too many results to unpack")),
    // S13: a long bracket without an end.
    ("EVAL --[================= 0", Is("(nil)")),
    ("EVAL --[==[ 0", Error("ERR Error compiling script (new function): user_script:1: unfinished long comment")),
    // S14: the parser while garbage is collected.
    (r#"EVAL "for i = 1, 20 do local f = loadstring(('x=1 '):rep(20000)) collectgarbage() end return 1" 0"#, Is("1")),
    // S15: line ends in errors and states.
    (r#"EVAL "return redis.error_reply('x\\r\\n+OK\\r\\n$3\\r\\nabc')" 0"#, Error("ERR x  +OK  $3  abc")),
    (r#"EVAL "return {err='A b\\r\\n:1\\r\\n'}" 0"#, Error("A b  :1")),
    (r#"EVAL "return redis.status_reply('x\\r\\n:1')" 0"#, Is("x  :1")),
    (r#"EVAL "return {err='a' .. string.char(0) .. 'b'}" 0"#, Error("a b")),
    (r#"EVAL "return redis.call('x\\r\\n+OK\\r\\n')" 0"#, Error("ERR Unknown Redis command called from script")),
    (r#"EVAL "error('x\\r\\n+OK\\r\\n')" 0"#, Error("ERR user_script:1: x  +OK")),
    // S17: errors that are none, digests that are none.
    (r#"EVAL "return {err={}}" 0"#, Is("[]")),
    (r#"EVAL "error({err={}})" 0"#, Error("ERR unknown error")),
    (r#"EVAL "error({})" 0"#, Error("ERR unknown error")),
    (r#"EVAL "error(redis)" 0"#, Error("ERR unknown error")),
    (r#"EVALSHA "" 0"#, Error("NOSCRIPT")),
    ("EVALSHA zz 0", Error("NOSCRIPT")),
    ("SCRIPT FLAGS short-sha", Error("ERR unknown subcommand 'FLAGS'. Try SCRIPT HELP.")),
    ("SCRIPT EXISTS short", Is("[0]")),
    ("COMMAND GETKEYS EVAL x 99999999", Is("[]")),
    (r#"FUNCTION RESTORE "\xf5\x81\xff\xff\xff\xff\xff\xff\xff\xff\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x00""#, Error("ERR")),
];

#[test]
fn scripts_that_broke_servers() {
    let mut target = Target::new(&[]);
    target.say("EVAL 'return 1' 0");
    target.settle();
    target.attack_everywhere(ROWS);
    for marks in [1, 100, 65_536] {
        let code = format!("--[{}", "=".repeat(marks));
        let reply = target.client.call(&["EVAL", &code, "0"]);
        assert_eq!(shown(&reply), "(nil)", "{marks}");
    }
    target.assert_well("brackets without an end");
}

/// S8, S18: memory is bounded, whether it is taken at once or bit by bit.
#[test]
fn scripts_that_take_memory_are_ended() {
    let mut target = Target::new(&["--script-memory-limit", "16mb"]);
    target.say("EVAL 'return 1' 0");
    target.settle();
    for code in [
        "local t = {} while true do t[#t + 1] = string.rep(tostring(#t), 1e6) end",
        "local s = 'x' while true do s = s .. s end",
        "return cjson.encode(string.rep(string.char(1), 400 * 1024 * 1024))",
        "local s = string.rep(string.char(1), 5e6) return #cjson.encode({s, s, s, s, s, s, s, s})",
        "local s = string.rep('x', 5e6) local t = {} for i = 1, 1000 do t[i] = s end return #cmsgpack.pack(t)",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "return string.rep('x', 1e15)",
        "return ('x'):rep(1e9)",
        "return string.format('%s', string.rep('x', 1e9))",
        "return table.concat({string.rep('x', 8e6), string.rep('y', 7e6), string.rep('z', 7e6)})",
        "while true do pcall(string.rep, 'x', 1e9) local ok = pcall(function() local t = {} while true do t[#t + 1] = {} end end) if not ok then error('enough') end end",
    ] {
        let begin = Instant::now();
        let reply = target.client.call(&["EVAL", code, "0"]);
        assert!(reply.is_error(), "{code}: {reply:?}");
        assert!(begin.elapsed() < Duration::from_secs(20), "{code}");
        target.assert_well(code);
    }
    // What is left is enough for others.
    assert_eq!(
        target
            .say("EVAL 'return #string.rep(\"x\", 1000000)' 0")
            .int(),
        1_000_000
    );
}

/// S18: a script that never ends leaves the server to others, and can be killed.
#[test]
fn a_script_without_end_is_killed() {
    let server = Server::with_options(&["--busy-reply-threshold", "50"]);
    for code in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do pcall(redis.call, 'ping') end",
        "local co = coroutine.wrap(function() while true do pcall(function() while true do end end) end end) while true do pcall(co) end",
        "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "string.gsub('x', 'x', function() while true do end end)",
    ] {
        let mut runner = server.connect();
        let mut other = server.connect();
        let mut third = server.connect();
        runner.send(&["EVAL", code, "0"]).expect("send");
        let begin = Instant::now();
        loop {
            let reply = other.call(&["PING"]).text();
            if reply.starts_with("BUSY Redis is busy running a script.") {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(10), "{code}: {reply}");
        }
        assert!(third.call(&["GET", "x"]).text().starts_with("BUSY"));
        assert!(third.call(&["FUNCTION", "KILL"]).text().starts_with("BUSY"));
        assert_eq!(other.call(&["SCRIPT", "KILL"]).text(), "OK");
        let end = runner.read().expect("a reply").text();
        assert!(
            end.starts_with("ERR Script killed by user with SCRIPT KILL..."),
            "{end}"
        );
        assert_eq!(runner.call(&["PING"]).text(), "PONG");
    }
    // Inside a transaction too, and it stays a transaction.
    let (mut runner, mut other) = (server.connect(), server.connect());
    runner.line("MULTI");
    runner.line("SET before 1");
    runner.call(&["EVAL", "while true do end", "0"]);
    runner.line("SET after 1");
    runner.send(&["EXEC"]).expect("send");
    while !other.call(&["PING"]).text().starts_with("BUSY") {}
    assert_eq!(other.call(&["SCRIPT", "KILL"]).text(), "OK");
    let replies = runner.read().expect("a reply");
    assert_eq!(replies.items().len(), 3);
    assert_eq!(other.line("MGET before after").items().len(), 2);
}

/// Time stands still for a script, a long command of its own included; it goes by for one that computes until others are
/// answered, because that may wait for it.
#[test]
fn time_goes_by_for_a_script_that_waits_for_it() {
    let server = Server::with_options(&[
        "--busy-reply-threshold",
        "10",
        "--enable-debug-command",
        "yes",
    ]);
    let mut client = server.connect();
    client.line("DEBUG SET-DISABLE-DENY-SCRIPTS 1");
    let sleeps = "local a = redis.call('TIME') redis.call('DEBUG', 'SLEEP', 0.05) \
        local b = redis.call('TIME') return a[1] == b[1] and a[2] == b[2]";
    assert_eq!(client.call(&["EVAL", sleeps, "0"]).int(), 1);
    let waits = "local a = redis.call('TIME') \
        repeat local b = redis.call('TIME') until b[1] ~= a[1] or b[2] ~= a[2] return 'it goes by'";
    client.send(&["EVAL", waits, "0"]).expect("send");
    assert_eq!(client.read().expect("a reply").text(), "it goes by");
}

/// A script that has written cannot be killed, but the server can be ended.
#[test]
fn a_script_that_wrote_ends_with_the_server() {
    let mut server = Server::with_options(&["--busy-reply-threshold", "50"]);
    let (mut runner, mut other) = (server.connect(), server.connect());
    let code = "redis.call('set', 'x', 1) while true do end";
    runner.send(&["EVAL", code, "0"]).expect("send");
    while !other.call(&["PING"]).text().starts_with("BUSY") {}
    assert!(
        other
            .call(&["SCRIPT", "KILL"])
            .text()
            .starts_with("UNKILLABLE")
    );
    assert!(other.call(&["SHUTDOWN"]).text().starts_with("BUSY"));
    other.send(&["SHUTDOWN", "NOSAVE"]).expect("send");
    assert_eq!(server.wait_for_exit(Duration::from_secs(10)), Some(0));
}

/// Time stands still for a script, but not for one that waits for it to go by and has written, so that nothing ends it.
#[test]
fn a_script_that_waits_for_time_to_go_by_ends() {
    let server = Server::with_options(&["--busy-reply-threshold", "50"]);
    let mut client = server.connect();
    let code = "redis.call('set', 'x', 1)
        local function us() local t = redis.call('time') return t[1] * 1000000 + t[2] end
        local begin, same = us(), 0
        for n = 1, 10 do if us() == begin then same = same + 1 end end
        while us() < begin + 200000 do end
        return same";
    assert_eq!(client.call(&["EVAL", code, "0"]).int(), 10);
    assert_eq!(client.line("GET x").text(), "1");
}

/// S16: a replica's script runs for long while its master sends a whole data set and the end of all functions.
#[test]
fn a_full_sync_while_a_script_runs() {
    let master = Server::with_options(&["--enable-debug-command", "yes"]);
    let mut server = Server::with_options(&[
        "--busy-reply-threshold",
        "50",
        "--replica-accept-data-loss",
        "yes",
        "--enable-debug-command",
        "yes",
    ]);
    let mut of_master = master.connect();
    of_master.line("CONFIG SET repl-diskless-sync-delay 0");
    let library = "#!lua name=lib\nredis.register_function{function_name='endless', flags={'no-writes'}, callback=function() local n = 0 while true do n = n + 1 end end}";
    of_master.call(&["FUNCTION", "LOAD", library]);
    of_master.line("SET first 1");
    let mut other = server.connect();
    other.line(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
    let deadline = Instant::now() + Duration::from_secs(20);
    while shown(&other.line("GET first")) != "1" {
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    for (call, kill) in [
        (&["EVAL", "while true do end", "0"][..], "SCRIPT KILL"),
        (&["FCALL_RO", "endless", "0"][..], "FUNCTION KILL"),
    ] {
        of_master.call(&["FUNCTION", "LOAD", "REPLACE", library]);
        while other.line("FUNCTION LIST").items().is_empty() {
            assert!(Instant::now() < deadline, "{}", server.log());
        }
        let mut runner = server.connect();
        runner.send(call).expect("send");
        while !other.call(&["PING"]).text().starts_with("BUSY") {}
        // The stream ends functions, then the link ends and cannot be gone on with.
        assert_eq!(of_master.line("FUNCTION FLUSH").text(), "OK");
        of_master.line("SET second 2");
        assert_eq!(of_master.line("DEBUG CHANGE-REPL-ID").text(), "OK");
        of_master.line("CLIENT KILL TYPE replica");
        std::thread::sleep(Duration::from_millis(1500));
        assert!(other.call(&["PING"]).text().starts_with("BUSY"));
        assert!(server.is_running(), "{}", server.log());
        assert_eq!(other.line(kill).text(), "OK");
        let end = runner.read().expect("a reply").text();
        assert!(end.starts_with("ERR Script killed by user"), "{end}");
        let deadline = Instant::now() + Duration::from_secs(20);
        while shown(&other.line("GET second")) != "2"
            || !other.line("FUNCTION LIST").items().is_empty()
        {
            assert!(Instant::now() < deadline, "{}", server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        let digest = |client: &mut crate::support::Client| client.line("DEBUG DIGEST").text();
        assert_eq!(digest(&mut other), digest(&mut of_master));
        of_master.line("DEL second");
    }
    assert!(
        server.is_running() && !server.log().contains("panic"),
        "{}",
        server.log()
    );
}
