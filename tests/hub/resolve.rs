//! Responds to `/MODEL/resolve/REVISION/PATH`: a file of a repository, for clients without git.
//!
//! Invariant: the content of an LFS file is not sent here; the response redirects to a signed link, and states the
//! object ID and the size.

use std::io::{self, Seek as _, Write as _};

use super::access::{Asks, Right, refusal};
use super::content::{Deed, link, now};
use super::http::{Answer, decode};
use super::server::Request;

/// Responds to the path after `resolve/`.
pub(super) fn answer(request: &mut Request<'_>, id: &str, rest: &str) -> io::Result<Answer> {
    let state = request.state;
    let model = match state.tokens.check(&request.head, Asks::Token, state.model(id), id, Right::Public) {
        Ok((model, _)) => model,
        Err(refused) => return Ok(refused),
    };
    // A revision is one part of the path; its own slashes are encoded.
    let (revision, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (revision, path) = (decode(revision), decode(path));
    let Some(commit) = model.rev(&format!("{revision}^{{commit}}")) else {
        return Ok(refusal(404, Some("RevisionNotFound"), &format!("Invalid rev id: {revision}")));
    };
    let name = format!("{commit}:{path}");
    let (Some(blob), Some(etag)) = (model.blob(&name)?, model.rev(&name)) else {
        return Ok(refusal(404, Some("EntryNotFound"), "Entry not found").header("X-Repo-Commit", commit));
    };
    if let Some((oid, size)) = pointer(&blob) {
        let location = link(state, Deed::Download, id, &oid, now() + 3600);
        let answer = Answer::text(302, &format!("Found. Redirecting to {location}"));
        let etag = format!("\"{oid}\"");
        let answer = answer.header("Location", location).header("X-Repo-Commit", commit);
        let answer = answer.header("X-Linked-Size", size).header("X-Linked-Etag", &etag);
        return Ok(answer.header("ETag", etag).header("Accept-Ranges", "bytes"));
    }
    let mut file = tempfile::tempfile()?;
    file.write_all(&blob)?;
    file.rewind()?;
    let answer = Answer::content(&request.head, file, blob.len() as u64);
    Ok(answer.header("ETag", format!("\"{etag}\"")).header("X-Repo-Commit", commit))
}

/// Returns the object ID and the size in a pointer.
pub(super) fn pointer(blob: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(blob).ok().filter(|text| text.len() < 1024)?;
    let text = text.strip_prefix("version https://git-lfs.github.com/spec/v1\n")?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    Some((value("oid sha256:")?.to_owned(), value("size ")?.to_owned()))
}
