//! Runs the program `git-st-convert`: it passes its arguments to the library's command line, and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    git_st_convert::cli::run(std::env::args_os())
}
