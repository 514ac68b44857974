//! Foreign bytes into readers that are private otherwise: for `fuzz` alone, no part of what this crate offers.

use std::path::Path;

use crate::codec;
use crate::env::FileBytes;
use crate::model::{FieldType, TimeRange};
use crate::segment::{Segment, Selection};

/// Opens bytes as a segment, verifies it and reads all of it.
pub fn open_segment_bytes(bytes: Vec<u8>) {
    let Ok(segment) = Segment::from_bytes(Path::new("fuzz.seg"), FileBytes::new(bytes)) else { return };
    let damaged = !segment.verify().is_empty();
    let everything = Selection { time: TimeRange::ALL, series: None };
    let columns: Vec<(u32, FieldType)> = segment.fields().iter().map(|f| (f.position, f.kind)).collect();
    for chunk in 0..segment.chunks().len() {
        let read = segment.read(chunk, &columns, &everything);
        assert!(damaged || read.is_ok(), "a segment without damage is read");
    }
}

/// Decodes bytes as a vector of each type.
pub fn decode_vector_bytes(bytes: &[u8], count: usize) {
    use FieldType::{Boolean, Float, Integer, Text, Unsigned};
    for kind in [Float, Integer, Unsigned, Boolean, Text] {
        let decoded = codec::decode(kind, bytes, count);
        assert!(decoded.is_err() || decoded.is_ok_and(|values| values.len() == count), "as many values as asked for");
    }
}
