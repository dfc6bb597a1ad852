//! The questions of the console: keys and values of every kind, by pages and within bounds.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::client::Observed;

/// No answer about a value is larger.
const ANSWER_MAX: usize = 1 << 20;

/// A text of the API as its bytes.
fn bytes(value: &Json) -> Vec<u8> {
    match value {
        Json::String(text) => text.clone().into_bytes(),
        other => {
            let hex = other["hex"].as_str().unwrap_or_else(|| panic!("{other}"));
            let digits = hex.as_bytes().chunks(2);
            digits
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect()
        }
    }
}

fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("%{b:02x}")).collect()
}

#[test]
fn every_key_is_found_whatever_its_name() {
    let observed = Observed::start(&[]);
    let mut client = observed.server.connect();
    let mut names: BTreeSet<Vec<u8>> = (0..2000).map(|n| format!("key:{n}").into_bytes()).collect();
    for odd in [
        &b"<script>alert(1)</script>"[..],
        b"\xff\xfe\0",
        b"\r\nX-Injected: 1\r\n\r\n",
        b"\"'\\`&<>",
        "\u{202e}\u{200b}\u{1f511}".as_bytes(),
        b"",
        b"a b",
        b"%41",
    ] {
        names.insert(odd.to_vec());
    }
    for name in &names {
        client.call(&[&b"SET"[..], name, b"v"]);
    }
    let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let page = observed.api(&format!("keys?cursor={cursor}&count=100"));
        for key in page["keys"].as_array().unwrap() {
            found.insert(bytes(&key["key"]));
            assert_eq!((&key["type"], &key["pttl"]), (&json!("string"), &json!(-1)));
            assert!(key["memory"].as_u64().unwrap() > 8 && key["encoding"] == "embstr");
        }
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found, names);
    for name in &names {
        let value = observed.api(&format!("value?key={}", encoded(name)));
        assert_eq!(
            (bytes(&value["key"]), &value["items"]),
            (name.clone(), &json!("v"))
        );
    }
    let some = observed.api("keys?match=key:19*&type=string&count=500");
    assert_eq!(some["keys"].as_array().unwrap().len(), 111);
    assert_eq!(observed.api("keys?type=hash")["keys"], json!([]));
    let exact = observed.api("keys?exact=key:7&match=nothing");
    assert_eq!(exact["keys"][0]["key"], "key:7");
    assert_eq!(observed.api("keys?db=1")["keys"], json!([]));
    for bad in [
        "keys?db=99",
        "keys?db=x",
        "keys?db=-1",
        "keys?cursor=x",
        "keys?cursor=",
        "value",
        "value?key=%zz",
    ] {
        assert_eq!(observed.get(&format!("/api/{bad}")).status, 400, "{bad}");
    }
}

/// All pages of a value, one after the other.
fn pages(observed: &Observed, key: &str) -> Vec<Json> {
    let (mut all, mut from) = (Vec::new(), String::new());
    loop {
        let answer = observed.get(&format!("/api/value?key={key}&from={from}"));
        assert!(
            answer.body.len() < ANSWER_MAX,
            "{key}: {}",
            answer.body.len()
        );
        let page = answer.json();
        let next = page
            .get("next")
            .map(|next| next.as_str().unwrap().to_owned());
        all.push(page);
        match next {
            Some(next) => from = next,
            None => return all,
        }
        assert!(all.len() < 1000, "{key} does not end");
    }
}

fn items(pages: &[Json]) -> Vec<Json> {
    pages
        .iter()
        .flat_map(|page| {
            page["items"]
                .as_array()
                .unwrap_or_else(|| panic!("{page}"))
                .clone()
        })
        .collect()
}

#[test]
fn values_of_every_type_come_by_pages() {
    let observed = Observed::start(&[]);
    let mut client = observed.server.connect();
    let text = "0123456789".repeat(5000);
    client.call(&["SET", "string", &text, "EX", "1000"]);
    for n in 0..130 {
        let n = n.to_string();
        client.call(&["RPUSH", "list", &n]);
        client.call(&["SADD", "set", &format!("member {n}")]);
        client.call(&["HSET", "hash", &n, &format!("value {n}")]);
        client.call(&["ZADD", "zset", &format!("{n}.5"), &n]);
        client.call(&["XADD", "stream", &format!("{n}-1"), "field", &n]);
    }
    client.line("CONFIG SET hash-max-listpack-entries 4");
    client.line("CONFIG SET set-max-listpack-entries 4");
    client.line("HSET hash last 1");
    client.line("SADD set last");
    client.line("XGROUP CREATE stream group 0");
    let string = pages(&observed, "string");
    assert_eq!((string.len(), &string[0]["len"]), (4, &json!(50_000)));
    assert!(string[0]["pttl"].as_i64().unwrap() > 900_000);
    assert_eq!(
        string
            .iter()
            .map(|p| p["items"].as_str().unwrap())
            .collect::<String>(),
        text
    );
    let list = pages(&observed, "list");
    assert_eq!((list.len(), &list[0]["len"]), (3, &json!(130)));
    assert_eq!(
        items(&list),
        (0..130).map(|n| json!(n.to_string())).collect::<Vec<_>>()
    );
    let zset = items(&pages(&observed, "zset"));
    assert_eq!((zset.len(), &zset[7]), (130, &json!(["7", 7.5])));
    let set: BTreeSet<String> = items(&pages(&observed, "set"))
        .iter()
        .map(|m| m.as_str().unwrap().to_owned())
        .collect();
    assert!(set.len() == 131 && set.contains("member 77"));
    let hash = pages(&observed, "hash");
    assert!(hash.len() > 1, "a large hash has pages");
    let fields: BTreeSet<String> = items(&hash)
        .chunks(2)
        .map(|pair| format!("{} {}", pair[0], pair[1]))
        .collect();
    assert!(
        fields.len() == 131 && fields.contains("\"77\" \"value 77\""),
        "{fields:?}"
    );
    let stream = pages(&observed, "stream");
    let entries = items(&stream);
    assert_eq!(
        (entries.len(), &entries[129]),
        (130, &json!(["129-1", ["field", "129"]]))
    );
    assert_eq!(stream[0]["groups"].as_array().unwrap().len(), 1);
    let gone = observed.api("value?key=nosuch");
    assert_eq!(gone["type"], "none");
    for from in ["x", "-1", "99999999999999999999", "%ff"] {
        for key in ["string", "list", "set"] {
            let status = observed
                .get(&format!("/api/value?key={key}&from={from}"))
                .status;
            assert_eq!(status, 400, "{key} from {from}");
        }
    }
}

#[test]
fn large_values_come_in_small_pieces() {
    let observed = Observed::start(&[]);
    let mut client = observed.server.connect();
    let (large, huge) = ("x".repeat(20_000), "\u{e9}".repeat(5 << 20));
    client.call(&["SET", "string", &huge]);
    for n in 0..60 {
        let n = n.to_string();
        client.call(&["RPUSH", "list", &large]);
        client.call(&["HSET", "hash", &n, &large]);
        client.call(&["ZADD", "zset", &n, &format!("{n}{large}")]);
        client.call(&["SADD", "set", &format!("{n}{large}")]);
        client.call(&["XADD", "stream", "*", "f", &large]);
    }
    client.call(&["RPUSH", "one", &huge]);
    let string = observed.get("/api/value?key=string");
    assert!(string.body.len() < 64 << 10, "{}", string.body.len());
    for key in ["list", "hash", "zset", "set", "stream", "one"] {
        let answer = observed.get(&format!("/api/value?key={key}"));
        assert_eq!(answer.status, 200, "{key}");
        assert!(
            answer.body.len() < ANSWER_MAX,
            "{key}: {}",
            answer.body.len()
        );
    }
    // Elements that are too large together come alone, cut to what can be read.
    let list = observed.api("value?key=list");
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&list["items"][0]["len"], &list["next"]),
        (&json!(20_000), &json!("1"))
    );
    assert!(list["items"][0]["text"].as_str().unwrap().len() <= 8 << 10);
    let one = observed.api("value?key=one");
    assert!(
        one["items"]["error"]
            .as_str()
            .unwrap()
            .starts_with("TOOLARGE"),
        "{one}"
    );
    assert_eq!(client.line("PING").text(), "PONG");
}

#[test]
fn reports_about_the_server() {
    let observed = Observed::start(&["--slowlog-log-slower-than", "0", "--track-prefix", "user:*"]);
    let mut client = observed.server.connect();
    client.call(&[&b"CLIENT"[..], b"SETNAME", b"worker"]);
    client.call(&[&b"SET"[..], b"user:\xff<b>", b"1"]);
    let info = observed.api("info");
    assert_eq!(info["user"], "default");
    assert!(
        info["info"]
            .as_str()
            .unwrap()
            .contains("cmdstat_set:calls=1")
    );
    let slow = observed.api("slowlog");
    let entries = slow["slowlog"].as_array().unwrap();
    let set = entries
        .iter()
        .find(|entry| entry[3][0] == "SET")
        .expect("the command");
    assert_eq!(bytes(&set[3][1]), b"user:\xff<b>");
    let clients = observed.api("clients");
    let text = clients["clients"].as_str().unwrap();
    assert!(
        text.contains("name=worker") && !text.contains("console"),
        "{text}"
    );
    let prefixes = observed.api("prefixes");
    assert!(
        prefixes["prefixes"][0]
            .as_array()
            .unwrap()
            .contains(&json!(["keys", 1])),
        "{prefixes}"
    );
    let latency = observed.api("latency");
    assert!(
        latency["histogram"]
            .as_array()
            .unwrap()
            .iter()
            .any(|command| command[0] == "set")
    );
    assert!(observed.api("sentinel")["masters"]["error"].is_string());
}
