//! Sessions that clients may resume: `tls-session-caching`, `tls-session-cache-size`, `tls-session-cache-timeout`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::server::StoresServerSessions;

/// Secrets of sessions by their ids. They leave when they are old, or as the oldest when there are too many.
#[derive(Debug)]
pub struct Sessions {
    kept: Mutex<Kept>,
    most: usize,
    lifetime: Duration,
}

#[derive(Debug, Default)]
struct Kept {
    by_id: HashMap<Vec<u8>, Session>,
    /// In the order in which they came; some may have left.
    order: VecDeque<(Vec<u8>, Instant)>,
}

#[derive(Debug)]
struct Session {
    since: Instant,
    secret: Vec<u8>,
}

impl Sessions {
    /// `most` of 0: any number.
    pub fn new(most: usize, lifetime: Duration) -> Sessions {
        Sessions {
            kept: Mutex::default(),
            most: if most == 0 { usize::MAX } else { most },
            lifetime,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, since: Instant) -> bool {
        since.elapsed() < self.lifetime
    }

    fn make_room(&self, kept: &mut Kept) {
        while let Some((id, since)) = kept.order.front() {
            let crowded = kept.order.len() >= self.most;
            if self.is_fresh(*since) && !crowded {
                return;
            }
            if kept.by_id.get(id).is_some_and(|s| s.since == *since) {
                kept.by_id.remove(id);
            }
            kept.order.pop_front();
        }
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, id: Vec<u8>, secret: Vec<u8>) -> bool {
        let mut kept = self.kept();
        self.make_room(&mut kept);
        let since = Instant::now();
        kept.order.push_back((id.clone(), since));
        kept.by_id.insert(id, Session { since, secret });
        true
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        let kept = self.kept();
        let session = kept.by_id.get(id).filter(|s| self.is_fresh(s.since));
        session.map(|s| s.secret.clone())
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        let session = self.kept().by_id.remove(id);
        session.filter(|s| self.is_fresh(s.since)).map(|s| s.secret)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_leave_when_there_are_too_many() {
        let sessions = Sessions::new(3, Duration::from_secs(60));
        for n in 0..5u8 {
            assert!(sessions.put(vec![n], vec![n, n]));
        }
        let left: Vec<u8> = (0..5).filter(|n| sessions.get(&[*n]).is_some()).collect();
        assert_eq!(left, [2, 3, 4]);
        assert_eq!(sessions.take(&[3]), Some(vec![3, 3]));
        assert_eq!(sessions.take(&[3]), None);
        assert!(sessions.kept().order.len() <= 3);
    }

    #[test]
    fn sessions_end() {
        let sessions = Sessions::new(0, Duration::ZERO);
        sessions.put(vec![1], vec![1]);
        assert_eq!(sessions.get(&[1]), None);
        sessions.put(vec![2], vec![1]);
        let kept = sessions.kept();
        assert_eq!((kept.by_id.len(), kept.order.len()), (1, 1));
    }
}
