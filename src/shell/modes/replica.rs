//! `--replica`: the commands that the server sends to its replicas.

use crate::resp::decode::Value;
use crate::shell::format::Format;
use crate::shell::link::Link;
use crate::shell::options::Output;
use crate::shell::session::{Session, print};

use super::transfer::{self, Form};
use super::{Ended, code};

/// Shows commands until the connection ends; the exit code.
pub fn follow(session: &mut Session) -> u8 {
    let format = Format {
        output: Output::Csv,
        ..session.format.clone()
    };
    let Some(link) = session.link() else {
        return 1;
    };
    let ended = show(link, &format);
    session.take_link();
    code(ended)
}

fn show(link: &mut Link, format: &Format) -> Result<(), Ended> {
    transfer::replconf(link, "capa", "eof")?;
    // The data itself is not wanted.
    transfer::replconf(link, "rdb-filter-only", "")?;
    let form = transfer::sync(link)?;
    match &form {
        Form::Length(len) => {
            eprintln!("SYNC with master, discarding {len} bytes of bulk transfer...");
        }
        Form::Mark(_) => {
            eprintln!("SYNC with master, discarding bytes of bulk transfer until EOF marker...");
        }
    }
    let received = transfer::receive(link, &form, |_| Ok(()));
    let len = received.map_err(transfer::interrupted)?;
    match form {
        Form::Length(_) => eprintln!("SYNC done. Logging commands from master."),
        Form::Mark(_) => {
            eprintln!("SYNC done after {len} bytes. Logging commands from master.");
            // The server waits for this. It has no reply.
            eprintln!("sending REPLCONF ACK 0");
            link.send(&["REPLCONF", "ACK", "0"])?;
        }
    }
    loop {
        let value: Value = link.read()?;
        print(&format.reply(&value, false));
    }
}
