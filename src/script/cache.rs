//! Scripts of EVAL by their digest.
//!
//! Those that came by EVAL alone are limited in number, and the one that was used longest ago goes
//! first. Those that came by SCRIPT LOAD stay.

use super::engine::Handle;
use super::flags::ScriptFlags;
use crate::base::hash::SeededMap;

/// Scripts that came by EVAL alone; Redis keeps as many.
const MAX_EVAL: usize = 500;

/// SHA1 in lower-case hex digits.
pub type Digest = [u8; 40];

/// A compiled script.
#[derive(Clone, Debug)]
pub struct Script {
    pub handle: Handle,
    pub flags: ScriptFlags,
    pub body: Vec<u8>,
    /// When it was used last, for those that may have to go.
    used: u64,
    stays: bool,
}

/// All scripts.
#[derive(Debug, Default)]
pub struct Cache {
    scripts: SeededMap<Digest, Script>,
    /// Scripts that may have to go.
    passing: usize,
    clock: u64,
    bodies: usize,
}

impl Cache {
    /// The digest as a key: 40 hex digits in any case.
    pub fn key(sha: &[u8]) -> Option<Digest> {
        let mut key: Digest = sha.try_into().ok()?;
        key.make_ascii_lowercase();
        Some(key)
    }

    /// A script, which is used now.
    pub fn get(&mut self, key: &Digest) -> Option<&Script> {
        self.clock += 1;
        let script = self.scripts.get_mut(key)?;
        script.used = self.clock;
        Some(script)
    }

    /// A script, without using it.
    pub fn peek(&self, sha: &[u8]) -> Option<&Script> {
        self.scripts.get(&Cache::key(sha)?)
    }

    /// It stays from now on.
    pub fn make_stay(&mut self, key: &Digest) {
        if let Some(script) = self.scripts.get_mut(key)
            && !script.stays
        {
            script.stays = true;
            self.passing -= 1;
        }
    }

    /// Adds a script that is not there; returns the one that had to go.
    pub fn add(
        &mut self,
        key: Digest,
        handle: Handle,
        flags: ScriptFlags,
        body: &[u8],
        stays: bool,
    ) -> Option<Script> {
        let mut gone = None;
        if !stays {
            if self.passing >= MAX_EVAL {
                let passing = self.scripts.iter().filter(|(_, script)| !script.stays);
                let oldest = passing.min_by_key(|(_, script)| script.used);
                let oldest = oldest.map(|(key, _)| *key);
                gone = oldest.and_then(|key| self.scripts.remove(&key));
                if let Some(gone) = &gone {
                    self.passing -= 1;
                    self.bodies -= gone.body.len();
                }
            }
            self.passing += 1;
        }
        self.clock += 1;
        self.bodies += body.len();
        let script = Script {
            handle,
            flags,
            body: body.to_vec(),
            used: self.clock,
            stays,
        };
        self.scripts.insert(key, script);
        gone
    }

    pub fn len(&self) -> usize {
        self.scripts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    pub fn memory(&self) -> usize {
        self.bodies + self.scripts.capacity() * size_of::<(Digest, Script)>()
    }

    pub fn clear(&mut self) {
        *self = Cache::default();
    }
}
