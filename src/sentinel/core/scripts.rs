//! The queue of notification and reconfiguration scripts: at most 16 run at once, 256 wait, a failing one is tried ten times.

use std::collections::VecDeque;

use super::types::{Action, Ms, Text, Timing};

const QUEUE_MAX: usize = 256;
const RUNNING_MAX: usize = 16;
const TRIES_MAX: u32 = 10;

#[derive(Debug)]
pub struct Script {
    pub id: u64,
    pub path: Text,
    pub args: Vec<String>,
    /// When it was started, or may be started again.
    pub time: Ms,
    pub tries: u32,
    /// The process, while it runs: 0 until the shell tells it.
    pub pid: Option<u32>,
    killed: bool,
}

#[derive(Debug, Default)]
pub struct Scripts {
    queue: VecDeque<Script>,
    next: u64,
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptEnd {
    Exit(i32),
    Signal(i32),
    NotStarted,
}

impl Scripts {
    pub fn schedule(&mut self, path: Text, args: Vec<String>) {
        self.next += 1;
        self.queue.push_back(Script {
            id: self.next,
            path,
            args,
            time: 0,
            tries: 0,
            pid: None,
            killed: false,
        });
        if self.queue.len() > QUEUE_MAX
            && let Some(oldest) = self.queue.iter().position(|s| s.pid.is_none())
        {
            self.queue.remove(oldest);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Script> {
        self.queue.iter()
    }

    pub fn running(&self) -> usize {
        self.queue.iter().filter(|s| s.pid.is_some()).count()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Starts what may start, and ends what runs for too long. Returns the paths of those.
    pub fn tick(&mut self, now: Ms, timing: &Timing, actions: &mut VecDeque<Action>) -> Vec<Text> {
        let mut overdue = Vec::new();
        if self.queue.is_empty() {
            return overdue;
        }
        let mut running = self.running();
        for script in &mut self.queue {
            if script.pid.is_some() {
                if !script.killed && now - script.time > timing.script_max_runtime {
                    script.killed = true;
                    overdue.push(script.path.clone());
                    actions.push_back(Action::KillScript { id: script.id });
                }
            } else if running < RUNNING_MAX && (script.tries == 0 || script.time <= now) {
                running += 1;
                script.pid = Some(0);
                script.killed = false;
                script.time = now;
                script.tries += 1;
                actions.push_back(Action::RunScript {
                    id: script.id,
                    path: script.path.clone(),
                    args: script.args.clone(),
                });
            }
        }
        overdue
    }

    pub fn started(&mut self, id: u64, pid: u32) {
        if let Some(script) = self.queue.iter_mut().find(|s| s.id == id) {
            script.pid = Some(pid);
        }
    }

    /// A script that ended with 1 or by a signal is tried again later, each time after twice the time. Returns the path
    /// of one that is given up though it failed.
    pub fn ended(&mut self, id: u64, end: ScriptEnd, now: Ms, timing: &Timing) -> Option<Text> {
        let at = self.queue.iter().position(|s| s.id == id)?;
        let script = &mut self.queue[at];
        let again = matches!(end, ScriptEnd::Exit(1) | ScriptEnd::Signal(_));
        if again && script.tries < TRIES_MAX {
            script.pid = None;
            let factor = 1i64 << (script.tries - 1).min(20);
            script.time = now + timing.script_retry_delay.saturating_mul(factor);
            return None;
        }
        let script = self.queue.remove(at)?;
        (end != ScriptEnd::Exit(0)).then_some(script.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(actions: &mut VecDeque<Action>) -> Vec<u64> {
        actions
            .drain(..)
            .filter_map(|a| match a {
                Action::RunScript { id, .. } => Some(id),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn sixteen_run_and_failures_are_tried_again() {
        let (mut scripts, timing, mut actions) =
            (Scripts::default(), Timing::default(), VecDeque::new());
        for _ in 0..20 {
            scripts.schedule("/x".into(), vec![]);
        }
        assert!(scripts.tick(0, &timing, &mut actions).is_empty());
        assert_eq!(started(&mut actions).len(), 16);
        assert_eq!(
            scripts.ended(1, ScriptEnd::Exit(0), 5, &timing),
            None,
            "success"
        );
        assert_eq!(
            scripts.ended(2, ScriptEnd::Exit(2), 5, &timing),
            Some("/x".into())
        );
        assert_eq!(scripts.ended(3, ScriptEnd::Exit(1), 5, &timing), None);
        assert_eq!(scripts.len(), 18);
        scripts.tick(10, &timing, &mut actions);
        assert_eq!(started(&mut actions), [17, 18, 19]);
        scripts.ended(4, ScriptEnd::Exit(0), 11, &timing);
        scripts.tick(30_005, &timing, &mut actions);
        assert_eq!(
            started(&mut actions),
            [3],
            "the failed one comes first again after its delay"
        );
        assert_eq!(
            scripts.tick(60_011, &timing, &mut actions).len(),
            16 - 1,
            "all but the one tried again ran too long"
        );
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut scripts = Scripts::default();
        (0..1000).for_each(|_| scripts.schedule("/x".into(), vec![]));
        assert_eq!(scripts.len(), QUEUE_MAX);
    }
}
