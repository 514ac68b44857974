//! One table in memory: its growing schema and series, its unflushed rows and its segments.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::engine::TableStats;
use crate::error::{Error, SchemaError};
use crate::index::{TagIndex, TagPosition};
use crate::manifest::{FileNumber, SegmentEntry, SeriesFileEntry, TableEntry, TombstoneFileEntry};
use crate::memtable::{Memtable, MemtableView};
use crate::model::{
    Column, ColumnKind, FieldType, SeriesId, TableId, TableOptions, TableSchema, TimeRange, check_name,
};
use crate::partition::Partition;
use crate::scan::LastPoints;
use crate::segment::Segment;
use crate::tiers::Tiers;
use crate::tombstone::{Tombstone, Tombstones};
use crate::touched::{Ranges, Touched};
use crate::wal::Lsn;

/// Most columns a table can have.
pub(crate) const COLUMNS_MAX: usize = 4096;

/// The part of a table that only ever grows, shared by writers, readers and the flush without the engine's lock.
#[derive(Debug)]
pub(crate) struct TableCore {
    pub(crate) id: TableId,
    pub(crate) name: String,
    shape: RwLock<Arc<Shape>>,
    index: RwLock<TagIndex>,
    /// Points before this are refused: nothing of that age is kept.
    floor_ns: AtomicI64,
    /// Points of further series are refused when there are so many.
    series_max: AtomicU32,
    pub(crate) last_points: LastPoints,
    /// Somebody keeps up with what is touched, so a write finds out which times it touches.
    pub(crate) is_watched: AtomicBool,
}

/// A schema with its columns by name.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) schema: Arc<TableSchema>,
    positions: HashMap<String, u32>,
}

impl Shape {
    fn new(schema: TableSchema) -> Shape {
        let positions = schema.columns.iter().enumerate().map(|(at, c)| (c.name.clone(), at as u32)).collect();
        Shape { schema: Arc::new(schema), positions }
    }

    /// Position and kind of a column. Names usually come in the same order, so `hint` is tried first.
    pub(crate) fn column(&self, name: &str, hint: Option<u32>) -> Option<(u32, ColumnKind)> {
        let at = |position: u32| &self.schema.columns[position as usize];
        if let Some(hint) = hint.filter(|h| (*h as usize) < self.schema.columns.len() && at(*h).name == name) {
            return Some((hint, at(hint).kind));
        }
        self.positions.get(name).map(|position| (*position, at(*position).kind))
    }
}

impl TableCore {
    /// A table with only `time`.
    pub(crate) fn new(id: TableId, name: &str) -> Result<TableCore, SchemaError> {
        check_name(name)?;
        let time = Column { name: TableSchema::TIME.to_owned(), kind: ColumnKind::Time };
        let schema = TableSchema { id, name: name.to_owned(), columns: vec![time] };
        Ok(TableCore::with_schema(schema, TagIndex::default()))
    }

    pub(crate) fn with_schema(schema: TableSchema, index: TagIndex) -> TableCore {
        TableCore {
            id: schema.id,
            name: schema.name.clone(),
            shape: RwLock::new(Arc::new(Shape::new(schema))),
            index: RwLock::new(index),
            floor_ns: AtomicI64::new(i64::MIN),
            series_max: AtomicU32::new(u32::MAX),
            last_points: LastPoints::default(),
            is_watched: AtomicBool::new(false),
        }
    }

    /// Points before this are refused.
    pub(crate) fn floor_ns(&self) -> i64 {
        self.floor_ns.load(Ordering::Relaxed)
    }

    /// Refuses a point that is older than anything the table keeps.
    pub(crate) fn check_kept(&self, time_ns: i64) -> Result<(), SchemaError> {
        let from_ns = self.floor_ns();
        if time_ns >= from_ns {
            return Ok(());
        }
        Err(SchemaError::Expired { table: self.name.clone(), time_ns, from_ns })
    }

    /// The series of some tags, made if it is new and there may be another one. Tags are ordered by position, values are not
    /// empty.
    pub(crate) fn find_or_add_series(&self, tags: &[(TagPosition, &str)]) -> Result<SeriesId, SchemaError> {
        if let Some(found) = self.index().find(tags) {
            return Ok(found);
        }
        let mut index = self.index_mut();
        let (series, limit) = (index.len(), self.series_max.load(Ordering::Relaxed));
        if series >= limit && index.find(tags).is_none() {
            return Err(SchemaError::SeriesLimit { table: self.name.clone(), series, limit });
        }
        Ok(index.find_or_add(tags))
    }

    pub(crate) fn shape(&self) -> Arc<Shape> {
        self.shape.read().expect("a schema is swapped without panics").clone()
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, TagIndex> {
        self.index.read().expect("the index is changed without panics")
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, TagIndex> {
        self.index.write().expect("the index is changed without panics")
    }

    /// Adds the columns that are missing; those that exist must be of the same kind, or take the value as it is.
    pub(crate) fn grow(&self, wanted: &[(&str, ColumnKind)]) -> Result<Arc<Shape>, Error> {
        let mut shape = self.shape.write().expect("a schema is swapped without panics");
        let mut schema = (*shape.schema).clone();
        for (name, kind) in wanted {
            match schema.position(name) {
                Some(at) => check_kind(&schema, at, *kind)?,
                None => {
                    check_name(name)?;
                    schema.columns.push(Column { name: (*name).to_owned(), kind: *kind });
                }
            }
        }
        if schema.columns.len() > COLUMNS_MAX {
            let found = schema.columns.len() as u64;
            return Err(Error::Limit { what: "number of columns of a table", found, limit: COLUMNS_MAX as u64 });
        }
        *shape = Arc::new(Shape::new(schema));
        Ok(shape.clone())
    }
}

/// Checks that a column can take input of a kind: the same kind, or an integer for a float field, which widens.
pub(crate) fn check_kind(schema: &TableSchema, at: usize, wanted: ColumnKind) -> Result<(), SchemaError> {
    let column = &schema.columns[at];
    match (column.kind, wanted) {
        (exists, wanted) if exists == wanted => Ok(()),
        (ColumnKind::Field(FieldType::Float), ColumnKind::Field(FieldType::Integer)) => Ok(()),
        (ColumnKind::Field(expected), ColumnKind::Field(found)) => Err(SchemaError::FieldType {
            table: schema.name.clone(),
            field: column.name.clone(),
            found: found.name(),
            expected: expected.name(),
        }),
        (exists, wanted) => Err(SchemaError::ColumnKind {
            table: schema.name.clone(),
            column: column.name.clone(),
            exists: exists.name(),
            wanted: wanted.name(),
        }),
    }
}

/// A segment that the manifest names.
#[derive(Debug)]
pub(crate) struct LiveSegment {
    pub(crate) entry: SegmentEntry,
    pub(crate) path: PathBuf,
    /// The open file; or why it could not be opened, which every read that needs it reports.
    pub(crate) file: Result<Segment, Error>,
    /// What was deleted of it since it was made. Statistics and rows hold as they are where these do not `touch`.
    pub(crate) deleted: Tombstones,
    /// When it became live.
    pub(crate) changed_ns: i64,
}

impl LiveSegment {
    /// Its smallest and greatest timestamp.
    pub(crate) fn time(&self) -> TimeRange {
        TimeRange { min_ns: self.entry.min_ns, max_ns: self.entry.max_ns }
    }

    /// Its smallest and greatest series; all there can be if it cannot be read.
    pub(crate) fn series(&self) -> (SeriesId, SeriesId) {
        self.file.as_ref().map_or((SeriesId(0), SeriesId(u32::MAX)), Segment::series)
    }

    /// The same segment with those of some tombstones that are newer and may touch it; `None` if that are none.
    pub(crate) fn without<'a>(&self, tombstones: impl IntoIterator<Item = &'a Arc<Tombstone>>) -> Option<LiveSegment> {
        let mut deleted = self.deleted.clone();
        for tombstone in tombstones {
            if self.entry.lsn < tombstone.lsn && tombstone.touches(self.series(), &self.time()) {
                deleted.add(tombstone);
            }
        }
        if deleted == self.deleted {
            return None;
        }
        let file = self.file.as_ref().map(Segment::clone).map_err(Error::again);
        Some(LiveSegment { entry: self.entry, path: self.path.clone(), file, deleted, changed_ns: self.changed_ns })
    }
}

/// One table as the engine's lock guards it.
///
/// The core's schema may run ahead of the log: a write adds its columns there before it is logged. What users see is `schema`,
/// which has the columns of logged writes only.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) core: Arc<TableCore>,
    /// The visible schema; `None` until a write to the table, or its creation, is logged.
    schema: Option<Arc<TableSchema>>,
    /// The record that made it visible.
    pub(crate) created_lsn: Lsn,
    /// For each position of the core's schema, whether it is visible.
    visible: Vec<bool>,
    pub(crate) memtable: Memtable,
    /// Oldest first: where two hold the same point, the later one wins.
    pub(crate) segments: Arc<Vec<Arc<LiveSegment>>>,
    pub(crate) series_files: Vec<SeriesFileEntry>,
    pub(crate) options: Arc<TableOptions>,
    tiers: Arc<Tiers>,
    /// What was deleted and may still stand in segments, or in rows that a flush or a compaction is writing; oldest first.
    pub(crate) tombstones: Vec<Arc<Tombstone>>,
    /// The file that holds those up to its `lsn`.
    pub(crate) tombstone_file: Option<TombstoneFileEntry>,
    /// Times that were touched, if somebody keeps up with them.
    touched: Option<Touched>,
}

impl Table {
    /// A table that nothing is logged of yet.
    pub(crate) fn new(core: TableCore) -> Table {
        Table {
            core: Arc::new(core),
            schema: None,
            created_lsn: 0,
            visible: Vec::new(),
            memtable: Memtable::default(),
            segments: Arc::default(),
            series_files: Vec::new(),
            options: Arc::default(),
            tiers: Arc::default(),
            tombstones: Vec::new(),
            tombstone_file: None,
            touched: None,
        }
    }

    /// Gives the table other options.
    pub(crate) fn set_options(&mut self, options: TableOptions) {
        self.core.series_max.store(options.max_series.unwrap_or(u32::MAX), Ordering::Relaxed);
        self.options = Arc::new(options);
    }

    pub(crate) fn tiers(&self) -> &Arc<Tiers> {
        &self.tiers
    }

    /// Replaces what is rolled up and expired.
    pub(crate) fn set_tiers(&mut self, tiers: Tiers) {
        self.core.floor_ns.store(tiers.floor_ns, Ordering::Relaxed);
        self.tiers = Arc::new(tiers);
    }

    /// Notes that raw rows of some days came or went, so that rollups of these days are made again. Whatever adds or deletes rows
    /// of segments has to say so here; joining segments does not.
    pub(crate) fn days_changed(&mut self, days: impl Iterator<Item = Partition>) {
        for day in days {
            if self.tiers.days.contains_key(&day) {
                Arc::make_mut(&mut self.tiers).changed(day);
            }
        }
    }

    /// Deletes rows that are older than the tombstone's record.
    pub(crate) fn delete(&mut self, tombstone: Arc<Tombstone>) {
        self.days_changed(self.tiers.clone().days_within(&tombstone.time));
        self.touch(tombstone.lsn, Some(&Ranges::one(tombstone.time)));
        self.memtable.delete(&tombstone);
        self.attach(std::slice::from_ref(&tombstone));
        self.tombstones.push(tombstone);
    }

    /// Attaches tombstones to the segments that they may touch.
    pub(crate) fn attach(&mut self, tombstones: &[Arc<Tombstone>]) {
        let changed: Vec<Option<LiveSegment>> = self.segments.iter().map(|s| s.without(tombstones)).collect();
        if changed.iter().any(Option::is_some) {
            let segments = self.segments.iter().zip(changed);
            let segments = segments.map(|(segment, changed)| changed.map_or_else(|| segment.clone(), Arc::new));
            self.segments = Arc::new(segments.collect());
        }
    }

    /// Puts segments that were just published in the place of others, or at the end. What was deleted since they were
    /// begun is attached to them.
    pub(crate) fn replace(&mut self, replaced: &[FileNumber], made: impl IntoIterator<Item = Arc<LiveSegment>>) {
        let made = made.into_iter().map(|s| s.without(&self.tombstones).map_or(s, Arc::new));
        let at = self.segments.iter().position(|s| replaced.contains(&s.entry.file));
        let mut segments = self.segments.to_vec();
        let at = at.unwrap_or(segments.len());
        segments.splice(at..at, made);
        segments.retain(|s| !replaced.contains(&s.entry.file));
        self.segments = Arc::new(segments);
    }

    /// The tombstones up to a record that segments carry, oldest first.
    pub(crate) fn tombstones_carried(&self, up_to: Lsn) -> Vec<Arc<Tombstone>> {
        let is_carried = |wanted: &&Arc<Tombstone>| {
            wanted.lsn <= up_to && self.segments.iter().any(|s| s.deleted.iter().any(|t| t.lsn == wanted.lsn))
        };
        self.tombstones.iter().filter(is_carried).cloned().collect()
    }

    /// Forgets tombstones that have been applied everywhere. Gives the file that has become useless with that.
    pub(crate) fn forget_tombstones(&mut self, flushed_lsn: Lsn) -> Option<FileNumber> {
        if self.tombstones.is_empty() && self.tombstone_file.is_none() {
            return None;
        }
        let carried = self.tombstones_carried(flushed_lsn);
        let later = self.tombstones.iter().filter(|t| t.lsn > flushed_lsn).cloned();
        self.tombstones = carried.iter().cloned().chain(later).collect();
        let is_useless = |file: &TombstoneFileEntry| !carried.iter().any(|t| t.lsn <= file.lsn);
        self.tombstone_file.take_if(|file| is_useless(file)).map(|file| file.file)
    }

    /// The visible schema, if anything is logged of the table.
    pub(crate) fn schema(&self) -> Option<&Arc<TableSchema>> {
        self.schema.as_ref()
    }

    /// What can be read now, if anything is logged of the table.
    pub(crate) fn view(&self) -> Option<TableView> {
        Some(TableView {
            schema: self.schema.clone()?,
            shape: self.core.shape(),
            core: self.core.clone(),
            memtable: self.memtable.view(),
            segments: self.segments.clone(),
            options: self.options.clone(),
            tiers: self.tiers.clone(),
        })
    }

    /// Makes columns visible, because a write that names them is logged. `time` always is.
    pub(crate) fn show(&mut self, positions: &ColumnSet) {
        let is_new = |position: usize| !self.visible.get(position).is_some_and(|v| *v);
        if self.schema.is_some() && !positions.iter().any(is_new) {
            return;
        }
        let all = self.core.shape().schema.clone();
        self.visible.resize(all.columns.len(), false);
        for position in positions.iter().chain([0]) {
            self.visible[position] = true;
        }
        let columns = all.columns.iter().zip(&self.visible).filter(|(_, visible)| **visible).map(|(c, _)| c.clone());
        self.schema = Some(Arc::new(TableSchema { id: all.id, name: all.name.clone(), columns: columns.collect() }));
    }

    /// Figures, if anything is logged of the table.
    pub(crate) fn stats(&self) -> Option<TableStats> {
        let schema = self.schema.as_ref()?;
        let times = || self.segments.iter().map(|s| TimeRange { min_ns: s.entry.min_ns, max_ns: s.entry.max_ns });
        let join =
            |a: TimeRange, b: TimeRange| TimeRange { min_ns: a.min_ns.min(b.min_ns), max_ns: a.max_ns.max(b.max_ns) };
        Some(TableStats {
            name: schema.name.clone(),
            series: u64::from(self.core.index().len()),
            index_bytes: self.core.index().memory_bytes() as u64,
            segments: self.segments.len() as u64,
            segment_rows: self.segments.iter().map(|s| s.entry.rows).sum(),
            segment_bytes: self.segments.iter().map(|s| s.entry.bytes).sum(),
            memtable_bytes: self.memtable.memory_bytes() as u64,
            time: times().reduce(join),
            options: self.options.clone(),
            raw_from_ns: Some(self.tiers.raw_from_ns).filter(|from_ns| *from_ns != i64::MIN),
            rollups: self.tiers.stats(),
        })
    }

    /// Series that are in series files.
    pub(crate) fn series_stored(&self) -> u32 {
        self.series_files.last().map_or(0, |f| f.series_end)
    }

    pub(crate) fn entry(&self) -> TableEntry {
        let schema = self.core.shape().schema.clone();
        TableEntry {
            id: schema.id,
            created_lsn: self.created_lsn,
            name: schema.name.clone(),
            columns: schema.columns.clone(),
            hidden: (0..schema.columns.len()).filter(|at| !self.visible.get(*at).is_some_and(|v| *v)).collect(),
            series_files: self.series_files.clone(),
            tombstones: self.tombstone_file,
            segments: self.segments.iter().map(|s| s.entry).collect(),
            options: (*self.options).clone(),
            tiers: self.tiers.entry(),
            touched: self.touched.as_ref().map(Touched::entry),
        }
    }

    /// Times that were touched, if somebody keeps up with them.
    pub(crate) fn touched(&self) -> Option<&Touched> {
        self.touched.as_ref()
    }

    /// Keeps what is touched from now on; what was, if it is given.
    pub(crate) fn watch(&mut self, touched: Touched) {
        self.core.is_watched.store(true, Ordering::Release);
        self.touched = Some(touched);
    }

    pub(crate) fn touched_mut(&mut self) -> Option<&mut Touched> {
        self.touched.as_mut()
    }

    /// Notes what a record touched. `None` is a write that began before anybody asked: it may have touched anything.
    pub(crate) fn touch(&mut self, lsn: Lsn, ranges: Option<&Ranges>) {
        if let Some(touched) = &mut self.touched {
            match ranges {
                Some(ranges) => touched.note(lsn, ranges),
                None => touched.note(lsn, &Ranges::one(TimeRange::ALL)),
            }
        }
    }
}

/// The readable state of one table at one moment.
#[derive(Debug, Clone)]
pub(crate) struct TableView {
    /// The columns that users see.
    pub(crate) schema: Arc<TableSchema>,
    /// The positions of all columns.
    pub(crate) shape: Arc<Shape>,
    pub(crate) core: Arc<TableCore>,
    pub(crate) memtable: MemtableView,
    pub(crate) segments: Arc<Vec<Arc<LiveSegment>>>,
    pub(crate) options: Arc<TableOptions>,
    pub(crate) tiers: Arc<Tiers>,
}

impl TableView {
    /// The shortest range that all raw rows are in.
    pub(crate) fn extent(&self) -> TimeRange {
        let segments = self.segments.iter().map(|s| TimeRange { min_ns: s.entry.min_ns, max_ns: s.entry.max_ns });
        let runs = self.memtable.runs().map(|run| run.time);
        segments.chain(runs).fold(TimeRange::NONE, |all, time| all.hull(&time))
    }
}

/// Positions of columns in a schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ColumnSet(Vec<bool>);

impl ColumnSet {
    /// The first `columns` positions.
    pub(crate) fn first(columns: usize) -> ColumnSet {
        ColumnSet(vec![true; columns])
    }

    pub(crate) fn insert(&mut self, position: u32) {
        let position = position as usize;
        if position >= self.0.len() {
            self.0.resize(position + 1, false);
        }
        self.0[position] = true;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().filter(|(_, is_in)| **is_in).map(|(position, _)| position)
    }
}
