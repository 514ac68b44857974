//! Runs: each value once, with how often it comes one after the other.

use super::Malformed;
use super::integer::{self, Simple};
use crate::bytes::{Cursor, put_varint, varint_size};

/// Runs as they will be written.
#[derive(Debug)]
pub(super) struct Runs {
    values: Vec<i64>,
    lengths: Vec<i64>,
    plans: [Simple; 2],
}

impl Runs {
    pub(super) fn of(values: &[i64]) -> Runs {
        let (mut firsts, mut lengths) = (Vec::new(), Vec::new());
        for run in values.chunk_by(|a, b| a == b) {
            firsts.push(run[0]);
            lengths.push(run.len() as i64);
        }
        let plans = [Simple::of(&firsts), Simple::of(&lengths)];
        Runs { values: firsts, lengths, plans }
    }

    pub(super) fn size(&self) -> usize {
        let [values, lengths] = &self.plans;
        varint_size(self.values.len() as u64) + values.size() + lengths.size()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.values.len() as u64);
        self.plans[0].put(&self.values, out);
        self.plans[1].put(&self.lengths, out);
    }
}

/// Reads values told in runs; `map` says what a value is.
pub(super) fn take<T: Copy>(
    cursor: &mut Cursor<'_>,
    out: &mut [T],
    map: impl Fn(i64) -> Result<T, Malformed>,
) -> Result<(), Malformed> {
    let runs = cursor.varint_max(out.len())?;
    let (mut values, mut lengths) = (vec![0; runs], vec![0; runs]);
    integer::take_simple(cursor, &mut values)?;
    integer::take_simple(cursor, &mut lengths)?;
    let mut rest = out;
    for (&value, &length) in values.iter().zip(&lengths) {
        let length = usize::try_from(length).ok().filter(|&l| l > 0).ok_or(Malformed("run has no length"))?;
        let (run, after) = rest.split_at_mut_checked(length).ok_or(Malformed("runs are longer than the vector"))?;
        run.fill(map(value)?);
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(Malformed("runs are shorter than the vector")) }
}
