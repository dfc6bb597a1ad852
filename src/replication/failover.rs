//! FAILOVER: a master hands the mastership over to one of its replicas, when that has everything.

use super::master::Replica;
use crate::dispatch::core::Pause;
use crate::dispatch::run::Runner;

/// A FAILOVER that is under way.
#[derive(Clone, Debug)]
pub struct Failover {
    /// The replica that is to become the master; none chosen yet.
    pub target: Option<(String, u16)>,
    /// Monotonic ms at which it is given up, or forced.
    pub deadline_ms: Option<i64>,
    pub force: bool,
    /// The stream stands still and the target is asked to take over.
    pub in_progress: bool,
}

impl Runner<'_> {
    /// Writes wait while the mastership changes hands.
    pub fn pause_for_failover(&mut self) {
        self.core.pause = Some(Pause {
            until_ms: i64::MAX / 2000,
            writes_only: true,
        });
    }

    /// Ends a FAILOVER that has not come to its end.
    pub fn abort_failover(&mut self, reason: &str) {
        let Some(failover) = self.core.repl.failover.take() else {
            return;
        };
        tracing::warn!("Aborting failover: {reason}");
        self.core.pause = None;
        if failover.in_progress {
            self.become_master();
        }
    }

    /// Hands the mastership over if the chosen replica has everything, or the time for that is over.
    pub fn failover_step(&mut self) {
        let now_ms = self.core.now_ms();
        let Some(failover) = self.core.repl.failover.clone() else {
            return;
        };
        if failover.in_progress {
            return;
        }
        let offset = self.ks.log.offset();
        let late = failover.deadline_ms.is_some_and(|at| now_ms >= at);
        if late && !failover.force {
            return self.abort_failover("timeout exceeded");
        }
        let fits = |r: &&Replica| {
            let chosen = failover.target.as_ref().is_none_or(|t| r.address() == *t);
            chosen && (r.ack >= offset || late)
        };
        let found = self.core.repl.online().find(fits);
        let Some((host, port)) = found.map(Replica::address) else {
            return;
        };
        if late {
            tracing::warn!("Failover to {host}:{port} time out exceeded, failing over.");
        } else {
            tracing::warn!("Failover target {host}:{port} is synced, failing over.");
        }
        if let Some(failover) = &mut self.core.repl.failover {
            failover.in_progress = true;
        }
        if let Err(reason) = self.follow(&host, port, false, true) {
            self.abort_failover(&reason);
        }
    }
}
