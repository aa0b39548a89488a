//! One plain file becomes another: outside a repository, or where `--output` says.
//!
//! No repository is written to; one is only asked for the object behind a pointer.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice as _};

use super::super::content::{LocalFile, Located, class_beside};
use super::super::{Error, Outcome, Reporter, Status, names};
use super::job::{Into, Job};
use super::keep;
use super::ledger::Ledger;
use super::{Options, Summary};
use crate::checkpoint::{self, Foreign};
use crate::lfs::{Temp, space, temp};
use crate::repo::Repo;

/// Converts each named file.
pub(super) fn convert(
    repo: Option<&Repo>,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Summary, Error> {
    if options.paths.len() > 1 {
        let located = |given: &OsString| {
            let name = BString::from(given.as_encoded_bytes());
            LocalFile::plain(repo, name.as_bstr(), &options.cwd.join(given)).map(Located::Here)
        };
        keep::check(options, options.paths.iter().map(located))?;
    }
    let mut ledger = Ledger::new(reporter, false);
    for given in &options.paths {
        let name = BString::from(given.as_encoded_bytes());
        match one(repo, &name, &options.cwd.join(given), options, reporter) {
            Ok(outcome) => ledger.push(outcome),
            Err(error) => ledger.fail(name.as_bstr(), error)?,
        }
    }
    Ok(Summary { outcomes: ledger.take(), ..Summary::default() })
}

fn one(
    repo: Option<&Repo>,
    name: &BString,
    path: &Path,
    options: &Options,
    reporter: &dyn Reporter,
) -> Result<Outcome, Error> {
    let (shown, output) = output_of(name, path, options);
    if output.canonicalize().is_ok_and(|there| path.canonicalize().is_ok_and(|source| source == there)) {
        return Err(Error::OutputIsSource);
    }
    let there = output.symlink_metadata();
    if there.as_ref().is_ok_and(|there| !there.is_file() && !there.is_symlink()) {
        // A device would be gone, and a regular file in its place.
        return Err(Error::OutputNotFile { output: shown });
    }
    if there.is_ok() && !options.force {
        if options.output.is_some() {
            return Err(Error::OutputExists { output: shown });
        }
        let (source, output) = (name.clone(), Some(shown));
        return Ok(Outcome { source, output, status: Status::UpToDate, conversion: None, reason: None });
    }
    if names::is_distributed(name.as_bstr()) {
        return Err(checkpoint::Error::Foreign { kind: Foreign::Distributed }.into());
    }
    let source = LocalFile::plain(repo, name.as_bstr(), path)?;
    let class = class_beside(path);
    let job = Job::prepare(source, class.as_deref(), options)?;
    if let Some(name) = options.keep.iter().find(|name| options.paths.len() == 1 && !job.holds(name)) {
        return Err(checkpoint::Error::Keep { name: name.clone() }.into());
    }
    if let Some(note) = job.note(name.as_bstr()) {
        reporter.note(&note);
    }
    let written = if options.dry_run { None } else { Some(write(&job, &output, options.force, reporter)?) };
    Ok(Outcome {
        source: name.clone(),
        output: Some(shown),
        status: Status::Converted,
        conversion: Some(job.facts(written)),
        reason: None,
    })
}

fn output_of(name: &BString, path: &Path, options: &Options) -> (BString, PathBuf) {
    if let Some(output) = &options.output {
        return (BString::from(output.as_os_str().as_encoded_bytes()), options.cwd.join(output));
    }
    let file = names::safetensors(path.file_name().unwrap_or_default().as_encoded_bytes().as_bstr());
    (names::safetensors(name.as_bstr()), path.with_file_name(file.to_path_lossy().as_ref()))
}

fn write(
    job: &Job,
    output: &Path,
    replace: bool,
    reporter: &dyn Reporter,
) -> Result<super::job::Written, Error> {
    let failed = Error::io("write", output);
    let dir = output.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    temp::sweep_hidden(dir);
    space::check(dir, job.recipe.layout.size())?;
    let temp = Temp::hidden_in(dir).map_err(failed)?;
    let spool = || {
        let spool = Temp::hidden_in(dir).map_err(failed)?;
        spool.file().try_clone().map_err(failed)
    };
    let written = job.run(&Into { path: output, first: temp.file(), second: None }, &spool, reporter)?;
    let renamed = if replace { temp.rename(output) } else { temp.rename_new(output) };
    renamed.map_err(|(source, _)| failed(source))?;
    crate::lfs::store::sync_parent(output).map_err(failed)?;
    Ok(written)
}
