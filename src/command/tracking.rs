//! CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO: how a client caches keys. The rows are in
//! [`client`](super::client).

use super::client_info;
use super::ctx::{Ctx, Outcome};
use super::error::Error;
use crate::base::num;
use crate::dispatch::client::ClientFlags;
use crate::tracking::Modes;

/// What CLIENT TRACKING asks for.
#[derive(Default)]
struct Wish<'a> {
    modes: Modes,
    redirect: u64,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Wish<'a> {
    fn read(ctx: &Ctx<'a>) -> Result<Wish<'a>, Error> {
        let mut wish = Wish::default();
        let mut rest = ctx.args.cursor(3);
        while !rest.done() {
            if rest.left() > 1 && rest.word("REDIRECT") {
                if wish.redirect != 0 {
                    return Err(Error::new(
                        "ERR A client can only redirect to a single other client",
                    ));
                }
                let id = num::parse_i64(rest.next()?).ok_or(Error::NOT_INTEGER)?;
                let known =
                    |id: &u64| *id == ctx.client.id || ctx.core.clients.slot_of(*id).is_some();
                let id = u64::try_from(id).ok().filter(known);
                wish.redirect = id.ok_or(Error::new(
                    "ERR The client ID you want redirect to does not exist",
                ))?;
            } else if rest.left() > 1 && rest.word("PREFIX") {
                wish.prefixes.push(rest.next()?);
            } else if rest.word("BCAST") {
                wish.modes |= Modes::BCAST;
            } else if rest.word("OPTIN") {
                wish.modes |= Modes::OPTIN;
            } else if rest.word("OPTOUT") {
                wish.modes |= Modes::OPTOUT;
            } else if rest.word("NOLOOP") {
                wish.modes |= Modes::NOLOOP;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(wish)
    }

    /// Whether the options go together, and with what the client has now.
    fn check(&self, ctx: &Ctx<'_>) -> Outcome {
        let has = |mode| self.modes.contains(mode);
        let now = ctx.core.tracking.of(ctx.client.id);
        let had = |mode| now.is_some_and(|t| t.modes.contains(mode));
        let text = if !has(Modes::BCAST) && !self.prefixes.is_empty() {
            "ERR PREFIX option requires BCAST mode to be enabled"
        } else if now.is_some() && had(Modes::BCAST) != has(Modes::BCAST) {
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
        } else if has(Modes::BCAST) && self.modes.intersects(Modes::OPTIN | Modes::OPTOUT) {
            "ERR OPTIN and OPTOUT are not compatible with BCAST"
        } else if has(Modes::OPTIN | Modes::OPTOUT) {
            "ERR You can't specify both OPTIN mode and OPTOUT mode"
        } else if has(Modes::OPTIN) && had(Modes::OPTOUT) || has(Modes::OPTOUT) && had(Modes::OPTIN)
        {
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
        } else {
            return self.check_prefixes(now.map_or(&[], |t| &t.prefixes));
        };
        Err(Error::new(text))
    }

    /// No key may be below two prefixes of one client.
    fn check_prefixes(&self, existing: &[Vec<u8>]) -> Outcome {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let error = |new: &[u8], how: &str, other: &[u8]| {
            let end = b"'. Prefixes for a single client must not overlap.";
            let parts = [b"ERR Prefix '", new, how.as_bytes(), other, end];
            Err(Error::bytes(parts.concat()))
        };
        for (at, new) in self.prefixes.iter().enumerate() {
            if let Some(old) = existing.iter().find(|old| overlap(new, old)) {
                return error(new, "' overlaps with an existing prefix '", old);
            }
            let others = &self.prefixes[at + 1..];
            if let Some(other) = others.iter().find(|other| overlap(new, other)) {
                return error(new, "' overlaps with another provided prefix '", other);
            }
        }
        Ok(())
    }
}

/// `CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix]… [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`
pub(super) fn tracking(ctx: &mut Ctx<'_>) -> Outcome {
    let mut wish = Wish::read(ctx)?;
    if ctx.args.is(2, "ON") {
        wish.check(ctx)?;
        if wish.modes.contains(Modes::BCAST) && wish.prefixes.is_empty() {
            wish.prefixes.push(b"");
        }
        let prefixes: Vec<Vec<u8>> = wish.prefixes.iter().map(|p| p.to_vec()).collect();
        /// About what a prefix costs beside its bytes, at the client and in the table.
        const PER_PREFIX: usize = 128;
        ctx.client.prefix_bytes += prefixes.iter().map(|p| p.len() + PER_PREFIX).sum::<usize>();
        ctx.client.flags.insert(ClientFlags::TRACKING);
        let tracking = &mut ctx.core.tracking;
        tracking.enable(ctx.client.id, wish.modes, wish.redirect, prefixes);
    } else if ctx.args.is(2, "OFF") {
        disable(ctx);
    } else {
        return Err(Error::SYNTAX);
    }
    ctx.out.ok();
    Ok(())
}

/// The client tracks no more.
pub(super) fn disable(ctx: &mut Ctx<'_>) {
    ctx.client.flags.remove(ClientFlags::TRACKING);
    ctx.client.prefix_bytes = 0;
    ctx.core.tracking.disable(ctx.client.id);
}

/// `CLIENT CACHING YES|NO`
pub(super) fn caching(ctx: &mut Ctx<'_>) -> Outcome {
    let tracker = ctx.core.tracking.of_mut(ctx.client.id);
    let tracker = tracker.ok_or(Error::new(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    ))?;
    let (mode, text) = if ctx.args.is(2, "YES") {
        let text = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
        (Modes::OPTIN, text)
    } else if ctx.args.is(2, "NO") {
        let text = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";
        (Modes::OPTOUT, text)
    } else {
        return Err(Error::SYNTAX);
    };
    if !tracker.modes.contains(mode) {
        return Err(Error::new(text));
    }
    tracker.modes.insert(Modes::CACHING);
    ctx.out.ok();
    Ok(())
}

/// `CLIENT GETREDIR`
pub(super) fn getredir(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.out.int(client_info::redirect(ctx.client, ctx.core));
    Ok(())
}

/// `CLIENT TRACKINGINFO`
pub(super) fn trackinginfo(ctx: &mut Ctx<'_>) -> Outcome {
    let tracker = ctx.core.tracking.of(ctx.client.id);
    let modes = tracker.map_or(Modes::empty(), |t| t.modes);
    let (optin, optout) = (modes.contains(Modes::OPTIN), modes.contains(Modes::OPTOUT));
    let caching = modes.contains(Modes::CACHING);
    let table = [
        (tracker.is_none(), "off"),
        (tracker.is_some(), "on"),
        (modes.contains(Modes::BCAST), "bcast"),
        (optin, "optin"),
        (optin && caching, "caching-yes"),
        (optout, "optout"),
        (optout && caching, "caching-no"),
        (modes.contains(Modes::NOLOOP), "noloop"),
        (modes.contains(Modes::BROKEN_REDIR), "broken_redirect"),
    ];
    let out = &mut *ctx.out;
    out.map(3);
    out.bulk(b"flags");
    out.set(table.iter().filter(|(on, _)| *on).count());
    let shown = table.iter().filter(|(on, _)| *on);
    shown.for_each(|(_, word)| out.bulk(word.as_bytes()));
    out.bulk(b"redirect");
    out.int(client_info::redirect(ctx.client, ctx.core));
    out.bulk(b"prefixes");
    let prefixes = tracker.map_or(&[][..], |t| &t.prefixes);
    out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| out.bulk(prefix));
    Ok(())
}
