//! Reads the options of the benches that create a repository and measure a command in it.

use std::env;
use std::path::PathBuf;

pub(crate) struct Options {
    pub(crate) smoke: bool,
    pub(crate) rounds: usize,
    pub(crate) dir: PathBuf,
}

/// Reads the command line; `None` if it requests help.
pub(crate) fn options() -> Option<Options> {
    let mut options = Options { smoke: false, rounds: 5, dir: env::temp_dir() };
    let mut asked = false;
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bench" => asked = true,
            "--smoke" => (options.smoke, options.rounds) = (true, 1),
            "--rounds" => options.rounds = args.next()?.parse().ok()?,
            "--dir" => options.dir = args.next()?.into(),
            _ => return None,
        }
    }
    asked.then_some(options)
}
