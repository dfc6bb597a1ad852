//! `--eval`: a script from a file, with keys and arguments around a comma.

use std::path::Path;

use crate::shell::link::reason;
use crate::shell::session::{Done, Session};

pub fn run(session: &mut Session, file: &Path) -> u8 {
    let script = match std::fs::read(file) {
        Ok(script) => script,
        Err(error) => {
            eprintln!("Can't open file '{}': {}", file.display(), reason(&error));
            return 1;
        }
    };
    let args = command(script, &session.options.args);
    match session.run(&args) {
        Done::Yes => 0,
        Done::Failed | Done::Interrupted | Done::ErrorReply => 1,
    }
}

fn command(script: Vec<u8>, args: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let keys = args.iter().take_while(|arg| *arg != b",").count();
    let mut command = vec![b"EVAL".to_vec(), script, keys.to_string().into_bytes()];
    command.extend(args[..keys].iter().cloned());
    command.extend(args[keys..].iter().skip(1).cloned());
    command
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_stand_before_the_comma() {
        let words = |line: &str| -> Vec<Vec<u8>> {
            let words = line.split(' ').filter(|word| !word.is_empty());
            words.map(|word| word.as_bytes().to_vec()).collect()
        };
        let eval = |line: &str| super::command(b"s".to_vec(), &words(line));
        assert_eq!(eval("a b , c ,"), words("EVAL s 2 a b c ,"));
        assert_eq!(eval(", c"), words("EVAL s 0 c"));
        assert_eq!(eval("a"), words("EVAL s 1 a"));
        assert_eq!(eval(""), words("EVAL s 0"));
    }
}
