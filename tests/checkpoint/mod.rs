//! Builds checkpoints byte by byte, so that every field can be wrong.
//!
//! [`pickle`] builds fragments of pickles, [`archive`] zip archives, and this file puts them together as torch does.
//! The result is what torch 1.x writes, unless a test changes it; `attacks::benign` reads it back.

pub(crate) mod archive;
pub(crate) mod pickle;
pub(crate) mod script;
pub(crate) mod tar;

use archive::Record;

/// Returns the bytes of `count` float32 elements.
pub(crate) fn floats(count: u16) -> Vec<u8> {
    (0..count).flat_map(|number| f32::from(number).to_le_bytes()).collect()
}

/// Returns the records of a zip checkpoint: its pickle, and a record for each storage.
pub(crate) fn records(object: &[u8], storages: &[(&str, &[u8])]) -> Vec<Record> {
    let mut records = vec![Record::stored("archive/data.pkl", &pickle::whole(object))];
    let named = storages.iter().map(|(key, bytes)| Record::stored(&format!("archive/data/{key}"), bytes));
    records.extend(named);
    records.push(Record::stored("archive/version", b"3\n"));
    records
}

/// Returns a zip checkpoint.
pub(crate) fn zip(object: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    archive::write(&records(object, storages))
}

/// Returns a zip checkpoint of one value, which can use one storage `0` of 4 floats.
pub(crate) fn zip_of(object: &[u8]) -> Vec<u8> {
    zip(object, &[("0", &floats(4))])
}

/// Returns the first three pickles of a legacy PyTorch file.
pub(crate) fn preamble() -> Vec<u8> {
    let sizes = pickle::dict(&[
        (pickle::text("short"), pickle::int(2)),
        (pickle::text("int"), pickle::int(4)),
        (pickle::text("long"), pickle::int(4)),
    ]);
    let info = pickle::dict(&[
        (pickle::text("protocol_version"), pickle::int(1001)),
        (pickle::text("little_endian"), vec![0x88]),
        (pickle::text("type_sizes"), sizes),
    ]);
    [MAGIC.to_vec(), pickle::whole(&pickle::int(1001)), pickle::whole(&info)].concat()
}

/// The pickle of the magic number.
pub(crate) const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Returns the list of storage keys, and the storages with their numbers of elements.
pub(crate) fn legacy_storages(storages: &[(&str, i64, &[u8])]) -> Vec<u8> {
    let keys: Vec<_> = storages.iter().map(|(key, ..)| pickle::text(key)).collect();
    let mut bytes = pickle::whole(&pickle::list(&keys));
    for (_, count, elements) in storages {
        bytes.extend(count.to_le_bytes());
        bytes.extend(*elements);
    }
    bytes
}

/// Returns a legacy checkpoint.
pub(crate) fn legacy(object: &[u8], storages: &[(&str, i64, &[u8])]) -> Vec<u8> {
    [preamble(), pickle::whole(object), legacy_storages(storages)].concat()
}
