//! What a log record says: rows of some tables, a table created, changed or dropped, points deleted, or what time it is.
//!
//! A record names tables, columns and tags by name, so that it can be replayed on any state at or before it, any number of
//! times. It begins with a byte for the kind.

pub(crate) mod delete;
mod options;

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::batch::{Batch, FieldValues};
use crate::bytes::{Cursor, Short, put_text, put_varint, put_zigzag};
use crate::model::{Column, ColumnKind, FieldType, SeriesId, TableOptions};
use delete::LoggedDelete;

use super::columns::{put_integers, put_packed, put_values, take_integers, take_packed, take_values};
use options::{put_options, take_options};

/// The log is written while writers wait: the quickest level.
pub(super) const ZSTD_LEVEL: i32 = 1;

/// Most values of one record, times and series included: bounds the memory that reading it takes.
pub(crate) const RECORD_VALUES_MAX: usize = 67_108_864;

const KIND_WRITE: u8 = 1;
const KIND_CREATE: u8 = 2;
const KIND_DROP: u8 = 3;
const KIND_DELETE: u8 = 4;
const KIND_OPTIONS: u8 = 5;
const KIND_TIME: u8 = 6;

/// A record, read back.
#[derive(Debug, PartialEq)]
pub(crate) enum Record {
    Write(Vec<LoggedRows>),
    /// The table has these columns, if others as well, and these options from now on.
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
    Delete {
        table: String,
        deleted: LoggedDelete,
    },
    /// The records after it were written at this time, or soon after.
    Time {
        now_ns: i64,
    },
}

/// Rows of one table with the names of everything, in order of arrival.
#[derive(Debug, PartialEq)]
pub(crate) struct LoggedRows {
    pub(crate) table: String,
    /// The columns that the rows name, in the order of the table.
    pub(crate) columns: Vec<Column>,
    pub(crate) series: LoggedSeries,
    /// For each row the number of its series in `series`.
    pub(crate) row_series: Vec<usize>,
    pub(crate) times: Vec<i64>,
    /// Number of the field in `columns`, and its values.
    pub(crate) fields: Vec<(usize, FieldValues)>,
}

/// The tags of the series of some rows.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct LoggedSeries {
    values: Vec<String>,
    /// Of all series one after the other: number of the tag in `columns`, and of its value in `values`.
    tags: Vec<(usize, usize)>,
    /// Where the tags of each series end.
    ends: Vec<usize>,
}

impl LoggedSeries {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The tags of one series: number of the tag in `columns`, and its value.
    pub(crate) fn tags(&self, nth: usize) -> impl Iterator<Item = (usize, &str)> {
        let start = if nth == 0 { 0 } else { self.ends[nth - 1] };
        self.tags[start..self.ends[nth]].iter().map(|(tag, value)| (*tag, self.values[*value].as_str()))
    }
}

/// Writes a write record, table by table.
#[derive(Debug)]
pub(crate) struct WriteRecord(Vec<u8>);

impl WriteRecord {
    /// A record for `tables` calls of [`WriteRecord::add`].
    pub(crate) fn new(tables: usize) -> WriteRecord {
        let mut out = vec![KIND_WRITE];
        put_varint(&mut out, tables as u64);
        WriteRecord(out)
    }

    /// Adds the rows of one table, whose columns are `columns`; `tags_of` tells the positions and values of a series' tags to its
    /// second argument. Gives the positions of all columns that the rows name, ascending.
    pub(crate) fn add<'a>(
        &mut self,
        table: &str,
        columns: &[Column],
        tags_of: impl Fn(SeriesId, &mut dyn FnMut(u32, &'a str)),
        batch: &Batch,
    ) -> Vec<u32> {
        let (series, row_series) = numbered(&batch.series);
        let mut numbers: Vec<Option<u64>> = vec![None; columns.len()];
        batch.fields.iter().for_each(|(position, _)| numbers[*position as usize] = Some(0));
        let tags = SeriesTags::of(&series, tags_of, &mut numbers);
        let named: Vec<u32> = (0..).zip(&numbers).filter(|(_, named)| named.is_some()).map(|(at, _)| at).collect();
        (0..).zip(&named).for_each(|(number, position)| numbers[*position as usize] = Some(number));
        let number_of = |position: u32| numbers[position as usize].expect("the rows name no other columns");

        let mut head = Vec::new();
        put_text(&mut head, table);
        put_columns(&mut head, named.iter().map(|position| &columns[*position as usize]));
        tags.put(&mut head, number_of);
        let out = &mut self.0;
        put_packed(out, &head);
        put_varint(out, batch.len() as u64);
        put_integers(out, &row_series);
        put_integers(out, &batch.times);
        put_varint(out, batch.fields.len() as u64);
        for (position, values) in &batch.fields {
            put_varint(out, number_of(*position));
            put_values(out, values);
        }
        named
    }

    /// The payload of the record.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// The payload that creates a table with columns besides `time`.
pub(crate) fn create_table(name: &str, columns: &[Column], options: &TableOptions) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, name);
    put_columns(&mut body, columns.iter());
    put_options(&mut body, options);
    let mut out = vec![KIND_CREATE];
    put_packed(&mut out, &body);
    out
}

/// The payload that gives a table other options.
pub(crate) fn set_options(name: &str, options: &TableOptions) -> Vec<u8> {
    let mut out = vec![KIND_OPTIONS];
    put_text(&mut out, name);
    put_options(&mut out, options);
    out
}

/// The payload that drops a table.
pub(crate) fn drop_table(name: &str) -> Vec<u8> {
    let mut out = vec![KIND_DROP];
    put_text(&mut out, name);
    out
}

/// The payload that tells the time.
pub(crate) fn time(now_ns: i64) -> Vec<u8> {
    let mut out = vec![KIND_TIME];
    put_zigzag(&mut out, now_ns);
    out
}

/// The time that a payload tells, if it tells the time.
pub(crate) fn time_in(payload: &[u8]) -> Option<i64> {
    match payload.first() {
        Some(&KIND_TIME) => Cursor::new(&payload[1..]).zigzag().ok(),
        _ => None,
    }
}

/// Reads a payload back.
pub(crate) fn decode(payload: &[u8]) -> Result<Record, Short> {
    let mut cursor = Cursor::new(payload);
    let record = match cursor.u8()? {
        KIND_WRITE => {
            let tables = cursor.count(4)?;
            let mut values_left = RECORD_VALUES_MAX;
            Record::Write((0..tables).map(|_| take_rows(&mut cursor, &mut values_left)).collect::<Result<_, _>>()?)
        }
        KIND_CREATE => {
            let body = take_packed(&mut cursor)?;
            let mut body = Cursor::new(&body);
            let (name, columns) = (body.text()?.to_owned(), take_columns(&mut body)?);
            let record = Record::CreateTable { name, columns, options: take_options(&mut body)? };
            finished(&body)?;
            record
        }
        KIND_DELETE => delete::take(&mut cursor)?,
        KIND_DROP => Record::DropTable { name: cursor.text()?.to_owned() },
        KIND_OPTIONS => Record::SetOptions { name: cursor.text()?.to_owned(), options: take_options(&mut cursor)? },
        KIND_TIME => Record::Time { now_ns: cursor.zigzag()? },
        _ => return Err(Short),
    };
    finished(&cursor)?;
    Ok(record)
}

fn finished(cursor: &Cursor<'_>) -> Result<(), Short> {
    if cursor.remaining() == 0 { Ok(()) } else { Err(Short) }
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

/// The distinct series of some rows in order of first appearance, and for each row the number of its series among them.
fn numbered(ids: &[SeriesId]) -> (Vec<SeriesId>, Vec<i64>) {
    let mut distinct = Vec::new();
    let mut numbers: HashMap<SeriesId, i64, RandomState> = HashMap::default();
    let rows = ids.iter().map(|id| {
        *numbers.entry(*id).or_insert_with(|| {
            distinct.push(*id);
            distinct.len() as i64 - 1
        })
    });
    let rows = rows.collect();
    (distinct, rows)
}

/// The tags of some series, with their distinct values numbered.
#[derive(Default)]
struct SeriesTags<'a> {
    values: Vec<&'a str>,
    /// Of all series one after the other: position of the tag and number of its value.
    tags: Vec<(u32, u32)>,
    counts: Vec<u32>,
}

impl<'a> SeriesTags<'a> {
    /// Collects the tags of series and marks the positions of those tags in `named`.
    fn of(
        series: &[SeriesId],
        tags_of: impl Fn(SeriesId, &mut dyn FnMut(u32, &'a str)),
        named: &mut [Option<u64>],
    ) -> SeriesTags<'a> {
        let mut all = SeriesTags::default();
        // The index holds each distinct value once, so its address tells it from others; held twice it would be listed twice.
        let mut numbers: HashMap<(usize, usize), u32, RandomState> = HashMap::default();
        for id in series {
            let before = all.tags.len();
            tags_of(*id, &mut |position, value: &'a str| {
                named[position as usize] = Some(0);
                let number = *numbers.entry((value.as_ptr() as usize, value.len())).or_insert_with(|| {
                    all.values.push(value);
                    all.values.len() as u32 - 1
                });
                all.tags.push((position, number));
            });
            all.counts.push((all.tags.len() - before) as u32);
        }
        all
    }

    fn put(&self, out: &mut Vec<u8>, number_of: impl Fn(u32) -> u64) {
        put_varint(out, self.values.len() as u64);
        for value in &self.values {
            put_text(out, value);
        }
        put_varint(out, self.counts.len() as u64);
        let mut tags = self.tags.iter();
        for count in &self.counts {
            put_varint(out, u64::from(*count));
            for (position, value) in tags.by_ref().take(*count as usize) {
                put_varint(out, number_of(*position));
                put_varint(out, u64::from(*value));
            }
        }
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

/// A varint less than `below`.
fn take_number(cursor: &mut Cursor<'_>, below: usize) -> Result<usize, Short> {
    cursor.varint_max(below.checked_sub(1).ok_or(Short)?)
}

/// Reads the rows of one table, of at most `values_left` values.
fn take_rows(cursor: &mut Cursor<'_>, values_left: &mut usize) -> Result<LoggedRows, Short> {
    let head = take_packed(cursor)?;
    let mut head = Cursor::new(&head);
    let table = head.text()?.to_owned();
    let columns = take_columns(&mut head)?;
    let series = take_series(&mut head, &columns)?;
    finished(&head)?;

    let mut allow = |values: usize| values_left.checked_sub(values).map(|left| *values_left = left).ok_or(Short);
    let rows = cursor.varint_max(RECORD_VALUES_MAX)?;
    allow(rows.saturating_mul(2))?;
    let number = |number: i64| usize::try_from(number).ok().filter(|n| *n < series.len()).ok_or(Short);
    let row_series = take_integers(cursor, rows)?.into_iter().map(number).collect::<Result<Vec<_>, _>>()?;
    let times = take_integers(cursor, rows)?;
    let mut fields = Vec::new();
    for _ in 0..cursor.count(3)? {
        allow(rows)?;
        let column = take_number(cursor, columns.len())?;
        let ColumnKind::Field(kind) = columns[column].kind else { return Err(Short) };
        fields.push((column, take_values(cursor, kind, rows)?));
    }
    Ok(LoggedRows { table, columns, series, row_series, times, fields })
}

fn take_series(cursor: &mut Cursor<'_>, columns: &[Column]) -> Result<LoggedSeries, Short> {
    let values = (0..cursor.count(1)?).map(|_| cursor.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    let mut series = LoggedSeries { values, ..LoggedSeries::default() };
    for _ in 0..cursor.count(1)? {
        for _ in 0..cursor.count(2)? {
            let tag = take_number(cursor, columns.len())?;
            if columns[tag].kind != ColumnKind::Tag {
                return Err(Short);
            }
            series.tags.push((tag, take_number(cursor, series.values.len())?));
        }
        series.ends.push(series.tags.len());
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::Values;
    use crate::model::Retention;
    use crate::model::Value;

    #[test]
    fn rows_come_back_by_name() {
        let column = |name: &str, kind| Column { name: name.into(), kind };
        let columns = [
            column("time", ColumnKind::Time),
            column("host", ColumnKind::Tag),
            column("unused", ColumnKind::Tag),
            column("usage", ColumnKind::Field(FieldType::Float)),
            column("note", ColumnKind::Field(FieldType::Text)),
        ];
        let tags_of = |id: SeriesId, tell: &mut dyn FnMut(u32, &'static str)| {
            if id.0 == 7 {
                tell(1, "a");
            }
        };
        let mut batch = Batch::default();
        let (usage, note) = (Value::Float(-0.0), Value::Text("x".into()));
        batch.push(SeriesId(7), 10, [(3, FieldType::Float, &usage)].into_iter());
        batch.push(SeriesId(3), i64::MIN, [(4, FieldType::Text, &note)].into_iter());
        batch.push(SeriesId(7), i64::MAX, [(3, FieldType::Float, &Value::Float(1.5))].into_iter());
        batch.finish();
        let mut record = WriteRecord::new(1);
        assert_eq!(record.add("cpu", &columns, tags_of, &batch), [1, 3, 4]);
        let Record::Write(tables) = decode(&record.finish()).unwrap() else { panic!("not a write") };
        assert_eq!(tables.len(), 1);
        assert_eq!(tables[0].columns, [columns[1].clone(), columns[3].clone(), columns[4].clone()]);
        assert_eq!(tables[0].series.len(), 2);
        assert_eq!(tables[0].series.tags(0).collect::<Vec<_>>(), [(0, "a")]);
        assert_eq!(tables[0].series.tags(1).count(), 0);
        assert_eq!(tables[0].row_series, [0, 1, 0]);
        assert_eq!(tables[0].times, batch.times);
        let Values::Float(usages) = &tables[0].fields[0].1.values else { panic!("not floats") };
        assert_eq!(usages.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), [(-0.0f64).to_bits(), 0, 1.5f64.to_bits()]);
        assert_eq!(tables[0].fields[0].1.valid, [true, false, true]);
        assert_eq!(tables[0].fields[1], (2, batch.fields[1].1.clone()));
    }

    #[test]
    fn definitions_come_back() {
        let columns = vec![
            Column { name: "host".into(), kind: ColumnKind::Tag },
            Column { name: "n".into(), kind: ColumnKind::Field(FieldType::Unsigned) },
        ];
        let options = TableOptions {
            retention: Some(Retention::raw(86_400_000_000_000).unwrap()),
            legal_hold: true,
            max_series: Some(70_000),
        };
        let created = decode(&create_table("t", &columns, &options)).unwrap();
        assert_eq!(created, Record::CreateTable { name: "t".into(), columns, options: options.clone() });
        for options in [options, TableOptions::default()] {
            let changed = Record::SetOptions { name: "t".into(), options: options.clone() };
            assert_eq!(decode(&set_options("t", &options)).unwrap(), changed);
        }
        assert_eq!(decode(&drop_table("t")).unwrap(), Record::DropTable { name: "t".into() });
    }

    /// A few bytes can claim many rows without a value of their own each.
    #[test]
    fn few_bytes_do_not_take_much_memory() {
        let column = Column { name: "n".into(), kind: ColumnKind::Field(FieldType::Integer) };
        let mut head = Vec::new();
        put_text(&mut head, "t");
        put_columns(&mut head, [&column].into_iter());
        SeriesTags { counts: vec![0], ..SeriesTags::default() }.put(&mut head, u64::from);
        let mut payload = vec![KIND_WRITE, 1];
        put_packed(&mut payload, &head);
        put_varint(&mut payload, RECORD_VALUES_MAX as u64);
        payload.extend([0; 30]);
        assert_eq!(decode(&payload), Err(Short));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>) {
            let _any_answer_will_do = decode(&bytes);
            for kind in [KIND_WRITE, KIND_CREATE, KIND_DROP] {
                let mut payload = vec![kind];
                payload.extend(&bytes);
                let _any_answer_will_do = decode(&payload);
            }
        }
    }
}
