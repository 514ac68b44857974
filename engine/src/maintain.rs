//! Upkeep: moving unflushed rows into segments.

mod flush;

pub(crate) use flush::{FlushedTable, TableToFlush, flush_table};
