//! The arguments that LMPOP, ZMPOP and their blocking forms have in common.

use super::args::Args;
use super::error::Error;
use crate::base::num;

const NUMKEYS: Error = Error::new("ERR numkeys should be greater than 0");
const COUNT: Error = Error::new("ERR count should be greater than 0");

/// A number from 1 on.
fn positive(text: &[u8], otherwise: Error) -> Result<usize, Error> {
    let number = num::parse_i64(text).and_then(|n| usize::try_from(n).ok());
    number.filter(|&n| n > 0).ok_or(otherwise)
}

/// `numkeys key [key …] end [COUNT count]`, from argument `at` on: the keys, the end that `end` knows, and the count.
///
/// # Errors
/// As Redis orders them.
pub fn read<'a, E>(
    args: Args<'a>,
    at: usize,
    end: impl FnOnce(&[u8]) -> Result<E, Error>,
) -> Result<(Args<'a>, E, usize), Error> {
    let numkeys = positive(args.get(at), NUMKEYS)?;
    if numkeys >= args.len() - at - 1 {
        return Err(Error::SYNTAX);
    }
    let keys = args.slice(at + 1..at + 1 + numkeys);
    let mut rest = args.cursor(at + 1 + numkeys);
    let end = end(rest.next()?)?;
    let mut count = None;
    while !rest.done() {
        if count.is_some() || rest.left() < 2 || !rest.word("COUNT") {
            return Err(Error::SYNTAX);
        }
        count = Some(positive(rest.next()?, COUNT)?);
    }
    Ok((keys, end, count.unwrap_or(1)))
}
