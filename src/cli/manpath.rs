//! [`ManPath`] finds the directories that `man` searches, by the rules of man-db: from the environment and the
//! configuration files.
//!
//! Source: manpath(5), and `manpath -d` for details that it does not describe. Of an entry of PATH, only the text up to
//! the last `/` counts: for `~/.local/bin`, existing or not, `man` searches below `~/.local`, which must exist; for
//! `~/.local/bin/` it does not.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The directories of manual pages below the parent of an entry of PATH, and below the entry itself.
const BELOW: [&str; 2] = ["man", "share/man"];

/// The directories that `man` searches for `man1` and the like.
#[derive(Debug)]
pub(super) struct ManPath(Vec<PathBuf>);

/// The configuration files of man-db.
#[derive(Debug, Default)]
pub(super) struct Configuration {
    mandatory: Vec<PathBuf>,
    mapped: Vec<(String, PathBuf)>,
}

impl Configuration {
    /// Reads the files of the user and of the system, under Debian's name and under that of other systems.
    pub(super) fn read(home: Option<&Path>) -> Self {
        let own = home.map(|home| home.join(".manpath"));
        let system = ["/etc/manpath.config", "/etc/man_db.conf"].map(PathBuf::from);
        let texts = own.into_iter().chain(system).filter_map(|path| fs::read_to_string(path).ok());
        Self::parse(&texts.collect::<Vec<_>>().join("\n"))
    }

    fn parse(text: &str) -> Self {
        let mut configuration = Self::default();
        for line in text.lines() {
            match *line.split_whitespace().collect::<Vec<_>>() {
                ["MANDATORY_MANPATH", dir, ..] => configuration.mandatory.push(dir.into()),
                ["MANPATH_MAP", entry, dir, ..] => configuration.mapped.push((entry.to_owned(), dir.into())),
                _ => {}
            }
        }
        configuration
    }
}

impl ManPath {
    /// Determines the directories by PATH, MANPATH and the configuration.
    pub(super) fn new(path: &OsStr, manpath: Option<&OsStr>, configuration: &Configuration) -> Self {
        let set = manpath.filter(|value| !value.is_empty());
        let listed: Vec<_> = set.iter().flat_map(|value| std::env::split_paths(*value)).collect();
        // An empty entry means the directories that are searched without MANPATH.
        let is_default = set.is_none() || listed.iter().any(|dir| dir.as_os_str().is_empty());
        let mut dirs = listed;
        dirs.retain(|dir| !dir.as_os_str().is_empty());
        if is_default {
            let entries = std::env::split_paths(path);
            dirs.extend(entries.flat_map(|entry| of_entry(entry.as_os_str(), configuration)));
            dirs.extend(configuration.mandatory.iter().cloned());
        }
        Self(dirs.iter().map(|dir| real(dir)).collect())
    }

    /// Returns `true` if `man` would find a page in this directory, which is a `man1`.
    pub(super) fn has(&self, section: &Path) -> bool {
        section.parent().is_some_and(|dir| self.0.contains(&real(dir)))
    }
}

/// Returns the directories that are searched because of an entry of PATH: only the configured ones, if there are any.
fn of_entry(entry: &OsStr, configuration: &Configuration) -> Vec<PathBuf> {
    let mapped: Vec<_> = configuration
        .mapped
        .iter()
        .filter(|(from, _)| entry == OsStr::new(from))
        .map(|(_, dir)| dir.clone())
        .collect();
    if !mapped.is_empty() {
        return mapped;
    }
    let Some(text) = entry.to_str().filter(|text| text.starts_with('/')) else { return Vec::new() };
    let parent = text.rsplit_once('/').map_or("", |(parent, _)| parent);
    [parent, text].iter().flat_map(|dir| BELOW.map(|below| PathBuf::from(format!("{dir}/{below}")))).collect()
}

/// Returns a path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|dir| Some((dir, fs::canonicalize(dir).ok()?)));
    there.map_or_else(
        || path.to_owned(),
        |(dir, real)| match path.strip_prefix(dir) {
            Ok(rest) if rest.as_os_str().is_empty() => real,
            Ok(rest) => real.join(rest),
            Err(_) => path.to_owned(),
        },
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const CONFIGURATION: &str = "# comment\nMANDATORY_MANPATH\t/none/system\nMANPATH_MAP /none/opt/bin\t/none/opt/man\n\
                                 MANPATH_MAP /none/opt/bin /none/opt/more\nMANDB_MAP /none/a /none/b\nSECTION 1 n\n";

    /// Each row was compared with `man -w` of man-db 2.11.2, in existing directories; `tests/cli/pages.rs` repeats
    /// that.
    #[test]
    fn what_man_searches() {
        let has = |path: &str, manpath: Option<&str>, dir: &str| {
            let configuration = Configuration::parse(CONFIGURATION);
            ManPath::new(OsStr::new(path), manpath.map(OsStr::new), &configuration)
                .has(&Path::new(dir).join("man1"))
        };
        let own = "/none/home/.local/share/man";
        let bin = "/usr/bin:/none/home/.local/bin";
        for (path, manpath, dir, expected) in [
            (bin, None, own, true),
            (bin, None, "/none/home/.local/man", true),
            (bin, None, "/none/home/.local/bin/man", true),
            (bin, None, "/none/system", true),
            (bin, None, "/none/home/share/man", false),
            ("/usr/bin", None, own, false),
            // An entry is cut at its last `/`.
            ("/none/home/.local/bin/", None, own, false),
            ("/none/home/.local", None, own, true),
            (".:bin:", None, own, false),
            ("/none/opt/bin", None, "/none/opt/man", true),
            ("/none/opt/bin", None, "/none/opt/more", true),
            ("/none/opt/bin", None, "/none/opt/share/man", false),
            (bin, Some("/none/x"), own, false),
            (bin, Some("/none/x"), "/none/x", true),
            (bin, Some("/none/x"), "/none/system", false),
            (bin, Some(""), own, true),
            (bin, Some(":/none/x"), own, true),
            (bin, Some("/none/x:"), own, true),
            (bin, Some("/none/x::/none/y"), own, true),
            ("/usr/bin", Some("/none/home/.local/share/man/:"), own, true),
        ] {
            assert_eq!(has(path, manpath, dir), expected, "{path} {manpath:?} {dir}");
        }
    }

    #[test]
    fn links_are_followed_as_far_as_there_is_something() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(base.join("real")).unwrap();
        std::os::unix::fs::symlink(base.join("real"), base.join("link")).unwrap();
        assert_eq!(real(&base.join("link/share/man")), base.join("real/share/man"));
        assert_eq!(real(&base.join("link")), base.join("real"));
    }
}
