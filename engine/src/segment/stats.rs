//! Statistics of a vector or a chunk: exact by the rules of the format page, or absent.

use std::cmp::Ordering;

use crate::bytes::{Cursor, put_varint, put_zigzag};
use crate::codec::{Malformed, Values};
use crate::model::FieldType;

use super::format::{
    STATS_ALL_NULL, STATS_CONSTANT, STATS_EDGE_TIMES, STATS_EDGES, STATS_NANS, STATS_NULLS, STATS_RANGE, STATS_SUM,
    STATS_TEXT_BYTES_MAX,
};
use super::vector::Vector;

/// One value in statistics.
#[derive(Debug, Clone)]
pub(crate) enum Scalar {
    /// 64-bit float.
    Float(f64),
    /// 64-bit signed integer.
    Integer(i64),
    /// 64-bit unsigned integer.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// UTF-8 text.
    Text(String),
}

/// A value and the timestamp of its row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edge {
    /// Nanoseconds since the Unix epoch, UTC.
    pub(crate) time_ns: i64,
    /// The value; never NULL.
    pub(crate) value: Scalar,
}

/// What is known of the values of one field in consecutive rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stats {
    /// Rows, NULL or not.
    pub(crate) rows: u32,
    /// Rows without a value.
    pub(crate) nulls: u32,
    /// Values that are NaN.
    pub(crate) nans: u32,
    /// Smallest and greatest value that is no NaN.
    pub(crate) range: Option<(Scalar, Scalar)>,
    /// Sum of all values.
    pub(crate) sum: Option<Scalar>,
    /// First and last value in row order.
    pub(crate) edges: Option<(Edge, Edge)>,
}

impl Stats {
    /// The statistics of no rows, to which others are added.
    pub(super) fn none() -> Stats {
        Stats { rows: 0, nulls: 0, nans: 0, range: None, sum: None, edges: None }
    }

    /// The statistics of a vector, of which `present` are the values that are not NULL, and its rows' timestamps.
    pub(super) fn of(vector: &Vector, present: &Values, times: &[i64]) -> Stats {
        let (rows, nulls) = (vector.rows(), vector.rows() - present.len());
        let counted = Stats { rows: rows as u32, nulls: nulls as u32, ..Stats::none() };
        let has_value = |row: &usize| vector.valid.get(*row).copied().unwrap_or(true);
        let (Some(first), Some(last)) = ((0..rows).find(has_value), (0..rows).rev().find(has_value)) else {
            return counted;
        };
        let edge = |row: usize, nth: usize| Some(Edge { time_ns: times[row], value: scalar(present, nth)? });
        let edges = edge(first, 0).zip(edge(last, present.len() - 1));
        let nans = match present {
            Values::Float(v) => v.iter().filter(|v| v.is_nan()).count() as u32,
            _ => 0,
        };
        Stats { nans, range: range_of(present), sum: sum_of(present), edges, ..counted }
    }

    /// Values, NaN or not.
    pub(crate) fn count(&self) -> u32 {
        self.rows - self.nulls
    }

    /// Adds the statistics of the rows that follow.
    pub(super) fn add(&mut self, next: &Stats) {
        self.range = match self.lacks_range() || next.lacks_range() {
            true => None,
            false => either(self.range.take(), next.range.clone(), |a, b| (min(a.0, b.0), max(a.1, b.1))),
        };
        self.edges = match self.lacks_edges() || next.lacks_edges() {
            true => None,
            false => either(self.edges.take(), next.edges.clone(), |a, b| (a.0, b.1)),
        };
        self.sum = match (self.count(), next.count()) {
            (0, _) => next.sum.clone(),
            (_, 0) => self.sum.take(),
            _ => self.sum.take().zip(next.sum.clone()).and_then(|(a, b)| plus(&a, &b)),
        };
        self.rows += next.rows;
        self.nulls += next.nulls;
        self.nans += next.nans;
    }

    fn lacks_range(&self) -> bool {
        self.count() > self.nans && self.range.is_none()
    }

    fn lacks_edges(&self) -> bool {
        self.count() > 0 && self.edges.is_none()
    }

    /// Appends the bytes; `first_ns` and `last_ns` are the timestamps of the first and last row.
    pub(super) fn put(&self, (first_ns, last_ns): (i64, i64), out: &mut Vec<u8>) {
        let at = out.len();
        out.push(0);
        if self.nulls == self.rows {
            out[at] = STATS_ALL_NULL;
            return;
        }
        let mut flags = 0;
        for (flag, count) in [(STATS_NULLS, self.nulls), (STATS_NANS, self.nans)] {
            if count > 0 {
                flags |= flag;
                put_varint(out, u64::from(count));
            }
        }
        let constant = self.constant();
        if let Some((min, max)) = &self.range {
            flags |= STATS_RANGE | if constant { STATS_CONSTANT } else { 0 };
            min.put(out);
            if !constant {
                max.put(out);
            }
        }
        if let Some(sum) = &self.sum {
            flags |= STATS_SUM;
            sum.put(out);
        }
        if let Some((first, last)) = &self.edges {
            flags |= STATS_EDGES;
            if !constant {
                first.value.put(out);
                last.value.put(out);
            }
            if (first.time_ns, last.time_ns) != (first_ns, last_ns) {
                flags |= STATS_EDGE_TIMES;
                put_zigzag(out, first.time_ns.wrapping_sub(first_ns));
                put_zigzag(out, last.time_ns.wrapping_sub(last_ns));
            }
        }
        out[at] = flags;
    }

    fn constant(&self) -> bool {
        match (&self.range, &self.edges) {
            (Some((min, max)), Some((first, last))) => min == max && *min == first.value && *min == last.value,
            _ => false,
        }
    }

    /// The statistics of `rows` rows.
    pub(super) fn take(
        kind: FieldType,
        rows: u32,
        (first_ns, last_ns): (i64, i64),
        cursor: &mut Cursor<'_>,
    ) -> Result<Stats, Malformed> {
        let flags = cursor.u8()?;
        let has = |flag: u8| flags & flag != 0;
        if has(STATS_ALL_NULL) {
            let nulls_only = Stats { rows, nulls: rows, ..Stats::none() };
            return if flags == STATS_ALL_NULL { Ok(nulls_only) } else { Err(Malformed("statistics contradict")) };
        }
        if has(STATS_CONSTANT) && !(has(STATS_RANGE) && has(STATS_EDGES)) {
            return Err(Malformed("statistics contradict"));
        }
        let mut stats = Stats { rows, ..Stats::none() };
        if has(STATS_NULLS) {
            stats.nulls = cursor.varint_max(rows as usize)? as u32;
        }
        if has(STATS_NANS) {
            stats.nans = cursor.varint_max(stats.count() as usize)? as u32;
        }
        if has(STATS_RANGE) {
            let min = Scalar::take(kind, cursor)?;
            let max = if has(STATS_CONSTANT) { min.clone() } else { Scalar::take(kind, cursor)? };
            stats.range = Some((min, max));
        }
        if has(STATS_SUM) {
            stats.sum = Some(Scalar::take(kind, cursor)?);
        }
        if has(STATS_EDGES) {
            let (first, last) = match &stats.range {
                Some((min, _)) if has(STATS_CONSTANT) => (min.clone(), min.clone()),
                _ => (Scalar::take(kind, cursor)?, Scalar::take(kind, cursor)?),
            };
            let (mut from_first, mut from_last) = (0, 0);
            if has(STATS_EDGE_TIMES) {
                (from_first, from_last) = (cursor.zigzag()?, cursor.zigzag()?);
            }
            let edge = |time_ns, value| Edge { time_ns, value };
            stats.edges =
                Some((edge(first_ns.wrapping_add(from_first), first), edge(last_ns.wrapping_add(from_last), last)));
        }
        Ok(stats)
    }
}

fn either<T>(a: Option<T>, b: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

/// The n-th value, if statistics may repeat it.
fn scalar(values: &Values, nth: usize) -> Option<Scalar> {
    match values {
        Values::Float(v) => Some(Scalar::Float(v[nth])),
        Values::Integer(v) => Some(Scalar::Integer(v[nth])),
        Values::Unsigned(v) => Some(Scalar::Unsigned(v[nth])),
        Values::Boolean(v) => Some(Scalar::Boolean(v[nth])),
        Values::Text(v) => short(v.get(nth)),
    }
}

fn short(text: &str) -> Option<Scalar> {
    (text.len() <= STATS_TEXT_BYTES_MAX).then(|| Scalar::Text(text.to_owned()))
}

fn range_of(values: &Values) -> Option<(Scalar, Scalar)> {
    match values {
        Values::Float(v) => {
            let keys = v.iter().filter(|v| !v.is_nan()).map(|&v| order_key(v));
            let (min, max) = keys.fold((i64::MAX, i64::MIN), |(min, max), key| (min.min(key), max.max(key)));
            (min <= max).then(|| (Scalar::Float(from_order_key(min)), Scalar::Float(from_order_key(max))))
        }
        Values::Integer(v) => Some((Scalar::Integer(*v.iter().min()?), Scalar::Integer(*v.iter().max()?))),
        Values::Unsigned(v) => Some((Scalar::Unsigned(*v.iter().min()?), Scalar::Unsigned(*v.iter().max()?))),
        Values::Boolean(v) => Some((Scalar::Boolean(*v.iter().min()?), Scalar::Boolean(*v.iter().max()?))),
        Values::Text(v) => short(v.iter().min()?).zip(short(v.iter().max()?)),
    }
}

/// A number whose order is the order of floats, with −0.0 before +0.0.
fn order_key(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

fn from_order_key(key: i64) -> f64 {
    f64::from_bits((key ^ ((key >> 63) as u64 >> 1) as i64) as u64)
}

fn sum_of(values: &Values) -> Option<Scalar> {
    match values {
        Values::Float(v) => v.iter().copied().reduce(|a, b| a + b).filter(|s| !s.is_nan()).map(Scalar::Float),
        Values::Integer(v) => i64::try_from(v.iter().map(|&v| i128::from(v)).sum::<i128>()).ok().map(Scalar::Integer),
        Values::Unsigned(v) => u64::try_from(v.iter().map(|&v| u128::from(v)).sum::<u128>()).ok().map(Scalar::Unsigned),
        Values::Boolean(_) | Values::Text(_) => None,
    }
}

fn plus(a: &Scalar, b: &Scalar) -> Option<Scalar> {
    match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => Some(a + b).filter(|s| !s.is_nan()).map(Scalar::Float),
        (Scalar::Integer(a), Scalar::Integer(b)) => a.checked_add(*b).map(Scalar::Integer),
        (Scalar::Unsigned(a), Scalar::Unsigned(b)) => a.checked_add(*b).map(Scalar::Unsigned),
        _ => None,
    }
}

fn min(a: Scalar, b: Scalar) -> Scalar {
    if b.order(&a) == Ordering::Less { b } else { a }
}

fn max(a: Scalar, b: Scalar) -> Scalar {
    if b.order(&a) == Ordering::Greater { b } else { a }
}

/// Equal to the bit.
impl PartialEq for Scalar {
    fn eq(&self, other: &Scalar) -> bool {
        match (self, other) {
            (Scalar::Float(a), Scalar::Float(b)) => a.to_bits() == b.to_bits(),
            (Scalar::Integer(a), Scalar::Integer(b)) => a == b,
            (Scalar::Unsigned(a), Scalar::Unsigned(b)) => a == b,
            (Scalar::Boolean(a), Scalar::Boolean(b)) => a == b,
            (Scalar::Text(a), Scalar::Text(b)) => a == b,
            _ => false,
        }
    }
}

impl Scalar {
    /// The order of min and max among values of one type, none of them NaN.
    fn order(&self, other: &Scalar) -> Ordering {
        match (self, other) {
            (Scalar::Float(a), Scalar::Float(b)) => order_key(*a).cmp(&order_key(*b)),
            (Scalar::Integer(a), Scalar::Integer(b)) => a.cmp(b),
            (Scalar::Unsigned(a), Scalar::Unsigned(b)) => a.cmp(b),
            (Scalar::Boolean(a), Scalar::Boolean(b)) => a.cmp(b),
            (Scalar::Text(a), Scalar::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Scalar::Float(v) => put_varint(out, v.to_bits().swap_bytes()),
            Scalar::Integer(v) => put_zigzag(out, *v),
            Scalar::Unsigned(v) => put_varint(out, *v),
            Scalar::Boolean(v) => out.push(u8::from(*v)),
            Scalar::Text(v) => {
                put_varint(out, v.len() as u64);
                out.extend_from_slice(v.as_bytes());
            }
        }
    }

    fn take(kind: FieldType, cursor: &mut Cursor<'_>) -> Result<Scalar, Malformed> {
        Ok(match kind {
            FieldType::Float => Scalar::Float(f64::from_bits(cursor.varint()?.swap_bytes())),
            FieldType::Integer => Scalar::Integer(cursor.zigzag()?),
            FieldType::Unsigned => Scalar::Unsigned(cursor.varint()?),
            FieldType::Boolean => Scalar::Boolean(match cursor.u8()? {
                0 => false,
                1 => true,
                _ => return Err(Malformed("boolean is neither 0 nor 1")),
            }),
            FieldType::Text => {
                let len = cursor.varint_max(STATS_TEXT_BYTES_MAX)?;
                let text = std::str::from_utf8(cursor.take(len)?).map_err(|_| Malformed("text is not UTF-8"))?;
                Scalar::Text(text.to_owned())
            }
        })
    }
}
