//! Power loss: chooses one of the disks that could be found afterwards.
//!
//! ```text
//!   file   │ synced │ not synced                │
//!          ├────────┼───────┬───────┬───────────┤
//!   found  │ kept   │ kept  │ zeros │ kept ... cut at a sector or at an append's end
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::disk::{Disk, File, FileId, Node, SECTOR_BYTES, apply, is_root};
use super::random::Random;

/// The disk after power loss. All of it is durable.
pub(super) fn image(disk: &Disk, seed: u64) -> Disk {
    let mut random = Random::new(seed);
    let mut found = Disk { capacity_bytes: disk.capacity_bytes, ..Disk::default() };
    let mut moved: BTreeMap<FileId, FileId> = BTreeMap::new();
    for (path, node) in names(disk, &mut random) {
        let node = match node {
            Node::Dir => Node::Dir,
            Node::File(file) => Node::File(*moved.entry(file).or_insert_with(|| {
                found.files.push(File::durable(bytes(disk, &disk.files[file], &mut random)));
                found.files.len() - 1
            })),
        };
        found.live.insert(path, node);
    }
    found.durable = found.live.clone();
    found
}

/// The names found: the durable ones, changed by none, all or some of what was pending.
fn names(disk: &Disk, random: &mut Random) -> BTreeMap<PathBuf, Node> {
    let mut names = disk.durable.clone();
    let luck = random.below(4);
    for change in &disk.pending {
        let kept = match luck {
            0 => false,
            1 => true,
            _ => random.one_in(2),
        };
        if kept {
            apply(&mut names, &change.edits);
        }
    }
    drop_orphans(&mut names);
    names
}

/// What is in a directory that was not found is not found either.
fn drop_orphans(names: &mut BTreeMap<PathBuf, Node>) {
    let mut kept: BTreeMap<PathBuf, Node> = BTreeMap::new();
    for (path, node) in std::mem::take(names) {
        let parent = path.parent().unwrap_or(&path);
        if is_root(parent) || kept.get(parent) == Some(&Node::Dir) {
            kept.insert(path, node);
        }
    }
    *names = kept;
}

/// The bytes found of one file.
fn bytes(disk: &Disk, file: &File, random: &mut Random) -> Vec<u8> {
    if let Some(before) = &file.before_truncate
        && random.one_in(2)
    {
        return before.to_vec();
    }
    let mut found = match random.below(4) {
        0 => file.live[..file.synced].to_vec(),
        1 => file.live.to_vec(),
        2 => file.live[..cut(file, random)].to_vec(),
        _ => {
            let mut torn = file.live[..cut(file, random)].to_vec();
            scramble(disk, &mut torn, file.synced, random);
            torn
        }
    };
    for range in &file.lost {
        for (start, end) in sectors(range.start, range.end.min(found.len())) {
            if random.one_in(2) {
                found[start..end].fill(0);
            }
        }
    }
    found
}

/// A length between what is synced and what was written, at a sector or at the end of an append.
fn cut(file: &File, random: &mut Random) -> usize {
    let mut ends: Vec<usize> = sectors(file.synced, file.live.len()).map(|(_, end)| end).collect();
    ends.extend(file.append_ends.iter().filter(|end| **end > file.synced));
    ends.push(file.synced);
    *random.pick(&ends)
}

/// Keeps each sector after `synced`, or leaves zeros, or what another file once had there.
fn scramble(disk: &Disk, bytes: &mut [u8], synced: usize, random: &mut Random) {
    for (start, end) in sectors(synced, bytes.len()) {
        let shares_synced_sector = !start.is_multiple_of(SECTOR_BYTES);
        match random.below(5) {
            0 | 1 => {}
            2 if !shares_synced_sector => (start..end).for_each(|at| bytes[at] = random.bits() as u8),
            3 if !shares_synced_sector => stale(disk, &mut bytes[start..end], random),
            _ => bytes[start..end].fill(0),
        }
    }
}

/// Fills a sector with one that was written earlier, of any file, removed ones too.
fn stale(disk: &Disk, sector: &mut [u8], random: &mut Random) {
    let old = &disk.files[random.below(disk.files.len())].live;
    let start = random.below(old.len().div_ceil(SECTOR_BYTES)) * SECTOR_BYTES;
    for (at, byte) in sector.iter_mut().enumerate() {
        *byte = old.get(start + at).copied().unwrap_or(0);
    }
}

/// The pieces of `start..end` between sector boundaries.
fn sectors(start: usize, end: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = start;
    std::iter::from_fn(move || {
        let piece = (at, ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end));
        at = piece.1;
        (piece.0 < end).then_some(piece)
    })
}
