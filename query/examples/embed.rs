//! Plimsoll inside a program: a session on a directory, points in, SQL out as Arrow batches.
//!
//! `cargo test --workspace` runs it.

use std::error::Error;
use std::path::Path;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use plimsoll_engine::{Point, Value};
use plimsoll_query::Session;

/// 2026-01-01 00:00:00 UTC. Whoever embeds the database says what time it is.
const NOW_NS: i64 = 1_767_225_600_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

#[expect(clippy::print_stdout, reason = "an example shows what it did")]
fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let batches = temperatures(dir.path())?;
    println!("{}", pretty_format_batches(&batches)?);
    Ok(())
}

/// Stores ten minutes of two rooms and asks for their averages.
fn temperatures(dir: &Path) -> Result<Vec<RecordBatch>, Box<dyn Error>> {
    let session = Session::open(dir)?;
    let points: Vec<Point<'_>> =
        (0..10).flat_map(|minute| [point("attic", 17.0, minute), point("kitchen", 21.5, minute)]).collect();
    let written = session.database().engine().write(&points)?;
    assert_eq!((written.accepted, written.rejected.len()), (20, 0));

    let query = "SELECT time_bucket('5 minutes', time) AS time, name, avg(celsius) AS celsius
                 FROM room WHERE time > now() - interval '1 hour' GROUP BY 1, 2 ORDER BY 1, 2";
    Ok(session.execute(query, NOW_NS)?)
}

fn point(name: &'static str, celsius: f64, minutes_ago: i64) -> Point<'static> {
    Point {
        table: "room".into(),
        tags: vec![("name".into(), name.into())],
        fields: vec![("celsius".into(), Value::Float(celsius))],
        time_ns: NOW_NS - minutes_ago * MINUTE_NS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_runs() {
        main().unwrap();
    }

    #[test]
    fn each_room_has_three_buckets() {
        let dir = tempfile::tempdir().unwrap();
        let rows: usize = temperatures(dir.path()).unwrap().iter().map(RecordBatch::num_rows).sum();
        assert_eq!(rows, 6);
    }
}
