//! Series files: the tags of a range of series ids of one table, written once by the flush that first needs them.
//!
//! The body of the frame is packed and holds: first id, number of series, the distinct values of each tag, then for each
//! series the number of its tags and for each tag its position in the schema and the number of its text. All are varints.

use std::path::Path;

use hashbrown::HashMap;

use super::dictionary::Code;
use super::{TagIndex, TagPosition};
use crate::bytes::{Cursor, Short, put_text, put_varint};
use crate::env::{FileBytes, FileSystem};
use crate::manifest::SeriesFileEntry;
use crate::model::SeriesId;
use crate::pack::{pack, unpack};
use crate::table::COLUMNS_MAX;
use crate::{Error, Result, frame};

/// First bytes of a series file.
pub(crate) const SERIES_MAGIC: &[u8; 8] = b"PLIMSSER";

/// Version of series files that this program writes.
pub(crate) const SERIES_VERSION: u32 = 1;

/// Series files are written seldom and kept long.
const ZSTD_LEVEL: i32 = 6;

/// The bytes of a file with the series from `first` up to `end` (exclusive).
pub(crate) fn encode(index: &TagIndex, first: u32, end: u32) -> Vec<u8> {
    let mut texts: HashMap<(TagPosition, Code), u64> = HashMap::new();
    let mut listed = Vec::new();
    let mut series = Vec::new();
    let mut tags = Vec::new();
    for id in first..end {
        tags.clear();
        tags.extend(index.series.tags(SeriesId(id)));
        put_varint(&mut series, tags.len() as u64);
        for (position, value) in tags.iter().copied() {
            let next = texts.len() as u64;
            let code = *texts.entry((position, value)).or_insert_with(|| {
                listed.push(index.text(position, value));
                next
            });
            put_varint(&mut series, u64::from(position));
            put_varint(&mut series, code);
        }
    }
    let mut body = Vec::new();
    put_varint(&mut body, u64::from(first));
    put_varint(&mut body, u64::from(end - first));
    put_varint(&mut body, listed.len() as u64);
    for text in listed {
        put_text(&mut body, text);
    }
    body.extend_from_slice(&series);
    frame::encode(SERIES_MAGIC, SERIES_VERSION, &pack(&body, ZSTD_LEVEL))
}

/// The bytes of the file that a manifest entry names, and of no other.
pub(crate) fn read(fs: &dyn FileSystem, path: &Path, entry: &SeriesFileEntry) -> Result<FileBytes> {
    let file = fs.read(path).map_err(|e| Error::io("read", path, e))?;
    if crc32fast::hash(&file) != entry.checksum {
        return Err(Error::corrupt(path, 0, "checksum mismatch"));
    }
    Ok(file)
}

/// Adds the series of a file to an index that holds exactly the series before them.
pub(crate) fn load(path: &Path, file: &[u8], index: &mut TagIndex) -> Result<()> {
    let packed = frame::decode(path, file, SERIES_MAGIC, SERIES_VERSION)?;
    let at_body = |what: &str| Error::corrupt(path, frame::FRAME_HEADER_BYTES as u64, what);
    let body = unpack(packed).map_err(|Short| at_body("cannot be unpacked"))?;
    match add_series(&body, index) {
        Ok(true) => Ok(()),
        Ok(false) => Err(at_body("series ids do not follow those before")),
        Err(Short) => Err(at_body("malformed series list")),
    }
}

fn add_series(body: &[u8], index: &mut TagIndex) -> Result<bool, Short> {
    let mut cursor = Cursor::new(body);
    let first = cursor.varint()?;
    let count = cursor.count(0)?;
    if first != u64::from(index.len()) {
        return Ok(false);
    }
    let listed = cursor.count(1)?;
    let mut texts = Texts { texts: (0..listed).map(|_| cursor.text()).collect::<Result<_, _>>()?, codes: Vec::new() };
    let mut tags: Vec<(TagPosition, Code)> = Vec::new();
    for nth in 0..count {
        tags.clear();
        for _ in 0..cursor.count(2)? {
            let position = u32::try_from(cursor.varint()?).map_err(|_| Short)?;
            let number = usize::try_from(cursor.varint()?).map_err(|_| Short)?;
            let is_in_order = tags.last().is_none_or(|(before, _)| *before < position);
            if position as usize >= COLUMNS_MAX || !is_in_order {
                return Err(Short);
            }
            tags.push((position, texts.code(position, number, index).ok_or(Short)?));
        }
        if u64::from(index.find_or_add_codes(&tags).0) != first + nth as u64 {
            return Ok(false);
        }
    }
    Ok(cursor.remaining() == 0)
}

/// The texts of a file, and the codes that the index has for them.
struct Texts<'a> {
    texts: Vec<&'a str>,
    /// By tag, then by number of the text; looked up when it is first met, so that a series costs no look-up of its texts.
    codes: Vec<Vec<Option<Code>>>,
}

impl Texts<'_> {
    fn code(&mut self, tag: TagPosition, number: usize, index: &mut TagIndex) -> Option<Code> {
        let text = self.texts.get(number)?;
        if tag as usize >= self.codes.len() {
            self.codes.resize(tag as usize + 1, Vec::new());
        }
        let codes = &mut self.codes[tag as usize];
        if codes.is_empty() {
            codes.resize(self.texts.len(), None);
        }
        Some(*codes[number].get_or_insert_with(|| index.postings_mut(tag).values.intern(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> TagIndex {
        let mut index = TagIndex::default();
        index.find_or_add(&[(1, "a"), (3, "eu")]);
        index.find_or_add(&[(1, "b"), (3, "eu")]);
        index.find_or_add(&[]);
        index
    }

    #[test]
    fn series_come_back_with_their_ids() {
        let index = sample();
        let mut loaded = TagIndex::default();
        load(Path::new("x.ser"), &encode(&index, 0, 2), &mut loaded).unwrap();
        load(Path::new("y.ser"), &encode(&index, 2, 3), &mut loaded).unwrap();
        assert_eq!(loaded.len(), 3);
        assert_eq!(loaded.find(&[(1, "b"), (3, "eu")]), Some(SeriesId(1)));
        assert_eq!(loaded.find(&[]), Some(SeriesId(2)));
        assert_eq!(loaded.tag_of(SeriesId(0), 3), Some("eu"));
    }

    #[test]
    fn a_missing_file_before_is_noticed() {
        let file = encode(&sample(), 1, 3);
        let error = load(Path::new("y.ser"), &file, &mut TagIndex::default()).unwrap_err();
        assert_eq!(error.to_string(), "y.ser: series ids do not follow those before at 24");
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let file = encode(&sample(), 0, 3);
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            load(Path::new("x.ser"), &damaged, &mut TagIndex::default()).unwrap_err();
        }
    }
}
