//! CLIENT KILL: which connections end.

use super::client_type;
use crate::acl::Users;
use crate::base::num;
use crate::command::args::Cursor;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::dispatch::client::{Client, ClientFlags, ClientType};

/// Which clients CLIENT KILL ends: those that pass every filter.
#[derive(Default)]
struct Filter<'a> {
    id: Option<u64>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    class: Option<ClientType>,
    /// In seconds, as lived so far.
    max_age: Option<i64>,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    fn read(ctx: &Ctx<'a>) -> Result<Filter<'a>, Error> {
        let mut rest = ctx.args.cursor(2);
        let mut filter = Filter {
            skip_me: true,
            ..Filter::default()
        };
        while !rest.done() {
            if rest.left() < 2 {
                return Err(Error::SYNTAX);
            }
            filter.read_one(&mut rest, &ctx.core.acl.users)?;
        }
        Ok(filter)
    }

    fn read_one(&mut self, rest: &mut Cursor<'a>, users: &Users) -> Outcome {
        if rest.word("ID") {
            let id = num::parse_i64(rest.next()?).filter(|id| *id > 0);
            let id = id.ok_or(Error::new("ERR client-id should be greater than 0"))?;
            self.id = Some(id as u64);
        } else if rest.word("MAXAGE") {
            let age = num::parse_i64(rest.next()?);
            let age = age.ok_or(Error::new("ERR maxage is not an integer or out of range"))?;
            if age <= 0 {
                return Err(Error::new("ERR maxage should be greater than 0"));
            }
            self.max_age = Some(age);
        } else if rest.word("TYPE") {
            self.class = Some(client_type(rest.next()?)?);
        } else if rest.word("ADDR") {
            self.addr = Some(rest.next()?);
        } else if rest.word("LADDR") {
            self.laddr = Some(rest.next()?);
        } else if rest.word("USER") {
            let user = rest.next()?;
            if users.get(user).is_none() {
                return Err(Error::bytes([b"ERR No such user '", user, b"'"].concat()));
            }
            self.user = Some(user);
        } else if rest.word("SKIPME") {
            self.skip_me = if rest.word("YES") {
                true
            } else if rest.word("NO") {
                false
            } else {
                return Err(Error::SYNTAX);
            };
        } else {
            return Err(Error::SYNTAX);
        }
        Ok(())
    }

    fn matches(&self, client: &Client, now_ms: i64) -> bool {
        let is = |wanted: Option<&[u8]>, have: &str| wanted.is_none_or(|w| w == have.as_bytes());
        self.id.is_none_or(|id| client.id == id)
            && is(self.addr, &client.conn.addr)
            && is(self.laddr, &client.conn.laddr)
            && self.user.is_none_or(|user| user == &*client.user.name)
            && self.class.is_none_or(|class| client.client_type() == class)
            && self
                .max_age
                .is_none_or(|age| (now_ms - client.created_ms) / 1000 >= age)
    }
}

pub fn kill(ctx: &mut Ctx<'_>) -> Outcome {
    let old_form = ctx.args.len() == 3;
    let filter = if old_form {
        Filter {
            addr: Some(ctx.args.get(2)),
            ..Filter::default()
        }
    } else {
        Filter::read(ctx)?
    };
    let now = ctx.core.now_ms();
    let ids: Vec<u64> = ctx
        .core
        .clients
        .iter()
        .filter(|c| filter.matches(c, now))
        .map(|c| c.id)
        .collect();
    let mut killed = ids.len();
    // The link to the master is no client of the list.
    let master = ctx.core.repl.master_client();
    if master.is_some_and(|master| filter.matches(master, now)) {
        killed += 1;
        ctx.runner().cut_link();
    }
    ids.into_iter().for_each(|id| ctx.core.end_client(id));
    if !filter.skip_me && filter.matches(ctx.client, now) {
        killed += 1;
        // The reply still has to reach it.
        ctx.client.flags.insert(ClientFlags::CLOSE_AFTER_REPLY);
    }
    match (old_form, killed) {
        (true, 0) => return Err(Error::new("ERR No such client")),
        (true, _) => ctx.out.ok(),
        (false, _) => ctx.out.count(killed),
    }
    Ok(())
}
