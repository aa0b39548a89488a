//! Runs the commands, one file each: it resolves the arguments, calls the library, and prints the result.

use std::path::Path;

use super::args::ServerArgs;
use super::interrupt::Interrupt;
use super::ui::Ui;

pub(super) mod batch;
pub(super) mod clone;
pub(super) mod completions;
pub(super) mod convert;
pub(super) mod demo;
pub(super) mod diff;
pub(super) mod env;
pub(super) mod hook;
pub(super) mod inspect;
pub(super) mod man;
pub(super) mod publish;
pub(super) mod pull;
pub(super) mod scan;
pub(super) mod status;
pub(super) mod textconv;
pub(super) mod verify;

/// What a command gets besides its own arguments.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// The working directory.
    pub(super) cwd: &'a Path,
    pub(super) servers: ServerArgs,
    pub(super) ui: &'a Ui,
    pub(super) interrupt: &'a Interrupt,
}
