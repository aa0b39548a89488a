//! What is said of how a checkpoint was read, for people and for programs.

use serde_json::{Value, json};

use super::sanitize;
use crate::checkpoint::Note;

/// How many classes of a module are named without `-v`.
const LISTED: usize = 4;

/// The note in words.
pub(super) fn text(note: &Note, all: bool) -> String {
    match note {
        Note::Unnamed { name } => {
            format!("a single tensor without a name is called {}", sanitize::text(name))
        }
        Note::Module { path, classes } => {
            let place = if path == "." { String::new() } else { format!("{} is ", sanitize::text(path)) };
            let shown = if all || classes.len() <= LISTED + 1 { classes.len() } else { LISTED };
            let named: Vec<_> = classes.iter().take(shown).map(|class| sanitize::text(class)).collect();
            let more = match classes.len() - shown {
                0 => String::new(),
                1 => " and one more".to_owned(),
                more => format!(" and {more} more"),
            };
            format!(
                "{place}read from the module's structure, class {}{more}; what a class does in its own state_dict() is not seen",
                named.join(", ")
            )
        }
        Note::Twin { key } => {
            let key = sanitize::text(key);
            format!("{key} has the same names and shapes; `--key {key}` takes it instead")
        }
        Note::Prefix { prefix, names, of } => {
            let names = if names == of { "all names".to_owned() } else { format!("{names} of {of} names") };
            format!("{names} begin with {}, which is kept", sanitize::text(prefix))
        }
    }
}

/// The note as a value.
pub(super) fn value(note: &Note) -> Value {
    match note {
        Note::Unnamed { name } => json!({ "kind": "unnamed", "name": name }),
        Note::Module { path, classes } => json!({ "kind": "module", "path": path, "classes": classes }),
        Note::Twin { key } => json!({ "kind": "twin", "key": key }),
        Note::Prefix { prefix, names, of } => {
            json!({ "kind": "prefix", "prefix": prefix, "names": names, "of": of })
        }
    }
}
