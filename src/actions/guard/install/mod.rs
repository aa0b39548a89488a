//! Installs, removes and lists hooks.
//!
//! Invariants: a hook is the old one or the new one at every instant, and removing ours restores the previous one byte
//! for byte; a file of a hook manager is not changed.

mod file;
mod script;
mod shell;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use super::super::{Error, UnfitHooks};
use crate::git::Git;
use crate::git::hooks::{self, Scope};
use crate::repo::Repo;
use file::{existing, remove, runs_previous, write};
use script::Existing;

pub use tools::Tool;

/// The default directory for hooks of new repositories.
const TEMPLATE: &str = "st-convert-template";

/// A hook of git that we support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before a commit.
    PreCommit,
    /// Before the commit of a merge.
    PreMergeCommit,
    /// Before a push.
    PrePush,
    /// Before a server accepts a push.
    PreReceive,
}

impl Hook {
    const ALL: [Self; 4] = [Self::PreCommit, Self::PreMergeCommit, Self::PrePush, Self::PreReceive];

    /// Returns its name in git.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreCommit => "pre-commit",
            Self::PreMergeCommit => "pre-merge-commit",
            Self::PrePush => "pre-push",
            Self::PreReceive => "pre-receive",
        }
    }

    fn script(self) -> &'static [u8] {
        match self {
            Self::PreCommit => include_bytes!("../../../../hooks/pre-commit"),
            Self::PreMergeCommit => include_bytes!("../../../../hooks/pre-merge-commit"),
            Self::PrePush => include_bytes!("../../../../hooks/pre-push"),
            Self::PreReceive => include_bytes!("../../../../hooks/pre-receive"),
        }
    }

    /// Returns its section of the configuration.
    fn section(self) -> String {
        format!("hook.st-convert-{}", self.name())
    }
}

/// The hooks to install, and their location.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The working directory of the command.
    pub cwd: PathBuf,
    /// The named hooks; empty for those that fit the repository.
    pub hooks: Vec<Hook>,
    /// `true` for repositories that are created later.
    pub global: bool,
}

/// The state of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HookState {
    /// It was installed.
    Installed,
    /// It was installed before, and is unchanged.
    Unchanged,
    /// It was removed, or the previous one was restored.
    Removed,
    /// It contains our lines, or calls us.
    Present,
    /// It contains our lines, and is not executable: git does not run it.
    #[serde(rename = "other")]
    NotRun,
    /// Another hook exists, without us.
    Other,
    /// No hook exists.
    Absent,
}

/// A hook and its state.
#[derive(Debug)]
pub struct InstalledHook {
    /// Which.
    pub hook: Hook,
    /// Its file, or the name of a setting.
    pub path: PathBuf,
    /// Its state.
    pub state: HookState,
    /// `true` if ours calls or called another hook.
    pub has_previous: bool,
}

/// The result for all hooks.
#[derive(Debug, Default)]
pub struct InstallReport {
    /// Each hook.
    pub places: Vec<InstalledHook>,
    /// `core.hooksPath` leads out of the repository: other repositories use these hooks too.
    pub is_shared: bool,
    /// `core.hooksPath` is a file, such as `/dev/null`: git runs no hooks.
    pub is_off: bool,
    /// The hook manager, if any.
    pub tool: Option<Tool>,
    /// `true` if the repository has no working tree: it receives pushes.
    pub is_bare: bool,
}

impl InstallReport {
    /// Returns `true` if git runs the check in this hook.
    pub fn is_guarded(&self, hook: Hook) -> bool {
        self.places.iter().any(|place| place.hook == hook && place.state == HookState::Present)
    }
}

/// The location of hooks.
enum Target {
    Config(Scope),
    Directory(PathBuf),
}

struct Site {
    target: Target,
    /// The other location, where an earlier version may have installed them.
    directory: Option<PathBuf>,
    scope: Scope,
    hooks: Vec<Hook>,
    is_shared: bool,
    is_off: bool,
    is_bare: bool,
    /// Empty for repositories that are created later.
    work_dir: PathBuf,
    tool: Option<Tool>,
}

/// Installs hooks.
///
/// # Errors
/// [`Error::Hooks`], or an error of git or the system.
pub fn install(options: &Options) -> Result<InstallReport, Error> {
    let git = Git::in_hook(&options.cwd)?;
    let site = site(&git, options, true)?;
    if let Some(tool) = site.tool {
        return Err(UnfitHooks::Managed { tool }.into());
    }
    if let (true, Target::Directory(path)) = (site.is_off, &site.target) {
        return Err(UnfitHooks::Off { path: path.clone() }.into());
    }
    let mut report = InstallReport { is_shared: site.is_shared, ..InstallReport::default() };
    for hook in site.hooks {
        let place = match &site.target {
            Target::Config(scope) => configure(&git, *scope, hook)?,
            Target::Directory(dir) => write(dir, hook)?,
        };
        report.places.push(place);
    }
    Ok(report)
}

/// Removes hooks: the named ones, or all.
///
/// # Errors
/// An error of git or the system.
pub fn uninstall(options: &Options) -> Result<InstallReport, Error> {
    let git = Git::in_hook(&options.cwd)?;
    let site = site(&git, options, false)?;
    let mut report = InstallReport { is_shared: site.is_shared, tool: site.tool, ..InstallReport::default() };
    for hook in site.hooks {
        if let Some(place) = configured(&git, site.scope, hook)? {
            hooks::remove_section(&git, site.scope, &hook.section())?;
            report.places.push(InstalledHook { state: HookState::Removed, ..place });
        }
        if let Some(dir) = &site.directory {
            report.places.push(remove(dir, hook)?);
        }
    }
    if options.global && site.directory.is_some() && site.directory == template_of_ours() {
        forget_template(&git, &report)?;
    }
    Ok(report)
}

/// Lists hooks.
///
/// # Errors
/// An error of git or the system.
pub fn status(options: &Options) -> Result<InstallReport, Error> {
    let git = Git::in_hook(&options.cwd)?;
    let site = site(&git, options, false)?;
    let (is_shared, is_off, tool, is_bare) = (site.is_shared, site.is_off, site.tool, site.is_bare);
    let mut report = InstallReport { is_shared, is_off, tool, is_bare, ..InstallReport::default() };
    for &hook in &site.hooks {
        report.places.push(look_for(&git, &site, hook)?);
    }
    Ok(report)
}

/// Finds one hook: in the configuration, if git runs hooks from there, else as a file.
fn look_for(git: &Git<'_>, site: &Site, hook: Hook) -> Result<InstalledHook, Error> {
    if matches!(site.target, Target::Config(_)) {
        for scope in [site.scope, Scope::Global] {
            if let Some(place) = configured(git, scope, hook)? {
                return Ok(place);
            }
        }
    }
    let absent =
        InstalledHook { hook, path: hook.name().into(), state: HookState::Absent, has_previous: false };
    let Some(dir) = &site.directory else { return Ok(absent) };
    let path = dir.join(hook.name());
    let has_previous = runs_previous(&path);
    let found = existing(&path)?;
    let is_run = found.as_ref().is_some_and(|found| found.is_executable);
    let calls = |found: &Existing| site.tool.and_then(|tool| tool.calls(&site.work_dir, hook, &found.bytes));
    if is_run && let Some(path) = found.as_ref().and_then(calls) {
        return Ok(InstalledHook { hook, path, state: HookState::Present, has_previous });
    }
    let state = match found {
        None => HookState::Absent,
        Some(found) if script::holds(&found.bytes) => {
            if is_run {
                HookState::Present
            } else {
                HookState::NotRun
            }
        }
        Some(_) => HookState::Other,
    };
    Ok(InstalledHook { hook, path, state, has_previous })
}

fn site(git: &Git<'_>, options: &Options, is_new: bool) -> Result<Site, Error> {
    let runs_configured = hooks::runs_configured_hooks(&hooks::version(git)?);
    let chosen = |fitting: &[Hook]| {
        if options.hooks.is_empty() { fitting.to_vec() } else { options.hooks.clone() }
    };
    let usual = [Hook::PreCommit, Hook::PreMergeCommit, Hook::PrePush];
    if options.global {
        let scope = Scope::Global;
        let hooks = chosen(if is_new { &usual } else { &Hook::ALL });
        let directory = template(git, is_new && !runs_configured)?.map(|dir| dir.join("hooks"));
        let target = match &directory {
            Some(dir) if !runs_configured => Target::Directory(dir.clone()),
            _ => Target::Config(scope),
        };
        let (is_shared, is_off, is_bare, work_dir, tool) = (false, false, false, PathBuf::new(), None);
        return Ok(Site { target, directory, scope, hooks, is_shared, is_off, is_bare, work_dir, tool });
    }
    let repo = Repo::discover_for_hook(&options.cwd)?.ok_or(Error::NoRepository)?;
    let fitting: &[Hook] = match repo.is_bare() {
        _ if !is_new => &Hook::ALL,
        true => &[Hook::PreReceive],
        false => &usual,
    };
    let dir = hooks::directory(git)?;
    let inside = |top: &Path| {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        real(&dir).starts_with(real(top))
    };
    let is_off = !runs_configured && dir.metadata().is_ok_and(|metadata| !metadata.is_dir());
    let is_shared = !is_off && !inside(repo.common_dir()) && !inside(repo.work_dir());
    let tool = if repo.is_bare() { None } else { tools::find(repo.work_dir(), &dir) };
    let scope = Scope::Local;
    let target = if runs_configured { Target::Config(scope) } else { Target::Directory(dir.clone()) };
    let tool = tool.filter(|_| !runs_configured);
    let (directory, hooks) = (Some(dir), chosen(fitting));
    let (is_bare, work_dir) = (repo.is_bare(), repo.work_dir().to_owned());
    Ok(Site { target, directory, scope, hooks, is_shared, is_off, is_bare, work_dir, tool })
}

/// Returns the template directory of new repositories.
fn template(git: &Git<'_>, makes: bool) -> Result<Option<PathBuf>, Error> {
    if let Some(dir) = hooks::setting(git, None, "path", "init.templateDir")?.filter(|dir| !dir.is_empty()) {
        return Ok(Some(git.dir().join(dir)));
    }
    let Some(dir) = hooks::person_directory().map(|dir| dir.join(TEMPLATE)).filter(|_| makes) else {
        return if makes { Err(Error::NoHome) } else { Ok(None) };
    };
    hooks::set(git, Scope::Global, "init.templateDir", &dir.to_string_lossy())?;
    Ok(Some(dir))
}

fn template_of_ours() -> Option<PathBuf> {
    Some(hooks::person_directory()?.join(TEMPLATE).join("hooks"))
}

/// Removes the setting together with the last hook.
fn forget_template(git: &Git<'_>, report: &InstallReport) -> Result<(), Error> {
    let Some(dir) = template_of_ours() else { return Ok(()) };
    let is_empty = fs::read_dir(&dir).is_ok_and(|mut files| files.next().is_none());
    if is_empty && !report.places.is_empty() {
        fs::remove_dir(&dir).map_err(Error::io("remove", &dir))?;
        if let Some(template) = dir.parent() {
            // The directory may contain files of the user.
            let _kept = fs::remove_dir(template);
        }
        hooks::unset(git, Scope::Global, "init.templateDir")?;
    }
    Ok(())
}

/// Returns the hook in the configuration.
fn configured(git: &Git<'_>, scope: Scope, hook: Hook) -> Result<Option<InstalledHook>, Error> {
    let key = format!("{}.command", hook.section());
    let is_set = hooks::setting(git, Some(scope), "path", &key)?.is_some();
    Ok(is_set.then(|| InstalledHook {
        hook,
        path: key.into(),
        state: HookState::Present,
        has_previous: false,
    }))
}

fn configure(git: &Git<'_>, scope: Scope, hook: Hook) -> Result<InstalledHook, Error> {
    let (section, name) = (hook.section(), hook.name());
    let (key, command) = (format!("{section}.command"), format!("git st-convert hook run {name}"));
    let is_set = hooks::setting(git, Some(scope), "path", &key)?.is_some_and(|value| value == command);
    if !is_set {
        hooks::set(git, scope, &key, &command)?;
        hooks::set(git, scope, &format!("{section}.event"), name)?;
    }
    let state = if is_set { HookState::Unchanged } else { HookState::Installed };
    Ok(InstalledHook { hook, path: key.into(), state, has_previous: false })
}
