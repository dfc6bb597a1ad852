//! Walking through the keys: KEYS at once, SCAN step by step.

use crate::base::glob;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::element_scan::{Page, cursor};
use crate::command::error::Error;
use crate::value::entry::Entry;

/// `COUNT` of a SCAN without it.
const DEFAULT_COUNT: usize = 10;

/// Whether a pattern matches every key.
fn is_everything(pattern: &[u8]) -> bool {
    pattern == b"*"
}

/// `KEYS pattern`
pub(super) fn keys(ctx: &mut Ctx<'_>) -> Outcome {
    let (pattern, now) = (ctx.args.get(1), ctx.now_ms());
    let all = is_everything(pattern);
    let fits = |entry: &&Entry| {
        let over = entry.expire().is_some_and(|at| now > at);
        !over && (all || glob::matches(pattern, entry.key(), false))
    };
    let found: Vec<&Entry> = ctx.db.db().table.iter().filter(fits).collect();
    ctx.out.array(found.len());
    found.iter().for_each(|entry| ctx.out.bulk(entry.key()));
    Ok(())
}

struct Options<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    type_name: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn read(ctx: &Ctx<'a>) -> Result<Options<'a>, Error> {
        let mut is = Options {
            pattern: None,
            count: DEFAULT_COUNT,
            type_name: None,
        };
        let mut rest = ctx.args.cursor(2);
        while !rest.done() {
            if rest.word("COUNT") {
                let count = rest.int()?;
                is.count = usize::try_from(count)
                    .ok()
                    .filter(|n| *n > 0)
                    .ok_or(Error::SYNTAX)?;
            } else if rest.word("MATCH") {
                is.pattern = Some(rest.next()?).filter(|p| !is_everything(p));
            } else if rest.word("TYPE") {
                is.type_name = Some(rest.next()?);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(is)
    }

    fn fits(&self, entry: &Entry) -> bool {
        let name = entry.payload().value_type().name().as_bytes();
        self.type_name
            .is_none_or(|wanted| name.eq_ignore_ascii_case(wanted))
            && self
                .pattern
                .is_none_or(|p| glob::matches(p, entry.key(), false))
    }
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
///
/// A step visits whole segments of the table until it has seen `COUNT` keys, so it may return a
/// few more than that. Empty segments count as one key: a step through a thin table ends too.
pub(super) fn scan(ctx: &mut Ctx<'_>) -> Outcome {
    let mut at = cursor(ctx.args.get(1))?;
    let options = Options::read(ctx)?;
    let now = ctx.now_ms();
    let mut page = Page::default();
    let mut expired: Vec<Entry> = Vec::new();
    let mut seen = 0;
    let table = &ctx.db.db().table;
    loop {
        let mut items = 0;
        at = table.scan(at, &mut |entry| {
            items += 1;
            if !options.fits(entry) {
                return;
            }
            if entry.expire().is_some_and(|at| now > at) {
                expired.push(entry.clone());
            } else {
                page.element().bulk(entry.key());
            }
        });
        seen += items.max(1);
        if at == 0 || seen >= options.count {
            break;
        }
    }
    for entry in expired {
        ctx.db.expire_now(entry.key());
    }
    page.reply(at, ctx.out);
    Ok(())
}
