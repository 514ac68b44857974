//! Time buckets of a fixed length, however a statement writes them.

use datafusion::sql::sqlparser::ast::{Expr, FunctionArg};
use plimsoll_engine::Bucket;

use super::scope::{Scope, argument, literal_interval, literal_text, plain_call};
use crate::functions::{Width, parse_interval};

/// 1970-01-05 00:00 UTC, a Monday.
const MONDAY_NS: i64 = 4 * 86_400_000_000_000;

/// A bucket as a statement writes it. What is grouped by and what is selected are the same only if they are written alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) bucket: Bucket,
    function: Function,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Function {
    TimeBucket,
    DateBin,
    DateTrunc,
}

impl Found {
    /// Whether the planner says so of the function.
    pub(super) fn is_nullable(&self) -> bool {
        self.function != Function::DateTrunc
    }
}

/// The bucket that an expression computes from the time of a row; `None` when it is anything else.
pub(super) fn read(expr: &Expr, scope: &Scope<'_>) -> Option<Found> {
    let call = match expr {
        Expr::Nested(inner) => return read(inner, scope),
        Expr::Function(call) => call,
        _ => return None,
    };
    let (name, args) = plain_call(call)?;
    let (bucket, function) = match &*name {
        "time_bucket" => (time_bucket(args, scope)?, Function::TimeBucket),
        "date_bin" => (date_bin(args, scope)?, Function::DateBin),
        "date_trunc" => (date_trunc(args, scope)?, Function::DateTrunc),
        _ => return None,
    };
    Some(Found { bucket, function })
}

/// `time_bucket(width, time)`
fn time_bucket(args: &[FunctionArg], scope: &Scope<'_>) -> Option<Bucket> {
    let [width, time] = args else { return None };
    let width = width_of(argument(width)?)?;
    scope.is_time(argument(time)?).then(|| bucket(width, Width::Fixed(width).default_origin_ns()))
}

/// `date_bin(width, time, origin)`
fn date_bin(args: &[FunctionArg], scope: &Scope<'_>) -> Option<Bucket> {
    let [width, time, origin] = args else { return None };
    let width = width_of(argument(width)?)?;
    let origin_ns = scope.literal_ns(argument(origin)?)?;
    scope.is_time(argument(time)?).then(|| bucket(width, origin_ns))
}

/// `date_trunc(unit, time)`, where days begin as in UTC.
fn date_trunc(args: &[FunctionArg], scope: &Scope<'_>) -> Option<Bucket> {
    const SECOND_NS: i64 = 1_000_000_000;
    let [unit, time] = args else { return None };
    let (width_ns, origin_ns) = match literal_text(argument(unit)?)? {
        "second" => (SECOND_NS, 0),
        "minute" => (60 * SECOND_NS, 0),
        "hour" => (3600 * SECOND_NS, 0),
        "day" => (86_400 * SECOND_NS, 0),
        "week" => (7 * 86_400 * SECOND_NS, MONDAY_NS),
        _ => return None,
    };
    (scope.is_utc() && scope.is_time(argument(time)?)).then(|| bucket(width_ns, origin_ns))
}

/// Buckets by their first boundary at or after the Unix epoch, so that equal buckets compare as equal.
fn bucket(width_ns: i64, origin_ns: i64) -> Bucket {
    Bucket { width_ns, origin_ns: origin_ns.rem_euclid(width_ns) }
}

/// Nanoseconds of a width; `None` for months and what is no width.
fn width_of(expr: &Expr) -> Option<i64> {
    let interval = match literal_text(expr) {
        Some(text) => parse_interval(text).ok()?,
        None => literal_interval(expr)?,
    };
    match Width::new(interval).ok()? {
        Width::Fixed(ns) => Some(ns),
        Width::Months(_) => None,
    }
}
