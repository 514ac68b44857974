//! What a log record says: rows of some tables, a table created, changed or dropped.
//!
//! A record names tables, columns and tags by name, so that it can be replayed on any state at or before it, any number of
//! times. The payload is packed; its body begins with a byte for the kind.

mod options;

use std::collections::HashMap;

use crate::batch::{Batch, FieldValues};
use crate::bytes::{Cursor, Short, put_text, put_varint, put_zigzag};
use crate::model::{Column, ColumnKind, FieldType, SeriesId, TableOptions};
use crate::pack::{pack, unpack};
use options::{put_options, take_options};

/// The log is written while writers wait: the quickest level.
const ZSTD_LEVEL: i32 = 1;

const KIND_WRITE: u8 = 1;
const KIND_CREATE: u8 = 2;
const KIND_DROP: u8 = 3;
const KIND_OPTIONS: u8 = 5;

/// A record, read back.
#[derive(Debug, PartialEq)]
pub(crate) enum Record {
    Write(Vec<LoggedRows>),
    CreateTable {
        name: String,
        columns: Vec<Column>,
        options: TableOptions,
    },
    DropTable {
        name: String,
    },
    /// The table has these options from now on.
    SetOptions {
        name: String,
        options: TableOptions,
    },
}

/// Rows of one table with the names of everything, in order of arrival.
#[derive(Debug, PartialEq)]
pub(crate) struct LoggedRows {
    pub(crate) table: String,
    /// The columns that the rows name, in the order of the table.
    pub(crate) columns: Vec<Column>,
    /// Each series: number of the tag in `columns`, and its value.
    pub(crate) series: Vec<Vec<(usize, String)>>,
    /// For each row the number of its series in `series`.
    pub(crate) row_series: Vec<usize>,
    pub(crate) times: Vec<i64>,
    /// Number of the field in `columns`, and its values.
    pub(crate) fields: Vec<(usize, FieldValues)>,
}

/// What the writer of a record knows of one table: `tags_of` gives positions and values of a series' tags.
pub(crate) struct TableNames<'a> {
    pub(crate) table: &'a str,
    /// Position and column, ascending, of every column that the rows name.
    pub(crate) columns: Vec<(u32, &'a Column)>,
    pub(crate) tags_of: &'a dyn Fn(SeriesId) -> Vec<(u32, &'a str)>,
}

/// Writes the body of a write record, table by table.
#[derive(Debug)]
pub(crate) struct WriteRecord(Vec<u8>);

impl TableNames<'_> {
    /// Number of a column among those that the rows name.
    fn number_of(&self, position: u32) -> u64 {
        let found = self.columns.binary_search_by_key(&position, |(p, _)| *p);
        found.expect("the rows name no other columns") as u64
    }
}

impl WriteRecord {
    /// A record for `tables` calls of [`WriteRecord::add`].
    pub(crate) fn new(tables: usize) -> WriteRecord {
        let mut body = vec![KIND_WRITE];
        put_varint(&mut body, tables as u64);
        WriteRecord(body)
    }

    /// Adds the rows of one table.
    pub(crate) fn add(&mut self, names: &TableNames<'_>, batch: &Batch) {
        let out = &mut self.0;
        put_text(out, names.table);
        put_columns(out, names.columns.iter().map(|(_, column)| *column));
        let row_series = put_series(out, names, &batch.series);
        put_varint(out, batch.len() as u64);
        for series in row_series {
            put_varint(out, series);
        }
        let mut before = 0;
        for time_ns in &batch.times {
            put_zigzag(out, time_ns.wrapping_sub(before));
            before = *time_ns;
        }
        put_varint(out, batch.fields.len() as u64);
        for (position, values) in &batch.fields {
            put_varint(out, names.number_of(*position));
            put_values(out, values);
        }
    }

    /// The payload of the record.
    pub(crate) fn finish(self) -> Vec<u8> {
        pack(&self.0, ZSTD_LEVEL)
    }
}

/// The payload that creates a table with columns besides `time`.
pub(crate) fn create_table(name: &str, columns: &[Column], options: &TableOptions) -> Vec<u8> {
    let mut body = vec![KIND_CREATE];
    put_text(&mut body, name);
    put_columns(&mut body, columns.iter());
    put_options(&mut body, options);
    pack(&body, ZSTD_LEVEL)
}

/// The payload that gives a table other options.
pub(crate) fn set_options(name: &str, options: &TableOptions) -> Vec<u8> {
    let mut body = vec![KIND_OPTIONS];
    put_text(&mut body, name);
    put_options(&mut body, options);
    pack(&body, ZSTD_LEVEL)
}

/// The payload that drops a table.
pub(crate) fn drop_table(name: &str) -> Vec<u8> {
    let mut body = vec![KIND_DROP];
    put_text(&mut body, name);
    pack(&body, ZSTD_LEVEL)
}

/// Reads a payload back.
pub(crate) fn decode(payload: &[u8]) -> Result<Record, Short> {
    let body = unpack(payload)?;
    let mut cursor = Cursor::new(&body);
    let record = match cursor.u8()? {
        KIND_WRITE => {
            let tables = cursor.count(4)?;
            Record::Write((0..tables).map(|_| take_rows(&mut cursor)).collect::<Result<_, _>>()?)
        }
        KIND_CREATE => take_create(&mut cursor)?,
        KIND_DROP => Record::DropTable { name: cursor.text()?.to_owned() },
        KIND_OPTIONS => Record::SetOptions { name: cursor.text()?.to_owned(), options: take_options(&mut cursor)? },
        _ => return Err(Short),
    };
    if cursor.remaining() == 0 { Ok(record) } else { Err(Short) }
}

/// Writes names and types; the type of a tag is 0.
fn put_columns<'a>(out: &mut Vec<u8>, columns: impl ExactSizeIterator<Item = &'a Column>) {
    put_varint(out, columns.len() as u64);
    for column in columns {
        put_text(out, &column.name);
        out.push(match column.kind {
            ColumnKind::Time | ColumnKind::Tag => 0,
            ColumnKind::Field(kind) => type_byte(kind),
        });
    }
}

/// Writes the distinct series of the rows: tag values, then the tags of each series. Gives each row's series by number.
fn put_series(out: &mut Vec<u8>, names: &TableNames<'_>, ids: &[SeriesId]) -> Vec<u64> {
    let mut series = Numbered::default();
    let row_series: Vec<u64> = ids.iter().map(|id| series.number(*id)).collect();
    let mut values = Numbered::default();
    let mut listed = Vec::new();
    for id in &series.items {
        let of_series = (names.tags_of)(*id);
        put_varint(&mut listed, of_series.len() as u64);
        for (position, value) in of_series {
            put_varint(&mut listed, names.number_of(position));
            put_varint(&mut listed, values.number(value));
        }
    }
    put_varint(out, values.items.len() as u64);
    for value in values.items {
        put_text(out, value);
    }
    put_varint(out, series.items.len() as u64);
    out.extend_from_slice(&listed);
    row_series
}

/// Distinct items in order of first appearance.
struct Numbered<T> {
    items: Vec<T>,
    numbers: HashMap<T, u64>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Numbered { items: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Copy + Eq + std::hash::Hash> Numbered<T> {
    fn number(&mut self, item: T) -> u64 {
        *self.numbers.entry(item).or_insert_with(|| {
            self.items.push(item);
            self.items.len() as u64 - 1
        })
    }
}

fn type_byte(kind: FieldType) -> u8 {
    match kind {
        FieldType::Float => 1,
        FieldType::Integer => 2,
        FieldType::Unsigned => 3,
        FieldType::Boolean => 4,
        FieldType::Text => 5,
    }
}

fn type_of(byte: u8) -> Result<FieldType, Short> {
    Ok(match byte {
        1 => FieldType::Float,
        2 => FieldType::Integer,
        3 => FieldType::Unsigned,
        4 => FieldType::Boolean,
        5 => FieldType::Text,
        _ => return Err(Short),
    })
}

/// Writes type, then for each value whether it is there, then the values that are.
fn put_values(out: &mut Vec<u8>, values: &FieldValues) {
    out.push(type_byte(values.field_type()));
    fn put<T>(out: &mut Vec<u8>, values: &[Option<T>], mut put_one: impl FnMut(&mut Vec<u8>, &T)) {
        let all = values.iter().all(Option::is_some);
        out.push(u8::from(!all));
        if !all {
            out.extend(values.iter().map(|v| u8::from(v.is_some())));
        }
        for value in values.iter().flatten() {
            put_one(out, value);
        }
    }
    match values {
        FieldValues::Float(v) => put(out, v, |out, x| out.extend_from_slice(&x.to_bits().to_le_bytes())),
        FieldValues::Integer(v) => put(out, v, |out, x| put_zigzag(out, *x)),
        FieldValues::Unsigned(v) => put(out, v, |out, x| put_varint(out, *x)),
        FieldValues::Boolean(v) => put(out, v, |out, x| out.push(u8::from(*x))),
        FieldValues::Text(v) => put(out, v, |out, x| put_text(out, x)),
    }
}

fn take_create(cursor: &mut Cursor<'_>) -> Result<Record, Short> {
    let (name, columns) = (cursor.text()?.to_owned(), take_columns(cursor)?);
    Ok(Record::CreateTable { name, columns, options: take_options(cursor)? })
}

fn take_columns(cursor: &mut Cursor<'_>) -> Result<Vec<Column>, Short> {
    let count = cursor.count(2)?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        let name = cursor.text()?.to_owned();
        let kind = match cursor.u8()? {
            0 => ColumnKind::Tag,
            byte => ColumnKind::Field(type_of(byte)?),
        };
        columns.push(Column { name, kind });
    }
    Ok(columns)
}

fn take_rows(cursor: &mut Cursor<'_>) -> Result<LoggedRows, Short> {
    let table = cursor.text()?.to_owned();
    let columns = take_columns(cursor)?;
    let values: Vec<&str> = (0..cursor.count(1)?).map(|_| cursor.text()).collect::<Result<_, _>>()?;
    let number = |cursor: &mut Cursor<'_>, below: usize| -> Result<usize, Short> {
        usize::try_from(cursor.varint()?).ok().filter(|n| *n < below).ok_or(Short)
    };
    let mut series = Vec::new();
    for _ in 0..cursor.count(1)? {
        let mut of_series = Vec::new();
        for _ in 0..cursor.count(2)? {
            let tag = number(cursor, columns.len())?;
            if columns[tag].kind != ColumnKind::Tag {
                return Err(Short);
            }
            of_series.push((tag, values[number(cursor, values.len())?].to_owned()));
        }
        series.push(of_series);
    }
    let rows = cursor.count(2)?;
    let row_series = (0..rows).map(|_| number(cursor, series.len())).collect::<Result<Vec<_>, _>>()?;
    let mut times = Vec::with_capacity(rows);
    let mut before = 0i64;
    for _ in 0..rows {
        before = before.wrapping_add(cursor.zigzag()?);
        times.push(before);
    }
    let mut fields = Vec::new();
    for _ in 0..cursor.count(3)? {
        let column = number(cursor, columns.len())?;
        let values = take_values(cursor, rows)?;
        if columns[column].kind != ColumnKind::Field(values.field_type()) {
            return Err(Short);
        }
        fields.push((column, values));
    }
    Ok(LoggedRows { table, columns, series, row_series, times, fields })
}

fn take_values(cursor: &mut Cursor<'_>, rows: usize) -> Result<FieldValues, Short> {
    let kind = type_of(cursor.u8()?)?;
    let present = match cursor.u8()? {
        0 => None,
        _ => Some(cursor.take(rows)?),
    };
    fn take<'a, T>(
        cursor: &mut Cursor<'a>,
        present: Option<&[u8]>,
        rows: usize,
        mut take_one: impl FnMut(&mut Cursor<'a>) -> Result<T, Short>,
    ) -> Result<Vec<Option<T>>, Short> {
        let is_there = |row: usize| present.is_none_or(|p| p[row] != 0);
        (0..rows).map(|row| if is_there(row) { take_one(cursor).map(Some) } else { Ok(None) }).collect()
    }
    Ok(match kind {
        FieldType::Float => FieldValues::Float(take(cursor, present, rows, |c| Ok(f64::from_bits(c.u64()?)))?),
        FieldType::Integer => FieldValues::Integer(take(cursor, present, rows, Cursor::zigzag)?),
        FieldType::Unsigned => FieldValues::Unsigned(take(cursor, present, rows, Cursor::varint)?),
        FieldType::Boolean => FieldValues::Boolean(take(cursor, present, rows, |c| Ok(c.u8()? != 0))?),
        FieldType::Text => FieldValues::Text(take(cursor, present, rows, |c| Ok(c.text()?.into()))?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Retention;

    #[test]
    fn rows_come_back_by_name() {
        let column = |name: &str, kind| Column { name: name.into(), kind };
        let columns = [
            column("host", ColumnKind::Tag),
            column("usage", ColumnKind::Field(FieldType::Float)),
            column("note", ColumnKind::Field(FieldType::Text)),
        ];
        let names = TableNames {
            table: "cpu",
            columns: [1, 2, 3].into_iter().zip(&columns).collect(),
            tags_of: &|id| if id.0 == 7 { vec![(1, "a")] } else { vec![] },
        };
        let batch = Batch {
            series: vec![SeriesId(7), SeriesId(3), SeriesId(7)],
            times: vec![10, i64::MIN, i64::MAX],
            fields: vec![
                (2, FieldValues::Float(vec![Some(-0.0), None, Some(1.5)])),
                (3, FieldValues::Text(vec![None, Some("x".into()), None])),
            ],
        };
        let mut record = WriteRecord::new(1);
        record.add(&names, &batch);
        let Record::Write(tables) = decode(&record.finish()).unwrap() else { panic!("not a write") };
        assert_eq!(tables.len(), 1);
        assert_eq!(tables[0].columns, columns);
        assert_eq!(tables[0].series, [vec![(0, "a".to_owned())], vec![]]);
        assert_eq!(tables[0].row_series, [0, 1, 0]);
        assert_eq!(tables[0].times, batch.times);
        assert_eq!(tables[0].fields[0], (1, batch.fields[0].1.clone()));
        assert_eq!(tables[0].fields[1], (2, batch.fields[1].1.clone()));
    }

    #[test]
    fn definitions_come_back() {
        let columns = vec![
            Column { name: "host".into(), kind: ColumnKind::Tag },
            Column { name: "n".into(), kind: ColumnKind::Field(FieldType::Unsigned) },
        ];
        let options = TableOptions { retention: Some(Retention::raw(86_400_000_000_000).unwrap()), legal_hold: true };
        let created = decode(&create_table("t", &columns, &options)).unwrap();
        assert_eq!(created, Record::CreateTable { name: "t".into(), columns, options: options.clone() });
        for options in [options, TableOptions::default()] {
            let changed = Record::SetOptions { name: "t".into(), options: options.clone() };
            assert_eq!(decode(&set_options("t", &options)).unwrap(), changed);
        }
        assert_eq!(decode(&drop_table("t")).unwrap(), Record::DropTable { name: "t".into() });
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>) {
            let _any_answer_will_do = decode(&bytes);
            let mut body = vec![KIND_WRITE];
            body.extend(bytes);
            let _any_answer_will_do = decode(&pack(&body, ZSTD_LEVEL));
        }
    }
}
