//! Distinct: each different value once, in ascending order, and for every value which one it is.

use super::Malformed;
use super::integer::{self, Simple};
use crate::bytes::{Cursor, put_varint, varint_size};

/// Values looked at before all of them are.
const SAMPLE: usize = 64;
/// More different values in a sample are not worth a dictionary.
const SAMPLE_DISTINCT_MAX: usize = 40;
/// Most values of a dictionary.
const DISTINCT_MAX: usize = 256;

/// A dictionary as it will be written.
#[derive(Debug)]
pub(super) struct Distinct {
    values: Vec<i64>,
    codes: Vec<i64>,
    plans: [Simple; 2],
}

impl Distinct {
    /// The dictionary of these values, where a sample says that it may be worth while.
    pub(super) fn of(values: &[i64]) -> Option<Distinct> {
        let mut sample: Vec<i64> = values.iter().step_by(values.len().div_ceil(SAMPLE).max(1)).copied().collect();
        sample.sort_unstable();
        sample.dedup();
        if sample.len() > SAMPLE_DISTINCT_MAX {
            return None;
        }
        let distinct = all_distinct(values, sample)?;
        let code = |value: &i64| distinct.binary_search(value).unwrap_or_default() as i64;
        let codes: Vec<i64> = values.iter().map(code).collect();
        let plans = [Simple::of(&distinct), Simple::of(&codes)];
        Some(Distinct { values: distinct, codes, plans })
    }

    pub(super) fn size(&self) -> usize {
        let [values, codes] = &self.plans;
        varint_size(self.values.len() as u64) + values.size() + codes.size()
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.values.len() as u64);
        self.plans[0].put(&self.values, out);
        self.plans[1].put(&self.codes, out);
    }
}

/// Adds the values that the sample did not have; `None` where they are too many.
fn all_distinct(values: &[i64], sample: Vec<i64>) -> Option<Vec<i64>> {
    let mut distinct = sample;
    for value in values {
        if let Err(place) = distinct.binary_search(value) {
            if distinct.len() == DISTINCT_MAX {
                return None;
            }
            distinct.insert(place, *value);
        }
    }
    Some(distinct)
}

/// Reads values told by a dictionary.
pub(super) fn take(cursor: &mut Cursor<'_>, out: &mut [i64]) -> Result<(), Malformed> {
    let entries = cursor.varint_max(out.len())?;
    let mut values = vec![0; entries];
    integer::take_simple(cursor, &mut values)?;
    integer::take_simple(cursor, out)?;
    for slot in out {
        let value = usize::try_from(*slot).ok().and_then(|code| values.get(code));
        *slot = *value.ok_or(Malformed("code is not in the dictionary"))?;
    }
    Ok(())
}
