//! What the server does not have yet: the one list for all tests that walk over commands. An entry goes when its
//! feature comes.

/// Commands, or command and subcommand, whose feature does not exist yet.
pub const LATER_COMMANDS: &[(&str, &str)] = &[
    ("XCFGSET", "newer than 8.4"),
    ("XIDMPRECORD", "newer than 8.4"),
    ("XNACK", "newer than 8.4"),
    ("SENTINEL", "only a Sentinel has it: tests/sentinel.rs"),
];

/// The reason why the command of `line` (written as for redis-cli) does not exist yet.
pub fn is_later(line: &str) -> Option<&'static str> {
    // A question about a command, or a pattern for its names, waits for that command.
    let line = [
        "COMMAND GETKEYS ",
        "COMMAND LIST FILTERBY PATTERN ",
        "ACL DRYRUN u ",
    ]
    .iter()
    .find_map(|question| line.strip_prefix(question))
    .unwrap_or(line)
    .trim_end_matches('*');
    let mut parts = line
        .split(|char: char| char.is_ascii_whitespace() || char == '|')
        .map(str::to_ascii_uppercase);
    let name = parts.next().unwrap_or_default();
    let with_sub = format!("{name} {}", parts.next().unwrap_or_default());
    LATER_COMMANDS
        .iter()
        .find(|(later, _)| *later == name || *later == with_sub)
        .map(|(_, reason)| *reason)
}
