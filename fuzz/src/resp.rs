//! The request parser: however the input is cut into reads and batches, the commands and the fault are the same.

use ferrite::resp::request::{Batch, Fault, Parser, Rules};

use crate::bytes::Bytes;

type Commands = Vec<Vec<Vec<u8>>>;

/// Largest argument accepted, so that inputs with long promises are quick.
const MAX_BULK: i64 = 1 << 20;

fn rules(authenticated: bool) -> Rules {
    Rules {
        authenticated,
        max_bulk: MAX_BULK,
        max_query: 1 << 30,
    }
}

/// Takes all commands out of the batch.
fn drain(parser: &mut Parser, batch: &mut Batch, commands: &mut Commands) {
    for index in 0..batch.commands.len() {
        commands.push(batch.args(index).iter().map(<[u8]>::to_vec).collect());
    }
    if batch.is_empty() {
        parser.compact(batch);
        return;
    }
    let mut next = Batch::default();
    parser.carry(batch, &mut next);
    *batch = next;
}

/// Reads as the connection's task does, in pieces of the sizes that `size` gives.
fn parse(
    mut input: &[u8],
    authenticated: bool,
    mut size: impl FnMut() -> usize,
    mut keep: impl FnMut() -> bool,
) -> (Commands, Option<Fault>) {
    let (mut parser, mut batch, mut commands) =
        (Parser::default(), Batch::default(), Commands::new());
    let rules = rules(authenticated);
    loop {
        if !input.is_empty() && !parser.is_full() {
            let (target, wanted) = parser.target(&mut batch, size().max(1));
            let n = wanted.min(input.len());
            target.extend_from_slice(&input[..n]);
            input = &input[n..];
        }
        let fault = parser.parse(&mut batch, &rules).err();
        let found = batch.commands.len();
        // Commands may also stay while more is read, as long as the batch is not on its way.
        if found > 0 && (fault.is_some() || input.is_empty() || !keep()) || found == 0 {
            drain(&mut parser, &mut batch, &mut commands);
        }
        if fault.is_some() || input.is_empty() && found == 0 {
            return (commands, fault);
        }
    }
}

pub fn run(data: &[u8]) {
    let mut head = Bytes::new(&data[..data.len().min(8)]);
    let authenticated = !head.once_in(4);
    let input = &data[data.len().min(8)..];
    let whole = parse(
        input,
        authenticated,
        || usize::MAX >> 1 & 0xfff_ffff,
        || false,
    );
    let single = parse(input, authenticated, || 1, || false);
    assert_eq!(whole, single, "byte by byte");
    let mut at = 0usize;
    let seed = u64::from(head.byte()) << 8 | u64::from(head.byte());
    let mut random = move || {
        at += 1;
        (seed
            .wrapping_add(at as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            >> 40) as usize
    };
    let mut other = random;
    let pieces = parse(
        input,
        authenticated,
        || 1 + random() % 40,
        || other() % 3 == 0,
    );
    assert_eq!(whole, pieces, "in pieces");
}
