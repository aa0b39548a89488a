//! [`home`] returns the home directory in which git looks for the files of the user.
//!
//! Source: `setup_windows_environment` of Git for Windows, compat/mingw.c. `HOME` is set on Windows only where a shell of
//! Unix has set it: not in the command prompt, and not in PowerShell; git sets it for itself and for what it starts.

use std::ffi::OsString;
use std::path::PathBuf;

/// Returns the home directory by the variables of the environment; `None` if they name none.
pub fn home(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    of(cfg!(windows), &|name| variable(name).filter(|value| !value.is_empty()))
}

fn of(is_windows: bool, set: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let home = set("HOME").map(PathBuf::from);
    if home.is_some() || !is_windows {
        return home;
    }
    // The share of a network, perhaps, which need not be there.
    let share = set("HOMEDRIVE").zip(set("HOMEPATH")).map(|(mut drive, path)| {
        drive.push(path);
        PathBuf::from(drive)
    });
    share.filter(|dir| dir.is_dir()).or_else(|| set("USERPROFILE").map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_has_other_variables() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("share")).unwrap();
        let drive = dir.path().to_str().unwrap();
        let find = |is_windows, pairs: &[(&str, &str)]| {
            let value =
                |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            of(is_windows, &value)
        };
        let profile = ("USERPROFILE", "profile");
        let here = [("HOMEDRIVE", drive), ("HOMEPATH", "/share"), profile];
        let gone = [("HOMEDRIVE", drive), ("HOMEPATH", "/gone"), profile];
        assert_eq!(find(true, &here), Some(dir.path().join("share")));
        assert_eq!(find(true, &gone), Some("profile".into()));
        assert_eq!(find(true, &[profile, ("HOME", "home")]), Some("home".into()));
        assert_eq!(find(true, &[]), None);
        assert_eq!(find(false, &here), None);
    }
}
