//! Every command touches the keys that [`keys_of`] names, and no others; and it changes none that are marked as read.

use std::collections::BTreeSet;

use super::examples::{CALLS, PASS_MS, SETUP};
use super::keys::{KeyList, keys_of};
use super::registry::{self, Names};
use super::spec::{Flags, KeyFlags};
use super::testing::Bench;
use crate::base::words::split;
use crate::keyspace::keys::recorder;

type KeySet = BTreeSet<Vec<u8>>;

/// Keys that a call reaches beyond those that it names, by the rules of its arguments.
fn beyond(call: &str) -> &'static [&'static str] {
    // The keys that BY and GET make from elements; the key specs say that they cannot be told.
    if call.starts_with("SORT numbers BY w_*") {
        &["w_1", "w_2", "w_3"]
    } else {
        &[]
    }
}

/// Calls that end before they get to all of their keys.
const ENDS_EARLY: &[(&str, &str)] = &[];

/// Which keys a call names and which of them it may change.
fn named(call: &str) -> (&'static registry::Command, KeySet, KeySet) {
    let words = split(call.as_bytes()).expect("balanced quotes");
    let command = Names::new(|_| true)
        .find(words.as_slice())
        .expect("a known command");
    let mut list = KeyList::new();
    keys_of(command.spec, &words.as_slice(), &mut list).expect("keys");
    let writable = KeyFlags::RW | KeyFlags::OW | KeyFlags::RM;
    let keys = list
        .iter()
        .filter(|key| !key.flags.contains(KeyFlags::NOT_KEY));
    let all = keys.map(|key| words[key.at].clone()).collect();
    let changeable = list.iter().filter(|key| key.flags.intersects(writable));
    (
        command,
        all,
        changeable.map(|key| words[key.at].clone()).collect(),
    )
}

#[test]
fn an_only_key_is_where_the_row_says() {
    for call in SETUP.iter().chain(CALLS) {
        let words = split(call.as_bytes()).expect("balanced quotes");
        let (command, ..) = named(call);
        let Some(at) = command.only_key else {
            continue;
        };
        let mut list = KeyList::new();
        keys_of(command.spec, &words.as_slice(), &mut list).expect("keys");
        let places: Vec<_> = list.iter().map(|key| key.at).collect();
        assert_eq!(places, [usize::from(at)], "{call}");
    }
    let set = Names::default().by_full_name(b"set").expect("a command");
    assert_eq!(set.only_key, Some(1));
}

fn shown(keys: &KeySet) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| String::from_utf8_lossy(key))
        .collect();
    format!("[{}]", keys.join(" "))
}

fn check(call: &str, faults: &mut Vec<String>) {
    let (command, named, changeable) = named(call);
    if command.spec.keys.is_empty() && command.spec.special_keys.is_none() {
        return;
    }
    let mut bench = Bench::new();
    for line in SETUP {
        bench.say(line);
    }
    bench.pass_ms(PASS_MS);
    recorder::begin();
    let outcome = bench.handle(call);
    let mut seen: KeySet = recorder::end();
    if let Err(error) = outcome
        && command.full_name != "object|freq"
    {
        faults.push(format!(
            "{call}: {}",
            String::from_utf8_lossy(error.as_bytes())
        ));
    }
    for key in beyond(call) {
        seen.remove(key.as_bytes());
    }
    let early = ENDS_EARLY.iter().any(|(known, _)| *known == call);
    if !(if early {
        seen.is_subset(&named)
    } else {
        seen == named
    }) {
        faults.push(format!(
            "{call}: names {}, looks up {}",
            shown(&named),
            shown(&seen)
        ));
    }
    let touched: KeySet = bench
        .server
        .ks
        .effects
        .touched
        .drain(..)
        .map(|(_, key)| key)
        .collect();
    // That a key's time is over is found by readers too.
    let over = ["due", "fields", "last"].map(|key| key.as_bytes().to_vec());
    let changed: KeySet = touched
        .into_iter()
        .filter(|key| !over.contains(key))
        .collect();
    if !changed.is_subset(&changeable) {
        faults.push(format!(
            "{call}: may change {}, changes {}",
            shown(&changeable),
            shown(&changed)
        ));
    }
    if !changed.is_empty()
        && !command.flags.contains(Flags::WRITE)
        && command.full_name != "pfcount"
    {
        faults.push(format!(
            "{call}: changes {} and is no write command",
            shown(&changed)
        ));
    }
}

#[test]
fn execution_touches_the_keys_that_the_call_names() {
    let mut faults = Vec::new();
    let mut shown = BTreeSet::new();
    for call in CALLS {
        shown.insert(named(call).0.full_name.as_str());
        check(call, &mut faults);
    }
    for command in registry::all() {
        let has_keys = !command.spec.keys.is_empty() || command.spec.special_keys.is_some();
        if has_keys && !shown.contains(command.full_name.as_str()) {
            faults.push(format!("{} has keys and no example", command.full_name));
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn a_wrong_key_is_noticed() {
    let mut bench = Bench::new();
    recorder::begin();
    bench.say("MGET a b");
    let seen = recorder::end();
    assert_eq!(seen, ["a", "b"].map(|key| key.as_bytes().to_vec()).into());
    assert_ne!(seen, named("MGET a").1);
}
