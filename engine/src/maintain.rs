//! Upkeep: what is due (`plan`), and doing it: moving unflushed rows into segments, joining segments, dropping deleted rows,
//! rolling up, expiring.

mod flush;
pub(crate) mod plan;
pub(crate) mod retain;
pub(crate) mod roll;

pub(crate) use flush::{FlushedTable, TableToFlush, flush_table};
