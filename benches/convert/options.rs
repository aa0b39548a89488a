//! What a bench is asked for on its command line.

use std::env;
use std::path::PathBuf;

/// The options that every bench takes, and the settings `--NAME N` of its own.
pub(crate) struct Options {
    /// Does it run at all? Little data, one round.
    pub(crate) smoke: bool,
    pub(crate) rounds: usize,
    /// Where files are made and removed again.
    pub(crate) dir: PathBuf,
    pub(crate) cases: Vec<String>,
}

impl Options {
    /// Reads the command line; `setting` takes a setting of the bench's own, by its name and value, or refuses it. `None`:
    /// say how it is used.
    pub(crate) fn read(mut setting: impl FnMut(&str, &str) -> Option<()>) -> Option<Self> {
        let mut options = Self { smoke: false, rounds: 3, dir: env::temp_dir(), cases: Vec::new() };
        let mut asked = false;
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // What cargo adds. Without it this is `cargo test --benches`, which times nothing.
                "--bench" => asked = true,
                "--smoke" => options.smoke = true,
                "--rounds" => options.rounds = args.next()?.parse().ok()?,
                "--dir" => options.dir = args.next()?.into(),
                case if !case.starts_with('-') => options.cases.push(case.to_owned()),
                name => setting(name, &args.next()?)?,
            }
        }
        if options.smoke {
            options.rounds = 1;
        }
        asked.then_some(options)
    }

    /// Is this case to be run? All are, where none is named.
    pub(crate) fn has(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|named| named == case)
    }
}

/// The middle of some numbers.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}
