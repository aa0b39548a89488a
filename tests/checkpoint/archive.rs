//! Builds zip archives whose headers have any given values.
//!
//! Source: APPNOTE 6.3, 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 4.3.16 (end records).

use std::io::{Cursor, Read as _, Write as _};

/// The fields that the local header and the directory share.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) crc: u32,
    pub(crate) compressed: u32,
    pub(crate) size: u32,
    pub(crate) extra: Vec<u8>,
}

/// One record: two headers that should agree, and the bytes between them.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) local: Header,
    pub(crate) directory: Header,
    pub(crate) data: Vec<u8>,
    /// The position of the record in the directory, if it is wrong.
    pub(crate) at: Option<u32>,
}

impl Record {
    fn new(name: &str, method: u16, bytes: &[u8], data: Vec<u8>) -> Self {
        let header = Header {
            name: name.as_bytes().to_vec(),
            flags: 0x800,
            method,
            crc: crc32fast::hash(bytes),
            compressed: u32::try_from(data.len()).unwrap(),
            size: u32::try_from(bytes.len()).unwrap(),
            extra: Vec::new(),
        };
        Self { local: header.clone(), directory: header, data, at: None }
    }

    pub(crate) fn stored(name: &str, bytes: &[u8]) -> Self {
        Self::new(name, 0, bytes, bytes.to_vec())
    }

    pub(crate) fn deflated(name: &str, bytes: &[u8]) -> Self {
        Self::new(name, 8, bytes, deflate(bytes))
    }

    /// Changes a field of both headers.
    pub(crate) fn both(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        change(&mut self.directory);
        self
    }

    /// Changes a field only in the local header.
    pub(crate) fn in_local(mut self, change: impl FnOnce(&mut Header)) -> Self {
        change(&mut self.local);
        self
    }

    /// Changes a field only in the directory.
    pub(crate) fn in_directory(mut self, change: impl FnOnce(&mut Header)) -> Self {
        change(&mut self.directory);
        self
    }
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    writer.start_file("x", options).unwrap();
    writer.write_all(bytes).unwrap();
    let mut archive = zip::ZipArchive::new(writer.finish().unwrap()).unwrap();
    let mut deflated = Vec::new();
    archive.by_index_raw(0).unwrap().read_to_end(&mut deflated).unwrap();
    deflated
}

/// Returns the common fields of both headers.
fn fields(header: &Header) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [20, header.flags, header.method, 0, 0x21] {
        bytes.extend(number.to_le_bytes());
    }
    for number in [header.crc, header.compressed, header.size] {
        bytes.extend(number.to_le_bytes());
    }
    for len in [header.name.len(), header.extra.len()] {
        bytes.extend(u16::try_from(len).unwrap().to_le_bytes());
    }
    bytes
}

/// The parts of an archive.
pub(crate) struct Parts {
    /// The records and the directory.
    pub(crate) body: Vec<u8>,
    /// The position of the directory.
    pub(crate) directory: u32,
    /// The number of records in the directory.
    pub(crate) count: u16,
}

/// Writes records and directory, without the end record. The first record is at `base`.
pub(crate) fn parts(records: &[Record], base: usize) -> Parts {
    let mut body = Vec::new();
    let mut places = Vec::new();
    for record in records {
        places.push(record.at.unwrap_or_else(|| u32::try_from(base + body.len()).unwrap()));
        body.extend(b"PK\x03\x04");
        body.extend(fields(&record.local));
        body.extend(&record.local.name);
        body.extend(&record.local.extra);
        body.extend(&record.data);
    }
    let directory = u32::try_from(base + body.len()).unwrap();
    for (record, at) in records.iter().zip(places) {
        body.extend(b"PK\x01\x02\x14\x03");
        body.extend(fields(&record.directory));
        body.extend([0; 10]);
        body.extend(at.to_le_bytes());
        body.extend(&record.directory.name);
        body.extend(&record.directory.extra);
    }
    Parts { body, directory, count: u16::try_from(records.len()).unwrap() }
}

/// Returns the end record of these parts, with a comment.
pub(crate) fn end(parts: &Parts, base: usize, comment: &[u8]) -> Vec<u8> {
    let len = u32::try_from(base + parts.body.len()).unwrap() - parts.directory;
    let mut bytes = b"PK\x05\x06\0\0\0\0".to_vec();
    bytes.extend(parts.count.to_le_bytes());
    bytes.extend(parts.count.to_le_bytes());
    bytes.extend(len.to_le_bytes());
    bytes.extend(parts.directory.to_le_bytes());
    bytes.extend(u16::try_from(comment.len()).unwrap().to_le_bytes());
    bytes.extend(comment);
    bytes
}

/// Returns the zip64 end record and its locator, for a directory at `directory` with `len` bytes and `count` records.
pub(crate) fn end64(at: usize, directory: u64, len: u64, count: u64) -> Vec<u8> {
    let mut bytes = b"PK\x06\x06".to_vec();
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [count, count, len, directory] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(u64::try_from(at).unwrap().to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes
}

/// Writes a complete archive.
pub(crate) fn write(records: &[Record]) -> Vec<u8> {
    let parts = parts(records, 0);
    let end = end(&parts, 0, b"");
    [parts.body, end].concat()
}
