//! Predicates: what statistics prove of them.

use std::cmp::Ordering;

use super::FieldTest;
use super::predicate::compare;
use crate::model::Value;
use crate::segment::{Scalar, Stats};

/// What is known of a test for some rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Every row passes.
    All,
    /// No row passes.
    Nothing,
    /// It takes a look at the values.
    Unknown,
}

/// What statistics tell; without any, every value is NULL.
pub(super) fn prove(test: &FieldTest, stats: Option<&Stats>) -> Proof {
    let Some(stats) = stats.filter(|s| s.count() > 0) else {
        return if *test == FieldTest::IsNull { Proof::All } else { Proof::Nothing };
    };
    let of_values = match test {
        FieldTest::IsNull => Proof::Nothing,
        FieldTest::IsNotNull => Proof::All,
        FieldTest::Compare(op, value) => {
            let below_or_above = |order: Ordering| op.holds(order);
            prove_values(stats, value, &below_or_above)
        }
        FieldTest::In(values) => {
            let each = values.iter().map(|value| prove_values(stats, value, &|order| order.is_eq()));
            each.fold(Proof::Nothing, |all, one| match (all, one) {
                (Proof::All, _) | (_, Proof::All) => Proof::All,
                (Proof::Nothing, Proof::Nothing) => Proof::Nothing,
                _ => Proof::Unknown,
            })
        }
    };
    match (of_values, stats.nulls, test) {
        (proof, 0, _) => proof,
        (Proof::Nothing, _, FieldTest::IsNull) => Proof::Unknown,
        (Proof::All, ..) => Proof::Unknown,
        (proof, ..) => proof,
    }
}

/// What holds for the values that are not NULL, for a test of how each compares with `other`.
fn prove_values(stats: &Stats, other: &Value<'_>, holds: &dyn Fn(Ordering) -> bool) -> Proof {
    let mut orders = Vec::new();
    if stats.nans > 0 {
        orders.extend(compare(&Value::Float(f64::NAN), other));
    }
    if stats.count() > stats.nans {
        let Some((min, max)) = &stats.range else { return Proof::Unknown };
        let (Some(low), Some(high)) = (compare(&value(min), other), compare(&value(max), other)) else {
            return Proof::Nothing;
        };
        orders.extend([low, high]);
        if low.is_lt() && high.is_gt() {
            orders.push(Ordering::Equal);
        }
    }
    match (orders.iter().all(|o| holds(*o)), orders.iter().any(|o| holds(*o))) {
        (true, _) => Proof::All,
        (_, false) => Proof::Nothing,
        _ => Proof::Unknown,
    }
}

fn value(scalar: &Scalar) -> Value<'_> {
    match scalar {
        Scalar::Float(v) => Value::Float(*v),
        Scalar::Integer(v) => Value::Integer(*v),
        Scalar::Unsigned(v) => Value::Unsigned(*v),
        Scalar::Boolean(v) => Value::Boolean(*v),
        Scalar::Text(v) => Value::Text(v.as_str().into()),
    }
}
