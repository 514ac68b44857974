//! Fuzz bodies: functions that take any bytes and assert what must hold. A fuzzer feeds them fresh bytes; the tests replay the
//! files in `fuzz/corpus/NAME/`.

mod line_protocol;
mod segment;

pub use line_protocol::line_protocol;
pub use segment::{segment, vector};

/// What a fuzzer calls.
pub type Body = fn(&[u8]);

/// Every body, by the name of its corpus directory and of its fuzz target.
pub fn targets() -> Vec<(&'static str, Body)> {
    vec![("line_protocol", line_protocol), ("segment", segment), ("vector", vector)]
}
