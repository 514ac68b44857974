//! Predicates: which rows pass.

use super::column::{Column, Slice};
use super::spans::Stretch;
use crate::model::Value;
use crate::scan::FieldTest;
use crate::scan::predicate::compare_floats;

/// Appends the rows of some stretches.
pub(super) fn all_rows(stretches: &[Stretch], rows: &mut Vec<u32>) {
    stretches.iter().for_each(|s| rows.extend(s.rows.clone().map(|row| row as u32)));
}

/// Keeps the rows whose values pass.
pub(super) fn keep(test: &FieldTest, column: &Column<'_>, rows: &mut Vec<u32>) {
    match (test, &column.values) {
        (FieldTest::Compare(op, Value::Float(other)), Slice::Float(values)) => {
            rows.retain(|row| {
                let row = *row as usize;
                column.is_valid(row) && op.holds(compare_floats(values[row], *other))
            });
        }
        (FieldTest::Compare(op, Value::Integer(other)), Slice::Integer(values)) => {
            rows.retain(|row| {
                let row = *row as usize;
                column.is_valid(row) && op.holds(values[row].cmp(other))
            });
        }
        _ => rows.retain(|row| test.holds(column.value(*row as usize).as_ref())),
    }
}

/// The stretches again, as places in a sorted list of the rows that are left.
pub(super) fn within(stretches: &[Stretch], rows: &[u32]) -> Vec<Stretch> {
    let place = |row: usize| rows.partition_point(|r| (*r as usize) < row);
    let stretch = |s: &Stretch| Stretch { rows: place(s.rows.start)..place(s.rows.end), ..s.clone() };
    stretches.iter().map(stretch).filter(|s| !s.rows.is_empty()).collect()
}
