//! Plimsoll's storage engine: tables of series of samples, durable and quick to scan.
//!
//! ```text
//! write ─► WAL ─► memtable ─► segment ─► scan
//! ```
//!
//! It knows tables, series, samples and time; it knows no SQL, no async runtime and no parser. It owns no thread and no
//! timer: [`Engine::maintain`] does one bounded step and says whether more waits. It meets the world through
//! [`env::FileSystem`] and [`env::Clock`], whose simulated twins ship in [`env::sim`].

mod backup;
mod batch;
#[doc(hidden)]
pub mod benching;
mod bytes;
mod codec;
mod engine;
pub mod env;
mod error;
mod files;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod maintain;
mod manifest;
mod memtable;
mod model;
pub mod naive;
mod pack;
mod partition;
mod resolve;
mod rollup;
mod rows;
mod scan;
mod segment;
mod table;
mod tiers;
mod tombstone;
mod touched;
mod verify;
mod wal;

pub use backup::{
    Backup, BackupPoint, BackupReport, Checked, RestoreReport, RestoreRequest, is_archive, is_backup, verify_archive,
};
pub use engine::{
    ArchiveOptions, ColumnEncoding, Durability, Engine, Maintained, Options, Recovery, Rejected, RollupStats, Row,
    SegmentInfo, SeriesRef, Stats, TableStats, TierEstimate, Touches, Write, Written,
};
pub use error::{Error, Result, SchemaError};
pub use model::{
    Column, ColumnKind, FieldType, OptionsChange, Point, Retention, SeriesId, TIERS_MAX, TableId, TableOptions,
    TableSchema, Tier, TimeRange, Value,
};
pub use rollup::Bins;
pub use scan::{
    Aggregate, AggregateFunction, AggregatePart, AggregateRequest, Aggregation, Bucket, BucketLimit, CompareOp, Effort,
    FieldPredicate, FieldTest, LastRequest, Partial, ScanOrder, ScanPart, ScanRequest, Share, Shortcuts, Shortfall,
    Snapshot, TagMatcher, TagTest, TierUsed,
};
pub use verify::{VerifyReport, verify};
pub use wal::TornTail;
