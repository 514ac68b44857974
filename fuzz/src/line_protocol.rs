//! Line protocol: any body is taken apart into points and refused lines, the same way by every reader.

use plimsoll::ingest::line_protocol::{BatchLimits, Parsed, Precision, Reader, naive, parse, print};

/// Longest body that the naive parser is given, which takes time by the square.
const NAIVE_BYTES_MAX: usize = 1024;

/// Parses the bytes, and checks the parts against each other and against the naive parser.
pub fn line_protocol(bytes: &[u8]) {
    let parsed = parse(bytes, 0, Precision::Millisecond);
    assert_eq!(parsed.points.len(), parsed.lines.len(), "every point has a line");
    assert!(parsed.points.iter().all(|point| !point.table.is_empty() && !point.fields.is_empty()), "points are whole");
    assert!(parsed.lines.is_sorted_by(|a, b| a < b), "a line holds at most one point, and lines are in order");
    assert!(parsed.errors.is_sorted_by(|a, b| a.line < b.line), "a line is refused once, and lines are in order");
    let last_line = 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
    assert!(parsed.lines.iter().chain(parsed.errors.iter().map(|error| &error.line)).all(|line| *line <= last_line));

    assert_same(&parsed, &in_batches(bytes));
    if bytes.len() <= NAIVE_BYTES_MAX {
        assert_same(&parsed, &naive::parse(bytes, 0, Precision::Millisecond));
    }
    let mut printed = String::new();
    for point in &parsed.points {
        print(point, &mut printed);
    }
    assert_eq!(parse(printed.as_bytes(), 0, Precision::Nanosecond).points, parsed.points, "printed points parse back");
}

fn in_batches(bytes: &[u8]) -> Parsed<'_> {
    let mut reader = Reader::new(bytes, 0, Precision::Millisecond);
    let mut all = Parsed::default();
    while let Some(mut batch) = reader.next_batch(BatchLimits { lines_max: 3, bytes_max: 64 }) {
        all.points.append(&mut batch.points);
        all.lines.append(&mut batch.lines);
        all.errors.append(&mut batch.errors);
    }
    all
}

fn assert_same(a: &Parsed<'_>, b: &Parsed<'_>) {
    assert_eq!((&a.points, &a.lines, &a.errors), (&b.points, &b.lines, &b.errors));
}
