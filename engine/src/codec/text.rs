//! Texts in memory, the chooser for them, and raw and zstd: lengths, then all bytes.

use super::dictionary::Dictionary;
use super::{Encoding, Malformed, bits};
use crate::bytes::Cursor;

/// Most bytes that one zstd frame holds: bounds what a decoder allocates.
const ZSTD_BYTES_MAX: usize = 16 << 20;
/// Vectors of fewer bytes are not worth a frame.
const ZSTD_TRIED_BYTES: usize = 256;
const ZSTD_LEVEL: i32 = 1;

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
    pub(super) fn pick(self, positions: &[u32]) -> Result<Texts, Malformed> {
        let span = |&p: &u32| self.spans.get(p as usize).copied().ok_or(Malformed("code is not in the dictionary"));
        let spans = positions.iter().map(span).collect::<Result<_, _>>()?;
        Ok(Texts { bytes: self.bytes, spans })
    }
}

pub(super) fn put(texts: &Texts, out: &mut Vec<u8>) {
    let lengths = Lengths::of(texts.iter());
    let raw_size = lengths.size() + lengths.total();
    let dictionary = Dictionary::of(texts);
    if let Some(text) = dictionary.only() {
        out.push(Encoding::Constant as u8);
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let light_size = raw_size.min(dictionary.size());
    if let Some(frame) =
        compressed(texts, lengths.total(), light_size).filter(|f| lengths.size() + f.len() < light_size)
    {
        out.push(Encoding::Zstd as u8);
        lengths.put(out);
        out.extend_from_slice(&frame);
    } else if dictionary.size() < raw_size {
        out.push(Encoding::Dictionary as u8);
        dictionary.put(out);
    } else {
        out.push(Encoding::Raw as u8);
        lengths.put(out);
        texts.iter().for_each(|t| out.extend_from_slice(t.as_bytes()));
    }
}

/// All texts as one zstd frame, where trying it is worth while.
fn compressed(texts: &Texts, total: usize, light_size: usize) -> Option<Vec<u8>> {
    if light_size < ZSTD_TRIED_BYTES || total > ZSTD_BYTES_MAX {
        return None;
    }
    let joined: String = texts.iter().collect();
    zstd::bulk::compress(joined.as_bytes(), ZSTD_LEVEL).ok()
}

pub(super) fn take(cursor: &mut Cursor<'_>, count: usize) -> Result<Texts, Malformed> {
    match Encoding::take(cursor)? {
        Encoding::Constant => {
            let text = utf8(cursor.take_rest())?;
            let end = u32::try_from(text.len()).map_err(|_| Malformed("texts are longer than 4 GiB"))?;
            Ok(Texts { bytes: text, spans: vec![(0, end); count] })
        }
        Encoding::Raw => {
            let lengths = Lengths::take(cursor, count)?;
            Texts::split(utf8(cursor.take_rest())?, &lengths.0)
        }
        Encoding::Zstd => {
            let lengths = Lengths::take(cursor, count)?;
            let total = lengths.total();
            if total > ZSTD_BYTES_MAX {
                return Err(Malformed("zstd frame is too large"));
            }
            let bytes = zstd::bulk::decompress(cursor.take_rest(), total).map_err(|_| Malformed("bad zstd frame"))?;
            Texts::split(String::from_utf8(bytes).map_err(|_| Malformed("text is not UTF-8"))?, &lengths.0)
        }
        Encoding::Dictionary => Dictionary::take(cursor, count),
        _ => Err(Malformed("encoding does not store text")),
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<String, Malformed> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Malformed("text is not UTF-8"))
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
        let mut lengths = Vec::with_capacity(count);
        bits::unpack(cursor.take(bits::packed_size(count, width))?, width, count, &mut lengths, |l| l as u32)?;
        Ok(Lengths(lengths))
    }

    fn width(&self) -> u32 {
        bits::width_of(u64::from(self.0.iter().copied().max().unwrap_or(0)))
    }
}
