//! The values of one field for some rows, wherever they come from: a decoded vector, an array of a run, or times.

use std::borrow::Cow;

use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray, UInt64Array};

use crate::codec::{self, Texts};
use crate::model::Value;
use crate::segment::Decoded;

/// One value per row.
#[derive(Debug)]
pub(super) struct Column<'a> {
    pub(super) values: Slice<'a>,
    /// Which rows have a value; empty when all have.
    pub(super) valid: Cow<'a, [bool]>,
}

/// Values of one type; where a row has none, any value stands.
#[derive(Debug)]
pub(super) enum Slice<'a> {
    /// Every value is NULL.
    Nothing,
    Float(Cow<'a, [f64]>),
    Integer(Cow<'a, [i64]>),
    Unsigned(Cow<'a, [u64]>),
    Boolean(Cow<'a, [bool]>),
    Text(TextSlice<'a>),
}

/// Texts, all or some of those of a vector or an array.
#[derive(Debug)]
pub(super) struct TextSlice<'a> {
    source: TextSource<'a>,
    picked: Option<Cow<'a, [u32]>>,
}

#[derive(Debug, Clone, Copy)]
enum TextSource<'a> {
    Vector(&'a Texts),
    Array(&'a StringViewArray),
}

impl TextSlice<'_> {
    pub(super) fn get(&self, row: usize) -> &str {
        let row = self.picked.as_ref().map_or(row, |picked| picked[row] as usize);
        match self.source {
            TextSource::Vector(texts) => texts.get(row),
            TextSource::Array(texts) if texts.is_null(row) => "",
            TextSource::Array(texts) => texts.value(row),
        }
    }
}

impl<'a> From<Decoded<'a>> for Column<'a> {
    fn from(decoded: Decoded<'a>) -> Column<'a> {
        let values = match decoded.values {
            codec::Slice::Float(v) => Slice::Float(v.into()),
            codec::Slice::Integer(v) => Slice::Integer(v.into()),
            codec::Slice::Unsigned(v) => Slice::Unsigned(v.into()),
            codec::Slice::Boolean(v) => Slice::Boolean(v.into()),
            codec::Slice::Text(v) => Slice::Text(TextSlice { source: TextSource::Vector(v), picked: None }),
        };
        Column { values, valid: decoded.valid.into() }
    }
}

impl<'a> From<&'a ArrayRef> for Column<'a> {
    fn from(array: &'a ArrayRef) -> Column<'a> {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let valid = nulls.map(|nulls| nulls.iter().collect::<Vec<_>>()).unwrap_or_default();
        Column { values: of_array(array), valid: valid.into() }
    }
}

fn of_array(array: &ArrayRef) -> Slice<'_> {
    let any = array.as_any();
    if let Some(array) = any.downcast_ref::<Float64Array>() {
        Slice::Float((&array.values()[..]).into())
    } else if let Some(array) = any.downcast_ref::<Int64Array>() {
        Slice::Integer((&array.values()[..]).into())
    } else if let Some(array) = any.downcast_ref::<UInt64Array>() {
        Slice::Unsigned((&array.values()[..]).into())
    } else if let Some(array) = any.downcast_ref::<BooleanArray>() {
        Slice::Boolean(array.values().iter().collect())
    } else if let Some(array) = any.downcast_ref::<StringViewArray>() {
        Slice::Text(TextSlice { source: TextSource::Array(array), picked: None })
    } else {
        unreachable!("a field is stored in one of five types")
    }
}

impl<'a> Column<'a> {
    /// NULL in every row.
    pub(super) const NOTHING: Column<'static> = Column { values: Slice::Nothing, valid: Cow::Borrowed(&[]) };

    /// The time as a field.
    pub(super) fn of_times(times: &'a [i64]) -> Column<'a> {
        Column { values: Slice::Integer(times.into()), valid: Cow::Borrowed(&[]) }
    }

    /// Some of the rows, in the order given.
    pub(super) fn pick<'b>(&'b self, rows: &'b [u32]) -> Column<'b> {
        let values = match &self.values {
            Slice::Nothing => Slice::Nothing,
            Slice::Float(v) => Slice::Float(gather(v, rows)),
            Slice::Integer(v) => Slice::Integer(gather(v, rows)),
            Slice::Unsigned(v) => Slice::Unsigned(gather(v, rows)),
            Slice::Boolean(v) => Slice::Boolean(gather(v, rows)),
            Slice::Text(v) => {
                let picked = v.picked.as_ref().map_or(Cow::Borrowed(rows), |before| gather(before, rows));
                Slice::Text(TextSlice { source: v.source, picked: Some(picked) })
            }
        };
        let valid = if self.valid.is_empty() { Cow::Borrowed(&[][..]) } else { gather(&self.valid, rows) };
        Column { values, valid }
    }

    pub(super) fn is_valid(&self, row: usize) -> bool {
        !matches!(self.values, Slice::Nothing) && self.valid.get(row).copied().unwrap_or(true)
    }

    /// The value of a row, if it has one.
    pub(super) fn value(&self, row: usize) -> Option<Value<'_>> {
        if !self.is_valid(row) {
            return None;
        }
        Some(match &self.values {
            Slice::Nothing => return None,
            Slice::Float(v) => Value::Float(v[row]),
            Slice::Integer(v) => Value::Integer(v[row]),
            Slice::Unsigned(v) => Value::Unsigned(v[row]),
            Slice::Boolean(v) => Value::Boolean(v[row]),
            Slice::Text(v) => Value::Text(Cow::Borrowed(v.get(row))),
        })
    }
}

fn gather<'a, T: Copy>(values: &[T], rows: &[u32]) -> Cow<'a, [T]> {
    rows.iter().map(|row| values[*row as usize]).collect::<Vec<_>>().into()
}
