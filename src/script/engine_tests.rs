use super::*;

/// A host without a server: commands are answered by what the test wants.
struct Nobody;

impl Host for Nobody {
    fn call(&mut self, exchange: &Shared) {
        let mut exchange = exchange.borrow_mut();
        let request = std::mem::take(&mut exchange.request);
        let args = request.args();
        exchange.reply.clear();
        match args.get(0) {
            b"echo" => {
                let text = args.get(1);
                exchange.reply = format!("${}\r\n", text.len()).into_bytes();
                exchange.reply.extend_from_slice(text);
                exchange.reply.extend_from_slice(b"\r\n");
            }
            b"raw" => exchange.reply = args.get(1).to_vec(),
            b"count" => exchange.reply = format!(":{}\r\n", args.len() - 1).into_bytes(),
            b"ping" => exchange.reply = b"+PONG\r\n".to_vec(),
            _ => exchange.reply = b"-ERR unknown\r\n".to_vec(),
        }
        exchange.request = request;
    }

    fn check(&mut self, exchange: &Shared) {
        exchange.borrow_mut().permitted = Some(true);
    }

    fn pause(&mut self, _: &Shared) {}
}

fn say_in(engine: &mut Engine, code: &str) -> String {
    let handle = match engine.compile(code.as_bytes(), "user_script") {
        Ok(handle) => handle,
        Err(message) => return format!("compile: {message}"),
    };
    let none = std::iter::empty::<&[u8]>;
    let outcome = engine.run_script(handle, none(), none(), &mut Nobody);
    engine.drop_kept(handle);
    match outcome {
        Ok(value) => {
            let mut out = crate::resp::reply::Reply::new();
            super::super::convert::to_reply(value, false, &mut out).unwrap();
            String::from_utf8_lossy(&out.take().1)
                .trim_end()
                .replace("\r\n", " ")
        }
        Err(failure) => format!(
            "{} @{}",
            String::from_utf8_lossy(&failure.text),
            failure
                .at
                .map_or("?".into(), |(source, line)| format!("{source}:{line}"))
        ),
    }
}

fn say(code: &str) -> String {
    say_in(&mut Engine::new().unwrap(), code)
}

#[test]
fn scripts_run_and_call() {
    assert_eq!(say("return 1"), ":1");
    assert_eq!(say("return redis.call('echo', 'a')"), "$1 a");
    assert_eq!(say("return redis.call('ping').ok"), "$4 PONG");
    assert_eq!(
        say(
            "local t = {} for i = 1, 7000 do t[i] = 'x' .. i end return redis.call('count', unpack(t))"
        ),
        ":7000"
    );
    assert_eq!(say("return redis.pcall('nix').err"), "$11 ERR unknown");
    assert_eq!(
        say("return {pcall(redis.call, 'nix')}"),
        "*2 $-1 $11 ERR unknown"
    );
    assert_eq!(say("\nredis.call('nix')"), "ERR unknown @@user_script:2");
}

/// With more than 16 arguments a call takes the way over values of the host.
const BOTH_WAYS: &str = "
    local function show(v)
      if type(v) ~= 'table' then return type(v) .. ':' .. tostring(v) end
      local parts = {}
      for k, e in pairs(v) do parts[#parts + 1] = tostring(k) .. '=' .. show(e) end
      table.sort(parts)
      return '{' .. table.concat(parts, ',') .. '}'
    end
    local more = {}
    for i = 1, 20 do more[i] = '' end
    local function both(command, value)
      local quick = show(redis.pcall(command, value))
      local whole = show(redis.pcall(command, value, unpack(more)))
      return quick == whole and quick or quick .. ' but ' .. whole
    end
";

fn both(command: &str, value: &str) -> String {
    say(&format!("{BOTH_WAYS} return both('{command}', {value})"))
}

#[test]
fn short_and_long_way_agree_on_replies() {
    for wire in [
        "$1\\r\\na\\r\\n",
        "$0\\r\\n\\r\\n",
        "$-1\\r\\n",
        ":-42\\r\\n",
        ":9223372036854775807\\r\\n",
        "+OK\\r\\n",
        "-ERR no\\r\\n",
        "*-1\\r\\n",
        "*0\\r\\n",
        "*3\\r\\n$1\\r\\na\\r\\n$-1\\r\\n:3\\r\\n",
        "*2\\r\\n*1\\r\\n+x\\r\\n*2\\r\\n:1\\r\\n*0\\r\\n",
        "*2\\r\\n:1\\r\\n-ERR in between\\r\\n",
        "*1\\r\\n*1\\r\\n*1\\r\\n*1\\r\\n*1\\r\\n*1\\r\\n*1\\r\\n*1\\r\\n*1\\r\\n:1\\r\\n",
        "_\\r\\n",
        "#t\\r\\n",
        ",1.5\\r\\n",
        "%1\\r\\n$1\\r\\na\\r\\n:2\\r\\n",
        "~1\\r\\n:2\\r\\n",
        // What cannot be: cut off, or no number.
        "",
        "$5\\r\\na\\r\\n",
        "$1\\r\\na",
        "$x\\r\\na\\r\\n",
        "*2\\r\\n:1\\r\\n",
        "?\\r\\n",
    ] {
        let text = both("raw", &format!("'{wire}'"));
        assert!(!text.contains(" but "), "{wire}: {text}");
    }
    // Values that would agree if both ways were wrong.
    assert!(
        both("raw", "'*2\\r\\n$1\\r\\na\\r\\n+OK\\r\\n'").contains("{1=string:a,2={ok=string:OK}}")
    );
}

#[test]
fn short_and_long_way_agree_on_numbers() {
    for number in [
        "0",
        "-0",
        "1",
        "-1",
        "1.5",
        "0.1",
        "2^53",
        "2^53 + 2",
        "2^63",
        "-2^63",
        "1e300",
        "1/0",
        "-1/0",
        "0/0",
        "123456789012345",
    ] {
        let text = both("echo", number);
        assert!(!text.contains(" but "), "{number}: {text}");
    }
    assert!(both("echo", "12").contains("string:12"));
}

#[test]
fn both_ways_refuse_what_is_no_argument() {
    for value in ["nil", "true", "{}", "redis.call"] {
        let text = both("echo", value);
        assert!(
            text.contains("must be strings or integers"),
            "{value}: {text}"
        );
        assert!(!text.contains(" but "), "{value}: {text}");
    }
}

#[test]
fn little_memory_ends_a_reply_in_an_error() {
    let mut engine = Engine::new().unwrap();
    engine.exchange.borrow_mut().memory_limit = engine.used_memory() + 100_000;
    let code = "local all = {} while true do all[#all + 1] = redis.call('echo', string.rep('x', 4000) .. #all) end";
    let text = say_in(&mut engine, code);
    assert!(text.contains("not enough memory"), "{text}");
    engine.exchange.borrow_mut().memory_limit = 0;
    assert_eq!(
        say_in(&mut engine, "return redis.call('echo', 'a')"),
        "$1 a"
    );
}

/// As with Redis 7.0 and 8.2.
#[test]
fn a_new_cjson_has_settings_of_its_own() {
    for (code, says) in [
        (
            "local c = cjson.new() local n = {} for k in pairs(c) do n[#n + 1] = k end table.sort(n) \
             return table.concat(n, ' ')",
            "_NAME _VERSION decode decode_invalid_numbers decode_max_depth encode encode_invalid_numbers \
             encode_keep_buffer encode_max_depth encode_number_precision encode_sparse_array new null",
        ),
        (
            "local c = cjson.new() c.encode_max_depth(2) c.encode_number_precision(3) c.encode_sparse_array(true, 1, 1) \
             return c.encode_max_depth() .. ' ' .. cjson.encode_max_depth() .. ' ' .. c.encode({[1000] = 1.23456}) \
             .. ' ' .. cjson.encode({1.23456}) .. ' ' .. c.new().encode_max_depth()",
            "2 1000 {\"1e+03\":1.23} [1.23456] 1000",
        ),
        (
            "local c = cjson.new() c.encode_max_depth(2) return select(2, pcall(c.encode, {{{{1}}}}))",
            "Cannot serialise, excessive nesting (3)",
        ),
        (
            "local c = cjson.new() c.decode_max_depth(1) return select(2, pcall(c.decode, '[[1]]'))",
            "Found too many nested data structures (2) at character 2",
        ),
        (
            "local c = cjson.new(1, 2) c.x = 'own' return c.x .. ' ' .. tostring(c.null == cjson.null) .. \
             tostring(c.encode == cjson.encode) .. tostring(getmetatable(c)) .. select(2, pcall(c.encode, redis))",
            "own truefalsenilCannot serialise function: type not supported",
        ),
        ("cjson.x = 1", "Attempt to modify a readonly table"),
    ] {
        let text = say(code);
        assert!(text.contains(says), "{code}: {text}");
    }
}

#[test]
fn many_instances_of_cjson_end_in_an_error() {
    let mut engine = Engine::new().unwrap();
    engine.exchange.borrow_mut().memory_limit = engine.used_memory() + 1_000_000;
    let code = "local all = {} while true do all[#all + 1] = cjson.new() end";
    let text = say_in(&mut engine, code);
    assert!(text.contains("not enough memory"), "{text}");
}

#[test]
fn misuse_of_libraries_is_told_in_the_words_of_their_authors() {
    for (code, says) in [
        (
            "return cjson.encode()",
            "bad argument #1 to 'encode' (expected 1 argument)",
        ),
        (
            "return cjson.encode(1, 2)",
            "bad argument #1 to 'encode' (expected 1 argument)",
        ),
        (
            "local t = {} t.t = t return cjson.encode(t)",
            "Cannot serialise, excessive nesting (1001)",
        ),
        (
            "return cjson.decode(string.rep('[', 1001))",
            "Found too many nested data structures (1001) at character 1001",
        ),
        ("redis.setresp('4')", "RESP version must be 2 or 3."),
        ("redis.setresp({})", "RESP version must be 2 or 3."),
    ] {
        let text = say(code);
        assert!(text.contains(says), "{code}: {text}");
    }
    assert_eq!(say("redis.setresp('3') return 'a'"), "$1 a");
}
