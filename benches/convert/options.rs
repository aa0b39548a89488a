//! Reads the command line of a bench.

use std::env;
use std::path::PathBuf;

/// The options of every bench; a bench can add its own settings `--NAME N`.
pub(crate) struct Options {
    /// `true` for a short run that only shows that the bench works: little data, one round.
    pub(crate) smoke: bool,
    pub(crate) rounds: usize,
    /// The directory of temporary files.
    pub(crate) dir: PathBuf,
    pub(crate) cases: Vec<String>,
}

impl Options {
    /// Reads the command line. `setting` accepts a setting of the bench, by its name and value, or refuses it. Returns
    /// `None` if the usage should be printed.
    pub(crate) fn read(mut setting: impl FnMut(&str, &str) -> Option<()>) -> Option<Self> {
        let mut options = Self { smoke: false, rounds: 3, dir: env::temp_dir(), cases: Vec::new() };
        let mut asked = false;
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                // cargo adds it. Without it, this is `cargo test --benches`, which measures nothing.
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

    /// Returns `true` if this case should run; without named cases, all run.
    pub(crate) fn has(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|named| named == case)
    }
}

/// Returns the median of some numbers.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}
