//! What the engine stores: tables of series of samples.

mod point;
mod schema;
mod time;

pub use point::{Point, Value};
pub use schema::{Column, ColumnKind, FieldType, SeriesId, TableId, TableSchema};
pub use time::TimeRange;

pub(crate) use schema::{FieldRef, check_name};
