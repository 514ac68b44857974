//! From the cells of all parts to the answer.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringViewArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
};

use super::AggregateFunction::{Avg, Count, CountRows, First, Last, Max, Min, Sketch, Sum};
use super::cells::{Cells, Edge, FieldCells, Sums};
use super::kernels::float_of_key;
use super::output::{Answer, Column, SUM_PRECISION};
use super::plain::{average, one_nan};
use super::plan::Plan;
use super::spans::Window;
use crate::Result;
use crate::model::{ColumnKind, FieldType};
use crate::segment::Scalar;

/// A cell with rows: its place in the answer, and where it is.
#[derive(Debug, Clone, Copy)]
struct Found {
    bucket: u64,
    group: u32,
    cells: usize,
    cell: usize,
}

/// The answer.
pub(super) fn finish(plan: &Plan, answer: &Answer, mut all: Vec<Cells>) -> Result<RecordBatch> {
    if answer.is_single() && all.iter().all(|cells| cells.rows.is_empty()) {
        all.push(Cells::new(Window { first_bucket: 0, buckets: 1, groups: 1 }, &plan.fields));
    }
    let mut found = cells_with_rows(&all);
    if answer.is_single() && found.is_empty() {
        let cells = all.iter().position(|cells| !cells.rows.is_empty()).expect("there is one of one cell");
        found.push(Found { bucket: 0, group: 0, cells, cell: 0 });
    }
    // What each one found is in order, which a sort of runs makes use of.
    found.sort_by_key(|f| (f.bucket, f.group));
    let found = limited(answer, joined(found, &mut all));
    let mut arrays: Vec<ArrayRef> = Vec::new();
    if answer.bucket.is_some() {
        let starts = found.iter().map(|f| plan.clock.start_ns(f.bucket));
        arrays.push(Arc::new(TimestampNanosecondArray::from_iter_values(starts).with_timezone("UTC")));
    }
    arrays.extend(plan.groups.values(&UInt32Array::from_iter_values(found.iter().map(|f| f.group))));
    for (column, field) in answer.columns.iter().zip(&plan.columns) {
        arrays.push(match field {
            None => Arc::new(found.iter().map(|f| Some(all[f.cells].rows[f.cell] as i64)).collect::<Int64Array>()),
            Some(nth) => array(column, &found, &|f: &Found| &all[f.cells].fields[*nth]),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(found.len()));
    Ok(RecordBatch::try_new_with_options(answer.schema(), arrays, &options).expect("arrays are built to the schema"))
}

fn cells_with_rows(all: &[Cells]) -> Vec<Found> {
    let mut found = Vec::new();
    for (nth, cells) in all.iter().enumerate() {
        let Window { first_bucket, buckets, groups } = cells.window;
        for bucket in 0..buckets {
            for group in 0..groups {
                let cell = group * buckets + bucket;
                if cells.rows[cell] > 0 {
                    found.push(Found { bucket: first_bucket + bucket as u64, group: group as u32, cells: nth, cell });
                }
            }
        }
    }
    found
}

/// Each place of the answer once: cells of the same place are added up in the first of them.
fn joined(found: Vec<Found>, all: &mut [Cells]) -> Vec<Found> {
    let mut places: Vec<Found> = Vec::with_capacity(found.len());
    for next in found {
        match places.last() {
            Some(last) if (last.bucket, last.group) == (next.bucket, next.group) => {
                let [into, from] =
                    all.get_disjoint_mut([last.cells, next.cells]).expect("a place is once in each of several cells");
                into.merge(last.cell, from, next.cell);
            }
            _ => places.push(next),
        }
    }
    places
}

/// The places of the buckets that are asked for, in order.
fn limited(answer: &Answer, found: Vec<Found>) -> Vec<Found> {
    let Some(limit) = answer.limit else { return found };
    let buckets = found.chunk_by(|a, b| a.bucket == b.bucket);
    match limit.descending {
        true => buckets.rev().take(limit.buckets).flatten().copied().collect(),
        false => buckets.take(limit.buckets).flatten().copied().collect(),
    }
}

fn array<'c>(column: &Column, found: &[Found], field: &dyn Fn(&Found) -> &'c FieldCells) -> ArrayRef {
    let kind = column.argument.as_ref().map_or(ColumnKind::Time, |(_, kind)| *kind);
    let is_float = kind == ColumnKind::Field(FieldType::Float);
    let count = |f: &Found| field(f).count[f.cell];
    match column.function {
        CountRows | Count => Arc::new(found.iter().map(|f| Some(count(f) as i64)).collect::<Int64Array>()),
        Sum if is_float => {
            Arc::new(found.iter().map(|f| Some(one_nan(float_sum(field(f), f.cell)?))).collect::<Float64Array>())
        }
        Sum => {
            let sums = found.iter().map(|f| exact_sum(field(f), f.cell)).collect::<Decimal128Array>();
            Arc::new(sums.with_precision_and_scale(SUM_PRECISION, 0).expect("a precision that decimals have"))
        }
        Avg => {
            let sum = |f: &Found| float_sum(field(f), f.cell).or(exact_sum(field(f), f.cell).map(|sum| sum as f64));
            Arc::new(found.iter().map(|f| Some(average(sum(f)?, count(f)))).collect::<Float64Array>())
        }
        Min if kind == ColumnKind::Field(FieldType::Text) => {
            texts(found.iter().map(|f| field(f).text_min[f.cell].as_deref()))
        }
        Max if kind == ColumnKind::Field(FieldType::Text) => {
            texts(found.iter().map(|f| field(f).text_max[f.cell].as_deref()))
        }
        Min => of_keys(kind, found.iter().map(|f| (count(f) > 0).then(|| field(f).min[f.cell]))),
        Max => of_keys(kind, found.iter().map(|f| (count(f) > 0).then(|| field(f).max[f.cell]))),
        First => of_edges(kind, found.iter().map(|f| field(f).first[f.cell].as_ref())),
        Last => of_edges(kind, found.iter().map(|f| field(f).last[f.cell].as_ref())),
        Sketch => unreachable!("sketches are left to the plain way"),
    }
}

fn float_sum(field: &FieldCells, cell: usize) -> Option<f64> {
    match &field.sum {
        Sums::Float(sums) => (field.count[cell] > 0).then(|| sums[cell]),
        Sums::Exact(_) => None,
    }
}

fn exact_sum(field: &FieldCells, cell: usize) -> Option<i128> {
    match &field.sum {
        Sums::Exact(sums) => (field.count[cell] > 0).then(|| sums[cell]),
        Sums::Float(_) => None,
    }
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringViewArray>())
}

/// Numbers by their order keys.
fn of_keys(kind: ColumnKind, keys: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    match kind {
        ColumnKind::Field(FieldType::Float) => {
            Arc::new(keys.map(|key| key.map(float_of_key)).collect::<Float64Array>())
        }
        ColumnKind::Field(FieldType::Unsigned) => {
            Arc::new(keys.map(|key| key.map(|key| key as u64 ^ 1 << 63)).collect::<UInt64Array>())
        }
        ColumnKind::Field(FieldType::Boolean) => {
            Arc::new(keys.map(|key| key.map(|key| key != 0)).collect::<BooleanArray>())
        }
        ColumnKind::Field(FieldType::Integer) => Arc::new(keys.collect::<Int64Array>()),
        _ => Arc::new(keys.collect::<TimestampNanosecondArray>().with_timezone("UTC")),
    }
}

fn of_edges<'a>(kind: ColumnKind, edges: impl Iterator<Item = Option<&'a Edge>>) -> ArrayRef {
    let values = edges.map(|edge| edge.and_then(|edge| edge.value.as_ref()));
    macro_rules! collect {
        ($array:ty, $variant:path, $v:ident => $value:expr) => {
            values.map(|value| if let Some($variant($v)) = value { Some($value) } else { None }).collect::<$array>()
        };
    }
    match kind {
        ColumnKind::Field(FieldType::Float) => Arc::new(collect!(Float64Array, Scalar::Float, v => *v)),
        ColumnKind::Field(FieldType::Integer) => Arc::new(collect!(Int64Array, Scalar::Integer, v => *v)),
        ColumnKind::Field(FieldType::Unsigned) => Arc::new(collect!(UInt64Array, Scalar::Unsigned, v => *v)),
        ColumnKind::Field(FieldType::Boolean) => Arc::new(collect!(BooleanArray, Scalar::Boolean, v => *v)),
        ColumnKind::Field(FieldType::Text) => Arc::new(collect!(StringViewArray, Scalar::Text, v => v.as_str())),
        _ => {
            let times = collect!(TimestampNanosecondArray, Scalar::Integer, v => *v);
            Arc::new(times.with_timezone("UTC"))
        }
    }
}
