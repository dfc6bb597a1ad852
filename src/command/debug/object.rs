//! What DEBUG tells of single values and tables.

use crate::base::num;
use crate::command::ctx::{Ctx, Outcome};
use crate::command::error::Error;
use crate::keyspace::Text;
use crate::value::encoding::encoding;
use crate::value::entry::{Entry, ObjRef, Payload};
use crate::value::hash::Hash;
use crate::value::list::List;
use crate::value::set::Set;
use crate::value::stream::StreamMut;
use crate::value::zset::Zset;
use crate::value::{Collection, Limits, Type};

fn find<'a>(ctx: &'a Ctx<'_>) -> Result<&'a Entry, Error> {
    // Also what is over, and absent for others: a replica keeps it until its master says so.
    ctx.db.stored(ctx.args.get(2)).ok_or(Error::NO_SUCH_KEY)
}

/// One status line that names encoding, size, and access clock.
pub fn object(ctx: &mut Ctx<'_>) -> Outcome {
    let entry = find(ctx)?;
    let payload = entry.payload();
    let refcount = if matches!(payload, Payload::Int(0..10_000)) {
        i64::from(i32::MAX)
    } else {
        1
    };
    let mut line = format!(
        "Value at:{:p} refcount:{refcount} encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        entry.key().as_ptr(),
        encoding(payload),
        serialized_length(payload),
        entry.clock(),
        ctx.db.ks.access.idle_s(entry.clock(), ctx.db.now_ms()),
    );
    line.push_str(&quicklist(payload, &ctx.db.limits()));
    ctx.out.simple(&line);
    Ok(())
}

/// The chunks of a list.
fn quicklist(payload: Payload<'_>, limits: &Limits) -> String {
    let Some(list) =
        <List as Collection>::view(payload).filter(|list| list.encoding() == "quicklist")
    else {
        return String::new();
    };
    let nodes = list.chunks().count();
    let mut bytes = 0;
    list.range(0, list.len(), |elem| bytes += elem.len_text() + 2);
    format!(
        " ql_nodes:{nodes} ql_avg_node:{:.2} ql_listpack_max:{} ql_compressed:{} ql_uncompressed_size:{bytes}",
        list.len() as f64 / nodes.max(1) as f64,
        limits.list_size,
        u8::from(limits.list_compress_depth > 0),
    )
}

/// Bytes of a string with its length in front, as files keep it.
fn framed(len: usize) -> usize {
    len + match len {
        0..64 => 1,
        64..16_384 => 2,
        _ => 5,
    }
}

/// About how long the value is in a file, without compression.
fn serialized_length(payload: Payload<'_>) -> usize {
    let packed = |bytes: &[u8]| framed(bytes.len() + 7);
    match payload {
        Payload::None => 1,
        Payload::Int(n) if i8::try_from(n).is_ok() => 2,
        Payload::Int(n) if i16::try_from(n).is_ok() => 3,
        Payload::Int(n) if i32::try_from(n).is_ok() => 5,
        Payload::Int(n) => framed(num::i64_len(n)),
        Payload::Str(_) | Payload::Raw(_) | Payload::Big(_) => {
            Text::of(payload).map_or(0, |text| framed(text.len()))
        }
        Payload::Packed(blob) => packed(blob.bytes),
        Payload::Obj(_) => serialized_elements(payload),
    }
}

fn serialized_elements(payload: Payload<'_>) -> usize {
    const SCORE: usize = 8;
    let mut sum = 5;
    match payload.value_type() {
        Type::String => {}
        Type::List => {
            if let Some(list) = <List as Collection>::view(payload) {
                list.range(0, list.len(), |elem| sum += framed(elem.len_text()));
            }
        }
        Type::Set => {
            let members = Set::view(payload).into_iter().flat_map(|set| set.iter());
            members.for_each(|elem| sum += framed(elem.len_text()));
        }
        Type::Zset => {
            let members = Zset::view(payload).into_iter().flat_map(|zset| zset.iter());
            members.for_each(|(elem, _)| sum += framed(elem.len_text()) + SCORE);
        }
        Type::Hash => {
            let fields = Hash::view(payload).into_iter().flat_map(|hash| hash.iter());
            fields.for_each(|f| sum += framed(f.field.len_text()) + framed(f.value.len_text()));
        }
        Type::Stream => {
            let nodes = StreamMut::view(payload).into_iter().flat_map(|s| s.nodes());
            nodes.for_each(|(first, node)| {
                sum += framed(first.to_bytes().len()) + framed(node.listpack_len() as usize);
            });
        }
    }
    sum
}

/// The elements of a listpack go to the standard output.
pub fn listpack(ctx: &mut Ctx<'_>) -> Outcome {
    let entry = find(ctx)?;
    let Payload::Packed(blob) = entry.payload() else {
        return Err(Error::new("ERR Not a listpack encoded object."));
    };
    println!(
        "{} elements in {} bytes: {}",
        blob.count,
        blob.bytes.len(),
        blob.bytes.escape_ascii()
    );
    ctx.out.simple("Listpack structure printed on stdout");
    Ok(())
}

fn table_text(elements: usize, bytes: usize) -> String {
    if elements == 0 {
        return "No stats available for empty dictionaries\n".into();
    }
    format!(" number of elements: {elements}\n bytes of nodes: {bytes}\n")
}

pub fn table_of_database(ctx: &mut Ctx<'_>) -> Outcome {
    let index = ctx.args.int(2)?;
    let db = usize::try_from(index)
        .ok()
        .and_then(|index| ctx.db.ks.dbs.get(index));
    let db = db.ok_or(Error::new("ERR Out of range database"))?;
    let text = format!(
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n{}[Expires HT]\nHash table 0 stats (main hash table):\n{}",
        table_text(db.table.len(), db.table.memory()),
        table_text(db.volatile, db.expiry.len() * size_of::<u64>()),
    );
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

pub fn table_of_key(ctx: &mut Ctx<'_>) -> Outcome {
    let (elements, bytes) = match find(ctx)?.payload() {
        Payload::Obj(ObjRef::Set(set)) => (set.len(), set.memory(1)),
        Payload::Obj(ObjRef::Hash(hash)) => (hash.len(), hash.memory(1)),
        Payload::Obj(ObjRef::Zset(zset)) => (zset.len(), zset.memory(Some(1))),
        _ => {
            return Err(Error::new(
                "ERR The value stored at the specified key is not represented using an hash table",
            ));
        }
    };
    let text = format!(
        "Hash table 0 stats (main hash table):\n{}",
        table_text(elements, bytes)
    );
    ctx.out.verbatim("txt", text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Bench;
    use crate::config::enums::AllowFrom;

    #[test]
    fn values_are_described() {
        let mut bench = Bench::new();
        bench
            .server
            .core
            .config
            .adjust(|s| s.enable_debug_command = AllowFrom::Yes);
        bench.say("SET s abc");
        bench.say("SET i 123");
        let line = bench.say("DEBUG OBJECT s");
        assert!(
            line.starts_with("+Value at:0x")
                && line.contains(" refcount:1 encoding:embstr serializedlength:4 lru:"),
            "{line}"
        );
        assert!(
            bench
                .say("DEBUG OBJECT i")
                .contains(" refcount:2147483647 encoding:int serializedlength:2 ")
        );
        assert_eq!(bench.say("DEBUG OBJECT nokey"), "-ERR no such key");
        assert_eq!(
            bench.say("DEBUG LISTPACK s"),
            "-ERR Not a listpack encoded object."
        );
        assert!(
            bench
                .say("DEBUG HTSTATS-KEY s")
                .contains("not represented using an hash table")
        );
        assert!(
            bench
                .say("DEBUG HTSTATS 0")
                .contains(" number of elements: 2")
        );
        assert_eq!(bench.say("DEBUG HTSTATS 99"), "-ERR Out of range database");
    }
}
