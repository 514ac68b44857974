//! Compares what the engine reads with what its plain twin holds, row by row and bit by bit.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampNanosecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use plimsoll_engine::env::sim::Random;
use plimsoll_engine::naive::Naive;
use plimsoll_engine::{
    Column, ColumnKind, Error, ScanRequest, SchemaError, Snapshot, TableSchema, TagMatcher, TagTest, TimeRange,
};

use crate::history::{any_table, any_tag, any_tag_value, time};

/// Random questions per comparison.
const REQUESTS: usize = 3;

/// One value; floats by their bits, so that every NaN and zero is itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    Null,
    Time(i64),
    Text(String),
    Float(u64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    Decimal(i128),
}

pub(crate) type Row = Vec<Cell>;

/// Everything in a database: per table its columns and its rows, sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dump(BTreeMap<String, (Vec<Column>, Vec<Row>)>);

impl Dump {
    /// What the plain twin holds.
    pub(crate) fn of(naive: &Naive) -> Dump {
        let dump = |schema: &TableSchema| {
            let batch = naive.read(schema, &everything(&schema.name, &schema.columns)).expect("every column exists");
            (schema.name.clone(), (schema.columns.clone(), sorted(rows(&batch))))
        };
        Dump(naive.tables().iter().map(|schema| dump(schema)).collect())
    }

    /// What the engine reads.
    pub(crate) fn read(snapshot: &Snapshot) -> Result<Dump, Error> {
        let mut tables = BTreeMap::new();
        for schema in snapshot.tables() {
            let mut found = Vec::new();
            for part in snapshot.scan(&everything(&schema.name, &schema.columns))? {
                for batch in part {
                    found.extend(rows(&batch?));
                }
            }
            tables.insert(schema.name.clone(), (schema.columns.clone(), sorted(found)));
        }
        Ok(Dump(tables))
    }

    /// As `differs`, after the names that need not be there are left out.
    pub(crate) fn differs_in(&self, expected: &Dump, names: Names) -> Option<String> {
        match names {
            Names::Exact => self.differs(expected),
            Names::AtLeast => self.without_empty_names(expected).differs(expected),
        }
    }

    /// Leaves out tables without rows and columns without values that are not expected, in the order that is expected.
    fn without_empty_names(&self, expected: &Dump) -> Dump {
        let mut kept = BTreeMap::new();
        for (name, (columns, rows)) in &self.0 {
            let Some((wanted, _)) = expected.0.get(name) else {
                if !rows.is_empty() {
                    kept.insert(name.clone(), (columns.clone(), rows.clone()));
                }
                continue;
            };
            let place = |column: &Column| wanted.iter().position(|other| other == column);
            let is_kept = |at: &usize| place(&columns[*at]).is_some() || rows.iter().any(|row| row[*at] != Cell::Null);
            let mut order: Vec<usize> = (0..columns.len()).filter(is_kept).collect();
            order.sort_by_key(|at| place(&columns[*at]).unwrap_or(usize::MAX));
            let rows = rows.iter().map(|row| order.iter().map(|at| row[*at].clone()).collect()).collect();
            kept.insert(name.clone(), (order.iter().map(|at| columns[*at].clone()).collect(), sorted(rows)));
        }
        Dump(kept)
    }

    /// Says where `self`, which was found, differs from what was expected.
    pub(crate) fn differs(&self, expected: &Dump) -> Option<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(expected.0.keys()).collect();
        names.into_iter().find_map(|name| match (self.0.get(name), expected.0.get(name)) {
            (Some(_), None) => Some(format!("table {name:?} should not be there")),
            (None, Some(_)) => Some(format!("table {name:?} is missing")),
            (Some(found), Some(wanted)) if found.0 != wanted.0 => {
                Some(format!("table {name:?} has columns\n  {:?}\nnot\n  {:?}", found.0, wanted.0))
            }
            (Some(found), Some(wanted)) => {
                rows_differ(&found.1, &wanted.1).map(|why| format!("table {name:?} {:?}: {why}", found.0))
            }
            (None, None) => None,
        })
    }
}

/// Which names of tables and columns must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// The expected ones, in their order.
    Exact,
    /// The expected ones at least: a write that was refused on its way to the disk may leave names behind, without values.
    AtLeast,
}

/// Says where two sorted lists of rows differ.
fn rows_differ(found: &[Row], expected: &[Row]) -> Option<String> {
    if found == expected {
        return None;
    }
    let at = found.iter().zip(expected).take_while(|(one, other)| one == other).count();
    Some(format!(
        "{} rows found, {} expected; first difference\n  found    {:?}\n  expected {:?}",
        found.len(),
        expected.len(),
        found.get(at),
        expected.get(at),
    ))
}

fn everything(table: &str, columns: &[Column]) -> ScanRequest {
    ScanRequest {
        table: table.to_owned(),
        columns: columns.iter().map(|c| c.name.clone()).collect(),
        time: TimeRange::ALL,
        tags: Vec::new(),
        parts_max: 3,
    }
}

/// Reads everything, and some of it by random requests, and compares.
pub(crate) fn same(snapshot: &Snapshot, naive: &Naive, names: Names, random: &mut Random) -> Result<(), String> {
    let found = Dump::read(snapshot).map_err(|e| format!("scan of everything: {e}"))?;
    if let Some(why) = found.differs_in(&Dump::of(naive), names) {
        return Err(why);
    }
    for _ in 0..REQUESTS {
        let request = request(naive, random);
        same_answer(snapshot, naive, &request, names).map_err(|why| format!("{why}\nto {request:?}"))?;
    }
    Ok(())
}

/// A random question.
fn request(naive: &Naive, random: &mut Random) -> ScanRequest {
    let table = any_table(random);
    let mut columns = Vec::new();
    for column in naive.table(table).iter().flat_map(|schema| &schema.columns) {
        if random.below(3) > 0 {
            let at = random.below(columns.len() + 1);
            columns.insert(at, column.name.clone());
        }
    }
    match random.below(40) {
        0 => columns.push("nowhere".to_owned()),
        1 => columns.clear(),
        _ => {}
    }
    let (one, other) = (time(random), time(random));
    let time = match random.below(4) {
        0 => TimeRange::ALL,
        1 => TimeRange { min_ns: one, max_ns: one },
        2 if random.one_in(4) => TimeRange { min_ns: one.max(other), max_ns: one.min(other) },
        _ => TimeRange { min_ns: one.min(other), max_ns: one.max(other) },
    };
    let tags = (0..random.below(3)).map(|_| TagMatcher { tag: any_tag(random).to_owned(), test: test(random) });
    ScanRequest { table: table.to_owned(), columns, time, tags: tags.collect(), parts_max: 1 + random.below(4) }
}

fn test(random: &mut Random) -> TagTest {
    let value = |random: &mut Random| any_tag_value(random).to_owned();
    let list = |random: &mut Random| (0..random.below(4)).map(|_| value(random)).collect();
    match random.below(8) {
        0 => TagTest::Equals(value(random)),
        1 => TagTest::NotEquals(value(random)),
        2 => TagTest::In(list(random)),
        3 => TagTest::NotIn(list(random)),
        4 => TagTest::Prefix(value(random)),
        5 => TagTest::Regex((*random.pick(&["^a", "b$", "a|ü", "", "x.*"])).to_owned()),
        6 => TagTest::IsNull,
        _ => TagTest::IsNotNull,
    }
}

/// Asks both, and compares answers or refusals.
fn same_answer(snapshot: &Snapshot, naive: &Naive, request: &ScanRequest, names: Names) -> Result<(), String> {
    let schema = naive.table(&request.table);
    let expected = match &schema {
        Some(schema) => naive.read(schema, request),
        None => Err(SchemaError::NoTable(request.table.clone()).into()),
    };
    match (answer(snapshot, request), expected) {
        (Ok(found), Ok(expected)) => found.compare(&expected, request, &tags(schema.as_deref())),
        (Err(found), Err(expected)) if found.to_string() == expected.to_string() => Ok(()),
        (Ok(found), Err(_)) if found.is_empty() && names == Names::AtLeast => Ok(()),
        (Ok(_), Err(expected)) => Err(format!("answered, but expected: {expected}")),
        (Err(found), Ok(_)) => Err(format!("refused: {found}")),
        (Err(found), Err(expected)) => Err(format!("refused: {found}\nbut expected: {expected}")),
    }
}

/// An answer: its parts, each of batches.
struct Answer(Vec<Vec<RecordBatch>>);

fn answer(snapshot: &Snapshot, request: &ScanRequest) -> Result<Answer, Error> {
    let parts = snapshot.scan(request)?;
    Ok(Answer(parts.into_iter().map(Iterator::collect).collect::<Result<_, _>>()?))
}

impl Answer {
    fn is_empty(&self) -> bool {
        self.0.iter().flatten().all(|batch| batch.num_rows() == 0)
    }

    fn compare(&self, expected: &RecordBatch, request: &ScanRequest, tags: &[&str]) -> Result<(), String> {
        if self.0.len() > request.parts_max {
            return Err(format!("{} parts", self.0.len()));
        }
        let mut found = Vec::new();
        for batch in self.0.iter().flatten() {
            if batch.schema().fields() != expected.schema().fields() {
                return Err(format!("a batch of {:?} instead of {:?}", batch.schema(), expected.schema()));
            }
            let batch = rows(batch);
            in_order(&batch, request, tags)?;
            found.extend(batch);
        }
        rows_differ(&sorted(found), &sorted(rows(expected))).map_or(Ok(()), Err)
    }
}

/// Names of a table's tags.
fn tags(schema: Option<&TableSchema>) -> Vec<&str> {
    let columns = schema.iter().flat_map(|schema| &schema.columns);
    columns.filter(|column| column.kind == ColumnKind::Tag).map(|column| column.name.as_str()).collect()
}

/// Within a batch a series is in one piece and its times ascend. It shows only when the time and all tags were asked for.
fn in_order(batch: &[Row], request: &ScanRequest, tags: &[&str]) -> Result<(), String> {
    let position = |name: &str| request.columns.iter().position(|column| column == name);
    let (Some(time), Some(tags)) = (position("time"), tags.iter().map(|tag| position(tag)).collect::<Option<Vec<_>>>())
    else {
        return Ok(());
    };
    let mut last: BTreeMap<Vec<&Cell>, (usize, &Cell)> = BTreeMap::new();
    for (at, row) in batch.iter().enumerate() {
        let series = tags.iter().map(|tag| &row[*tag]).collect();
        if let Some((before, before_time)) = last.insert(series, (at, &row[time]))
            && (before + 1 != at || *before_time >= row[time])
        {
            return Err(format!("row {at} of a batch is out of order: {row:?}"));
        }
    }
    Ok(())
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

/// The rows of a batch.
pub(crate) fn rows(batch: &RecordBatch) -> Vec<Row> {
    let mut rows = vec![Row::new(); batch.num_rows()];
    for column in batch.columns() {
        for (at, row) in rows.iter_mut().enumerate() {
            row.push(cell(column, at));
        }
    }
    rows
}

fn cell(column: &dyn Array, at: usize) -> Cell {
    if column.is_null(at) {
        return Cell::Null;
    }
    match column.data_type() {
        DataType::Timestamp(..) => Cell::Time(column.as_primitive::<TimestampNanosecondType>().value(at)),
        DataType::Utf8View => Cell::Text(column.as_string_view().value(at).to_owned()),
        DataType::Float64 => Cell::Float(column.as_primitive::<Float64Type>().value(at).to_bits()),
        DataType::Int64 => Cell::Integer(column.as_primitive::<Int64Type>().value(at)),
        DataType::UInt64 => Cell::Unsigned(column.as_primitive::<UInt64Type>().value(at)),
        DataType::Decimal128(..) => Cell::Decimal(column.as_primitive::<Decimal128Type>().value(at)),
        DataType::Boolean => Cell::Boolean(column.as_boolean().value(at)),
        other => panic!("no column is of type {other}"),
    }
}
