//! What an acknowledgement means: servers are killed, disks fail, bytes flip, and the ledger is compared afterwards.
//!
//! The short form runs with the other tests. `scripts/crash-test` runs the long one: `FERRITE_CRASH_ROUNDS` says how often
//! each kind of crash comes.

mod support;

#[path = "durability/busy.rs"]
mod busy;
#[path = "durability/control.rs"]
mod control;
#[path = "durability/crashes.rs"]
mod crashes;
#[path = "durability/damage.rs"]
mod damage;
#[path = "durability/disk.rs"]
mod disk;
#[path = "durability/files.rs"]
mod files;
#[path = "durability/flips.rs"]
mod flips;
#[path = "durability/ledger.rs"]
mod ledger;
#[path = "durability/machine.rs"]
mod machine;
#[path = "durability/planted.rs"]
mod planted;
#[path = "durability/power.rs"]
mod power;
#[path = "durability/trace.rs"]
mod trace;
#[path = "durability/undo.rs"]
mod undo;
