//! Requests of the engine as EXPLAIN shows them.

use std::fmt;

use plimsoll_engine::{CompareOp, FieldPredicate, FieldTest, TagMatcher, TagTest, TimeRange, Value};

/// What narrows a request, each kind of test behind a comma; nothing where nothing does.
pub(crate) struct ShownFilter<'a> {
    pub(crate) time: &'a TimeRange,
    pub(crate) tags: &'a [TagMatcher],
    pub(crate) predicates: &'a [FieldPredicate],
}

impl fmt::Display for ShownFilter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self.time != TimeRange::ALL {
            write!(f, ", time={}", ShownRange(self.time))?;
        }
        if !self.tags.is_empty() {
            let tests: Vec<_> = self.tags.iter().map(|matcher| ShownMatcher(matcher).to_string()).collect();
            write!(f, ", tags=[{}]", tests.join(" AND "))?;
        }
        if !self.predicates.is_empty() {
            let tests: Vec<_> = self.predicates.iter().map(|test| ShownPredicate(test).to_string()).collect();
            write!(f, ", fields=[{}]", tests.join(" AND "))?;
        }
        Ok(())
    }
}

/// A range of times, both ends included.
struct ShownRange<'a>(&'a TimeRange);

impl fmt::Display for ShownRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |ns| chrono::DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        match *self.0 {
            range if range.is_empty() => f.write_str("none"),
            TimeRange { min_ns: i64::MIN, max_ns } => write!(f, "[.., {}]", show(max_ns)),
            TimeRange { min_ns, max_ns: i64::MAX } => write!(f, "[{}, ..]", show(min_ns)),
            TimeRange { min_ns, max_ns } => write!(f, "[{}, {}]", show(min_ns), show(max_ns)),
        }
    }
}

/// A test of a tag, as SQL writes it.
struct ShownMatcher<'a>(&'a TagMatcher);

impl fmt::Display for ShownMatcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &[String]| values.iter().map(|v| quote(v)).collect::<Vec<_>>().join(", ");
        let tag = &self.0.tag;
        match &self.0.test {
            TagTest::Equals(value) => write!(f, "{tag} = {}", quote(value)),
            TagTest::NotEquals(value) => write!(f, "{tag} <> {}", quote(value)),
            TagTest::In(values) => write!(f, "{tag} IN ({})", list(values)),
            TagTest::NotIn(values) => write!(f, "{tag} NOT IN ({})", list(values)),
            TagTest::Prefix(prefix) => write!(f, "{tag} LIKE {}", quote(&format!("{prefix}%"))),
            TagTest::Regex(pattern) => write!(f, "{tag} ~ {}", quote(pattern)),
            TagTest::IsNull => write!(f, "{tag} IS NULL"),
            TagTest::IsNotNull => write!(f, "{tag} IS NOT NULL"),
        }
    }
}

/// A test of a field, as SQL writes it.
struct ShownPredicate<'a>(&'a FieldPredicate);

impl fmt::Display for ShownPredicate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = &self.0.field;
        match &self.0.test {
            FieldTest::Compare(op, value) => write!(f, "{field} {} {}", sign(*op), literal(value)),
            FieldTest::In(values) => {
                write!(f, "{field} IN ({})", values.iter().map(literal).collect::<Vec<_>>().join(", "))
            }
            FieldTest::IsNull => write!(f, "{field} IS NULL"),
            FieldTest::IsNotNull => write!(f, "{field} IS NOT NULL"),
        }
    }
}

fn sign(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Equal => "=",
        CompareOp::NotEqual => "<>",
        CompareOp::Less => "<",
        CompareOp::LessOrEqual => "<=",
        CompareOp::Greater => ">",
        CompareOp::GreaterOrEqual => ">=",
    }
}

fn literal(value: &Value<'_>) -> String {
    match value {
        Value::Float(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Unsigned(value) => value.to_string(),
        Value::Boolean(value) => value.to_string(),
        Value::Text(text) => quote(text),
    }
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
