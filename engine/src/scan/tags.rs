//! Questions about tags alone: answered from the index and from where rows are, without a value being read.
//!
//! A series may be in the index without a visible row: it was deleted, is newer than the snapshot, or its write was refused.
//! So the series with rows come first: those of runs and of chunk heads. Timestamps are read only where a chunk lies across
//! an end of the time range, or rows of it were deleted.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow_schema::Schema as ArrowSchema;
use hashbrown::HashSet;
use roaring::RoaringBitmap;

use super::{Snapshot, TagMatcher, plan};
use crate::index::{TagIndex, TagPosition};
use crate::memtable::Bounds;
use crate::model::{ColumnKind, SeriesId, TimeRange};
use crate::segment::Selection;
use crate::table::{LiveSegment, TableView};
use crate::{Error, Result, SchemaError};

impl Snapshot {
    /// The distinct combinations of the values of some tags, NULL where a series lacks one, over the series that match and
    /// have a row in the time range. In no order.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`], [`SchemaError::NoColumn`], [`SchemaError::ColumnKind`], [`Error::Pattern`], [`Error::Corrupt`].
    pub fn tag_values(
        &self,
        table: &str,
        tags: &[impl AsRef<str>],
        matchers: &[TagMatcher],
        time: Option<TimeRange>,
    ) -> Result<RecordBatch> {
        let view = self.view(table)?;
        let positions = tags.iter().map(|tag| tag_position(view, tag.as_ref())).collect::<Result<Vec<_>>>()?;
        let selected = plan::select_series(view, matchers)?;
        let time = view.tiers.visible(&time.unwrap_or(TimeRange::ALL));
        let series = series_with_rows(view, selected.as_ref(), &time, self.shortcuts.pruning)?;
        let (rows, columns) = distinct(&view.core.index(), &positions, &series);
        let all = view.schema.arrow();
        let fields = tags.iter().filter_map(|tag| all.column_with_name(tag.as_ref()).map(|(_, field)| field.clone()));
        let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(schema, columns, &options).expect("arrays are built to the schema"))
    }
}

/// The position of a tag that users see.
pub(super) fn tag_position(view: &TableView, name: &str) -> Result<TagPosition> {
    let (table, column) = (view.schema.name.clone(), name.to_owned());
    let visible = view.schema.position(name).and_then(|_| view.shape.column(name, None));
    match visible {
        None => Err(SchemaError::NoColumn { table, column }.into()),
        Some((position, ColumnKind::Tag)) => Ok(position),
        Some((_, kind)) => Err(SchemaError::ColumnKind { table, column, exists: kind.name(), wanted: "tag" }.into()),
    }
}

/// The selected series that have a row in a time range.
fn series_with_rows(
    view: &TableView,
    selected: Option<&RoaringBitmap>,
    time: &TimeRange,
    by_heads: bool,
) -> Result<RoaringBitmap> {
    let mut found = RoaringBitmap::new();
    for run in view.memtable.runs().filter(|run| run.time.overlaps(time)) {
        if by_heads && run.deleted().is_empty() && is_within(&run.time, time) {
            found.extend(run.rows.series.iter().map(|(id, _)| id.0));
        } else {
            let bounds = Bounds { time: *time, selected, ..Bounds::ALL };
            found.extend(run.read(&bounds, &[]).series.iter().map(|(id, _)| id.0));
        }
    }
    for live in view.segments.iter() {
        let of_segment = TimeRange { min_ns: live.entry.min_ns, max_ns: live.entry.max_ns };
        if of_segment.overlaps(time) {
            find_in_segment(live, selected, time, by_heads, &mut found)?;
        }
    }
    if let Some(selected) = selected {
        found &= selected;
    }
    Ok(found)
}

fn find_in_segment(
    live: &LiveSegment,
    selected: Option<&RoaringBitmap>,
    time: &TimeRange,
    by_heads: bool,
    found: &mut RoaringBitmap,
) -> Result<()> {
    let segment = live.file.as_ref().map_err(Error::again)?;
    for (nth, info) in segment.chunks().iter().enumerate() {
        let series = info.series_first.0..=info.series_last.0;
        let is_wanted = selected.is_none_or(|s| s.range_cardinality(series.clone()) > 0);
        if !info.time.overlaps(time) || !is_wanted {
            continue;
        }
        let mut of_chunk = selected.cloned();
        if by_heads {
            if found.range_cardinality(series.clone()) == u64::from(series.end() - series.start()) + 1 {
                continue;
            }
            if !live.deleted.touch((info.series_first, info.series_last), &info.time) {
                if *series.start() == *series.end() && is_within(&info.time, time) {
                    found.insert(*series.start());
                    continue;
                }
                let mut doubtful = segment.series_within(nth, time, found)?;
                selected.iter().for_each(|selected| doubtful &= *selected);
                if doubtful.is_empty() {
                    continue;
                }
                of_chunk = Some(doubtful);
            }
        }
        let rows = segment.read(nth, &[], &Selection { time: *time, series: of_chunk.as_ref() })?;
        found.extend(live.deleted.apply(rows).series.iter().map(|(id, _)| id.0));
    }
    Ok(())
}

fn is_within(inner: &TimeRange, outer: &TimeRange) -> bool {
    outer.min_ns <= inner.min_ns && inner.max_ns <= outer.max_ns
}

/// The distinct values of tags among some series: how many, and a column for each tag.
fn distinct(index: &TagIndex, tags: &[TagPosition], series: &RoaringBitmap) -> (usize, Vec<ArrayRef>) {
    if let [tag] = tags {
        let (codes, has_null) = index.values_of(*tag, series);
        let values = codes.iter().map(|code| Some(index.text(*tag, *code)));
        let values: StringViewArray = values.chain(has_null.then_some(None)).collect();
        return (codes.len() + usize::from(has_null), vec![Arc::new(values)]);
    }
    let mut seen = HashSet::new();
    let mut first_of_each = Vec::new();
    for id in series {
        let id = SeriesId(id);
        let codes: Vec<_> = tags.iter().map(|tag| index.code_of(id, *tag)).collect();
        if seen.insert(codes) {
            first_of_each.push(id);
        }
    }
    let column = |tag: &TagPosition| -> ArrayRef {
        Arc::new(first_of_each.iter().map(|id| index.tag_of(*id, *tag)).collect::<StringViewArray>())
    };
    (first_of_each.len(), tags.iter().map(column).collect())
}
