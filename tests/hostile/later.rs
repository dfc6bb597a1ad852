//! The rows of the list whose feature does not exist yet. A test sees that the commands are still unknown, so that
//! nobody forgets the row when the feature comes.

use crate::harness::Target;

/// Rows, a command that will exist with the feature, and the reason.
const LATER: &[(&str, &str, &str)] = &[
    ("S49, S66", "STARTTLS", "TLS is not built yet"),
    ("S53", "CLUSTER", "cluster mode is not built yet"),
];

#[test]
fn rows_of_features_to_come() {
    let mut target = Target::new(&[]);
    for (rows, command, reason) in LATER {
        let reply = target.say(command);
        let unknown = reply.is_error() && reply.text().starts_with("ERR unknown command");
        assert!(
            unknown,
            "{command} exists: {rows} of the list want tests ({reason}): {reply:?}"
        );
    }
}
