//! Names of encodings, as `OBJECT ENCODING` and `DEBUG OBJECT` show them.

use super::entry::Payload;
use super::hash::Hash;
use super::list::List;
use super::set::Set;
use super::zset::Zset;
use super::{Collection, Type};

/// Strings up to this length are `embstr`, longer ones `raw`, in bytes.
const EMBSTR_MAX: usize = 44;

/// The encoding of a value.
pub fn encoding(payload: Payload<'_>) -> &'static str {
    match payload.value_type() {
        Type::String => of_string(payload),
        Type::List => {
            <List as Collection>::view(payload).map_or("quicklist", |list| list.encoding())
        }
        Type::Set => Set::view(payload).map_or("hashtable", |set| set.encoding()),
        Type::Hash => Hash::view(payload).map_or("hashtable", |hash| hash.encoding()),
        Type::Zset => Zset::view(payload).map_or("skiplist", |zset| zset.encoding()),
        Type::Stream => "stream",
    }
}

fn of_string(payload: Payload<'_>) -> &'static str {
    match payload {
        Payload::Int(_) => "int",
        Payload::None => "embstr",
        Payload::Str(text) if text.len() <= EMBSTR_MAX => "embstr",
        _ => "raw",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_named_by_content_and_length() {
        assert_eq!(encoding(Payload::Int(7)), "int");
        assert_eq!(encoding(Payload::Str(&[b'a'; 44])), "embstr");
        assert_eq!(encoding(Payload::Str(&[b'a'; 45])), "raw");
        assert_eq!(encoding(Payload::Raw(b"a")), "raw");
    }
}
