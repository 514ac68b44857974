//! Verifying a segment: reads every byte, decodes every vector, checks order, and statistics against the data.

use crate::codec::Malformed;
use crate::model::SeriesId;
use crate::{Error, Result};

use super::head::Times;
use super::reader::{Chunk, Section, Segment};
use super::stats::Stats;

impl Segment {
    /// Every damaged place; nothing if all is well. Header, tail and table were checked when the segment was opened.
    pub(crate) fn verify(&self) -> Vec<Error> {
        let mut errors = Vec::new();
        let mut last = None;
        for nth in 0..self.chunks().len() {
            match self.chunk(nth) {
                Ok(chunk) => self.verify_chunk(&chunk, &mut last, &mut errors),
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    fn verify_chunk(&self, chunk: &Chunk<'_>, last: &mut Option<(SeriesId, i64)>, errors: &mut Vec<Error>) {
        let times = chunk.read_all_times(errors);
        if let Some(times) = times.iter().cloned().collect::<Option<Vec<_>>>() {
            errors.extend(chunk.check_order(&times.concat(), last).err());
        }
        for nth in 0..self.fields().len() {
            match chunk.section(nth) {
                Ok(Some(section)) => chunk.verify_section(nth, &section, &times, errors),
                Ok(None) => {}
                Err(error) => errors.push(error),
            }
        }
    }
}

impl Chunk<'_> {
    /// The timestamps of each vector; `None` where they are damaged.
    fn read_all_times(&self, errors: &mut Vec<Error>) -> Vec<Option<Vec<i64>>> {
        let mut all = Vec::new();
        for (nth, vector) in self.head().vectors.iter().enumerate() {
            let offset = self.times_offset(nth);
            let times = self.read_times(nth).and_then(|times| match Times::of(&times) == vector.times {
                true => Ok(times),
                false => Err(self.corrupt(offset, &format!("time vector {nth}"), Malformed("differs from the head"))),
            });
            all.push(times.map_err(|e| errors.push(e)).ok());
        }
        all
    }

    /// Rows ascend by (series, time), also from chunk to chunk, and span the time that the table says.
    fn check_order(&self, times: &[i64], last: &mut Option<(SeriesId, i64)>) -> Result<()> {
        let refuse = |what: &str, why| Err(self.corrupt(self.info.offset, what, Malformed(why)));
        let spanned = Times::of(times);
        if (spanned.min, spanned.max) != (self.info.time.min_ns, self.info.time.max_ns) {
            return refuse("times", "differ from the chunk table");
        }
        let series = self.head().runs.iter().flat_map(|&(id, rows)| std::iter::repeat_n(id, rows as usize));
        for row in series.zip(times.iter().copied()) {
            if last.is_some_and(|last| last >= row) {
                return refuse("rows", "are not in the order of (series, time)");
            }
            *last = Some(row);
        }
        Ok(())
    }

    fn verify_section(&self, nth: usize, section: &Section, times: &[Option<Vec<i64>>], errors: &mut Vec<Error>) {
        let stored = match self.read_statistics(section) {
            Ok(stored) => stored,
            Err(error) => return errors.push(error),
        };
        let mut total = Stats::none();
        for (vector, stored) in stored.iter().enumerate() {
            total.add(stored);
            errors.extend(self.verify_vector(section, vector, stored, times[vector].as_deref()).err());
        }
        if total != self.head().sections[nth].stats {
            let why = Malformed("differ from those of its vectors");
            errors.push(self.corrupt(
                section.offset(),
                &format!("column {}, chunk statistics", section.position()),
                why,
            ));
        }
    }

    fn verify_vector(&self, section: &Section, nth: usize, stored: &Stats, times: Option<&[i64]>) -> Result<()> {
        let vector = self.read_vector(section, nth)?;
        match times {
            Some(times) if Stats::of(&vector, &vector.present(), times) != *stored => {
                let what = format!("column {}, vector {nth}, statistics", section.position());
                Err(self.corrupt(section.offset(), &what, Malformed("differ from the values")))
            }
            _ => Ok(()),
        }
    }
}
