//! Fuzz bodies: functions that take any bytes and assert what must hold. A fuzzer feeds them fresh bytes; the tests replay the
//! files in `fuzz/corpus/NAME/`.

mod segment;

pub use segment::{segment, vector};

/// Every body, by the name of its corpus directory and of its fuzz target.
pub fn targets() -> Vec<(&'static str, fn(&[u8]))> {
    vec![("segment", segment), ("vector", vector)]
}
