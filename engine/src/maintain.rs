//! Upkeep: moving unflushed rows into segments, rolling up, expiring.

mod flush;
pub(crate) mod retain;
pub(crate) mod roll;

pub(crate) use flush::{FlushedTable, TableToFlush, flush_table};
