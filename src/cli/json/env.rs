//! Formats the JSON lines of `env`.

use serde_json::json;

use super::text::{line, native, path};
use crate::actions::env::Setup;

/// Returns the settings in effect; the value of a variable that may contain a secret is `null`.
pub(in super::super) fn env(setup: &Setup, variables: &[(&str, Option<String>)]) -> String {
    let settings = setup.settings.iter().map(|setting| {
        json!({
            "key": path(&setting.key),
            "value": path(&setting.value),
            "scope": setting.scope,
            "origin": path(&setting.origin),
        })
    });
    let variables = variables.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    let repository = setup.repository.as_ref().map(|repo| {
        let hooks = repo.hooks.places.iter().map(|hook| hook.hook.name());
        let guarded: Vec<_> = hooks
            .zip(&repo.hooks.places)
            .filter(|(_, place)| repo.hooks.is_guarded(place.hook))
            .map(|(name, _)| name)
            .collect();
        json!({
            "work_dir": native(repo.work_dir.as_os_str()),
            "git_dir": native(repo.git_dir.as_os_str()),
            "lfs_dir": native(repo.lfs_dir.as_os_str()),
            "lfs_filter": repo.has_lfs_filter,
            "guarded": guarded,
        })
    });
    line(&json!({
        "type": "env",
        "version": env!("CARGO_PKG_VERSION"),
        "platform": format!("{} {}", std::env::consts::ARCH, std::env::consts::OS),
        "git": setup.git,
        "git_lfs": setup.git_lfs,
        "endpoint": setup.endpoint,
        "token": setup.token.as_ref().map(ToString::to_string),
        "offline": setup.is_offline,
        "settings": settings.collect::<Vec<_>>(),
        "variables": variables.collect::<Vec<_>>(),
        "repository": repository,
        "unopened": setup.unopened.as_ref().map(ToString::to_string),
    }))
}
