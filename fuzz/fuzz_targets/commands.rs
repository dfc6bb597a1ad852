#![no_main]

use ferrite_fuzz::commands::{Session, run_on};

libfuzzer_sys::fuzz_target!(|data: &[u8]| run_on(&mut Session::default(), data));
