//! What an aggregation has to read and to keep: fields, groups and buckets.

use std::sync::Arc;

use roaring::RoaringBitmap;

use super::groups::Groups;
use super::output::Answer;
use super::{AggregateFunction, AggregateRequest, Bucket};
use crate::Result;
use crate::model::{ColumnKind, FieldRef, FieldType, TimeRange};
use crate::scan::effort::Tally;
use crate::scan::{FieldTest, Shortcuts, plan as scan_plan};
use crate::table::TableView;

/// What all parts of an aggregation share.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) view: Arc<TableView>,
    pub(super) shortcuts: Shortcuts,
    pub(super) tally: Arc<Tally>,
    pub(super) time: TimeRange,
    /// The wanted series; `None` for all.
    pub(super) selected: Option<RoaringBitmap>,
    pub(super) predicates: Vec<(FieldRef, FieldTest)>,
    pub(super) fields: Vec<FieldPlan>,
    /// For each column of the answer its field; `None` where rows are counted.
    pub(super) columns: Vec<Option<usize>>,
    pub(super) groups: Groups,
    pub(super) clock: Clock,
}

/// A field to aggregate, and what of it.
#[derive(Debug, Clone)]
pub(super) struct FieldPlan {
    /// `None` for the time.
    pub(super) field: Option<FieldRef>,
    pub(super) kind: FieldType,
    pub(super) wants: Wants,
}

/// What is kept besides the number of values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wants {
    pub(super) sum: bool,
    pub(super) min: bool,
    pub(super) max: bool,
    pub(super) first: bool,
    pub(super) last: bool,
}

/// Numbers of buckets, counted from the first that a plan may meet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// Start of bucket 0, and width; `None` when everything is in one bucket.
    buckets: Option<(i64, u64)>,
}

impl Clock {
    /// Counts from the bucket of the earliest time of an extent; `None` when that bucket starts before all time.
    pub(super) fn new(bucket: Option<Bucket>, extent: TimeRange) -> Option<Clock> {
        let Some(bucket) = bucket.filter(|_| !extent.is_empty()) else { return Some(Clock { buckets: None }) };
        let start = i64::try_from(bucket.start(bucket.number(extent.min_ns))).ok()?;
        Some(Clock { buckets: Some((start, bucket.width_ns as u64)) })
    }

    /// The bucket of a time that is not before the extent.
    pub(super) fn bucket(&self, time_ns: i64) -> u64 {
        self.buckets.map_or(0, |(start, width)| (time_ns.wrapping_sub(start) as u64) / width)
    }

    /// The last timestamp of a bucket.
    pub(super) fn last_ns(&self, bucket: u64) -> i64 {
        let Some((start, width)) = self.buckets else { return i64::MAX };
        let end = i128::from(start) + (i128::from(bucket) + 1) * i128::from(width);
        i64::try_from(end - 1).unwrap_or(i64::MAX)
    }

    /// The first timestamp of a bucket.
    pub(super) fn start_ns(&self, bucket: u64) -> i64 {
        self.buckets.map_or(0, |(start, width)| start.wrapping_add(bucket.wrapping_mul(width) as i64))
    }
}

impl Plan {
    /// Plans a request; `None` when it is left to the plain way: sketches, and a first bucket that starts before all time.
    pub(super) fn new(
        view: Arc<TableView>,
        request: &AggregateRequest,
        answer: &Answer,
        shortcuts: Shortcuts,
        tally: Arc<Tally>,
    ) -> Result<Option<Plan>> {
        if answer.columns.iter().any(|column| column.function == AggregateFunction::Sketch) {
            return Ok(None);
        }
        let selected = scan_plan::select_series(&view, &request.tags)?;
        let time = view.extent().intersect(&request.time);
        let Some(clock) = Clock::new(request.bucket, time) else { return Ok(None) };
        let groups = Groups::new(&view, &answer.group_tags, selected.as_ref());
        let position = |name: &str| view.shape.column(name, None).expect("the answer was made from the same schema");
        let predicate = |p: &crate::scan::FieldPredicate| match position(&p.field) {
            (position, ColumnKind::Field(kind)) => ((position, kind), p.test.clone()),
            _ => unreachable!("the answer checked that it is a field"),
        };
        let predicates = request.predicates.iter().map(predicate).collect();
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for column in &answer.columns {
            let Some((name, kind)) = &column.argument else {
                columns.push(None);
                continue;
            };
            let field = match kind {
                ColumnKind::Field(kind) => Some((position(name).0, *kind)),
                _ => None,
            };
            columns.push(Some(add_field(&mut fields, field, column.function)));
        }
        Ok(Some(Plan { view, shortcuts, tally, time, selected, predicates, fields, columns, groups, clock }))
    }

    /// True when the first and last row of each series matter.
    pub(super) fn is_ordered(&self) -> bool {
        self.fields.iter().any(|f| f.wants.first || f.wants.last)
    }
}

fn add_field(fields: &mut Vec<FieldPlan>, field: Option<FieldRef>, function: AggregateFunction) -> usize {
    let at = fields.iter().position(|f| f.field == field).unwrap_or_else(|| {
        let kind = field.map_or(FieldType::Integer, |(_, kind)| kind);
        fields.push(FieldPlan { field, kind, wants: Wants::default() });
        fields.len() - 1
    });
    let wants = &mut fields[at].wants;
    match function {
        AggregateFunction::Sum | AggregateFunction::Avg => wants.sum = true,
        AggregateFunction::Min => wants.min = true,
        AggregateFunction::Max => wants.max = true,
        AggregateFunction::First => wants.first = true,
        AggregateFunction::Last => wants.last = true,
        AggregateFunction::CountRows | AggregateFunction::Count => {}
        AggregateFunction::Sketch => unreachable!("sketches are left to the plain way"),
    }
    at
}
