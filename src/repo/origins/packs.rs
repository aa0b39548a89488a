//! [`Packs`] reads trees from packs, where each is stored as a delta of another, in chains of fifty.
//!
//! ```text
//! tree ─▶ its base ─▶ its base … a tree that is not a delta, or is known   only headers are read
//! and back: each is made from the one before, and kept   the next tree of a history is one of them, or one step away
//! ```
//!
//! Invariant: it only reads; a tree that is in no pack, or cannot be read, is `None`.

use std::collections::HashMap;

use gix::objs::Kind;
use gix::odb::pack::Bundle;
use gix::odb::pack::cache::DecodeEntry;
use gix::odb::pack::data::decode::entry::ResolvedBase;
use gix::odb::pack::data::entry::Header;

use crate::repo::ObjectId;

/// How many bytes of trees are kept in memory.
const HELD: usize = 32 << 20;
/// The longest chain that is followed; git's have at most 4,095 deltas.
const MAX_CHAIN: usize = 10_000;

/// The packs of a repository and of its alternates.
pub(super) struct Packs {
    packs: Vec<Bundle>,
    bases: Bases,
}

impl Packs {
    pub(super) fn of(repo: &gix::Repository) -> Self {
        let store = repo.objects.store_ref();
        let mut dirs = vec![store.path().to_owned()];
        dirs.extend(store.alternate_db_paths().unwrap_or_default());
        let files =
            dirs.iter().filter_map(|dir| std::fs::read_dir(dir.join("pack")).ok()).flatten().flatten();
        let indices =
            files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "idx"));
        let packs = indices.filter_map(|path| Bundle::at(path, repo.object_hash()).ok()).collect();
        Self { packs, bases: Bases::default() }
    }

    /// Returns the bytes of a tree.
    #[expect(clippy::default_trait_access, reason = "what inflates has no name outside of gix")]
    pub(super) fn tree(&mut self, id: ObjectId) -> Option<Vec<u8>> {
        let (at, entry) =
            self.packs.iter().enumerate().find_map(|(at, pack)| Some((at, pack.index.lookup(id)?)))?;
        // The next tree is usually in the same pack.
        self.packs.swap(0, at);
        let Self { packs, bases } = self;
        let Bundle { pack, index } = packs.first()?;
        let mut offset = index.pack_offset_at_index(entry);
        let mut chain = Vec::new();
        while chain.len() < MAX_CHAIN {
            let entry = pack.entry(offset).ok()?;
            let (header, is_known) = (entry.header, bases.held.contains_key(&(pack.id, entry.data_offset)));
            let base = match header {
                Header::OfsDelta { base_distance } => entry.checked_base_pack_offset(base_distance),
                Header::RefDelta { base_id } => {
                    index.lookup(base_id).map(|at| index.pack_offset_at_index(at))
                }
                _ => None,
            };
            chain.push(entry);
            match base.filter(|_| !is_known) {
                Some(base) => offset = base,
                None => break,
            }
        }
        let resolve = |id: &gix::oid, _: &mut Vec<u8>| {
            let entry = index.lookup(id).map(|at| pack.entry(index.pack_offset_at_index(at))).transpose()?;
            Ok(entry.map(ResolvedBase::InPack))
        };
        let (mut tree, mut inflate) = (Vec::new(), Default::default());
        for entry in chain.into_iter().rev() {
            let (is_whole, offset) = (!entry.header.is_delta(), entry.data_offset);
            let done = pack.decode_entry(entry, &mut tree, &mut inflate, &resolve, bases).ok()?;
            if done.kind != Kind::Tree {
                return None;
            }
            if is_whole {
                bases.put(pack.id, offset, &tree, done.kind, done.compressed_size);
            }
        }
        Some(tree)
    }
}

/// The bases of deltas: the trees of one commit differ from those of another in a few bytes.
#[derive(Default)]
struct Bases {
    held: HashMap<(u32, u64), (Kind, usize, Vec<u8>)>,
    size: usize,
}

impl DecodeEntry for Bases {
    fn put(&mut self, pack_id: u32, offset: u64, data: &[u8], kind: Kind, compressed_size: usize) {
        if self.size > HELD {
            self.held.clear();
            self.size = 0;
        }
        self.size += data.len();
        self.held.insert((pack_id, offset), (kind, compressed_size, data.to_owned()));
    }

    fn get(&mut self, pack_id: u32, offset: u64, out: &mut Vec<u8>) -> Option<(Kind, usize)> {
        let (kind, compressed_size, data) = self.held.get(&(pack_id, offset))?;
        out.clear();
        out.extend_from_slice(data);
        Some((*kind, *compressed_size))
    }
}
