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
        let head = self.chunk(chunk)?.head;
        let mut doubtful = RoaringBitmap::new();
        let ends: Vec<usize> = head.runs.iter().scan(0, |end, run| Some(add(end, run.1))).collect();
        let mut start = 0;
        for vector in &head.vectors {
            let end = start + vector.rows as usize;
            let first = ends.partition_point(|run_end| *run_end <= start);
            let last = ends.partition_point(|run_end| *run_end < end);
            let series = head.runs[first..=last].iter().map(|(id, _)| id.0);
            let (min, max) = (time.contains(vector.times.min), time.contains(vector.times.max));
            // Both ends of a vector are timestamps of rows; of one series' rows if it has but one.
            if min && max || first == last && (min || max) {
                found.extend(series);
            } else if (TimeRange { min_ns: vector.times.min, max_ns: vector.times.max }).overlaps(time) {
                doubtful.extend(series);
            }
            start = end;
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
        let mut picked = Picked { series: Vec::new(), times: Vec::new(), vectors: Vec::new() };
        let runs = chunk.wanted_runs(series);
        let mut runs = runs.iter().peekable();
        let (mut start, mut offset) = (0, chunk.times_offset());
        for (nth, vector) in chunk.head.vectors.iter().enumerate() {
            let end = start + vector.rows as usize;
            let mut last_rows = Vec::new();
            while let Some((id, rows)) = runs.next_if(|(_, rows)| rows.end <= end) {
                last_rows.push((*id, rows.end - 1 - start));
            }
            if !last_rows.is_empty() {
                let times = chunk.read_times(nth, offset)?;
                for (id, row) in &last_rows {
                    picked.times.push(times[*row]);
                    picked.series.push((*id, picked.times.len()));
                }
                picked.vectors.push((nth, last_rows.iter().map(|(_, row)| *row..*row + 1).collect()));
            }
            start = end;
            offset += u64::from(vector.place.length);
        }
        let columns = columns.iter().map(|&(position, kind)| chunk.read_column(position, kind, &picked));
        let columns = columns.collect::<Result<_>>()?;
        Ok(Rows { series: picked.series, times: picked.times, columns })
    }
}

fn add(end: &mut usize, rows: u32) -> usize {
    *end += rows as usize;
    *end
}
