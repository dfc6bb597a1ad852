//! The rows of the list whose feature does not exist yet. A test sees that the commands are still unknown, so that
//! nobody forgets the row when the feature comes.

use crate::harness::Target;

/// Rows, a command that will do something with the feature, what it says until then, and the reason.
const LATER: &[(&str, &str, &str, &str)] = &[(
    "S53",
    "CLUSTER INFO",
    "ERR This instance has cluster support disabled",
    "cluster mode is not built yet",
)];

#[test]
fn rows_of_features_to_come() {
    let mut target = Target::new(&[]);
    for (rows, command, answer, reason) in LATER {
        let reply = target.say(command);
        let unknown = reply.is_error() && reply.text().starts_with(answer);
        assert!(
            unknown,
            "{command} does something: {rows} of the list want tests ({reason}): {reply:?}"
        );
    }
}
