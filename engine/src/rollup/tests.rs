//! Summaries are those of the plainest way to make them, however rows are cut, and columns give them back.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewArray, UInt64Array};
use proptest::prelude::*;

use super::columns::{from_rows, to_rows};
use super::summary::{BucketSummary, FieldSummary, Sum};
use super::*;
use crate::model::{FieldType, SeriesId, Value};

const FIELDS: [FieldRef; 5] = [
    (1, FieldType::Float),
    (3, FieldType::Integer),
    (4, FieldType::Unsigned),
    (5, FieldType::Boolean),
    (7, FieldType::Text),
];

type Row = (u32, i64, Option<f64>, Option<i64>, Option<u64>, Option<bool>, Option<String>);

fn a_row() -> impl Strategy<Value = Row> {
    let float = prop_oneof![any::<f64>(), (-9..9i32).prop_map(f64::from)];
    let option = prop::option::of::<BoxedStrategy<f64>>;
    (
        0..3u32,
        -50..50i64,
        option(float.boxed()),
        prop::option::of(prop_oneof![any::<i64>(), -3..3i64]),
        prop::option::of(prop_oneof![any::<u64>(), 0..3u64]),
        any::<Option<bool>>(),
        prop::option::of("[a-c]{0,2}"),
    )
}

fn rows(list: &[Row]) -> Rows {
    let mut rows = Rows { times: list.iter().map(|r| r.1).collect(), ..Rows::default() };
    for (nth, row) in list.iter().enumerate() {
        match rows.series.last_mut() {
            Some((series, end)) if series.0 == row.0 => *end = nth + 1,
            _ => rows.series.push((SeriesId(row.0), nth + 1)),
        }
    }
    rows.columns = vec![
        Arc::new(list.iter().map(|r| r.2).collect::<Float64Array>()) as ArrayRef,
        Arc::new(list.iter().map(|r| r.3).collect::<Int64Array>()),
        Arc::new(list.iter().map(|r| r.4).collect::<UInt64Array>()),
        Arc::new(list.iter().map(|r| r.5).collect::<BooleanArray>()),
        Arc::new(list.iter().map(|r| r.6.as_deref()).collect::<StringViewArray>()),
    ];
    rows
}

fn roll(list: &[Row], width_ns: i64, cut: usize) -> Vec<BucketSummary> {
    let mut roller = Roller::new(width_ns, &FIELDS);
    let mut buckets = Vec::new();
    for piece in list.chunks(cut) {
        roller.add_rows(&rows(piece));
        buckets.extend(roller.take());
    }
    buckets.extend(roller.finish());
    buckets
}

/// One bucket the plainest way: only integers, whose sums do not depend on order.
fn plain(list: &[Row], series: u32, bucket_ns: i64, width_ns: i64) -> Option<(u64, FieldSummary)> {
    let inside = |r: &&Row| r.0 == series && r.1 >= bucket_ns && r.1 - bucket_ns < width_ns;
    let inside: Vec<&Row> = list.iter().filter(inside).collect();
    let values: Vec<(i64, i64)> = inside.iter().filter_map(|r| Some((r.1, r.3?))).collect();
    let mut field = FieldSummary::new(FIELDS[1]);
    field.count = values.len() as u64;
    if !values.is_empty() {
        field.sum = Sum::Integer(values.iter().map(|v| i128::from(v.1)).sum());
    }
    field.min = values.iter().map(|v| v.1).min().map(Value::Integer);
    field.max = values.iter().map(|v| v.1).max().map(Value::Integer);
    field.first = values.first().map(|v| (v.0, Value::Integer(v.1)));
    field.last = values.last().map(|v| (v.0, Value::Integer(v.1)));
    values.iter().for_each(|v| field.bins.add(v.1 as f64));
    (!inside.is_empty()).then_some((inside.len() as u64, field))
}

/// Equal, NaN being equal to itself.
fn same(a: &[BucketSummary], b: &[BucketSummary]) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

proptest! {
    #[test]
    fn buckets_are_those_of_the_plain_way(mut list in prop::collection::vec(a_row(), 1..60), cut in 1..20usize) {
        list.sort_by_key(|r| (r.0, r.1));
        list.dedup_by_key(|r| (r.0, r.1));
        let buckets = roll(&list, 10, cut);
        let mut expected = 0;
        for series in 0..3 {
            for bucket_ns in (-50..50).step_by(10) {
                let found = buckets.iter().find(|b| b.series.0 == series && b.bucket_ns == bucket_ns);
                let plain = plain(&list, series, bucket_ns, 10);
                prop_assert_eq!(found.map(|b| (b.rows, b.fields[1].clone())), plain.clone());
                expected += usize::from(plain.is_some());
            }
        }
        prop_assert_eq!(buckets.len(), expected);
    }

    #[test]
    fn coarser_buckets_are_those_of_the_rows(mut list in prop::collection::vec(a_row(), 1..60), cut in 1..20usize) {
        list.sort_by_key(|r| (r.0, r.1));
        list.dedup_by_key(|r| (r.0, r.1));
        // Sums of floats depend on how they are cut.
        list.iter_mut().for_each(|r| r.2 = r.2.map(|v| (v % 100.0).trunc()).filter(|v| !v.is_nan()));
        let mut coarser = Roller::new(30, &FIELDS);
        coarser.add_buckets(&roll(&list, 10, cut));
        prop_assert!(same(&coarser.finish(), &roll(&list, 30, cut)));
    }

    #[test]
    fn columns_give_summaries_back(mut list in prop::collection::vec(a_row(), 1..60)) {
        list.sort_by_key(|r| (r.0, r.1));
        list.dedup_by_key(|r| (r.0, r.1));
        let buckets = roll(&list, 10, 7);
        let rows = to_rows(&buckets, &FIELDS);
        prop_assert_eq!(rows.columns.len(), rollup_fields(&FIELDS).len());
        let back = from_rows(&rows, &FIELDS).unwrap();
        prop_assert!(same(&back, &buckets), "{:?}\n{:?}", back, buckets);
    }
}
