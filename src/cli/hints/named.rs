//! [`Named`] formats the file of an error for the commands of hints.

use bstr::{BStr, ByteSlice as _};

use super::super::shell_paths::{File, Here};
use crate::actions::names;

/// The file of an error, as each kind of command expects it; `FILE` if the error has none.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) file: Option<File<'a>>,
    pub(super) here: &'a Here,
}

impl Named<'_> {
    /// Formats the file; for an error of the whole run, the given path, if it is the only one.
    fn text(&self, of: impl FnOnce(File<'_>) -> String) -> String {
        self.file.or_else(|| self.here.path_given()).map_or_else(|| "FILE".to_owned(), of)
    }

    pub(super) fn argument(&self) -> String {
        self.text(|file| self.here.argument(file))
    }

    pub(super) fn pathspec(&self) -> String {
        self.text(|file| self.here.pathspec(file))
    }

    pub(super) fn path(&self) -> String {
        self.text(|file| self.here.path(file))
    }

    pub(super) fn lfs_pattern(&self) -> String {
        let file = self.file.or_else(|| self.here.path_given());
        file.map_or_else(|| "\"FILE\"".to_owned(), |file| self.here.lfs_pattern([file]))
    }

    /// Returns `true` if the failed command needs the conversion of this file, and it is not a result of one.
    pub(super) fn is_to_convert(self) -> bool {
        let is_output = self.file.is_some_and(|file| names::is_safetensors(file.name()));
        matches!(self.here.command(), "" | "convert" | "verify") && !is_output
    }

    /// Returns the command that converts it to a file that the user names, without the repository.
    pub(super) fn into_output(self) -> String {
        let options = self.here.options_but(&[
            "--output",
            "--pr",
            "--replace",
            "--pointer-only",
            "--commit",
            "--message",
        ]);
        format!("{} st-convert{options} {} --output FILE", self.here.git(), self.argument())
    }

    /// The same command in another directory, for a path from there.
    pub(super) fn inside(self, dir: File<'_>, rest: &BStr) -> String {
        let (dir, options) = (self.here.path(dir), self.here.options());
        let command = match self.here.command() {
            "" | "convert" => String::new(),
            command => format!(" {command}"),
        };
        let rest = Some(rest).filter(|rest| !rest.is_empty());
        let rest = rest.map(|rest| format!(" {}", self.here.argument(File::Given(rest))));
        let rest = rest.unwrap_or_default();
        format!("git -C {dir} st-convert{command}{options}{rest}")
    }

    /// Returns the directory of the file.
    pub(super) fn dir(&self) -> String {
        self.text(|file| match file.name().rsplit_once_str("/") {
            Some((dir, _)) => self.here.path(file.beside(dir.as_bstr())),
            None => self.here.path(file.beside(b".".as_bstr())),
        })
    }

    /// Returns another file, which the error names in the same way.
    pub(super) fn beside<'a>(&'a self, name: &'a BStr) -> Named<'a> {
        let file = self.file.map_or(File::OfTop(name), |file| file.beside(name));
        Named { file: Some(file), here: self.here }
    }
}
