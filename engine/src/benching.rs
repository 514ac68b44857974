//! Doors into codecs and segments, which are private otherwise: for `benches` alone, no part of what this crate offers.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};

use crate::codec::{self, Buffer, Compression, Slice, Texts, Values};
use crate::env::FileSystem;
use crate::env::sim::SimFileSystem;
use crate::model::{FieldType, SeriesId, TableId};
use crate::rows::Rows;
use crate::segment::SegmentWriter;

/// Values of a vector of one type.
#[derive(Debug, Clone, Copy)]
pub enum Vector<'a> {
    /// 64-bit floats.
    Floats(&'a [f64]),
    /// 64-bit signed integers.
    Integers(&'a [i64]),
    /// UTF-8 text.
    Texts(&'a [String]),
}

/// The encoded form of a vector.
#[must_use]
pub fn encode(vector: Vector<'_>) -> Vec<u8> {
    encode_with(vector, Compression::Hot)
}

/// The encoded form of a vector that is kept long and read rarely.
#[must_use]
pub fn encode_cold(vector: Vector<'_>) -> Vec<u8> {
    encode_with(vector, Compression::Cold)
}

fn encode_with(vector: Vector<'_>, compression: Compression) -> Vec<u8> {
    let values = match vector {
        Vector::Floats(v) => Values::Float(v.to_vec()),
        Vector::Integers(v) => Values::Integer(v.to_vec()),
        Vector::Texts(v) => {
            let mut texts = Texts::default();
            v.iter().for_each(|text| texts.push(text));
            Values::Text(texts)
        }
    };
    let mut bytes = Vec::new();
    codec::encode(&values, compression, &mut bytes);
    bytes
}

/// What names the encoding of a vector.
#[must_use]
pub fn encoding_of(bytes: &[u8]) -> String {
    codec::encoding_name(bytes)
}

/// Decodes vectors without allocating.
#[derive(Debug, Default)]
pub struct Decoder(Buffer);

impl Decoder {
    /// The integers of a vector.
    ///
    /// # Panics
    /// If these are not the bytes of one.
    pub fn integers(&mut self, bytes: &[u8], count: usize) -> &[i64] {
        match codec::decode_into(FieldType::Integer, bytes, count, &mut self.0) {
            Ok(Slice::Integer(values)) => values,
            other => panic!("{other:?} are not integers"),
        }
    }

    /// The floats of a vector.
    ///
    /// # Panics
    /// As [`Decoder::integers`].
    pub fn floats(&mut self, bytes: &[u8], count: usize) -> &[f64] {
        match codec::decode_into(FieldType::Float, bytes, count, &mut self.0) {
            Ok(Slice::Float(values)) => values,
            other => panic!("{other:?} are not floats"),
        }
    }

    /// Number of the texts of a vector, and of their bytes.
    ///
    /// # Panics
    /// As [`Decoder::integers`].
    pub fn texts(&mut self, bytes: &[u8], count: usize) -> (usize, usize) {
        match codec::decode_into(FieldType::Text, bytes, count, &mut self.0) {
            Ok(Slice::Text(texts)) => (texts.len(), texts.iter().map(str::len).sum()),
            other => panic!("{other:?} are not texts"),
        }
    }
}

/// A segment in memory that is filled series by series.
#[derive(Debug)]
pub struct IntegerSegment {
    fs: SimFileSystem,
    writer: SegmentWriter,
    series: u32,
}

impl IntegerSegment {
    /// A segment of integer fields.
    ///
    /// # Panics
    /// Never: a simulated disk takes all.
    #[must_use]
    pub fn new(fields: u32) -> IntegerSegment {
        let fs = SimFileSystem::new();
        let fields: Vec<(u32, FieldType)> = (1..=fields).map(|position| (position, FieldType::Integer)).collect();
        let writer = SegmentWriter::create(&fs, Path::new("/bench.seg"), TableId(1), &fields);
        IntegerSegment { fs, writer: writer.expect("a simulated disk takes all"), series: 0 }
    }

    /// Appends one more series.
    ///
    /// # Panics
    /// As [`IntegerSegment::new`].
    pub fn append(&mut self, times: &[i64], fields: Vec<Vec<i64>>) {
        let columns = fields.into_iter().map(|values| Arc::new(Int64Array::from(values)) as ArrayRef).collect();
        let rows = Rows { series: vec![(SeriesId(self.series), times.len())], times: times.to_vec(), columns };
        self.writer.append(&rows).expect("a simulated disk takes all");
        self.series += 1;
    }

    /// Bytes of the whole segment.
    ///
    /// # Panics
    /// As [`IntegerSegment::new`].
    #[must_use]
    pub fn finish(self) -> usize {
        self.writer.finish().expect("a simulated disk takes all");
        self.fs.read(Path::new("/bench.seg")).expect("it was just written").len()
    }
}
