//! The tests are tested: each mistake of a list is planted, and the test that is there for it must fail.

use std::process::Command;

use ferrite::base::planted::ALL;

use crate::trace;

/// Which test finds which mistake.
const FOUND_BY: &[(&str, &str)] = &[
    (
        "no-directory-sync",
        "power::what_was_acknowledged_outlives_the_power_under_always",
    ),
    (
        "no-replace-sync",
        "power::what_was_acknowledged_outlives_the_power_under_always",
    ),
    (
        "ack-before-sync",
        "power::what_was_acknowledged_outlives_the_power_under_always",
    ),
    (
        "drop-last-batch",
        "crashes::nothing_acknowledged_is_lost_when_the_process_is_killed",
    ),
    (
        "no-checksum",
        "damage::every_flipped_byte_of_a_file_is_found",
    ),
    (
        "no-chain",
        "flips::a_unit_that_is_missing_in_the_middle_is_found",
    ),
    (
        "retry-sync",
        "power::a_failed_sync_takes_nothing_acknowledged_with_it",
    ),
    ("empty-start", "files::never_an_empty_start_beside_data"),
    (
        "no-base-sync",
        "power::what_was_acknowledged_outlives_the_power_under_always",
    ),
    (
        "unlink-first",
        "power::what_was_acknowledged_outlives_the_power_under_always",
    ),
    (
        "no-sums",
        "damage::a_file_cut_between_two_entries_is_noticed",
    ),
    (
        "keep-torn",
        "crashes::the_server_goes_on_after_errors_of_the_disk",
    ),
    ("no-rdb-checksum", "flips::flips_of_a_snapshot_are_found"),
    (
        "no-rdb-sync",
        "power::a_snapshot_that_was_saved_outlives_the_power",
    ),
];

#[test]
fn every_planted_mistake_is_noticed() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no mistakes planted");
        return;
    }
    let can_trace = trace::is_possible();
    let mut missed = Vec::new();
    for (bug, _) in ALL {
        let test = FOUND_BY.iter().find(|(name, _)| *name == bug);
        let (_, test) = test.unwrap_or_else(|| panic!("nobody looks for {bug}"));
        if test.starts_with("power::") && !can_trace {
            continue;
        }
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", test, "--nocapture"])
            .env("FERRITE_PLANTED", bug)
            .env_remove("FERRITE_CRASH_ROUNDS")
            .output()
            .expect("run a test");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("running 1 test"), "{test}: {text}");
        println!(
            "{bug}: {}",
            if output.status.success() {
                "MISSED"
            } else {
                "noticed"
            }
        );
        if output.status.success() {
            missed.push(bug);
        }
    }
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
