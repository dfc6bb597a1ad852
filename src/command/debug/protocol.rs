//! DEBUG PROTOCOL: one reply of each type, for tests of clients.

use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;

pub fn protocol(ctx: &mut Ctx<'_>) -> Outcome {
    let out = &mut *ctx.out;
    let resp3 = out.resp3();
    match ctx.args.get(2).to_ascii_lowercase().as_slice() {
        b"string" => out.bulk(b"Hello World"),
        b"integer" => out.int(12345),
        #[allow(clippy::approx_constant)] // Redis' example
        b"double" => out.double(3.141),
        b"null" => out.null(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|n| out.int(n));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|n| out.int(n));
        }
        b"map" => {
            out.map(3);
            for n in 0..3 {
                out.int(n);
                out.bool(n == 1);
            }
        }
        b"attrib" => {
            if resp3 {
                out.raw(b"|1\r\n");
                out.bulk(b"key-popularity");
                out.array(2);
                out.bulk(b"key:123");
                out.int(90);
            }
            out.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if !resp3 {
                return Err(Error::new("ERR RESP2 is not supported by this command"));
            }
            // The push comes when the reply is through.
            out.bulk(b"Some real reply following the push reply");
            out.push(2);
            out.bulk(b"server-cpu-usage");
            out.int(42);
        }
        b"verbatim" => out.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => out.bool(true),
        b"false" => out.bool(false),
        b"bignum" => {
            const NUMBER: &[u8] = b"1234567999999999999999999999999999999";
            if resp3 {
                out.raw(&[b"(", NUMBER, b"\r\n"].concat());
            } else {
                out.bulk(NUMBER);
            }
        }
        _ => {
            return Err(Error::new(
                "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;
    use crate::config::enums::AllowFrom;

    #[test]
    fn every_type_in_both_versions() {
        let mut bench = Bench::new();
        bench
            .server
            .core
            .config
            .adjust(|s| s.enable_debug_command = AllowFrom::Yes);
        let cases = [
            ("double", "$5 3.141", ",3.141"),
            ("null", "$-1", "_"),
            ("set", "*3 :0 :1 :2", "~3 :0 :1 :2"),
            ("map", "*6 :0 :0 :1 :1 :2 :0", "%3 :0 #f :1 #t :2 #f"),
            ("true", ":1", "#t"),
            (
                "bignum",
                "$37 1234567999999999999999999999999999999",
                "(1234567999999999999999999999999999999",
            ),
            (
                "verbatim",
                "$25 This is a verbatim\nstring",
                "=29 txt:This is a verbatim\nstring",
            ),
        ];
        for (name, resp2, resp3) in cases {
            bench.client.resp3 = false;
            assert_eq!(bench.say(&format!("DEBUG PROTOCOL {name}")), resp2);
            bench.client.resp3 = true;
            assert_eq!(bench.say(&format!("DEBUG PROTOCOL {name}")), resp3);
        }
        assert!(
            bench
                .say("DEBUG PROTOCOL attrib")
                .starts_with("|1 $14 key-popularity *2 $7 key:123 :90 $39 ")
        );
    }
}
