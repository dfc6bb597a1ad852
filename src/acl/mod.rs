//! Access control lists: users, what they may do, and the record of what was denied.
//!
//! - [`user`]: a user with its selectors, and how both are written. [`rules`]: the grammar of ACL SETUSER.
//! - [`mod@check`]: whether a user may make a call. [`secret`]: passwords, which are kept as SHA-256 only.
//! - [`log`]: ACL LOG. [`mod@file`]: the ACL file and the `user` lines of the configuration.
//! - [`clients`]: what a change of a user does to the connections.
//!
//! A user is immutable: a change makes a new one and hands it to the clients that have the old
//! one. So a call is checked without a look-up, and for a user who may do everything the check is
//! one test.

pub mod check;
pub mod clients;
pub mod file;
pub mod log;
pub mod rules;
pub mod secret;
pub mod user;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use check::{Denial, check, may_channels};
pub use user::User;

use rules::RuleError;
use user::Defaults;

/// The name of the user that connections start with.
pub const DEFAULT: &[u8] = b"default";

/// All users.
#[derive(Clone, Debug)]
pub struct Users {
    by_name: BTreeMap<Box<[u8]>, Arc<User>>,
    default: Arc<User>,
}

impl Users {
    /// The user `default` alone: with this password, or, if it is empty, with none.
    pub fn new(password: &[u8]) -> Users {
        let mut user = User::all_permitted();
        user.set_only_password(password);
        let default = Arc::new(user);
        Users {
            by_name: BTreeMap::from([(DEFAULT.into(), default.clone())]),
            default,
        }
    }

    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// The user that connections start with.
    pub fn default_user(&self) -> &Arc<User> {
        &self.default
    }

    /// Connections need not log in.
    pub fn is_open(&self) -> bool {
        self.default.enabled && self.default.nopass
    }

    /// By name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.by_name.values()
    }

    /// Adds the user, or takes the place of the one of that name.
    pub fn put(&mut self, user: Arc<User>) {
        if &*user.name == DEFAULT {
            self.default = user.clone();
        }
        self.by_name.insert(user.name.clone(), user);
    }

    /// False if there is no such user. The user `default` stays.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        name != DEFAULT && self.by_name.remove(name).is_some()
    }

    /// The user of that name, changed by the rules; a new one, if there is none. Nothing is stored.
    pub fn changed<'r>(
        &self,
        name: &[u8],
        rules: &'r [Vec<u8>],
        defaults: Defaults,
    ) -> Result<User, (&'r [u8], RuleError)> {
        let mut user = match self.get(name) {
            Some(user) => User::clone(user),
            None => User::new(name, defaults),
        };
        rules::apply_all(&mut user, rules, defaults)?;
        Ok(user)
    }

    /// The user if it may log in with this password.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<&Arc<User>> {
        // Also for nobody, so that the time tells nothing about names.
        let digest = secret::digest(password);
        let user = self.get(name)?;
        let right = user.nopass | secret::is_one_of(&digest, &user.passwords);
        (user.enabled && right).then_some(user)
    }
}

/// What the server holds for access control.
#[derive(Debug)]
pub struct Acl {
    pub users: Users,
    pub log: log::Log,
}

impl Acl {
    /// As a server starts without any `user` line or ACL file.
    pub fn new(password: &[u8]) -> Acl {
        Acl {
            users: Users::new(password),
            log: log::Log::default(),
        }
    }
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
