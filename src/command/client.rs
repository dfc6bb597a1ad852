//! CLIENT: names, lists, ends and settings of connections.

use crate::command::error::Error;

/// Names of clients and libraries must be printable without spaces, so that CLIENT LIST can be
/// taken apart.
pub fn check_name(name: &[u8]) -> Result<(), Error> {
    if name.iter().all(|b| (b'!'..=b'~').contains(b)) {
        return Ok(());
    }
    Err(Error::new("ERR Client names cannot contain spaces, newlines or special characters."))
}
