//! Builds fragments of pickles: each function returns the opcodes that leave one value on the stack.

/// Returns a complete pickle of protocol 2 with this value.
pub(crate) fn whole(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

/// Returns a text, as `BINUNICODE`.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap();
    [b"X", len.to_le_bytes().as_slice(), text.as_bytes()].concat()
}

/// Returns an integer: `BININT` if it fits, else `LONG1`.
pub(crate) fn int(number: i128) -> Vec<u8> {
    match i32::try_from(number) {
        Ok(small) => [b"J".as_slice(), &small.to_le_bytes()].concat(),
        Err(_) => [b"\x8a\x10".as_slice(), &number.to_le_bytes()].concat(),
    }
}

pub(crate) fn none() -> Vec<u8> {
    b"N".to_vec()
}

/// Returns a class or function, as `GLOBAL`.
pub(crate) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

fn marked(items: &[Vec<u8>], end: u8) -> Vec<u8> {
    [b"(".as_slice(), &items.concat(), &[end]].concat()
}

pub(crate) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
    marked(items, b't')
}

pub(crate) fn list(items: &[Vec<u8>]) -> Vec<u8> {
    marked(items, b'l')
}

/// Returns a dict, in which keys can occur twice.
pub(crate) fn dict(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<_> = pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect();
    marked(&items, b'd')
}

/// Returns a dict of text keys.
pub(crate) fn named(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    dict(&pairs.iter().map(|(key, value)| (text(key), value.clone())).collect::<Vec<_>>())
}

/// Returns `callable(*args)`.
pub(crate) fn call(callable: &[u8], args: &[Vec<u8>]) -> Vec<u8> {
    [callable, &tuple(args), b"R"].concat()
}

/// Returns `BUILD` of a state on a value.
pub(crate) fn built(value: &[u8], state: &[u8]) -> Vec<u8> {
    [value, state, b"b"].concat()
}

/// Returns a persistent id.
pub(crate) fn persistent(items: &[Vec<u8>]) -> Vec<u8> {
    [tuple(items), b"Q".to_vec()].concat()
}

/// Returns the persistent id of a storage of `torch`.
pub(crate) fn storage(class: &str, key: &str, numel: i128) -> Vec<u8> {
    persistent(&[text("storage"), global("torch", class), text(key), text("cpu"), int(numel)])
}

/// Returns `_rebuild_tensor_v2(storage, offset, size, stride, False, OrderedDict())`.
pub(crate) fn tensor(storage: &[u8], offset: i128, size: &[i128], stride: &[i128]) -> Vec<u8> {
    let numbers = |numbers: &[i128]| tuple(&numbers.iter().map(|&number| int(number)).collect::<Vec<_>>());
    let hooks = call(&global("collections", "OrderedDict"), &[]);
    let args = [storage.to_vec(), int(offset), numbers(size), numbers(stride), vec![0x89], hooks];
    call(&global("torch._utils", "_rebuild_tensor_v2"), &args)
}

/// Returns a tensor of 4 floats, all of storage `0`.
pub(crate) fn four() -> Vec<u8> {
    tensor(&storage("FloatStorage", "0", 4), 0, &[4], &[1])
}

/// Returns a tensor of all bytes of a storage of bytes.
pub(crate) fn storage_of_bytes(key: &str, len: usize) -> Vec<u8> {
    let len = i128::try_from(len).unwrap();
    tensor(&storage("ByteStorage", key, len), 0, &[len], &[1])
}

/// Returns a value that is put into the memo at 0 and popped again.
pub(crate) fn kept(value: &[u8]) -> Vec<u8> {
    [value, b"q\x000"].concat()
}

/// Returns a tower on a value: each level is a pair of the level below, twice. That is 2^levels values in 10 bytes per
/// level.
pub(crate) fn tower(bottom: &[u8], levels: u8) -> Vec<u8> {
    let floors = (0..levels).flat_map(|level| [b'h', level, b'h', level, 0x86, b'q', level + 1, b'0']);
    [kept(bottom), floors.collect(), vec![b'h', levels]].concat()
}
