//! Builds the tar archive of torch 0.1, field by field.

use super::pickle;

/// A header, and the data after it.
pub(crate) struct Member {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) size: Vec<u8>,
    pub(crate) magic: Vec<u8>,
    pub(crate) prefix: Vec<u8>,
    /// The number that is added to the correct checksum.
    pub(crate) off: u64,
    pub(crate) data: Vec<u8>,
}

impl Member {
    pub(crate) fn new(name: &str, data: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            kind: b'0',
            size: format!("{:011o}", data.len()).into_bytes(),
            magic: b"ustar\x0000".to_vec(),
            prefix: Vec::new(),
            off: 0,
            data: data.to_vec(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut block = vec![0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name);
        put(100, b"0000644\0");
        put(124, &self.size);
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[self.kind]);
        put(257, &self.magic);
        put(345, &self.prefix);
        let sum = block.iter().map(|&byte| u64::from(byte)).sum::<u64>() + self.off;
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block.extend(&self.data);
        block.resize(block.len().next_multiple_of(512), 0);
        block
    }
}

/// Returns an archive of these members, with its end.
pub(crate) fn archive(members: &[Member]) -> Vec<u8> {
    let mut bytes: Vec<u8> = members.iter().flat_map(Member::bytes).collect();
    bytes.resize((bytes.len() + 1024).next_multiple_of(10_240), 0);
    bytes
}

/// Returns `(key, location, class)`, the number of elements, and the elements.
pub(crate) fn storage(key: i128, class: &str, count: i64, elements: &[u8]) -> Vec<u8> {
    let head = [pickle::int(key), pickle::text("cpu"), pickle::global("torch", class)];
    [pickle::whole(&pickle::tuple(&head)), count.to_le_bytes().to_vec(), elements.to_vec()].concat()
}

/// Returns `(key, storage, class)`, dimensions, sizes, strides and offset.
pub(crate) fn tensor(key: i128, storage: i128, class: &str, numbers: (&[i64], &[i64], i64)) -> Vec<u8> {
    let (shape, strides, offset) = numbers;
    let head = [pickle::int(key), pickle::int(storage), pickle::global("torch", class)];
    let mut bytes = pickle::whole(&pickle::tuple(&head));
    bytes.extend(u64::try_from(shape.len()).unwrap().to_le_bytes());
    bytes.extend(shape.iter().chain(strides).chain([&offset]).flat_map(|number| number.to_le_bytes()));
    bytes
}

/// Returns the member `storages`.
pub(crate) fn storages(storages: &[Vec<u8>], views: &[Vec<u8>]) -> Vec<u8> {
    let count = pickle::whole(&pickle::int(i128::try_from(storages.len()).unwrap()));
    [count, storages.concat(), pickle::whole(&pickle::list(views))].concat()
}

/// Returns the member `tensors`.
pub(crate) fn tensors(tensors: &[Vec<u8>]) -> Vec<u8> {
    let count = pickle::whole(&pickle::int(i128::try_from(tensors.len()).unwrap()));
    [count, tensors.concat()].concat()
}

/// Returns the persistent id of a tensor.
pub(crate) fn number(number: &str) -> Vec<u8> {
    [pickle::text(number), b"Q".to_vec()].concat()
}

/// Returns the three members that are read.
pub(crate) fn members(storages: &[u8], tensors: &[u8], object: &[u8]) -> [Member; 3] {
    [
        Member::new("storages", storages),
        Member::new("tensors", tensors),
        Member::new("pickle", &pickle::whole(object)),
    ]
}
