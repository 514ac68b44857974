//! What of a filter the engine can apply: ranges of `time`, tests of tags and of fields.
//!
//! Invariants
//! - A filter reported as exact selects the very rows that the engine then gives; DataFusion does not look at it again.
//! - A filter reported as inexact selects a subset of those rows; DataFusion applies it to them.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator, TableProviderFilterPushDown};
use plimsoll_engine::{
    ColumnKind, CompareOp, FieldPredicate, FieldTest, FieldType, TableSchema, TagMatcher, TagTest, TimeRange, Value,
};

use crate::lower::DOT_IS_ANY;

/// What a scan is narrowed by.
#[derive(Debug, PartialEq)]
pub(crate) struct Pushed {
    pub(crate) time: TimeRange,
    pub(crate) tags: Vec<TagMatcher>,
    pub(crate) predicates: Vec<FieldPredicate>,
}

/// How much of a filter the engine takes over.
pub(super) fn support(filter: &Expr, table: &TableSchema) -> TableProviderFilterPushDown {
    match read(filter, table) {
        Some(Read { exact: true, .. }) => TableProviderFilterPushDown::Exact,
        Some(Read { exact: false, .. }) => TableProviderFilterPushDown::Inexact,
        None => TableProviderFilterPushDown::Unsupported,
    }
}

/// As [`push`]; `None` when the engine does not give the very rows that pass all of the filters.
pub(super) fn push_exactly(filters: &[Expr], table: &TableSchema) -> Option<Pushed> {
    let is_exact = |filter: &Expr| support(filter, table) == TableProviderFilterPushDown::Exact;
    filters.iter().all(is_exact).then(|| push(filters, table))
}

/// The scan that all of the filters together narrow to.
pub(super) fn push(filters: &[Expr], table: &TableSchema) -> Pushed {
    let mut pushed = Pushed { time: TimeRange::ALL, tags: Vec::new(), predicates: Vec::new() };
    for read in filters.iter().filter_map(|filter| read(filter, table)) {
        pushed.time = pushed.time.intersect(&read.time);
        pushed.tags.extend(read.tags);
        pushed.predicates.extend(read.fields);
    }
    pushed
}

/// A filter as the engine understands it.
struct Read {
    time: TimeRange,
    tags: Vec<TagMatcher>,
    fields: Vec<FieldPredicate>,
    exact: bool,
}

impl Read {
    fn time(time: TimeRange) -> Option<Read> {
        Some(Read { time, tags: Vec::new(), fields: Vec::new(), exact: true })
    }

    fn tag(tag: &str, test: TagTest) -> Option<Read> {
        let tags = vec![TagMatcher { tag: tag.to_owned(), test }];
        Some(Read { time: TimeRange::ALL, tags, fields: Vec::new(), exact: true })
    }

    fn field(field: &str, test: FieldTest) -> Option<Read> {
        let fields = vec![FieldPredicate { field: field.to_owned(), test }];
        Some(Read { time: TimeRange::ALL, tags: Vec::new(), fields, exact: true })
    }

    /// The tag and its values, when the filter is nothing but a list of them.
    fn one_of(&self) -> Option<(String, Vec<String>)> {
        match (self.tags.as_slice(), self.exact && self.time == TimeRange::ALL && self.fields.is_empty()) {
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
        Expr::IsNull(expr) => presence(expr, TagTest::IsNull, FieldTest::IsNull, table),
        Expr::IsNotNull(expr) => presence(expr, TagTest::IsNotNull, FieldTest::IsNotNull, table),
        _ => None,
    }
}

/// Both hold. A side that cannot be read is left to DataFusion.
fn both(left: Option<Read>, right: Option<Read>) -> Option<Read> {
    match (left, right) {
        (Some(left), Some(right)) => Some(Read {
            time: left.time.intersect(&right.time),
            tags: left.tags.into_iter().chain(right.tags).collect(),
            fields: left.fields.into_iter().chain(right.fields).collect(),
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
    (time != TimeRange::ALL).then_some(Read { time, tags: Vec::new(), fields: Vec::new(), exact: false })
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
                Operator::RegexMatch => {
                    TagTest::Regex(text.strip_prefix(DOT_IS_ANY).map(str::to_owned).unwrap_or(text))
                }
                _ => return None,
            };
            Read::tag(column, test)
        }
        ColumnKind::Field(kind) => Read::field(column, FieldTest::Compare(compare_op(op)?, field_value(value, kind)?)),
    }
}

fn compare_op(op: Operator) -> Option<CompareOp> {
    Some(match op {
        Operator::Eq => CompareOp::Equal,
        Operator::NotEq => CompareOp::NotEqual,
        Operator::Lt => CompareOp::Less,
        Operator::LtEq => CompareOp::LessOrEqual,
        Operator::Gt => CompareOp::Greater,
        Operator::GtEq => CompareOp::GreaterOrEqual,
        _ => return None,
    })
}

/// A literal of the type of the field, to which it has been cast by the time filters are pushed down.
fn field_value(value: &ScalarValue, kind: FieldType) -> Option<Value<'static>> {
    match (kind, value) {
        (FieldType::Float, ScalarValue::Float64(Some(v))) => Some(Value::Float(*v)),
        (FieldType::Integer, ScalarValue::Int64(Some(v))) => Some(Value::Integer(*v)),
        (FieldType::Unsigned, ScalarValue::UInt64(Some(v))) => Some(Value::Unsigned(*v)),
        (FieldType::Text, value) => Some(Value::Text(value.try_as_str()??.to_owned().into())),
        _ => None,
    }
}

/// IS NULL and IS NOT NULL.
fn presence(expr: &Expr, of_tag: TagTest, of_field: FieldTest, table: &TableSchema) -> Option<Read> {
    let Expr::Column(column) = expr else { return None };
    match kind(&column.name, table)? {
        ColumnKind::Time => None,
        ColumnKind::Tag => Read::tag(&column.name, of_tag),
        ColumnKind::Field(_) => Read::field(&column.name, of_field),
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
    let Expr::Column(column) = list.expr.as_ref() else { return None };
    if let ColumnKind::Field(kind) = kind(&column.name, table)? {
        let value = |item: &Expr| match item {
            Expr::Literal(value, _) => field_value(value, kind),
            _ => None,
        };
        let values = list.list.iter().map(value).collect::<Option<Vec<_>>>().filter(|_| !list.negated)?;
        return Read::field(&column.name, FieldTest::In(values));
    }
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

    /// Support, first and last time, and the number of tests of tags and of fields.
    fn pushed(filter: Expr) -> (TableProviderFilterPushDown, i64, i64, usize) {
        let table = table();
        let how = support(&filter, &table);
        let Pushed { time, tags, predicates } = push(&[filter], &table);
        (how, time.min_ns, time.max_ns, tags.len() + predicates.len())
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
        assert_eq!(pushed(col("time").gt(at(5)).and(col("v").gt(lit(1.0)))), (Exact, 6, i64::MAX, 1));
        assert_eq!(pushed(col("time").gt(at(5)).and(col("v").gt(col("v")))), (Inexact, 6, i64::MAX, 0));
        assert_eq!(pushed(col("time").gt(at(5)).or(col("v").gt(lit(1.0)))), (Unsupported, i64::MIN, i64::MAX, 0));
    }

    #[test]
    fn tag_tests_are_exact() {
        use TableProviderFilterPushDown::{Exact, Unsupported};
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
        assert_eq!(count(col("host").eq(lit(ScalarValue::Utf8(None)))), (Unsupported, 0));
        assert_eq!(count(col("host").eq(lit("a")).and(col("time").gt(at(1)))), (Exact, 1));
        assert_eq!(count(col("host").eq(lit("a")).or(col("time").gt(at(1)))), (Unsupported, 0));
        assert_eq!(count(col("host").eq(lit("a")).and(col("v").gt(lit(1.0)))), (Exact, 2));
    }

    #[test]
    fn field_tests_are_exact_where_the_types_are_the_same() {
        use TableProviderFilterPushDown::{Exact, Unsupported};
        let count = |filter| {
            let (how, _, _, fields) = pushed(filter);
            (how, fields)
        };
        assert_eq!(count(col("v").eq(lit(1.0))), (Exact, 1));
        assert_eq!(count(lit(1.0).lt(col("v"))), (Exact, 1));
        assert_eq!(count(col("v").eq(lit(1_i64))), (Unsupported, 0));
        assert_eq!(count(col("v").eq(lit(ScalarValue::Float64(None)))), (Unsupported, 0));
        assert_eq!(count(col("v").in_list(vec![lit(1.0), lit(2.0)], false)), (Exact, 1));
        assert_eq!(count(col("v").in_list(vec![lit(1.0), lit(2.0)], true)), (Unsupported, 0));
        assert_eq!(count(col("v").is_null()), (Exact, 1));
        assert_eq!(count(col("v").is_not_null()), (Exact, 1));
        assert_eq!(count(col("v").eq(lit(1.0)).or(col("v").eq(lit(2.0)))), (Unsupported, 0));
        assert_eq!(count(col("v").is_null().or(col("host").eq(lit("a")))), (Unsupported, 0));
    }
}
