//! What of a filter the engine can apply: ranges of `time` and tests of tags.
//!
//! Invariants
//! - A filter reported as exact selects the very rows that the engine then gives; DataFusion does not look at it again.
//! - A filter reported as inexact selects a subset of those rows; DataFusion applies it to them.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator, TableProviderFilterPushDown};
use plimsoll_engine::{ColumnKind, TableSchema, TagMatcher, TagTest, TimeRange};

/// What a scan is narrowed by.
#[derive(Debug, PartialEq)]
pub(super) struct Pushed {
    pub(super) time: TimeRange,
    pub(super) tags: Vec<TagMatcher>,
}

/// How much of a filter the engine takes over.
pub(super) fn support(filter: &Expr, table: &TableSchema) -> TableProviderFilterPushDown {
    match read(filter, table) {
        Some(Read { exact: true, .. }) => TableProviderFilterPushDown::Exact,
        Some(Read { exact: false, .. }) => TableProviderFilterPushDown::Inexact,
        None => TableProviderFilterPushDown::Unsupported,
    }
}

/// The scan that all of the filters together narrow to.
pub(super) fn push(filters: &[Expr], table: &TableSchema) -> Pushed {
    let mut pushed = Pushed { time: TimeRange::ALL, tags: Vec::new() };
    for read in filters.iter().filter_map(|filter| read(filter, table)) {
        pushed.time = pushed.time.intersect(&read.time);
        pushed.tags.extend(read.tags);
    }
    pushed
}

/// A filter as the engine understands it.
struct Read {
    time: TimeRange,
    tags: Vec<TagMatcher>,
    exact: bool,
}

impl Read {
    fn time(time: TimeRange) -> Option<Read> {
        Some(Read { time, tags: Vec::new(), exact: true })
    }

    fn tag(tag: &str, test: TagTest) -> Option<Read> {
        Some(Read { time: TimeRange::ALL, tags: vec![TagMatcher { tag: tag.to_owned(), test }], exact: true })
    }

    /// The tag and its values, when the filter is nothing but a list of them.
    fn one_of(&self) -> Option<(String, Vec<String>)> {
        match (self.tags.as_slice(), self.exact && self.time == TimeRange::ALL) {
            ([TagMatcher { tag, test: TagTest::Equals(value) }], true) => Some((tag.clone(), vec![value.clone()])),
            ([TagMatcher { tag, test: TagTest::In(values) }], true) => Some((tag.clone(), values.clone())),
            _ => None,
        }
    }
}

/// `None` when the engine can do nothing with the filter.
fn read(filter: &Expr, table: &TableSchema) -> Option<Read> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => both(read(left, table), read(right, table)),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            either(read(left, table)?, read(right, table)?)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => comparison(left, *op, right, table),
        Expr::Between(between) if !between.negated => {
            let low = comparison(&between.expr, Operator::GtEq, &between.low, table);
            both(low, comparison(&between.expr, Operator::LtEq, &between.high, table))
        }
        Expr::InList(list) => in_list(list, table),
        Expr::Like(like) => prefix(like, table),
        Expr::IsNull(expr) => Read::tag(tag(expr, table)?, TagTest::IsNull),
        Expr::IsNotNull(expr) => Read::tag(tag(expr, table)?, TagTest::IsNotNull),
        _ => None,
    }
}

/// Both hold. A side that cannot be read is left to DataFusion.
fn both(left: Option<Read>, right: Option<Read>) -> Option<Read> {
    match (left, right) {
        (Some(left), Some(right)) => Some(Read {
            time: left.time.intersect(&right.time),
            tags: left.tags.into_iter().chain(right.tags).collect(),
            exact: left.exact && right.exact,
        }),
        (Some(one), None) | (None, Some(one)) => Some(Read { exact: false, ..one }),
        (None, None) => None,
    }
}

/// One of the two holds: a tag has one of several values, or the time is within the span of both.
fn either(left: Read, right: Read) -> Option<Read> {
    if let (Some((tag, mut values)), Some((same, more))) = (left.one_of(), right.one_of())
        && tag == same
    {
        values.extend(more);
        return Read::tag(&tag, TagTest::In(values));
    }
    let time = match (left.time.is_empty(), right.time.is_empty()) {
        (true, _) => right.time,
        (_, true) => left.time,
        _ => TimeRange {
            min_ns: left.time.min_ns.min(right.time.min_ns),
            max_ns: left.time.max_ns.max(right.time.max_ns),
        },
    };
    (time != TimeRange::ALL).then_some(Read { time, tags: Vec::new(), exact: false })
}

fn comparison(left: &Expr, op: Operator, right: &Expr, table: &TableSchema) -> Option<Read> {
    match (left, right) {
        (Expr::Column(column), Expr::Literal(value, _)) => compare(&column.name, op, value, table),
        (Expr::Literal(value, _), Expr::Column(column)) => compare(&column.name, op.swap()?, value, table),
        _ => None,
    }
}

fn compare(column: &str, op: Operator, value: &ScalarValue, table: &TableSchema) -> Option<Read> {
    match kind(column, table)? {
        ColumnKind::Time => Read::time(time_range(op, nanoseconds(value)?)?),
        ColumnKind::Tag => {
            let text = value.try_as_str()??.to_owned();
            let test = match op {
                Operator::Eq => TagTest::Equals(text),
                Operator::NotEq => TagTest::NotEquals(text),
                Operator::RegexMatch => TagTest::Regex(text),
                _ => return None,
            };
            Read::tag(column, test)
        }
        ColumnKind::Field(_) => None,
    }
}

fn time_range(op: Operator, ns: i64) -> Option<TimeRange> {
    let (min_ns, max_ns) = match op {
        Operator::Eq => (ns, ns),
        Operator::GtEq => (ns, i64::MAX),
        Operator::LtEq => (i64::MIN, ns),
        Operator::Gt if ns == i64::MAX => (i64::MAX, i64::MIN),
        Operator::Gt => (ns + 1, i64::MAX),
        Operator::Lt if ns == i64::MIN => (i64::MAX, i64::MIN),
        Operator::Lt => (i64::MIN, ns - 1),
        _ => return None,
    };
    Some(TimeRange { min_ns, max_ns })
}

/// Literals have been cast to the type of the column by the time filters are pushed down.
fn nanoseconds(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::TimestampNanosecond(Some(ns), Some(_)) => Some(*ns),
        _ => None,
    }
}

fn in_list(list: &InList, table: &TableSchema) -> Option<Read> {
    let tag = tag(&list.expr, table)?;
    let text = |item: &Expr| match item {
        Expr::Literal(value, _) => value.try_as_str().flatten().map(str::to_owned),
        _ => None,
    };
    let values = list.list.iter().map(text).collect::<Option<Vec<_>>>()?;
    Read::tag(tag, if list.negated { TagTest::NotIn(values) } else { TagTest::In(values) })
}

/// `LIKE 'abc%'`, where `abc` holds no further sign with a meaning.
fn prefix(like: &Like, table: &TableSchema) -> Option<Read> {
    let plain = !like.negated && !like.case_insensitive && like.escape_char.is_none();
    let (true, Expr::Literal(pattern, _)) = (plain, like.pattern.as_ref()) else { return None };
    let prefix = pattern.try_as_str()??.strip_suffix('%')?;
    if prefix.contains(['%', '_', '\\']) {
        return None;
    }
    Read::tag(tag(&like.expr, table)?, TagTest::Prefix(prefix.to_owned()))
}

fn tag<'a>(expr: &'a Expr, table: &TableSchema) -> Option<&'a str> {
    match expr {
        Expr::Column(column) if kind(&column.name, table)? == ColumnKind::Tag => Some(&column.name),
        _ => None,
    }
}

fn kind(column: &str, table: &TableSchema) -> Option<ColumnKind> {
    table.position(column).map(|at| table.columns[at].kind)
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};
    use plimsoll_engine::{Column, FieldType, TableId};

    use super::*;

    fn table() -> TableSchema {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let columns = vec![
            column("time", ColumnKind::Time),
            column("host", ColumnKind::Tag),
            column("v", ColumnKind::Field(FieldType::Float)),
        ];
        TableSchema { id: TableId(0), name: "cpu".to_owned(), columns }
    }

    fn at(ns: i64) -> Expr {
        lit(ScalarValue::TimestampNanosecond(Some(ns), Some("UTC".into())))
    }

    fn pushed(filter: Expr) -> (TableProviderFilterPushDown, i64, i64, usize) {
        let table = table();
        let how = support(&filter, &table);
        let Pushed { time, tags } = push(&[filter], &table);
        (how, time.min_ns, time.max_ns, tags.len())
    }

    #[test]
    fn time_ranges_are_exact_and_closed() {
        use TableProviderFilterPushDown::{Exact, Inexact, Unsupported};
        assert_eq!(pushed(col("time").gt_eq(at(5)).and(col("time").lt(at(9)))), (Exact, 5, 8, 0));
        assert_eq!(pushed(at(5).lt(col("time"))), (Exact, 6, i64::MAX, 0));
        assert_eq!(pushed(col("time").between(at(5), at(9))), (Exact, 5, 9, 0));
        assert_eq!(pushed(col("time").gt(at(i64::MAX))), (Exact, i64::MAX, i64::MIN, 0));
        assert_eq!(pushed(col("time").eq(at(5)).or(col("time").eq(at(9)))), (Inexact, 5, 9, 0));
        assert_eq!(pushed(col("time").not_eq(at(5))), (Unsupported, i64::MIN, i64::MAX, 0));
        assert_eq!(pushed(col("time").gt(at(5)).and(col("v").gt(lit(1.0)))), (Inexact, 6, i64::MAX, 0));
        assert_eq!(pushed(col("time").gt(at(5)).or(col("v").gt(lit(1.0)))), (Unsupported, i64::MIN, i64::MAX, 0));
    }

    #[test]
    fn tag_tests_are_exact() {
        use TableProviderFilterPushDown::{Exact, Inexact, Unsupported};
        let count = |filter| {
            let (how, _, _, tags) = pushed(filter);
            (how, tags)
        };
        assert_eq!(count(col("host").eq(lit("a"))), (Exact, 1));
        assert_eq!(count(col("host").not_eq(lit("a"))), (Exact, 1));
        assert_eq!(count(col("host").in_list(vec![lit("a"), lit("b")], true)), (Exact, 1));
        assert_eq!(
            count(col("host").eq(lit("a")).or(col("host").eq(lit("b"))).or(col("host").eq(lit("c")))),
            (Exact, 1)
        );
        assert_eq!(count(col("host").eq(lit("a")).or(col("host").not_eq(lit("b")))), (Unsupported, 0));
        assert_eq!(count(col("host").like(lit("web%"))), (Exact, 1));
        assert_eq!(count(col("host").is_null()), (Exact, 1));
        assert_eq!(count(col("host").like(lit("w_b%"))), (Unsupported, 0));
        assert_eq!(count(col("host").not_like(lit("web%"))), (Unsupported, 0));
        assert_eq!(count(col("host").gt(lit("a"))), (Unsupported, 0));
        assert_eq!(count(col("v").eq(lit(1.0))), (Unsupported, 0));
        assert_eq!(count(col("host").eq(lit(ScalarValue::Utf8(None)))), (Unsupported, 0));
        assert_eq!(count(col("host").eq(lit("a")).and(col("time").gt(at(1)))), (Exact, 1));
        assert_eq!(count(col("host").eq(lit("a")).or(col("time").gt(at(1)))), (Unsupported, 0));
        assert_eq!(count(col("host").eq(lit("a")).and(col("v").gt(lit(1.0)))), (Inexact, 1));
    }
}
