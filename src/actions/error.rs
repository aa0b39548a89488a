//! [`Error`]: why an action did not do its work.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use bstr::BString;

use crate::hash::Oid;
use crate::{checkpoint, git, lfs, remote, repo, safetensors};

/// Why an action did not do its work, for one file or as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint was not planned or not proven.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The safetensors file was not laid out, written or read.
    #[error(transparent)]
    Safetensors(#[from] safetensors::Error),
    /// The shard index was not read.
    #[error(transparent)]
    Shard(#[from] safetensors::shard::Error),
    /// The repository.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// The LFS store.
    #[error(transparent)]
    Store(#[from] lfs::store::Error),
    /// The work tree.
    #[error(transparent)]
    Place(#[from] lfs::place::Error),
    /// git.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// A server, but for what git asks of it.
    #[error(transparent)]
    Remote(remote::Error),
    /// A file could not be opened, read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// `open`, `read`, `write`, …
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A dry run of a checkpoint whose server gives whole files alone.
    #[error("cannot be read in parts, because its server gives whole files alone")]
    NoRanges,
    /// A name that is known to execute.
    #[error("refused: pickle calls `{global}`")]
    Dangerous {
        /// The module and name.
        global: String,
        /// The byte where it is named.
        at: u64,
        /// The record that holds the pickle.
        record: String,
    },
    /// `--strict`: something beside the weights would be dropped.
    #[error("holds more than weights: {path} ({reason})")]
    Strict {
        /// Its path.
        path: String,
        /// What it is.
        reason: String,
        /// How many more there are.
        more: usize,
    },
    /// The bytes are not those that the pointer names.
    #[error("does not match its pointer: its sha256 is {got}, the pointer says {expected}")]
    PointerMismatch {
        /// What the pointer says.
        expected: Oid,
        /// What the bytes give.
        got: Oid,
    },
    /// The object behind the pointer is not here.
    #[error("is an LFS pointer whose object is not here")]
    NoObject {
        /// The oid.
        oid: Oid,
        /// Its size in bytes.
        size: u64,
    },
    /// The source changed while it was read.
    #[error("changed while it was read")]
    SourceChanged,
    /// The file of the work tree is not what the index says: it is no source, and nothing to remove.
    #[error("has changes that are not staged")]
    Modified,
    /// The checkpoint has the name that its safetensors file would have.
    #[error("has the name that its safetensors file would have")]
    OutputIsSource,
    /// An option that needs a repository.
    #[error("{option} needs a repository")]
    NeedsRepository {
        /// The option.
        option: &'static str,
    },
    /// Two shards of a set hold one tensor.
    #[error("holds {name}, as {other} does")]
    TwoShards {
        /// The tensor.
        name: String,
        /// The other shard.
        other: String,
    },
    /// The path is a symbolic link, which is never followed.
    #[error("is a symbolic link, which is not followed")]
    Symlink,
    /// No such file.
    #[error("is not a file here")]
    NotFound,
    /// Something stands where the safetensors file goes.
    #[error("would be written to {output}, which exists")]
    OutputExists {
        /// The path.
        output: BString,
    },
    /// A directory, a device or a pipe stands where the safetensors file goes.
    #[error("would be written to {output}, which is not a file")]
    OutputNotFile {
        /// The path.
        output: BString,
    },
    /// A symbolic link stands where the safetensors file goes.
    #[error("would be written to {output}, which is a symbolic link")]
    OutputSymlink {
        /// The path.
        output: BString,
    },
    /// `lfs.extension.*` changes every object on its way, which is not done here.
    #[error("this repository has LFS extensions configured (lfs.extension.*), which are not supported")]
    Extensions,
    /// Two sources would be written to one file.
    #[error("would be written to {output}, as {other} is")]
    OutputCollision {
        /// The path.
        output: BString,
        /// The other source.
        other: BString,
    },
    /// A shard of the set was not converted, so that the set is left as it is.
    #[error("belongs to a sharded set of which {shard} is not converted")]
    IncompleteSet {
        /// The shard.
        shard: BString,
    },
    /// A shard that the index names cannot be had.
    #[error("names the shard {shard}, which cannot be read")]
    MissingShard {
        /// The shard.
        shard: BString,
        /// Why.
        source: Box<Self>,
    },
    /// A shard index names a tensor that its shard does not hold.
    #[error("index {index} says that {shard} holds {name}, which it does not")]
    IndexDisagrees {
        /// The index.
        index: BString,
        /// The shard.
        shard: BString,
        /// The tensor.
        name: String,
    },
    /// `--output` takes one source.
    #[error("--output takes one file, {count} were given")]
    OneOutput {
        /// How many.
        count: usize,
    },
    /// Nothing was named, and this is no repository.
    #[error("not a git repository, and no file was named")]
    NoRepository,
    /// The directory for a new repository holds something.
    #[error("{} is not an empty directory", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// Something is where a clone goes.
    #[error("{} exists and is not an empty directory", dir.display())]
    CloneInTheWay {
        /// The directory.
        dir: PathBuf,
    },
    /// The model's name does not say where its clone goes.
    #[error("{} does not say which directory to clone into", model.display())]
    NeedsDirectory {
        /// The model.
        model: OsString,
    },
    /// `--offline`: nothing is asked of a server.
    #[error("cannot {what} without asking a server, and --offline forbids it")]
    Offline {
        /// A verb.
        what: &'static str,
    },
    /// The remote has no such branch, tag, commit or reference.
    #[error("there is no revision `{revision}`")]
    NoSuchRevision {
        /// What was asked for.
        revision: String,
    },
    /// What was cloned has no commit: an empty repository, or a page that is none at all.
    #[error("{} is empty, or not a model's repository", url.display())]
    EmptyRepository {
        /// Where it is.
        url: OsString,
    },
    /// The server keeps files back, whichever way they are asked for.
    #[error("the server does not send all files of the repository")]
    FilesWithheld,
    /// A pull request is taken, and an option says how to convert.
    #[error("{option} cannot be used where a pull request is taken")]
    NotWithPullRequest {
        /// The option.
        option: &'static str,
    },
    /// A setting that cannot be meant.
    #[error("{key} is `{value}`")]
    Setting {
        /// Its name.
        key: &'static str,
        /// Its value.
        value: BString,
    },
    /// The repository has no remote to ask.
    #[error("the repository has no remote")]
    NoRemote,
    /// There is no commit yet that something could follow.
    #[error("the repository has no commit yet")]
    NoCommits,
    /// The remote has no such pull request.
    #[error("there is no pull request {number}, or it was deleted")]
    NoSuchPullRequest {
        /// Its number.
        number: u64,
    },
    /// A pull request brings no safetensors file.
    #[error("pull request {number} brings no safetensors file")]
    WithoutSafetensors {
        /// Its number.
        number: u64,
    },
    /// A pull request changes more than safetensors, and nobody said that this is wanted.
    #[error("pull request {number} changes {count} other path{}", if *count == 1 { "" } else { "s" })]
    OtherPaths {
        /// Its number.
        number: u64,
        /// How many.
        count: usize,
    },
    /// A file here would be lost.
    #[error("local changes to {path} are in the way")]
    InTheWay {
        /// The file.
        path: BString,
    },
    /// A file of a pull request is not what its name says.
    #[error("{path} of the pull request is not a valid safetensors file")]
    NotSafetensors {
        /// The file.
        path: BString,
        /// Why.
        source: safetensors::Error,
    },
    /// Another run writes this journal.
    #[error("another batch is at work with the journal {}", journal.display())]
    BatchRunning {
        /// The journal.
        journal: PathBuf,
    },
    /// What is to be the journal of a batch is something else.
    #[error("{} is not the journal of a batch: line {line} is none of its lines", path.display())]
    NoJournal {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Two models of a list would be cloned into one directory.
    #[error("would be cloned into {}, as {other} is", dir.display())]
    SamePlace {
        /// The directory.
        dir: PathBuf,
        /// The other model.
        other: String,
    },
    /// A pull request needs somebody who makes it.
    #[error("a pull request needs a token, and there is none")]
    NoToken,
    /// The token can read alone.
    #[error("the token from {place} may read, and not write")]
    ReadOnlyToken {
        /// Where it came from.
        place: remote::token::Place,
    },
    /// The remote's branch has another checkpoint than the one that was converted here.
    #[error("the remote has another one than {path} was converted from")]
    SourceDiffers {
        /// The safetensors file.
        path: BString,
    },
    /// A safetensors file that git itself holds.
    #[error("{path} is not under Git LFS")]
    NotUnderLfs {
        /// The file.
        path: BString,
    },
    /// The object in the store is not what its name says.
    #[error("{path} is damaged in the LFS store: its sha256 is {got}")]
    DamagedObject {
        /// The file.
        path: BString,
        /// What the bytes give.
        got: Oid,
    },
    /// Another process is at it.
    #[error("another publish is at work in this repository")]
    PublishRunning,
    /// The remote has no branch that something could be added to.
    #[error("the remote has no default branch")]
    NoDefaultBranch,
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Is it a refusal for what the file holds (exit 1), rather than work that could not be done (2)?
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Checkpoint(error) => !error.is_io(),
            Self::Safetensors(error) => !matches!(error, safetensors::Error::Io(_)),
            Self::Shard(_)
            | Self::Dangerous { .. }
            | Self::Strict { .. }
            | Self::PointerMismatch { .. }
            | Self::NoObject { .. }
            | Self::Symlink
            | Self::Modified
            | Self::OutputIsSource
            | Self::TwoShards { .. }
            | Self::OutputExists { .. }
            | Self::OutputNotFile { .. }
            | Self::OutputSymlink { .. }
            | Self::OutputCollision { .. }
            | Self::IncompleteSet { .. }
            | Self::IndexDisagrees { .. }
            | Self::NotSafetensors { .. }
            | Self::WithoutSafetensors { .. }
            | Self::SourceDiffers { .. }
            | Self::NotUnderLfs { .. }
            | Self::DamagedObject { .. }
            | Self::OtherPaths { .. }
            | Self::Place(lfs::place::Error::Symlink { .. })
            | Self::Repo(repo::Error::Place(lfs::place::Error::Symlink { .. })) => true,
            Self::MissingShard { source, .. } => matches!(**source, Self::NotFound) || source.is_refusal(),
            _ => false,
        }
    }
}
