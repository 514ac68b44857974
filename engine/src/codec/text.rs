//! Texts in memory, the chooser for them, and joined: lengths, then all bytes, as they are or through zstd.

use super::dictionary::{self, Dictionary};
use super::{Compression, Encoding, Malformed, bits, constant};
use crate::bytes::{Cursor, put_varint};

/// Most bytes that one zstd frame holds: bounds what a decoder allocates.
const ZSTD_BYTES_MAX: usize = 16 << 20;
/// Fewer bytes are not worth a frame.
const ZSTD_TRIED_BYTES: usize = 128;

const BYTES_PLAIN: u8 = 0;
const BYTES_ZSTD: u8 = 1;

/// Texts as stretches of shared bytes.
///
/// Invariants
/// - `bytes` is valid UTF-8, and each span begins and ends between characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    bytes: String,
    spans: Vec<(u32, u32)>,
}

impl Texts {
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Bytes that hold all texts; several may share the same ones.
    pub(crate) fn shared_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn push(&mut self, text: &str) {
        let start = self.bytes.len();
        self.bytes.push_str(text);
        let offset = |o: usize| u32::try_from(o).expect("the texts of one vector stay below 4 GiB");
        self.spans.push((offset(start), offset(start + text.len())));
    }

    pub(crate) fn get(&self, nth: usize) -> &str {
        let (start, end) = self.spans[nth];
        &self.bytes[start as usize..end as usize]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|nth| self.get(nth))
    }

    /// The shared bytes and the stretches of them.
    pub(crate) fn parts(&self) -> (&str, &[(u32, u32)]) {
        (&self.bytes, &self.spans)
    }

    /// One text per flag: the next one where it is set, an empty one where it is not.
    pub(crate) fn spread(self, flags: &[bool]) -> Texts {
        let mut spans = self.spans.iter().copied();
        let spans = flags.iter().map(|&flag| if flag { spans.next().unwrap_or_default() } else { (0, 0) }).collect();
        Texts { bytes: self.bytes, spans }
    }

    /// Texts that lie one after the other in `bytes` and fill it.
    pub(super) fn split(bytes: String, lengths: &[u32]) -> Result<Texts, Malformed> {
        let mut spans = Vec::with_capacity(lengths.len());
        let mut end = 0_u32;
        for &length in lengths {
            let start = end;
            end = start.checked_add(length).ok_or(Malformed("texts are longer than 4 GiB"))?;
            if !bytes.is_char_boundary(end as usize) {
                return Err(Malformed("text ends within a character"));
            }
            spans.push((start, end));
        }
        if end as usize != bytes.len() {
            return Err(Malformed("texts have another length"));
        }
        Ok(Texts { bytes, spans })
    }

    /// The texts at these positions, of which bytes are shared.
    pub(super) fn pick(self, positions: &[i64]) -> Result<Texts, Malformed> {
        let span = |&p: &i64| usize::try_from(p).ok().and_then(|p| self.spans.get(p)).copied();
        let span = |p| span(p).ok_or(Malformed("code is not in the dictionary"));
        let spans = positions.iter().map(span).collect::<Result<_, _>>()?;
        Ok(Texts { bytes: self.bytes, spans })
    }
}

pub(super) fn put(texts: &Texts, compression: Compression, out: &mut Vec<u8>) {
    let level = match compression {
        Compression::Hot => 1,
        Compression::Cold => 12,
    };
    if let Some(text) = only(texts) {
        out.push(Encoding::Constant as u8);
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let lengths = Lengths::of(texts.iter());
    let mut bytes = Vec::new();
    put_bytes(&texts.iter().collect::<String>(), level, &mut bytes);
    match Dictionary::of(texts, level).filter(|d| d.size() < lengths.size() + bytes.len()) {
        Some(dictionary) => {
            out.push(Encoding::Dictionary as u8);
            dictionary.put(out);
        }
        None => {
            out.push(Encoding::Joined as u8);
            lengths.put(out);
            out.extend_from_slice(&bytes);
        }
    }
}

/// The text that all of them are; `None` for no texts.
fn only(texts: &Texts) -> Option<&str> {
    constant::of(&texts.iter().collect::<Vec<_>>(), |text| text)
}

/// Appends the bytes of texts: as they are, or as a zstd frame where that is smaller.
pub(super) fn put_bytes(text: &str, zstd_level: i32, out: &mut Vec<u8>) {
    let frame = match text.len() {
        ZSTD_TRIED_BYTES..=ZSTD_BYTES_MAX => zstd::bulk::compress(text.as_bytes(), zstd_level).ok(),
        _ => None,
    };
    match frame.filter(|frame| frame.len() + 4 < text.len()) {
        Some(frame) => {
            out.push(BYTES_ZSTD);
            put_varint(out, frame.len() as u64);
            out.extend_from_slice(&frame);
        }
        None => {
            out.push(BYTES_PLAIN);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// The text of `total` bytes.
pub(super) fn take_bytes(cursor: &mut Cursor<'_>, total: usize) -> Result<String, Malformed> {
    match cursor.u8()? {
        BYTES_PLAIN => utf8(cursor.take(total)?.to_vec()),
        BYTES_ZSTD if total <= ZSTD_BYTES_MAX => {
            let length = cursor.count(1)?;
            let bytes = zstd::bulk::decompress(cursor.take(length)?, total).map_err(|_| Malformed("bad zstd frame"))?;
            utf8(bytes)
        }
        _ => Err(Malformed("unknown form of texts")),
    }
}

pub(super) fn take(cursor: &mut Cursor<'_>, count: usize) -> Result<Texts, Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Constant => {
            let text = utf8(cursor.take_rest().to_vec())?;
            let end = u32::try_from(text.len()).map_err(|_| Malformed("texts are longer than 4 GiB"))?;
            Ok(Texts { bytes: text, spans: vec![(0, end); count] })
        }
        Encoding::Joined => {
            let lengths = Lengths::take(cursor, count)?;
            Texts::split(take_bytes(cursor, lengths.total())?, &lengths.0)
        }
        Encoding::Dictionary => dictionary::take(cursor, count),
        _ => Err(Malformed("encoding does not store text")),
    }
}

fn utf8(bytes: Vec<u8>) -> Result<String, Malformed> {
    String::from_utf8(bytes).map_err(|_| Malformed("text is not UTF-8"))
}

/// Lengths of texts, in bytes.
#[derive(Debug)]
pub(super) struct Lengths(pub(super) Vec<u32>);

impl Lengths {
    pub(super) fn of<'a>(texts: impl Iterator<Item = &'a str>) -> Lengths {
        Lengths(texts.map(|t| u32::try_from(t.len()).expect("the texts of one vector stay below 4 GiB")).collect())
    }

    pub(super) fn total(&self) -> usize {
        self.0.iter().map(|&l| l as usize).sum()
    }

    pub(super) fn size(&self) -> usize {
        1 + bits::packed_size(self.0.len(), self.width())
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.width() as u8);
        bits::pack(self.0.iter().map(|&l| u64::from(l)), self.width(), out);
    }

    pub(super) fn take(cursor: &mut Cursor<'_>, count: usize) -> Result<Lengths, Malformed> {
        let width = u32::from(cursor.u8()?);
        if width > 32 {
            return Err(Malformed("width is above 32 bits"));
        }
        let mut lengths = vec![0; count];
        bits::take(cursor, width, &mut lengths)?;
        Ok(Lengths(lengths.into_iter().map(|l| l as u32).collect()))
    }

    fn width(&self) -> u32 {
        bits::width_of(u64::from(self.0.iter().copied().max().unwrap_or(0)))
    }
}
