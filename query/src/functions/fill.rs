//! The rows of one group of a `time_bucket_gapfill` query, with those of the buckets that have none.
//!
//! An aggregate: it collects the rows of a group, each a bucket and its columns, and gives all rows of the group as a list in
//! the order of their buckets. Lists of parts merge by being put together, so rows may come in any order and in any parts.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, ListArray, StructArray, TimestampNanosecondArray, UInt64Array,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::compute::{concat, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, TimestampNanosecondType};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;

use super::bucket::Bucketing;
use super::gapfill::refused;
use super::no_such_function;
use super::time_bucket::bucketing;

type Result<T> = datafusion::common::Result<T>;

/// Most buckets in the range of one call.
const BUCKETS_MAX: i128 = 1_000_000;

/// What stands in a column where a bucket has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    /// NULL.
    Null,
    /// What the row before has.
    Locf,
    /// The last value before that is not NULL, also where a row has NULL.
    LocfOfValues,
    /// A point on the line between the values around it, also where a row has NULL.
    Interpolate,
}

/// Arguments before the columns: bucket, start, finish, width, time zone, origin and offset.
const COLUMNS: usize = 7;

/// `gapfill(bucket, start, finish, width, timezone, origin, offset, columns...)`: a list of `(c0, c1, ...)`, where `c0` is the
/// bucket. `start` and the arguments after it, up to the columns, are constants.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fill {
    methods: Vec<Method>,
    signature: Signature,
}

impl Fill {
    /// `methods` are those of the columns.
    pub(crate) fn new(methods: Vec<Method>) -> Fill {
        Fill { methods, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Fill {
    fn name(&self) -> &'static str {
        "gapfill"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [bucket, ..] = types else { return Err(no_such_function(self.name(), types)) };
        let columns = std::iter::once(bucket).chain(types.iter().skip(COLUMNS));
        let field = |(at, data_type): (usize, &DataType)| Field::new(column_name(at), data_type.clone(), true);
        let row = DataType::Struct(columns.enumerate().map(field).collect());
        Ok(DataType::List(Arc::new(Field::new_list_field(row, true))))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "rows"), args.return_type().clone(), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let constants = args.exprs.iter().take(COLUMNS).skip(1);
        let constants = constants.map(|expr| expr.downcast_ref::<Literal>().map(Literal::value));
        let constants = constants.collect::<Option<Vec<_>>>().ok_or_else(not_constant)?;
        let (DataType::List(item), [start, finish, width, options @ ..]) = (args.return_type(), constants.as_slice())
        else {
            return Err(no_such_function(self.name(), &[]));
        };
        let DataType::Struct(fields) = item.data_type() else { return Err(no_such_function(self.name(), &[])) };
        Ok(Box::new(Group {
            range: Range::new(start, finish, bucketing(width, options)?)?,
            methods: self.methods.clone(),
            fields: fields.clone(),
            rows: Vec::new(),
        }))
    }
}

/// The name of a column in a row of the list.
pub(crate) fn column_name(at: usize) -> String {
    format!("c{at}")
}

fn not_constant() -> DataFusionError {
    refused(
        "the arguments of time_bucket_gapfill() but for the time have to be constants".to_owned(),
        "Literals, parameters and now() are; columns are not.",
    )
}

/// The buckets that are to be there.
#[derive(Debug)]
struct Range {
    bucketing: Bucketing,
    start_ns: i64,
    finish_ns: i64,
}

impl Range {
    fn new(start: &ScalarValue, finish: &ScalarValue, bucketing: Option<Bucketing>) -> Result<Range> {
        let (
            ScalarValue::TimestampNanosecond(Some(start_ns), _),
            ScalarValue::TimestampNanosecond(Some(finish_ns), _),
            Some(bucketing),
        ) = (start, finish, bucketing)
        else {
            return Err(refused(
                "width, start and finish of time_bucket_gapfill() cannot be NULL".to_owned(),
                "Name them, or say WHERE time >= ... AND time < ... .",
            ));
        };
        let range = Range { bucketing, start_ns: *start_ns, finish_ns: *finish_ns };
        if range.buckets_about() > BUCKETS_MAX {
            return Err(too_many());
        }
        Ok(range)
    }

    fn buckets_about(&self) -> i128 {
        let ns = i128::from(self.finish_ns) - i128::from(self.start_ns);
        ns.max(0) / i128::from(self.bucketing.shortest_ns().max(1))
    }

    /// The starts of the buckets, in order.
    fn starts(&self) -> Result<Vec<i64>> {
        let mut starts = Vec::new();
        let mut next = self.bucketing.start_ns(self.start_ns).filter(|_| self.start_ns < self.finish_ns);
        while let Some(start_ns) = next.filter(|start_ns| *start_ns < self.finish_ns) {
            if starts.len() as i128 > BUCKETS_MAX {
                return Err(too_many());
            }
            starts.push(start_ns);
            next = self.bucketing.end_ns(start_ns);
        }
        Ok(starts)
    }
}

fn too_many() -> DataFusionError {
    refused(
        format!("time_bucket_gapfill() would make more than {BUCKETS_MAX} buckets"),
        "Use wider buckets, or a shorter range.",
    )
}

/// One group.
#[derive(Debug)]
struct Group {
    range: Range,
    methods: Vec<Method>,
    fields: Fields,
    rows: Vec<StructArray>,
}

impl Accumulator for Group {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns: Vec<_> = values.iter().take(1).chain(values.iter().skip(COLUMNS)).cloned().collect();
        self.rows.push(StructArray::try_new(self.fields.clone(), columns, None)?);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states[0].as_list::<i32>();
        for at in (0..rows.len()).filter(|at| rows.is_valid(*at)) {
            self.rows.push(rows.value(at).as_struct().clone());
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![list(self.collected()?)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        list(self.filled()?)
    }

    /// Counts what will be given as well, which may be much more than what was collected.
    fn size(&self) -> usize {
        let collected: usize = self.rows.iter().map(Array::get_array_memory_size).sum();
        let to_give = usize::try_from(self.range.buckets_about()).unwrap_or(usize::MAX);
        size_of_val(self) + collected + to_give.saturating_mul(16 * self.fields.len())
    }
}

impl Group {
    fn collected(&self) -> Result<StructArray> {
        let rows: Vec<&dyn Array> = self.rows.iter().map(|rows| rows as &dyn Array).collect();
        match rows.as_slice() {
            [] => Ok(StructArray::new_null(self.fields.clone(), 0)),
            rows => Ok(concat(rows)?.as_struct().clone()),
        }
    }

    fn filled(&self) -> Result<StructArray> {
        let rows = self.collected()?;
        let buckets = rows.column(0).as_primitive::<TimestampNanosecondType>();
        let places = places(buckets, &self.range.starts()?);
        let starts: TimestampNanosecondArray = places.iter().map(|place| place.start_ns).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(starts.with_timezone_opt(buckets.timezone()))];
        for (column, method) in rows.columns()[1..].iter().zip(&self.methods) {
            columns.push(match method {
                Method::Null => take(column, &UInt64Array::from_iter(places.iter().map(|place| place.row)), None)?,
                Method::Locf => take(column, &carried(&places, |_| true), None)?,
                Method::LocfOfValues => take(column, &carried(&places, |row| column.is_valid(row)), None)?,
                Method::Interpolate => Arc::new(interpolated(&places, column.as_primitive::<Float64Type>())),
            });
        }
        Ok(StructArray::try_new(self.fields.clone(), columns, None)?)
    }
}

/// A row to be given: its bucket, and which of the collected rows it is, if any.
#[derive(Debug, Clone, Copy)]
struct Place {
    start_ns: Option<i64>,
    row: Option<u64>,
}

/// The collected rows and the buckets without one, in order. A row without a bucket comes last.
fn places(buckets: &TimestampNanosecondArray, starts: &[i64]) -> Vec<Place> {
    let bucket = |row: usize| buckets.is_valid(row).then(|| buckets.value(row));
    let mut order: Vec<usize> = (0..buckets.len()).collect();
    order.sort_by_key(|&row| (bucket(row).is_none(), bucket(row)));
    let mut places = Vec::with_capacity(starts.len().max(order.len()));
    let mut starts = starts.iter().copied().peekable();
    for row in order {
        let here = bucket(row);
        while let Some(start_ns) = starts.next_if(|start_ns| here.is_none_or(|here| *start_ns < here)) {
            places.push(Place { start_ns: Some(start_ns), row: None });
        }
        starts.next_if(|start_ns| Some(*start_ns) == here);
        places.push(Place { start_ns: here, row: Some(row as u64) });
    }
    places.extend(starts.map(|start_ns| Place { start_ns: Some(start_ns), row: None }));
    places
}

/// For each place its row if that counts, and otherwise the last row before that does.
fn carried(places: &[Place], counts: impl Fn(usize) -> bool) -> UInt64Array {
    let mut last = None;
    let carry = |place: &Place| {
        last = place.row.filter(|row| counts(*row as usize)).or(last);
        last
    };
    places.iter().map(carry).collect()
}

fn interpolated(places: &[Place], values: &Float64Array) -> Float64Array {
    let value = |place: &Place| {
        let row = place.row.filter(|row| values.is_valid(*row as usize))?;
        Some((place.start_ns?, values.value(row as usize)))
    };
    let mut before = None;
    let mut after = places.iter().enumerate().filter_map(|(at, place)| Some((at, value(place)?))).peekable();
    let mut made = Vec::with_capacity(places.len());
    for (at, place) in places.iter().enumerate() {
        if let Some((_, here)) = after.next_if(|(next, _)| *next == at) {
            before = Some(here);
            made.push(Some(here.1));
            continue;
        }
        let around = before.zip(after.peek().map(|(_, after)| *after)).zip(place.start_ns);
        made.push(around.map(|((before, after), start_ns)| on_line(before, after, start_ns)));
    }
    Float64Array::from(made)
}

/// The value at a time on the line through two points.
fn on_line(before: (i64, f64), after: (i64, f64), time_ns: i64) -> f64 {
    let distance = |to: i64| (i128::from(to) - i128::from(before.0)) as f64;
    let share = distance(time_ns) / distance(after.0);
    before.1 * (1.0 - share) + after.1 * share
}

fn list(rows: StructArray) -> Result<ScalarValue> {
    let field = Arc::new(Field::new_list_field(rows.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([rows.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, Arc::new(rows), None)?)))
}
