//! What the two programs of the client matrix share: comparing, and the lines that the runner reads.

use std::error::Error;
use std::fmt::Debug;

pub type Checked = Result<(), Box<dyn Error>>;

pub fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}

pub fn expect<A: PartialEq<B> + Debug, B: Debug>(seen: A, wanted: B) -> Checked {
    if seen == wanted {
        return Ok(());
    }
    Err(format!("got {seen:.200?}, expected {wanted:.200?}").into())
}

/// Wants an error whose text has this in it.
pub fn refused<T: Debug, E: ToString>(seen: Result<T, E>, part: &str) -> Checked {
    match seen {
        Err(error) if error.to_string().contains(part) => Ok(()),
        Err(error) => Err(format!("got the error {}, expected {part}", error.to_string()).into()),
        Ok(value) => Err(format!("got {value:?}, expected the error {part}").into()),
    }
}

/// Prints the line of one area; says whether it passed.
pub fn report(area: &str, protocol: u8, result: Checked) -> bool {
    match &result {
        Ok(()) => println!("PASS {area}"),
        Err(error) => println!(
            "FAIL {area}: RESP{protocol}: {}",
            error.to_string().replace('\n', " ")
        ),
    }
    result.is_ok()
}

/// The version of a library as this package's lock file has it.
pub fn version_of(library: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let entry = lock.split_once(&format!("name = \"{library}\"\nversion = \""));
    entry
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or_default()
}

pub fn port() -> u16 {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    port.expect("usage: PROGRAM PORT")
}
