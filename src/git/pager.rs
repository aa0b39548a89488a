//! [`Pager`] shows a long text in a pager, chosen and started as git does it.
//!
//! Source: `GIT_PAGER` in git-var(1), `core.pager` in git-config(1), and `setup_pager` of git's pager.c: a shell runs a
//! line with a character that is special to a shell; `LESS` and `LV` get a value of git's if they have none;
//! `GIT_PAGER_IN_USE` is set.
//!
//! Invariants: git itself chooses, so a repository has no more influence than it has on git; a program is searched only
//! in the absolute directories of `PATH`, unless a shell searches it.
#![expect(
    clippy::disallowed_methods,
    reason = "starts the pager, and reads what git's environment says about it"
)]

use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};

use super::command::{Git, find_program, variable};
use super::error::Error;

/// The characters for which git uses a shell (`prepare_shell_cmd` of its run-command.c).
const FOR_A_SHELL: &[char] = &[
    '|', '&', ';', '<', '>', '(', ')', '$', '`', '\\', '"', '\'', ' ', '\t', '\n', '*', '?', '[', '#', '~',
    '=', '%',
];

/// The default values of these variables.
const DEFAULTS: [(&str, &str); 2] = [("LESS", "FRX"), ("LV", "-c")];

/// Returns the pager that git would use on a terminal; `None` if it would use none.
///
/// # Errors
/// As any command.
pub fn chosen(git: &Git<'_>) -> Result<Option<String>, Error> {
    let pager = git.command("var").args(["GIT_PAGER"]).run()?.text().to_owned();
    Ok(Some(pager).filter(|pager| !pager.is_empty() && pager != "cat"))
}

/// A running pager.
#[derive(Debug)]
pub struct Pager(Child);

impl Pager {
    /// Starts it in the directory of `git`.
    ///
    /// # Errors
    /// An error if it cannot be found or started; git then shows its text without a pager.
    pub fn start(git: &Git<'_>, pager: &str) -> io::Result<Self> {
        let mut command = if pager.contains(FOR_A_SHELL) {
            let mut shell = Command::new(find_program("sh").ok_or(io::ErrorKind::NotFound)?);
            shell.args(["-c", pager, pager]);
            shell
        } else if pager.contains('/') {
            Command::new(git.dir().join(pager))
        } else {
            Command::new(find_program(pager).ok_or(io::ErrorKind::NotFound)?)
        };
        for (name, value) in DEFAULTS.into_iter().filter(|(name, _)| variable(name).is_none()) {
            command.env(name, value);
        }
        command.env("GIT_PAGER_IN_USE", "true").current_dir(git.dir());
        Ok(Self(command.stdin(Stdio::piped()).spawn()?))
    }

    /// Shows more text.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] after the user closed it.
    pub fn show(&mut self, text: &[u8]) -> io::Result<()> {
        self.0.stdin.as_mut().map_or(Ok(()), |stdin| stdin.write_all(text).and_then(|()| stdin.flush()))
    }

    /// Ends the text; returns when the user has closed the pager.
    ///
    /// # Errors
    /// The error of the system.
    pub fn close(&mut self) -> io::Result<()> {
        drop(self.0.stdin.take());
        self.0.wait().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_chooses_and_a_line_is_for_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        let git = Git::at(dir.path()).unwrap();
        let config = "[core]\n\tpager = less -S\n";
        std::fs::write(dir.path().join("config"), config).unwrap();
        let var = git.command("var").env("GIT_CONFIG_GLOBAL", dir.path().join("config")).args(["GIT_PAGER"]);
        let expected = variable("GIT_PAGER").map_or("less -S".into(), |pager| pager.into_string().unwrap());
        assert_eq!(var.run().unwrap().text(), expected);
        let shown = dir.path().join("shown");
        let line = "tr a-z A-Z >shown && printf %s \"$LV $GIT_PAGER_IN_USE\" >>shown";
        let mut pager = Pager::start(&git, line).unwrap();
        pager.show(b"one\ntwo\n").unwrap();
        pager.close().unwrap();
        let expected = format!(
            "ONE\nTWO\n{} true",
            variable("LV").map_or("-c".into(), |value| value.into_string().unwrap())
        );
        assert_eq!(std::fs::read_to_string(shown).unwrap(), expected);
        assert_eq!(Pager::start(&git, "no-such-pager").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(Pager::start(&git, "./no-such-pager").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_user_who_has_seen_enough_is_no_error_but_a_closed_pipe() {
        let git = Git::at(std::env::temp_dir()).unwrap();
        let mut pager = Pager::start(&git, "head -c 1 >/dev/null").unwrap();
        let text = vec![b'a'; 1 << 20];
        assert_eq!(pager.show(&text).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        pager.close().unwrap();
    }
}
