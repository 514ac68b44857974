//! Rows of one table in order of arrival: what a write turns into, what the log carries and what a memtable takes.
//!
//! A row is added field by field and then ended with its series and time. While it is under way a column may have one value
//! more than the batch has rows; columns that it does not mention have fewer, and are filled with NULLs when they are met again
//! or when the batch is finished.

mod values;

use arrow_array::ArrayRef;

use crate::model::{FieldRef, FieldType, SeriesId, Value};
use crate::rows::{Order, Rows};
pub(crate) use values::{FieldValues, Texts, Values};

/// Rows of one table in order of arrival. Fields are named by their position in the table's schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Batch {
    pub(crate) series: Vec<SeriesId>,
    pub(crate) times: Vec<i64>,
    /// Every column has one value for each row, except while a row is being added.
    pub(crate) fields: Vec<(u32, FieldValues)>,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The number of a field's column, made if it is new. Points repeat their fields in the same order, so `hint` is usually it.
    pub(crate) fn column(&mut self, position: u32, kind: FieldType, hint: usize) -> usize {
        match self.fields.get(hint) {
            Some((p, _)) if *p == position => hint,
            _ => self.fields.iter().position(|(p, _)| *p == position).unwrap_or_else(|| {
                self.fields.push((position, FieldValues::new(kind)));
                self.fields.len() - 1
            }),
        }
    }

    /// Gives the row under way a value in a column; an integer widens in a float column. False, and nothing is changed, when the
    /// row has one already or the column is of another type.
    #[inline]
    pub(crate) fn put(&mut self, column: usize, value: &Value<'_>) -> bool {
        let rows = self.len();
        self.fields[column].1.put(rows, value)
    }

    /// Gives the row under way an integer: as [`Batch::put`], for the type that matters most.
    #[inline]
    pub(crate) fn put_integer(&mut self, column: usize, value: i64) -> bool {
        let rows = self.len();
        self.fields[column].1.put_integer(rows, value)
    }

    /// Ends the row under way.
    #[inline]
    pub(crate) fn end_row(&mut self, series: SeriesId, time_ns: i64) {
        self.series.push(series);
        self.times.push(time_ns);
    }

    /// Forgets the row under way.
    pub(crate) fn undo_row(&mut self) {
        let rows = self.len();
        self.fields.iter_mut().for_each(|(_, values)| values.truncate(rows));
    }

    /// Adds a whole row with the given fields: position, column type and value of each. A field occurs once.
    pub(crate) fn push<'a>(
        &mut self,
        series: SeriesId,
        time_ns: i64,
        fields: impl Iterator<Item = (u32, FieldType, &'a Value<'a>)>,
    ) {
        for (nth, (position, kind, value)) in fields.enumerate() {
            let column = self.column(position, kind, nth);
            assert!(self.put(column, value), "a value was checked against its column");
        }
        self.end_row(series, time_ns);
    }

    /// Fills the columns that the last rows did not mention, and drops those without any value. To be called after the last row.
    pub(crate) fn finish(&mut self) {
        let rows = self.len();
        self.fields.retain_mut(|(_, values)| {
            values.pad(rows);
            values.has_any()
        });
    }

    /// Adds the rows of another batch of the same table; both are finished.
    pub(crate) fn append(&mut self, other: &Batch) {
        let rows = self.len();
        for (nth, (position, values)) in other.fields.iter().enumerate() {
            let column = self.column(*position, values.field_type(), nth);
            let column = &mut self.fields[column].1;
            column.pad(rows);
            column.extend(values);
        }
        self.series.extend_from_slice(&other.series);
        self.times.extend_from_slice(&other.times);
        self.finish();
    }

    /// The rows in storage order, equal keys merged, with the fields that the columns are.
    pub(crate) fn to_rows(&self) -> (Vec<FieldRef>, Rows) {
        let order = Order::of(&self.series, &self.times);
        let newest = order.newest();
        let mut series: Vec<(SeriesId, usize)> = Vec::new();
        for (nth, row) in newest.iter().enumerate() {
            let id = self.series[*row as usize];
            match series.last_mut() {
                Some((last, end)) if *last == id => *end = nth + 1,
                _ => series.push((id, nth + 1)),
            }
        }
        let times = newest.iter().map(|row| self.times[*row as usize]).collect();
        let columns: Vec<ArrayRef> = self.fields.iter().map(|(_, values)| values.to_array(&order)).collect();
        let fields = self.fields.iter().map(|(position, values)| (*position, values.field_type())).collect();
        (fields, Rows { series, times, columns })
    }

    /// Values, NULLs, times and series ids.
    pub(crate) fn cells(&self) -> usize {
        self.len() * (self.fields.len() + 2)
    }

    /// Bytes of all texts.
    pub(crate) fn text_bytes(&self) -> usize {
        self.fields.iter().map(|(_, values)| values.text_bytes()).sum()
    }

    /// Memory held, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.len() * 12 + self.fields.iter().map(|(_, values)| values.memory_bytes()).sum::<usize>()
    }
}
