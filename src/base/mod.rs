//! Leaves that anything may use: numbers, clocks, patterns, files, the operating system.

pub mod alloc;
pub mod atomic_replace;
pub mod clock;
pub mod crc;
pub mod failpoint;
pub mod glob;
pub mod hash;
pub mod json;
pub mod longdouble;
pub mod lzf;
pub mod mailbox;
pub mod memsize;
pub mod memtest;
pub mod num;
pub mod oom;
pub mod planted;
pub mod process;
pub mod rng;
pub mod sys;
pub mod ticks;
pub mod words;
