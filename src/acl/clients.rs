//! What a change of users does to the connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{User, Users, may_channels};
use crate::dispatch::client::{Client, ClientFlags};
use crate::dispatch::core::Core;
use crate::pubsub::Kind;

/// Runs for every client: the one whose command runs, which is out of its place, and all others.
fn each_client(core: &mut Core, me: &mut Client, mut run: impl FnMut(&mut Client)) {
    run(me);
    for id in core.clients.ids() {
        if let Some(client) = core.clients.get_mut(id) {
            run(client);
        }
    }
}

/// Stores a changed or new user and hands it to its connections. Those that hold subscriptions
/// that it may not have any more are ended.
pub fn install(core: &mut Core, me: &mut Client, user: User) {
    let user = Arc::new(user);
    core.acl.users.put(user.clone());
    let mut over = Vec::new();
    each_client(core, me, |client| {
        if client.user.name == user.name {
            client.user = user.clone();
            if !may_stay(client) {
                over.push(client.id);
            }
        }
    });
    end(core, me, &over);
    follow_default(core, me);
}

/// Removes users by name and ends their connections; returns how many there were.
pub fn remove(core: &mut Core, me: &mut Client, names: &[&[u8]]) -> usize {
    let users = &mut core.acl.users;
    let names: Vec<&[u8]> = names.iter().copied().filter(|n| users.remove(n)).collect();
    let mut over = Vec::new();
    each_client(core, me, |client| {
        if names.contains(&&*client.user.name) {
            over.push(client.id);
        }
    });
    end(core, me, &over);
    names.len()
}

/// Puts other users in the place of all. Connections whose user is gone, or that hold subscriptions
/// that it may not have any more, are ended; the others go on.
pub fn replace(core: &mut Core, me: &mut Client, users: Users) {
    core.acl.users = users;
    let by_name: BTreeMap<Box<[u8]>, Arc<User>> = core
        .acl
        .users
        .iter()
        .map(|user| (user.name.clone(), user.clone()))
        .collect();
    let mut over = Vec::new();
    each_client(core, me, |client| {
        let stays = match by_name.get(&client.user.name) {
            Some(user) => {
                client.user = user.clone();
                may_stay(client)
            }
            None => false,
        };
        if !stays {
            over.push(client.id);
        }
    });
    end(core, me, &over);
    follow_default(core, me);
}

/// Sets the password of the user `default`, as `requirepass` does.
pub fn set_default_password(core: &mut Core, me: &mut Client, password: &[u8]) {
    let mut user = User::clone(core.acl.users.default_user());
    user.set_only_password(password);
    install(core, me, user);
}

/// Whether the client may keep its subscriptions.
fn may_stay(client: &Client) -> bool {
    let Some(subscriptions) = &client.subs else {
        return true;
    };
    Kind::ALL.into_iter().all(|kind| {
        let names = subscriptions.names(kind).map(|name| &**name);
        may_channels(&client.user, names, kind == Kind::Pattern)
    })
}

/// Ends connections; the one whose command runs still gets its reply.
fn end(core: &mut Core, me: &mut Client, ids: &[u64]) {
    for id in ids {
        if *id == me.id {
            me.flags.insert(ClientFlags::CLOSE_AFTER_REPLY);
        } else {
            core.end_client(*id);
        }
    }
}

/// The users at the start, before any connection is there.
pub fn start(core: &mut Core, users: Users) {
    core.acl.users = users;
    let required = !core.acl.users.is_open();
    core.config.shared().set_password_required(required);
}

/// Tells the connections, those to come included, whether they have to log in: it decides how much
/// they may send.
fn follow_default(core: &mut Core, me: &mut Client) {
    let open = core.acl.users.is_open();
    core.config.shared().set_password_required(!open);
    each_client(core, me, |client| {
        let free = open || client.is(ClientFlags::AUTHENTICATED);
        client.conn.authenticated.store(free, Ordering::Release);
    });
}
