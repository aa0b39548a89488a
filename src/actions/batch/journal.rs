//! Reads and writes the journal of a batch: a line of JSON per finished model, so that a later run resumes it.
//!
//! ```text
//! {"type":"model","model":…,"url":…,"revision":…,"commit":…,"status":…,…}\n
//! ```
//!
//! Invariants: a line is on the disk before the next model begins; the writer holds a lock on the file; of several
//! lines for one model the last counts. Text after the last line end was truncated by a kill, and counts only if it is
//! a complete line. The file is pure ASCII, whatever a server sent: other characters are escaped, with the same
//! meaning.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bstr::ByteSlice as _;
use serde_json::Value;
use serde_json::ser::Formatter;

use super::Record;
use super::list::Item;
use crate::actions::Error;

/// How long the program waits for a lock.
const PATIENCE: Duration = Duration::from_secs(1);

/// The finished models.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<(String, Option<String>), Record>);

impl Known {
    /// Returns the last line about a model.
    pub(super) fn of(&self, item: &Item) -> Option<&Record> {
        self.0.get(&(item.url.clone(), item.revision.clone()))
    }

    fn add(&mut self, record: Record) {
        self.0.insert((record.url.clone(), record.revision.clone()), record);
    }

    /// Reads a journal, without a lock; it is empty if it does not exist.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        match fs::read(path) {
            Ok(text) => parse(&text, path).map(|(known, _)| known),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }
}

/// An open journal, locked until it is dropped.
#[derive(Debug)]
pub(super) struct BatchJournal {
    file: File,
    path: PathBuf,
    /// Its length up to its last line end.
    len: u64,
    pub(super) known: Known,
    /// How many bytes a kill left after the last line.
    pub(super) torn: usize,
}

impl BatchJournal {
    /// Opens a journal, or creates one.
    ///
    /// # Errors
    /// [`Error::BatchRunning`], [`Error::NoJournal`], [`Error::Io`]
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(Error::io("make the directory of", path))?;
        let options = File::options().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(path).map_err(Error::io("open", path))?;
        match lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::BatchRunning { journal: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", path)(source)),
        }
        // The name must be as durable as its lines.
        crate::lfs::sync_parent(path).map_err(Error::io("keep", path))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(Error::io("read", path))?;
        let (known, whole) = parse(&text, path)?;
        let torn = text.len() - whole.len;
        let mut journal = Self { file, path: path.to_owned(), len: whole.len as u64, known, torn };
        if torn > 0 {
            journal.file.set_len(journal.len).map_err(Error::io("cut", path))?;
        } else if whole.is_open {
            journal.write(b"\n").map_err(Error::io("write", path))?;
        }
        Ok(journal)
    }

    /// Writes the line of a finished model; afterwards it is on the disk.
    ///
    /// # Errors
    /// [`Error::Io`]; then the journal is unchanged, if possible.
    pub(super) fn append(&mut self, record: Record) -> Result<(), Error> {
        let written = self.write(&line(&record)).map_err(Error::io("write", &self.path));
        if written.is_err() {
            let _torn_otherwise = self.file.set_len(self.len);
        }
        self.known.add(record);
        written
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}

/// Locks a journal. A child process that a killed run was starting can hold its lock for a moment.
fn lock(file: &File) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => thread::sleep(PATIENCE / 20),
            locked => return locked,
        }
    }
}

/// How much of a text consists of complete lines.
struct Whole {
    len: usize,
    /// `true` if the end of the last one is missing.
    is_open: bool,
}

fn parse(text: &[u8], path: &Path) -> Result<(Known, Whole), Error> {
    let mut known = Known::default();
    let mut whole = Whole { len: 0, is_open: false };
    for (number, line) in text.lines_with_terminator().enumerate() {
        let is_open = !line.ends_with(b"\n");
        let value = serde_json::from_slice::<Value>(line).ok().filter(Value::is_object);
        let record = value.map(|value| {
            // A line of another type may come from a later version of this program.
            let is_model = value.get("type").is_some_and(|kind| kind == "model");
            is_model.then(|| serde_json::from_value::<Record>(value)).transpose()
        });
        match record {
            Some(Ok(record)) => record.into_iter().for_each(|record| known.add(record)),
            _ if line.trim().is_empty() && !is_open => {}
            // Truncated by a kill; but the first line of another kind of file must not be removed.
            None if is_open && (number > 0 || line.starts_with(b"{\"type\":\"m") || is_cut_early(line)) => {
                break;
            }
            _ => return Err(Error::NoJournal { path: path.to_owned(), line: number + 1 }),
        }
        whole = Whole { len: whole.len + line.len(), is_open };
    }
    Ok((known, whole))
}

/// Returns `true` if it is a beginning of the first line, too short to show more, or the bytes that a disk returns for
/// lost data.
fn is_cut_early(line: &[u8]) -> bool {
    b"{\"type\":\"m".starts_with(line) || line.iter().all(|byte| *byte == 0)
}

fn line(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Ascii);
    // Writing to memory cannot fail.
    let _infallible = serde::Serialize::serialize(record, &mut serializer);
    out.push(b'\n');
    out
}

/// Compact, with `\u` escapes for everything that is not printable ASCII.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        for char in text.chars() {
            if matches!(char, ' '..='~') {
                write!(out, "{char}")?;
            } else {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ModelStatus;
    use super::*;

    fn record(model: &str, status: ModelStatus) -> Record {
        let url = format!("https://h/{model}");
        Record {
            model: model.to_owned(),
            url,
            status,
            reason: Some("\u{9b}2J ñ 👩".to_owned()),
            ..Record::default()
        }
    }

    fn item(model: &str) -> Item {
        super::super::list::parse(model.as_bytes(), Path::new("/"), "https://h").remove(0)
    }

    fn status(known: &Known, model: &str) -> Option<ModelStatus> {
        known.of(&item(model)).map(|record| record.status)
    }

    #[test]
    fn what_is_written_is_read_again_and_the_last_line_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/journal.jsonl");
        let mut journal = BatchJournal::open(&path).unwrap();
        journal.append(record("acme/a", ModelStatus::Failed)).unwrap();
        journal.append(record("acme/b", ModelStatus::Converted)).unwrap();
        journal.append(record("acme/a", ModelStatus::Converted)).unwrap();
        assert!(matches!(BatchJournal::open(&path), Err(Error::BatchRunning { .. })));
        drop(journal);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.is_ascii() && text.lines().count() == 3 && text.contains("\\u009b2J"), "{text}");
        let journal = BatchJournal::open(&path).unwrap();
        assert_eq!(status(&journal.known, "acme/a"), Some(ModelStatus::Converted));
        assert_eq!(journal.known.of(&item("acme/b")), Some(&record("acme/b", ModelStatus::Converted)));
        assert_eq!(status(&journal.known, "acme/c"), None);
    }

    #[test]
    fn cut_anywhere_it_loses_the_last_line_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = BatchJournal::open(&path).unwrap();
        journal.append(record("acme/a", ModelStatus::Converted)).unwrap();
        let first = usize::try_from(journal.len).unwrap();
        journal.append(record("acme/b", ModelStatus::Converted)).unwrap();
        drop(journal);
        let text = fs::read(&path).unwrap();
        for len in 0..text.len() {
            fs::write(&path, &text[..len]).unwrap();
            let mut journal = BatchJournal::open(&path).unwrap();
            // A line whose only missing byte is its line end counts.
            assert_eq!(status(&journal.known, "acme/a").is_some(), len + 1 >= first, "{len}");
            assert_eq!(status(&journal.known, "acme/b").is_some(), len + 1 >= text.len(), "{len}");
            journal.append(record("acme/c", ModelStatus::Converted)).unwrap();
            drop(journal);
            let journal = BatchJournal::open(&path).unwrap();
            assert!(journal.torn == 0 && status(&journal.known, "acme/c").is_some(), "{len}");
            assert_eq!(status(&journal.known, "acme/a").is_some(), len + 1 >= first, "{len}");
        }
        // After a crash, a file system may have zeros in place of lost data.
        fs::write(&path, [&text[..first], &[0; 40]].concat()).unwrap();
        assert_eq!(BatchJournal::open(&path).unwrap().torn, 40);
    }

    #[test]
    fn what_is_no_journal_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("models.txt");
        for (text, line) in [
            ("acme/a\nacme/b\n", 1),
            ("acme/a", 1),
            ("{\"type\":\"model\"}\n", 1),
            ("{\"type\":\"note\"}\n\nnot\n", 3),
            ("[1]\n", 1),
        ] {
            fs::write(&path, text).unwrap();
            let Err(Error::NoJournal { line: found, .. }) = BatchJournal::open(&path) else {
                panic!("{text}")
            };
            assert_eq!((found, fs::read_to_string(&path).unwrap()), (line, text.to_owned()));
        }
        fs::write(&path, "{\"type\":\"note\"}\n").unwrap();
        assert!(BatchJournal::open(&path).is_ok());
        assert!(Known::read(&dir.path().join("none")).unwrap().0.is_empty());
    }
}
