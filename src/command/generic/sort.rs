//! SORT and SORT_RO: the elements of a list, set or sorted set in order of themselves or of other keys' values.
//!
//! The elements are copied into one buffer first, because what `BY` and `GET` name is read through the keyspace, where a
//! read may change things (expiry, access clocks).

use std::cmp::Ordering;
use std::ops::{ControlFlow, Range};

use crate::acl;
use crate::base::num;
use crate::command::args::Args;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::effect::Class;
use crate::keyspace::{Keys, Text};
use crate::value::entry::Payload;
use crate::value::hash::Hash;
use crate::value::list::{End, List};
use crate::value::packed::Elem;
use crate::value::set::Set;
use crate::value::zset::Zset;
use crate::value::{Collection, Type};

const NOT_A_WEIGHT: Error = Error::new("ERR One or more scores can't be converted into double");

const BY_DENIED: Error =
    Error::new("ERR BY option of SORT denied due to insufficient ACL permissions.");
const GET_DENIED: Error =
    Error::new("ERR GET option of SORT denied due to insufficient ACL permissions.");

/// What `BY` or `GET` names, seen from an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// Without `*` it names nothing.
    Nothing,
    /// The element goes where `*` stands; with a field, a hash is meant.
    Key {
        prefix: &'a [u8],
        suffix: &'a [u8],
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    fn new(text: &'a [u8]) -> Pattern<'a> {
        if text == b"#" {
            return Pattern::Element;
        }
        let Some(star) = memchr::memchr(b'*', text) else {
            return Pattern::Nothing;
        };
        let (prefix, rest) = (&text[..star], &text[star + 1..]);
        match memchr::memmem::find(rest, b"->") {
            Some(arrow) if arrow + 2 < rest.len() => Pattern::Key {
                prefix,
                suffix: &rest[..arrow],
                field: Some(&rest[arrow + 2..]),
            },
            _ => Pattern::Key {
                prefix,
                suffix: rest,
                field: None,
            },
        }
    }

    /// Shows what the pattern names for `element` to `f`: `None` if there is no such string.
    fn with<R>(&self, db: &mut Keys<'_>, element: &[u8], f: impl FnOnce(Option<&[u8]>) -> R) -> R {
        let (prefix, suffix, field) = match *self {
            Pattern::Element => return f(Some(element)),
            Pattern::Nothing => return f(None),
            Pattern::Key {
                prefix,
                suffix,
                field,
            } => (prefix, suffix, field),
        };
        let key = [prefix, element, suffix].concat();
        let now = db.now_ms();
        let Some(entry) = db.read(&key) else {
            return f(None);
        };
        match field {
            None => match Text::of(entry.payload()) {
                Some(text) => f(Some(&text)),
                None => f(None),
            },
            Some(field) => {
                match <Hash as Collection>::view(entry.payload()).and_then(|h| h.get(field, now)) {
                    Some(value) => value.with_bytes(|bytes| f(Some(bytes))),
                    None => f(None),
                }
            }
        }
    }
}

struct Options<'a> {
    /// Weights come from here; `None`: the elements are their own.
    by: Option<Pattern<'a>>,
    /// A `BY` without `*` leaves the elements as they stand.
    keep_order: bool,
    descending: bool,
    alpha: bool,
    start: i64,
    count: i64,
    get: Vec<Pattern<'a>>,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// `may_read_all`: the user may read whatever key `BY` and `GET` name.
    fn read(args: &Args<'a>, may_store: bool, may_read_all: bool) -> Result<Options<'a>, Error> {
        let mut is = Options {
            by: None,
            keep_order: false,
            descending: false,
            alpha: false,
            start: 0,
            count: -1,
            get: Vec::new(),
            store: None,
        };
        let mut rest = args.cursor(2);
        while !rest.done() {
            if rest.word("ASC") {
                is.descending = false;
            } else if rest.word("DESC") {
                is.descending = true;
            } else if rest.word("ALPHA") {
                is.alpha = true;
            } else if rest.left() > 2 && rest.word("LIMIT") {
                (is.start, is.count) = (rest.int()?, rest.int()?);
            } else if may_store && rest.word("STORE") {
                is.store = Some(rest.next()?);
            } else if rest.word("BY") {
                let by = rest.next()?;
                is.keep_order |= !by.contains(&b'*');
                if !may_read_all && by.contains(&b'*') {
                    return Err(BY_DENIED);
                }
                is.by = Some(Pattern::new(by));
            } else if rest.word("GET") {
                let get = rest.next()?;
                if !may_read_all {
                    return Err(GET_DENIED);
                }
                is.get.push(Pattern::new(get));
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(is)
    }

    /// A set has no order of its own: what is stored gets one, so that every replica stores the same, and what a
    /// script sees, because it may store it.
    fn settle(&mut self, of: Type, scripted: bool) {
        if self.keep_order && of == Type::Set && (self.store.is_some() || scripted) {
            (self.keep_order, self.alpha, self.by) = (false, true, None);
        }
    }

    /// Which of `len` elements in order are wanted.
    fn window(&self, len: usize) -> Range<usize> {
        let clamp = |n: i64| usize::try_from(n.max(0)).unwrap_or(usize::MAX).min(len);
        let start = clamp(self.start);
        let count = if self.count < 0 {
            len
        } else {
            clamp(self.count)
        };
        start..start.saturating_add(count).min(len)
    }
}

/// An element and what it is sorted by.
struct Item {
    text: Range<usize>,
    score: f64,
    /// With ALPHA and BY: the text that is compared, if there is one.
    weight: Option<Range<usize>>,
}

/// Elements and weights, their texts one after another.
#[derive(Default)]
struct Pile {
    bytes: Vec<u8>,
    items: Vec<Item>,
}

impl Pile {
    fn push(&mut self, elem: Elem<'_>) {
        let start = self.bytes.len();
        elem.write_to(&mut self.bytes);
        self.items.push(Item {
            text: start..self.bytes.len(),
            score: 0.0,
            weight: None,
        });
    }

    fn text(&self, item: &Item) -> &[u8] {
        &self.bytes[item.text.clone()]
    }

    /// Copies the elements, if they keep their order only those of the window.
    fn load(payload: Payload<'_>, options: &Options<'_>) -> Result<Pile, Error> {
        let mut pile = Pile::default();
        let window = |len| {
            if options.keep_order {
                options.window(len)
            } else {
                0..len
            }
        };
        let backwards = options.keep_order && options.descending;
        match payload.value_type() {
            Type::List => {
                let list = <List as Collection>::view(payload).ok_or(Error::WRONG_TYPE)?;
                let window = window(list.len());
                let mut left = window.len();
                if left == 0 {
                    return Ok(pile);
                }
                let take = |elem: Elem<'_>| {
                    pile.push(elem);
                    left -= 1;
                    if left == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                };
                // Both end where the window does.
                let _ = if backwards {
                    list.walk_back(list.len() - 1 - window.start, take)
                } else {
                    list.walk(window.start, take)
                };
            }
            Type::Set => {
                let set = <Set as Collection>::view(payload).ok_or(Error::WRONG_TYPE)?;
                let window = window(set.len());
                set.iter()
                    .skip(window.start)
                    .take(window.len())
                    .for_each(|elem| pile.push(elem));
            }
            Type::Zset => {
                let zset = <Zset as Collection>::view(payload).ok_or(Error::WRONG_TYPE)?;
                let mut window = window(zset.len());
                if backwards {
                    window = zset.len() - window.end..zset.len() - window.start;
                }
                zset.range(window, backwards)
                    .for_each(|(elem, _)| pile.push(elem));
            }
            Type::String | Type::Hash | Type::Stream => return Err(Error::WRONG_TYPE),
        }
        Ok(pile)
    }

    /// Finds what each element is sorted by.
    fn weigh(&mut self, db: &mut Keys<'_>, options: &Options<'_>) -> Result<(), Error> {
        let Some(by) = options.by else {
            if !options.alpha {
                for item in &mut self.items {
                    item.score = score(&self.bytes[item.text.clone()]).ok_or(NOT_A_WEIGHT)?;
                }
            }
            return Ok(());
        };
        let mut all_numbers = true;
        let mut element = Vec::new();
        for item in &mut self.items {
            element.clear();
            element.extend_from_slice(&self.bytes[item.text.clone()]);
            by.with(db, &element, |weight| match weight {
                None => {}
                Some(text) if options.alpha => {
                    let start = self.bytes.len();
                    self.bytes.extend_from_slice(text);
                    item.weight = Some(start..self.bytes.len());
                }
                Some(text) => match score(text) {
                    Some(score) => item.score = score,
                    None => all_numbers = false,
                },
            });
        }
        if all_numbers {
            Ok(())
        } else {
            Err(NOT_A_WEIGHT)
        }
    }

    /// Puts the items of `window` in order at the begin and drops all others.
    fn sort(&mut self, options: &Options<'_>, window: Range<usize>) {
        let Pile { bytes, items } = self;
        let text = |range: &Range<usize>| &bytes[range.clone()];
        let order = |a: &Item, b: &Item| {
            let order = if !options.alpha {
                let scores = a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal);
                scores.then_with(|| text(&a.text).cmp(text(&b.text)))
            } else if options.by.is_some() {
                a.weight
                    .as_ref()
                    .map(text)
                    .cmp(&b.weight.as_ref().map(text))
            } else {
                text(&a.text).cmp(text(&b.text))
            };
            let order = if options.descending {
                order.reverse()
            } else {
                order
            };
            // Elements of equal weight stay as they stood.
            order.then(a.text.start.cmp(&b.text.start))
        };
        if window.is_empty() {
            return items.clear();
        }
        if window.end < items.len() {
            items.select_nth_unstable_by(window.end - 1, order);
            items.truncate(window.end);
        }
        items.sort_unstable_by(order);
        items.drain(..window.start);
    }
}

/// A weight as a number, read as C's `strtod` does: leading blanks are skipped, nothing at all is 0.
fn score(text: &[u8]) -> Option<f64> {
    let text = num::c_text(text);
    if text.is_empty() {
        Some(0.0)
    } else {
        num::parse_f64(text)
    }
}

fn run(ctx: &mut Ctx<'_>, may_store: bool) -> Outcome {
    let may_read_all = acl::check::may_read_all_keys(&ctx.client.user, ctx.command, &ctx.args);
    let mut options = Options::read(&ctx.args, may_store, may_read_all)?;
    let scripted = ctx.core.scripts.running.is_some();
    let mut pile = match ctx.db.read(&ctx.args[1]) {
        None => Pile::default(),
        Some(entry) => {
            options.settle(entry.payload().value_type(), scripted);
            Pile::load(entry.payload(), &options)?
        }
    };
    if !options.keep_order {
        pile.weigh(&mut ctx.db, &options)?;
        let window = options.window(pile.items.len());
        pile.sort(&options, window);
    }
    if options.get.is_empty() {
        options.get.push(Pattern::Element);
    }
    match options.store {
        Some(target) => store(ctx, target, &pile, &options.get),
        None => reply(ctx, &pile, &options.get),
    }
    Ok(())
}

fn reply(ctx: &mut Ctx<'_>, pile: &Pile, get: &[Pattern<'_>]) {
    ctx.out.array(pile.items.len() * get.len());
    for item in &pile.items {
        for pattern in get {
            pattern.with(&mut ctx.db, pile.text(item), |text| {
                ctx.out.bulk_or_null(text)
            });
        }
    }
}

fn store(ctx: &mut Ctx<'_>, target: &[u8], pile: &Pile, get: &[Pattern<'_>]) {
    let limits = ctx.db.limits();
    let mut list = List::new();
    for item in &pile.items {
        for pattern in get {
            pattern.with(&mut ctx.db, pile.text(item), |text| {
                list.push(text.unwrap_or_default(), End::Back, &limits);
            });
        }
    }
    let len = list.len();
    if len > 0 {
        ctx.db.expire_if_due(target);
        ctx.db.replace(target, list);
        ctx.db.effect(Class::LIST, "sortstore", target, len);
    } else if ctx.db.delete(target) {
        ctx.db.effect(Class::GENERIC, "del", target, 1);
    }
    ctx.out.count(len);
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC|DESC] [ALPHA] [STORE destination]`
pub(super) fn sort(ctx: &mut Ctx<'_>) -> Outcome {
    run(ctx, true)
}

/// `SORT_RO`: the same without `STORE`.
pub(super) fn sort_ro(ctx: &mut Ctx<'_>) -> Outcome {
    run(ctx, false)
}
