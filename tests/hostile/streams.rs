//! Streams: counts and identifiers at the edges of their types, pending entries without entries, long lists of identifiers.

use crate::harness::{Target, Want::*};

const SETUP: &[&str] = &[
    "XADD x 1-0 f v",
    "XADD x 2-0 f v",
    "XADD x 3-0 f v",
    "XGROUP CREATE x g 0",
    "XREADGROUP GROUP g c STREAMS x >",
    "XDEL x 2-0",
    "XADD m 18446744073709551615-18446744073709551615 f v",
];

fn target() -> Target {
    let mut target = Target::new(&[]);
    for line in SETUP {
        assert!(!target.say(line).is_error(), "{line}");
    }
    target.settle();
    target
}

// S25: a claim over entries that are gone, which once ran on where memory had been freed.
#[test]
fn a_claim_of_what_is_gone() {
    target().attack_all(&[
        ("XAUTOCLAIM x g c 0 0 COUNT 1", Is("[2-0 [[1-0 [f v]]] []]")),
        ("XAUTOCLAIM x g c 0 2 COUNT 1", Is("[3-0 [] [2-0]]")),
        (
            "XAUTOCLAIM x g c 0 0 COUNT 8070450532247928833",
            Error("ERR COUNT must be > 0"),
        ),
        ("XAUTOCLAIM x g c 0 0 COUNT 576460752303423487", Any),
        ("XAUTOCLAIM x g c 9223372036854775807 0", Is("[0-0 [] []]")),
        (
            "XAUTOCLAIM x g c -9223372036854775808 0 JUSTID",
            Is("[0-0 [1-0 3-0] []]"),
        ),
        ("XCLAIM x g c 0 1-0 TIME -9223372036854775808", Any),
        ("XCLAIM x g c 0 1-0 IDLE -9223372036854775808", Any),
        (
            "XCLAIM x g c 0 1-0 IDLE 9223372036854775807 RETRYCOUNT 9223372036854775807",
            Any,
        ),
        ("XCLAIM x g c 0 1-0", Any),
        (
            "XREADGROUP GROUP g c COUNT 9223372036854775807 CLAIM 9223372036854775807 STREAMS x >",
            Any,
        ),
        (
            "XREADGROUP GROUP g c COUNT -9223372036854775808 STREAMS x 0",
            Any,
        ),
    ]);
}

// S26: lists of identifiers that are longer than a fixed place for them.
#[test]
fn a_thousand_identifiers() {
    let ids: Vec<String> = (1..=1000).map(|n| format!("{n}-0")).collect();
    let mut target = target();
    for line in [
        format!("XACKDEL x g IDS 1000 {}", ids.join(" ")),
        format!("XACKDEL x g DELREF IDS 1000 {}", ids.join(" ")),
        format!("XDELEX x IDS 1000 {}", ids.join(" ")),
        format!("XDELEX x ACKED IDS 1000 {}", ids.join(" ")),
        format!("XACK x g {}", ids.join(" ")),
        format!("XCLAIM x g c 0 {} FORCE", ids.join(" ")),
        format!("XDEL x {}", ids.join(" ")),
    ] {
        target.attack(&line, &Any);
    }
}

#[test]
fn edges_of_identifiers_and_counts() {
    target().attack_all(&[
        ("XADD m * f v", Error("ERR The stream has exhausted the last possible ID")),
        ("XADD m 18446744073709551615-* f v", Error("ERR The stream has exhausted the last possible ID")),
        ("XADD x 18446744073709551616-0 f v", Error("ERR Invalid stream ID specified")),
        ("XADD x -1-1 f v", Error("ERR Invalid stream ID specified")),
        ("XRANGE m (18446744073709551615-18446744073709551615 +", Error("ERR invalid start ID for the interval")),
        ("XRANGE m - (0-0", Error("ERR invalid end ID for the interval")),
        ("XRANGE m - + COUNT 9223372036854775807", Is("[[18446744073709551615-18446744073709551615 [f v]]]")),
        ("XREVRANGE m + - COUNT -9223372036854775808", Any),
        ("XREAD COUNT 9223372036854775807 STREAMS m 18446744073709551615-18446744073709551615", Any),
        ("XREAD BLOCK 9223372036854775807 STREAMS x 0", Error("ERR timeout is out of range")),
        ("XTRIM x MAXLEN ~ 0 LIMIT 9223372036854775807", Any),
        ("XTRIM x MAXLEN = 9223372036854775807", Is("0")),
        ("XTRIM m MINID 18446744073709551615-18446744073709551615", Is("0")),
        ("XSETID x 18446744073709551615-18446744073709551615 ENTRIESADDED 9223372036854775807", Is("OK")),
        ("XGROUP SETID x g 18446744073709551615-18446744073709551615 ENTRIESREAD 9223372036854775807", Is("OK")),
        ("XINFO GROUPS x", Any),
        ("XINFO STREAM x FULL COUNT 9223372036854775807", Any),
        ("XREADGROUP GROUP g c STREAMS x >", Any),
        ("XDELEX x IDS 9223372036854775807 1-0", Error("ERR The `numids` parameter must match")),
        ("XPENDING x g IDLE 9223372036854775807 - + 9223372036854775807", Is("[]")),
        ("XPENDING x g IDLE -9223372036854775808 - + -9223372036854775808", Is("[]")),
        // S62: a key of the name of the keyword.
        ("XREAD COUNT 1 STREAMS STREAMS 0", Any),
        ("COMMAND GETKEYS XREAD COUNT 1 STREAMS STREAMS 0", Is("[STREAMS]")),
    ]);
}
