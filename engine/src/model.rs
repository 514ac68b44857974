//! What the engine stores: tables of series of samples.

mod point;
mod retention;
mod schema;
mod time;

pub use point::{Point, Value};
pub use retention::{OptionsChange, Retention, TIERS_MAX, TableOptions, Tier};
pub use schema::{Column, ColumnKind, FieldType, SeriesId, TableId, TableSchema};
pub use time::TimeRange;

pub(crate) use retention::Duration;
pub(crate) use schema::{FieldRef, check_name};
