//! The score by which the kernel chooses whom to end first when memory runs out (`oom_score_adj` of proc(5)).

use std::fs;
use std::io;

use crate::config::Settings;
use crate::config::enums::OomScoreAdj;
use crate::config::setting::os_reason;

const FILE: &str = "/proc/self/oom_score_adj";
/// What the kernel takes.
const LEAST: i32 = -1000;
const LARGEST: i32 = 1000;

/// `oom-score-adj` at work.
#[derive(Debug, Default)]
pub struct OomScore {
    /// The score that the process had before, while the one here is another.
    base: Option<i32>,
}

impl OomScore {
    /// Sets the score that the settings want for a master or a replica. (There are no background processes, which have a
    /// third one in Redis.)
    ///
    /// # Errors
    /// What CONFIG SET answers; the log has the reason.
    pub fn apply(&mut self, settings: &Settings, replica: bool) -> Result<(), String> {
        let own = settings.oom_score_adj_values.0[usize::from(replica)];
        let score = match settings.oom_score_adj {
            OomScoreAdj::No => self.base.take(),
            OomScoreAdj::Yes | OomScoreAdj::Relative => Some(self.base().saturating_add(own)),
            OomScoreAdj::Absolute => {
                self.base();
                Some(own)
            }
        };
        let Some(score) = score else {
            return Ok(());
        };
        let score = score.clamp(LEAST, LARGEST);
        fs::write(FILE, score.to_string()).map_err(|error: io::Error| {
            tracing::warn!("Unable to write oom_score_adj: {}", os_reason(&error));
            "Failed to set current oom_score_adj. Check server logs.".to_owned()
        })
    }

    fn base(&mut self) -> i32 {
        *self.base.get_or_insert_with(|| {
            let text = fs::read_to_string(FILE).unwrap_or_default();
            // Without the file nothing can be set either, and that is told.
            text.trim().parse().unwrap_or(0)
        })
    }
}
