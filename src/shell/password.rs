//! A password typed on the terminal: shown as stars.

use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const CTRL_U: u8 = 21;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;

/// Asks for a password. Without a terminal it is the first line of standard input.
pub fn ask() -> io::Result<Vec<u8>> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let mut line = String::new();
        stdin.read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).into());
    }
    let before = tcgetattr(stdin.as_fd())?;
    let mut quiet = before.clone();
    quiet
        .local_flags
        .remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
    tcsetattr(stdin.as_fd(), SetArg::TCSAFLUSH, &quiet)?;
    let _guard = Guard(before);
    let mut out = io::stdout().lock();
    print(&mut out, "Please input password: ")?;
    let password = read(stdin.lock(), &mut out);
    print(&mut out, "\n")?;
    password
}

/// Gives the terminal back as it was.
struct Guard(Termios);

impl Drop for Guard {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSAFLUSH, &self.0);
    }
}

fn print(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

// A byte at a time: what follows the password is not for this to read.
#[allow(clippy::unbuffered_bytes)]
fn read(input: impl Read, out: &mut impl Write) -> io::Result<Vec<u8>> {
    let mut password = Vec::new();
    for byte in input.bytes() {
        match byte? {
            b'\r' | b'\n' => break,
            CTRL_C => return Err(io::ErrorKind::Interrupted.into()),
            CTRL_D if password.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            CTRL_D => {}
            BACKSPACE | DELETE => {
                if password.pop().is_some() {
                    print(out, "\x08 \x08")?;
                }
            }
            CTRL_U => {
                print(out, &"\x08 \x08".repeat(password.len()))?;
                password.clear();
            }
            byte => {
                password.push(byte);
                print(out, "*")?;
            }
        }
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    fn read(typed: &[u8]) -> std::io::Result<Vec<u8>> {
        super::read(typed, &mut Vec::new())
    }

    #[test]
    fn what_is_typed_and_taken_back() {
        assert_eq!(read(b"ab\x7fc\rrest").unwrap(), b"ac");
        assert_eq!(read(b"ab\x15c\x08\x08d\n").unwrap(), b"d");
        assert!(read(b"ab\x03").is_err());
        assert!(read(b"\x04").is_err());
    }
}
