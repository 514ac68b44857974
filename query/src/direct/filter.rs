//! WHERE as the engine understands it: tests of time, tags and fields, all of which must hold.

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Value as Literal, ValueWithSpan};
use plimsoll_engine::{
    ColumnKind, CompareOp, FieldPredicate, FieldTest, FieldType, TagMatcher, TagTest, TimeRange, Value,
};

use super::operand::{Instant, Operand, Run};
use super::scope::{Scope, literal_number, literal_text};

/// Whole numbers below this are the same as floats.
const EXACT_FLOAT: i64 = 1 << 53;

/// A filter whose parameters are still open.
#[derive(Debug, Default)]
pub(super) struct Filter {
    times: Vec<(CompareOp, Operand<Instant>)>,
    tags: Vec<Tag>,
    fields: Vec<Field>,
}

/// A test of a tag.
#[derive(Debug, Clone, PartialEq)]
struct Tag {
    name: String,
    test: OpenTag,
}

#[derive(Debug, Clone, PartialEq)]
enum OpenTag {
    Fixed(TagTest),
    Equals(Operand<String>),
    NotEquals(Operand<String>),
    In(Vec<Operand<String>>),
    NotIn(Vec<Operand<String>>),
}

/// A test of a field.
#[derive(Debug)]
struct Field {
    name: String,
    test: OpenField,
}

#[derive(Debug)]
enum OpenField {
    Fixed(FieldTest),
    Compare(CompareOp, Operand<Value<'static>>),
    In(Vec<Operand<Value<'static>>>),
}

/// A filter with nothing open.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) time: TimeRange,
    pub(super) tags: Vec<TagMatcher>,
    pub(super) predicates: Vec<FieldPredicate>,
}

impl Filter {
    /// Reads a condition; `None` when a part of it is not one of those here.
    pub(super) fn read(condition: Option<&Expr>, scope: &Scope<'_>) -> Option<Filter> {
        let mut filter = Filter::default();
        if let Some(condition) = condition {
            filter.add(condition, scope)?;
        }
        Some(filter)
    }

    /// True when rows are told apart by their fields.
    pub(super) fn tests_fields(&self) -> bool {
        !self.fields.is_empty()
    }

    /// The filter of one run; `None` when a parameter has no value that can be compared.
    pub(super) fn bind(&self, run: &Run<'_>) -> Option<Bound> {
        let mut time = TimeRange::ALL;
        for (op, operand) in &self.times {
            time = time.intersect(&range(*op, run.instant(operand)?)?);
        }
        let tags = self.tags.iter().map(|tag| tag.bind(run)).collect::<Option<_>>()?;
        let predicates = self.fields.iter().map(|field| field.bind(run)).collect::<Option<_>>()?;
        Some(Bound { time, tags, predicates })
    }

    fn add(&mut self, condition: &Expr, scope: &Scope<'_>) -> Option<()> {
        match condition {
            Expr::Nested(inner) => self.add(inner, scope),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.add(left, scope)?;
                self.add(right, scope)
            }
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => {
                self.tags.push(alternatives(condition, scope)?);
                Some(())
            }
            Expr::BinaryOp { left, op, right } => self.compare(left, op, right, scope),
            Expr::Between { expr, negated: false, low, high } => {
                self.compare(expr, &BinaryOperator::GtEq, low, scope)?;
                self.compare(expr, &BinaryOperator::LtEq, high, scope)
            }
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated, scope),
            Expr::IsNull(expr) => self.null(expr, true, scope),
            Expr::IsNotNull(expr) => self.null(expr, false, scope),
            Expr::Like { negated: false, any: false, expr, pattern, escape_char: None } => {
                let prefix = literal_text(pattern)?.strip_suffix('%')?;
                let plain = !prefix.contains(['%', '_', '\\']);
                self.tag(expr, OpenTag::Fixed(TagTest::Prefix(plain.then(|| prefix.to_owned())?)), scope)
            }
            _ => None,
        }
    }

    fn compare(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr, scope: &Scope<'_>) -> Option<()> {
        if let (BinaryOperator::PGRegexMatch, Some(pattern)) = (op, literal_text(right)) {
            return self.tag(left, OpenTag::Fixed(TagTest::Regex(pattern.to_owned())), scope);
        }
        let op = compare_op(op)?;
        match scope.column(left) {
            Some(_) => self.column_first(left, op, right, scope),
            None => self.column_first(right, swapped(op), left, scope),
        }
    }

    fn column_first(&mut self, column: &Expr, op: CompareOp, value: &Expr, scope: &Scope<'_>) -> Option<()> {
        let (_, found) = scope.column(column)?;
        match found.kind {
            ColumnKind::Time => {
                let instant = (op != CompareOp::NotEqual).then(|| scope.instant(value))??;
                self.times.push((op, instant));
            }
            ColumnKind::Tag => {
                let text = text(value, scope)?;
                let test = match op {
                    CompareOp::Equal => OpenTag::Equals(text),
                    CompareOp::NotEqual => OpenTag::NotEquals(text),
                    _ => return None,
                };
                self.tags.push(Tag { name: found.name.clone(), test });
            }
            ColumnKind::Field(kind) => {
                let value = value_of(value, kind, scope)?;
                self.fields.push(Field { name: found.name.clone(), test: OpenField::Compare(op, value) });
            }
        }
        Some(())
    }

    fn in_list(&mut self, expr: &Expr, list: &[Expr], negated: bool, scope: &Scope<'_>) -> Option<()> {
        let (_, column) = scope.column(expr)?;
        match (column.kind, negated) {
            (ColumnKind::Tag, _) => {
                let values = list.iter().map(|item| text(item, scope)).collect::<Option<_>>()?;
                let test = if negated { OpenTag::NotIn(values) } else { OpenTag::In(values) };
                self.tags.push(Tag { name: column.name.clone(), test });
            }
            (ColumnKind::Field(kind), false) => {
                let values = list.iter().map(|item| value_of(item, kind, scope)).collect::<Option<_>>()?;
                self.fields.push(Field { name: column.name.clone(), test: OpenField::In(values) });
            }
            _ => return None,
        }
        Some(())
    }

    fn null(&mut self, expr: &Expr, is_null: bool, scope: &Scope<'_>) -> Option<()> {
        let (_, column) = scope.column(expr)?;
        match column.kind {
            ColumnKind::Time => return None,
            ColumnKind::Tag => {
                let test = OpenTag::Fixed(if is_null { TagTest::IsNull } else { TagTest::IsNotNull });
                self.tags.push(Tag { name: column.name.clone(), test });
            }
            ColumnKind::Field(_) => {
                let test = OpenField::Fixed(if is_null { FieldTest::IsNull } else { FieldTest::IsNotNull });
                self.fields.push(Field { name: column.name.clone(), test });
            }
        }
        Some(())
    }

    fn tag(&mut self, expr: &Expr, test: OpenTag, scope: &Scope<'_>) -> Option<()> {
        let (_, column) = scope.column(expr)?;
        (column.kind == ColumnKind::Tag).then(|| self.tags.push(Tag { name: column.name.clone(), test }))
    }
}

impl Tag {
    fn bind(&self, run: &Run<'_>) -> Option<TagMatcher> {
        let texts =
            |operands: &[Operand<String>]| operands.iter().map(|operand| run.text(operand)).collect::<Option<Vec<_>>>();
        let test = match &self.test {
            OpenTag::Fixed(test) => test.clone(),
            OpenTag::Equals(value) => TagTest::Equals(run.text(value)?),
            OpenTag::NotEquals(value) => TagTest::NotEquals(run.text(value)?),
            OpenTag::In(values) => TagTest::In(texts(values)?),
            OpenTag::NotIn(values) => TagTest::NotIn(texts(values)?),
        };
        Some(TagMatcher { tag: self.name.clone(), test })
    }
}

impl Field {
    fn bind(&self, run: &Run<'_>) -> Option<FieldPredicate> {
        let test = match &self.test {
            OpenField::Fixed(test) => test.clone(),
            OpenField::Compare(op, value) => FieldTest::Compare(*op, run.value(value)?),
            OpenField::In(values) => {
                FieldTest::In(values.iter().map(|value| run.value(value)).collect::<Option<Vec<_>>>()?)
            }
        };
        Some(FieldPredicate { field: self.name.clone(), test })
    }
}

/// `tag = 'a' OR tag = 'b' OR ...`, of one tag.
fn alternatives(condition: &Expr, scope: &Scope<'_>) -> Option<Tag> {
    match condition {
        Expr::Nested(inner) => alternatives(inner, scope),
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => {
            let (left, right) = (alternatives(left, scope)?, alternatives(right, scope)?);
            let (OpenTag::In(mut values), OpenTag::In(more)) = (left.test, right.test) else { return None };
            values.extend(more);
            (left.name == right.name).then_some(Tag { name: left.name, test: OpenTag::In(values) })
        }
        other => {
            let mut one = Filter::default();
            one.add(other, scope)?;
            if !one.times.is_empty() || !one.fields.is_empty() {
                return None;
            }
            let [Tag { name, test }] = <[Tag; 1]>::try_from(one.tags).ok()?;
            match test {
                OpenTag::Equals(value) => Some(Tag { name, test: OpenTag::In(vec![value]) }),
                OpenTag::In(values) => Some(Tag { name, test: OpenTag::In(values) }),
                _ => None,
            }
        }
    }
}

fn text(expr: &Expr, scope: &Scope<'_>) -> Option<Operand<String>> {
    match literal_text(expr) {
        Some(text) => Some(Operand::Literal(text.to_owned())),
        None => scope.parameter(expr, &DataType::Utf8).map(Operand::Parameter),
    }
}

/// A value that is compared with a field of this type without the field being cast.
fn value_of(expr: &Expr, kind: FieldType, scope: &Scope<'_>) -> Option<Operand<Value<'static>>> {
    let literal = match kind {
        FieldType::Integer => integer(expr).map(Value::Integer),
        FieldType::Unsigned => integer(expr).and_then(|n| u64::try_from(n).ok()).map(Value::Unsigned),
        FieldType::Float => float(expr).map(Value::Float),
        FieldType::Boolean => boolean(expr).map(Value::Boolean),
        FieldType::Text => literal_text(expr).map(|text| Value::Text(text.to_owned().into())),
    };
    match literal {
        Some(value) => Some(Operand::Literal(value)),
        None => {
            let wanted = match kind {
                FieldType::Text => DataType::Utf8,
                other => other.arrow(),
            };
            scope.parameter(expr, &wanted).map(Operand::Parameter)
        }
    }
}

fn integer(expr: &Expr) -> Option<i64> {
    let (negative, digits) = literal_number(expr)?;
    let value: i64 = digits.parse().ok()?;
    Some(if negative { -value } else { value })
}

fn float(expr: &Expr) -> Option<f64> {
    if let Some(whole) = integer(expr) {
        return (whole.abs() < EXACT_FLOAT).then_some(whole as f64);
    }
    let (negative, digits) = literal_number(expr)?;
    let value: f64 = digits.parse().ok()?;
    value.is_finite().then_some(if negative { -value } else { value })
}

fn boolean(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Value(ValueWithSpan { value: Literal::Boolean(value), .. }) => Some(*value),
        _ => None,
    }
}

fn compare_op(op: &BinaryOperator) -> Option<CompareOp> {
    Some(match op {
        BinaryOperator::Eq => CompareOp::Equal,
        BinaryOperator::NotEq => CompareOp::NotEqual,
        BinaryOperator::Lt => CompareOp::Less,
        BinaryOperator::LtEq => CompareOp::LessOrEqual,
        BinaryOperator::Gt => CompareOp::Greater,
        BinaryOperator::GtEq => CompareOp::GreaterOrEqual,
        _ => return None,
    })
}

/// The operator with its sides exchanged.
fn swapped(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Less => CompareOp::Greater,
        CompareOp::LessOrEqual => CompareOp::GreaterOrEqual,
        CompareOp::Greater => CompareOp::Less,
        CompareOp::GreaterOrEqual => CompareOp::LessOrEqual,
        same => same,
    }
}

/// The times that compare so with `ns`.
pub(crate) fn range(op: CompareOp, ns: i64) -> Option<TimeRange> {
    const NONE: TimeRange = TimeRange { min_ns: i64::MAX, max_ns: i64::MIN };
    Some(match op {
        CompareOp::Equal => TimeRange { min_ns: ns, max_ns: ns },
        CompareOp::GreaterOrEqual => TimeRange { min_ns: ns, max_ns: i64::MAX },
        CompareOp::LessOrEqual => TimeRange { min_ns: i64::MIN, max_ns: ns },
        CompareOp::Greater => ns.checked_add(1).map_or(NONE, |min_ns| TimeRange { min_ns, max_ns: i64::MAX }),
        CompareOp::Less => ns.checked_sub(1).map_or(NONE, |max_ns| TimeRange { min_ns: i64::MIN, max_ns }),
        CompareOp::NotEqual => return None,
    })
}
