//! Selects the part of the hub that responds to a path.

use std::io;

use super::access::refusal;
use super::http::{Answer, decode};
use super::server::Request;
use super::{api, content, git, lfs, oidc, resolve};

/// The services of git, as they appear in a path.
const GIT: [&str; 3] = ["info/refs", "git-upload-pack", "git-receive-pack"];

pub(super) fn answer(request: &mut Request<'_>) -> io::Result<Answer> {
    if let Some(answer) = content::answer(request)? {
        return Ok(answer);
    }
    let path = request.head.path().trim_start_matches('/').to_owned();
    if let Some(path) = path.strip_prefix("api/") {
        return api::answer(request, path);
    }
    match path.as_str() {
        "mint" => return Ok(oidc::mint(request)),
        "oauth/token" => return oidc::exchange(request),
        _ => {}
    }
    // The id of a model has two parts, or one.
    for names in [2, 1] {
        let Some((id, rest)) = split(&path, names) else { continue };
        let id = decode(id);
        if let Some(service) = GIT.into_iter().find(|service| *service == rest) {
            return git::answer(request, id.strip_suffix(".git").unwrap_or(&id), service);
        }
        if let (Some(id), Some(rest)) = (id.strip_suffix(".git"), rest.strip_prefix("info/lfs/")) {
            return lfs::answer(request, id, rest);
        }
        if let Some(rest) = rest.strip_prefix("resolve/") {
            return resolve::answer(request, &id, rest);
        }
    }
    Ok(refusal(404, None, "Sorry, we can't find the page you are looking for."))
}

/// Returns the first parts of a path, and the rest.
fn split(path: &str, names: usize) -> Option<(&str, &str)> {
    let (at, _) = path.match_indices('/').nth(names - 1)?;
    Some((&path[..at], &path[at + 1..]))
}
