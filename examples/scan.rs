//! Lists the globals that the pickles of a file import: `cargo run --example scan pytorch_model.bin`. It loads nothing.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::env;
use std::error::Error;
use std::fs::File;

use git_st_convert::read_at::FileSource;
use git_st_convert::scan::{Limits, scan};

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args_os().nth(1).ok_or("usage: scan FILE")?;
    let source = FileSource::new(File::open(file)?)?;
    let report = scan(&source, &Limits::default())?;
    println!("{}: {}", report.content, report.verdict.name());
    for (_, global) in report.globals() {
        println!("{}  {}.{}", global.verdict.name(), global.module, global.name);
    }
    Ok(())
}
