//! Which series have rows in a chunk, and the last row of each: questions that touch few vectors or none.

use roaring::RoaringBitmap;

use super::{Picked, Segment};
use crate::Result;
use crate::model::{FieldType, TimeRange};
use crate::rows::Rows;

impl Segment {
    /// Adds the series that have a row of a chunk in a time range, as far as the head tells, and gives those of which it does
    /// not tell.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub(crate) fn series_within(
        &self,
        chunk: usize,
        time: &TimeRange,
        found: &mut RoaringBitmap,
    ) -> Result<RoaringBitmap> {
        let chunk = self.chunk(chunk)?;
        let mut doubtful = RoaringBitmap::new();
        let starts = &chunk.parsed.run_starts;
        for nth in 0..chunk.vectors() {
            let (rows, times) = (chunk.vector_rows(nth), chunk.vector_times(nth));
            let first = starts.partition_point(|start| *start as usize <= rows.start) - 1;
            let last = starts.partition_point(|start| (*start as usize) < rows.end) - 1;
            let series = chunk.runs()[first..=last].iter().map(|(id, _)| id.0);
            let (min, max) = (time.contains(times.min), time.contains(times.max));
            // Both ends of a vector are timestamps of rows; of one series' rows if it has but one.
            if min && max || first == last && (min || max) {
                found.extend(series);
            } else if (TimeRange { min_ns: times.min, max_ns: times.max }).overlaps(time) {
                doubtful.extend(series);
            }
        }
        doubtful -= &*found;
        Ok(doubtful)
    }

    /// Of each wanted series the last row in a chunk, with the columns at these positions of the table's schema.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`].
    pub(crate) fn read_last(
        &self,
        chunk: usize,
        columns: &[(u32, FieldType)],
        series: Option<&RoaringBitmap>,
    ) -> Result<Rows> {
        let chunk = self.chunk(chunk)?;
        let mut picked = Picked::default();
        let mut vector = None;
        let mut times = Vec::new();
        for (id, rows) in chunk.wanted_runs(series) {
            let nth = chunk.vector_of(rows.end - 1);
            if vector != Some(nth) {
                vector = Some(nth);
                times = chunk.read_times(nth)?;
                picked.vectors.push((nth, Vec::new()));
            }
            let row = rows.end - 1 - chunk.vector_rows(nth).start;
            picked.times.push(times[row]);
            picked.series.push((id, picked.times.len()));
            if let Some((_, ranges)) = picked.vectors.last_mut() {
                ranges.push(row..row + 1);
            }
        }
        chunk.rows(columns, picked)
    }
}
