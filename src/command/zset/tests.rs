//! Commands of sorted sets in process.

use crate::command::testing::Bench;
