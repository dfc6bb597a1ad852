//! Expiry of hash fields.

use super::Keys;
use crate::value::entry::Entry;

/// Unix ms at which the first field of this hash ends; `None` for other values.
pub fn next_expiry(_entry: &Entry) -> Option<i64> {
    None
}

/// Removes up to `max` expired fields.
pub fn expire_fields(_keys: &mut Keys<'_>, _key: &[u8], _max: usize) -> bool {
    false
}
