//! Scans a model on the Hub, or a file of one, before it is downloaded.
//!
//! ```text
//! the commit of the revision ─▶ its files ─▶ each by ranges, as far as the scanner reads it; as a whole without ranges
//! ```
//!
//! Invariant: all files come from one commit. The scan reads what a scan of the same file on this machine reads, except
//! for the storages of a PyTorch zip file of more than [`WHOLE`] bytes, which the report counts; a file with a failed
//! read has no verdict. Nothing is stored: a file that is needed as a whole passes through a file without a name.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::super::hub_file::{HubFile, model_at};
use super::super::inspect::split;
use super::super::jobs::Jobs;
use super::super::servers::{Servers, Session};
use super::super::{Error, Reporter, names};
use super::order::{Scan, share};
use super::{Far, Seen};
use crate::lfs::Pointer;
use crate::read_at::{FileSource, ReadAt};
use crate::remote::{
    self, BadAnswer, Grain, Hub, ModelName, Ranged, Url, hub, to_file, tree, tree::TreeFile,
};
use crate::repo::ObjectId;
use crate::scan::{Limits, Storages, scan as scan_content};

/// How many files are read at once: the time is mostly that of requests.
const CONNECTIONS: usize = 4;
/// How many results wait for their turn at most, with those that are being read.
const AHEAD: usize = 4 * CONNECTIONS;

/// A file up to this length may be read completely.
const WHOLE: u64 = 1 << 20;

/// An argument that is not on this machine.
pub(super) enum FarTarget {
    /// A model, with a revision.
    Model { name: ModelName, revision: Option<String> },
    /// A file of a model.
    File(HubFile),
    /// The URL of a model or of a file.
    Address(HubFile),
}

impl FarTarget {
    /// Interprets an argument, unless it is on this machine. A file or directory that exists has priority; so has a
    /// directory in which the file does not exist, and a name that ends like files of models: then a file is missing.
    pub(super) fn of(cwd: &Path, word: &OsStr) -> Option<Self> {
        let path = cwd.join(word);
        if path.symlink_metadata().is_ok() {
            return None;
        }
        if let Some(address) = HubFile::address(word) {
            return Some(Self::Address(address));
        }
        let text = word.to_str()?;
        if let Some((model, path)) = split(word) {
            return HubFile::of_the_hub(model, path).map(Self::File);
        }
        let (name, revision) = model_at(text)?;
        let is_file = || path.parent().is_some_and(Path::is_dir) || names::is_of_a_file(text.into());
        (revision.is_some() || !is_file())
            .then(|| Self::Model { name, revision: revision.map(str::to_owned) })
    }
}

/// Scans a target; the names of its files begin with the target.
pub(super) fn scan(
    scan: &mut Scan<'_>,
    cwd: &Path,
    servers: &Servers,
    target: &FarTarget,
    word: &OsStr,
) -> Result<(), Error> {
    let reporter = scan.reporter;
    let session = Session::new(servers, reporter);
    let hub = session.hub(cwd)?;
    let word = word.to_string_lossy();
    let file = match target {
        FarTarget::Model { name, revision } => return model(scan, &hub, (name, revision.as_deref()), &word),
        FarTarget::Address(file) => match hub::model_of(hub.url(), &word) {
            Some(name) => return model(scan, &hub, (&name, None), name.as_str()),
            None => file,
        },
        FarTarget::File(file) => file,
    };
    let seen = look(&hub, &file.url(&hub)?, (&scan.limits, reporter)).map(|looked| Seen {
        size: Some(looked.size),
        report: looked.report,
        far: Some(Far { model: file.model(), revision: None, read: looked.read }),
        ..Seen::default()
    });
    one(scan, &word, None, seen)
}

fn model(
    scan: &mut Scan<'_>,
    hub: &Hub<'_>,
    (name, revision): (&ModelName, Option<&str>),
    word: &str,
) -> Result<(), Error> {
    let reporter = scan.reporter;
    let found = hub.model(name, revision)?;
    // The model may have been renamed.
    let name = ModelName::parse(&found.id).unwrap_or_else(|| name.clone());
    // Without a commit there are no files.
    let Some(commit) = found.sha else { return Ok(()) };
    let files = tree::files(hub, &name, &commit)?;
    let shared = share(scan.limits.clone(), CONNECTIONS);
    let own = scan.limits.clone();
    let read = |file: &TreeFile, limits: &Limits| {
        let url = hub.resolve_url(&name, &commit, &file.path);
        look(hub, &url, (limits, reporter)).and_then(|looked| {
            check(file.pointer, looked.size)?;
            let far =
                Far { model: Some(name.to_string()), revision: Some(commit.clone()), read: looked.read };
            let (pointer, size) = (file.pointer, Some(looked.size));
            Ok(Seen { pointer, size, report: looked.report, far: Some(far), ..Seen::default() })
        })
    };
    let mut rest = files.iter();
    Jobs::of(Some(CONNECTIONS))
        .run(
            |file: &TreeFile| read(file, &shared),
            |pool| {
                for file in &files {
                    while pool.pending() < AHEAD {
                        let Some(next) = rest.next() else { break };
                        pool.begin(next);
                    }
                    let Some(mut seen) = pool.first() else { break };
                    // The smaller limits of this file may be the cause.
                    if seen.as_ref().is_ok_and(|seen| seen.report.is_unreadable_in_part()) {
                        seen = read(file, &own);
                    }
                    let blob = file.blob.as_ref().and_then(|id| ObjectId::from_hex(id.as_bytes()).ok());
                    one(scan, &format!("{word}:{}", file.path), blob, seen)?;
                }
                Ok(())
            },
        )
        .map_err(Error::io("start", "a thread"))?
}

/// Reports one file, or ends with an error that applies to all files.
fn one(
    scan: &mut Scan<'_>,
    name: &str,
    blob: Option<ObjectId>,
    seen: Result<Seen, Error>,
) -> Result<(), Error> {
    match seen {
        Err(error) if !is_of_one_file(&error) => Err(error),
        seen => scan.told(name.into(), (blob, None), seen),
    }
}

/// Returns `true` for an error of one file, rather than of the model or the server.
fn is_of_one_file(error: &Error) -> bool {
    use remote::Error as Of;
    match error {
        Error::Remote(
            Of::EntryNotFound { .. }
            | Of::NotFound { .. }
            | Of::Status { .. }
            | Of::Huge { .. }
            | Of::BadAnswer { .. }
            | Of::BadHttp { .. }
            | Of::Changed { .. }
            | Of::WrongSize { .. }
            | Of::TooManyRedirects { .. }
            | Of::Cut { .. },
        ) => true,
        Error::Remote(_) | Error::Interrupted => false,
        _ => true,
    }
}

/// Refuses a file whose length differs from its pointer.
fn check(pointer: Option<Pointer>, got: u64) -> Result<(), Error> {
    match pointer {
        Some(Pointer { oid, size }) if size != got => {
            Err(remote::Error::WrongSize { oid, expected: size, got }.into())
        }
        _ => Ok(()),
    }
}

/// The result for a URL, its length, and how many bytes were read.
struct Looked {
    report: crate::scan::Report,
    size: u64,
    read: u64,
}

fn look(hub: &Hub<'_>, url: &Url, (limits, reporter): (&Limits, &dyn Reporter)) -> Result<Looked, Error> {
    let opened = match Ranged::open_in(hub.auth(), url, Grain::LITTLE) {
        Err(remote::Error::BadAnswer { source: BadAnswer::Encoded, .. }) => None,
        opened => opened?,
    };
    let Some(ranged) = opened else { return whole(hub, url, limits) };
    let storages = if ranged.len() > WHOLE { Storages::LeftOut } else { Storages::Scanned };
    let limits = Limits { storages, ..limits.clone() };
    let source = Kept { ranged: &ranged, reporter, failure: Mutex::default() };
    let report = scan_content(&source, &limits);
    match (source.failure.into_inner().unwrap_or_else(PoisonError::into_inner), report) {
        (None, Ok(report)) => Ok(Looked { report, size: ranged.len(), read: ranged.fetched() }),
        (Some(failure), _) | (None, Err(failure)) => Err(of_io(failure)),
    }
}

/// Scans a file whose server does not serve ranges.
fn whole(hub: &Hub<'_>, url: &Url, limits: &Limits) -> Result<Looked, Error> {
    let failed = Error::io("write", "a temporary file");
    let mut file: File = tempfile::tempfile().map_err(failed)?;
    let read = to_file(hub.auth(), url, &mut file)?;
    let source = FileSource::new(file).map_err(failed)?;
    let report = scan_content(&source, limits).map_err(Error::io("read", "a temporary file"))?;
    Ok(Looked { report, size: source.len(), read })
}

fn of_io(error: io::Error) -> Error {
    match error.downcast::<remote::Error>() {
        Ok(error) => error.into(),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Error::Interrupted,
        Err(error) => Error::io("read", "the file")(error),
    }
}

/// Keeps the error of a failed read, however the scan handles it.
struct Kept<'a> {
    ranged: &'a Ranged<'a>,
    reporter: &'a dyn Reporter,
    failure: Mutex<Option<io::Error>>,
}

impl ReadAt for Kept<'_> {
    fn len(&self) -> u64 {
        self.ranged.len()
    }

    fn read_exact_at(&self, buf: &mut [u8], at: u64) -> io::Result<()> {
        let read = if self.reporter.is_interrupted() {
            Err(io::ErrorKind::Interrupted.into())
        } else {
            self.ranged.read_exact_at(buf, at)
        };
        read.map_err(|error| {
            let told = io::Error::from(error.kind());
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            told
        })
    }
}
