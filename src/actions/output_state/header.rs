//! Compares the header of a safetensors file with the description of a checkpoint, by kilobytes of both, and no tensor.
//!
//! Invariant: a checkpoint that cannot be described (refused, several state dicts) does not differ.

use bstr::BStr;

use super::super::Error;
use super::super::content::Located;
use super::super::workspace::Workspace;
use super::{Depth, Differences, OutputState};
use crate::checkpoint::{self, Headers, Kind, Plan};
use crate::lfs::Pointer;
use crate::read_at::ReadAt;
use crate::safetensors::compare::Comparison;
use crate::safetensors::conversions::Conversions;
use crate::{recipe, safetensors};

/// Compares the headers of both files.
pub(super) fn compare(
    workspace: &Workspace<'_>,
    depth: Depth,
    source: &BStr,
    output: &BStr,
    key: Option<String>,
) -> Result<OutputState, Error> {
    let compared = compared(workspace, depth, source, output, key);
    match compared {
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(_) if workspace.session.reporter.is_interrupted() => Err(Error::Interrupted),
        // The reason is reported when the file is read for another purpose.
        Err(Error::Checkpoint(_) | Error::Recipe(_)) => Ok(OutputState::Unverified),
        Err(_) => Ok(OutputState::NotHere),
        Ok(state) => Ok(state),
    }
}

fn compared(
    workspace: &Workspace<'_>,
    depth: Depth,
    source: &BStr,
    output: &BStr,
    key: Option<String>,
) -> Result<OutputState, Error> {
    let Some(output) = workspace.there(output)? else { return Ok(OutputState::Missing) };
    let class = workspace.class(source);
    let Some(checkpoint) = workspace.there(source)? else { return Ok(OutputState::NotHere) };
    let read = with(workspace, depth, &output, &|bytes| Ok(safetensors::read(bytes)))?;
    let Some(read) = read else { return Ok(OutputState::NotHere) };
    let (infos, metadata) = match read {
        Ok(read) => read,
        Err(error @ safetensors::Error::Io(_)) => return Err(error.into()),
        Err(error) => return Ok(OutputState::Differs(Differences::Invalid(error))),
    };
    let headers = match &checkpoint {
        Located::Here(_) => Headers::Read,
        Located::There(_) => Headers::Foresee,
    };
    let options = checkpoint::Options { key, headers, ..checkpoint::Options::default() };
    let plan = |bytes: &dyn ReadAt| -> Result<Option<Plan>, Error> {
        // In other formats the description is not in one place, and the whole file would be needed.
        let is_readable =
            headers == Headers::Read || Kind::of(bytes).map_err(checkpoint::Error::Io)? == Kind::Zip;
        if is_readable { recipe::plan(bytes, &options).map(Some).map_err(Error::from) } else { Ok(None) }
    };
    let Some(plan) = with(workspace, depth, &checkpoint, &plan)?.flatten() else {
        return Ok(OutputState::NotHere);
    };
    let conversions = Conversions::new(&plan, class.as_deref())?;
    let Comparison { differences: first, more, .. } =
        Comparison::new(&plan, &infos, &metadata, &conversions.ties());
    if first.is_empty() {
        return Ok(OutputState::Unverified);
    }
    Ok(OutputState::Differs(Differences::Tensors { first, more }))
}

/// Reads a file at its location; `None` if it cannot be read by ranges.
fn with<T>(
    workspace: &Workspace<'_>,
    depth: Depth,
    located: &Located,
    read: &dyn Fn(&dyn ReadAt) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let Pointer { oid, size } = match located {
        Located::Here(file) => return read(&file.file).map(Some),
        Located::There(_) if depth == Depth::Status => return Ok(None),
        Located::There(pointer) => *pointer,
    };
    let Some(server) = workspace.remote.server()? else { return Ok(None) };
    match server.object(Pointer { oid, size }).ranged()? {
        Some(bytes) => read(&bytes).map(Some),
        None => Ok(None),
    }
}
