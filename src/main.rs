//! The program `git-st-convert`: it hands its arguments to the library's command line, and gives back its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    git_st_convert::cli::run(std::env::args_os())
}
