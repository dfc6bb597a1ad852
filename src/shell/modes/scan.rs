//! `--scan`: the names of keys. And the cursor that the other modes walk with.

use crate::base::words::quote;
use crate::resp::decode::Value;
use crate::shell::link::{Broken, Link};
use crate::shell::options::{Options, Output};
use crate::shell::session::{Session, print, rest};

use super::{Ended, code};

pub fn run(session: &mut Session) -> u8 {
    let options = session.options.clone();
    let quoted = session.format.output == Output::Standard;
    let Some(link) = session.link() else {
        return 1;
    };
    code(list(link, &options, quoted))
}

fn list(link: &mut Link, options: &Options, quoted: bool) -> Result<(), Ended> {
    let mut cursor = Cursor::new(options, "ERROR: ");
    while let Some(keys) = cursor.next(link)? {
        let mut out = Vec::new();
        for key in keys {
            if quoted {
                quote(&key, &mut out);
            } else {
                out.extend_from_slice(&key);
            }
            out.push(b'\n');
        }
        print(&out);
        rest(options.interval);
    }
    Ok(())
}

/// Walks the database with SCAN.
pub struct Cursor {
    /// `None` at the end.
    at: Option<Vec<u8>>,
    /// What follows the cursor.
    filter: Vec<Vec<u8>>,
    complaint: &'static str,
}

impl Cursor {
    /// `complaint` stands before the text of an error.
    pub fn new(options: &Options, complaint: &'static str) -> Cursor {
        let mut filter = Vec::new();
        let mut add = |name: &str, value: Option<Vec<u8>>| {
            if let Some(value) = value {
                filter.extend([name.as_bytes().to_vec(), value]);
            }
        };
        add("MATCH", options.pattern.clone());
        add("COUNT", options.count.map(|n| n.to_string().into_bytes()));
        add("TYPE", options.key_type.clone());
        Cursor {
            at: Some(b"0".to_vec()),
            filter,
            complaint,
        }
    }

    /// Some more keys, perhaps none; `None` at the end.
    pub fn next(&mut self, link: &mut Link) -> Result<Option<Vec<Vec<u8>>>, Ended> {
        let Some(at) = self.at.take() else {
            return Ok(None);
        };
        let mut words = vec![b"SCAN".to_vec(), at];
        words.extend_from_slice(&self.filter);
        let reply = link.call(&words)?;
        if let Value::Error(text) = &reply {
            let text = String::from_utf8_lossy(text);
            return Err(Ended::Told(format!("{}{text}", self.complaint)));
        }
        let Some([Value::Bulk(next), Value::Array(keys)]) = reply.items() else {
            return Err(Ended::Told("Non ARRAY response from SCAN!".into()));
        };
        if next != b"0" {
            self.at = Some(next.clone());
        }
        let keys = keys.iter().filter_map(Value::text);
        Ok(Some(keys.map(<[u8]>::to_vec).collect()))
    }
}

/// The number of keys in the database.
pub fn dbsize(link: &mut Link) -> Result<u64, Ended> {
    match link.call(&["DBSIZE"])? {
        Value::Int(n) => Ok(u64::try_from(n).unwrap_or(0)),
        Value::Error(text) => {
            let text = String::from_utf8_lossy(&text).into_owned();
            Err(Ended::Told(format!("Couldn't determine DBSIZE: {text}")))
        }
        _ => Err(Ended::Broken(Broken::Closed)),
    }
}
