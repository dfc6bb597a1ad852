//! Small tools that any module may use: sizes, patterns, files, the operating system.

pub mod atomic_replace;
pub mod glob;
pub mod memsize;
pub mod process;
pub mod sys;
