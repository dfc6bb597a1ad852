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
            String::from_utf8_lossy(&out.take(Vec::new()).1)
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
