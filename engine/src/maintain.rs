//! Upkeep: what is due (`plan`), and doing it: moving unflushed rows into segments, joining segments, dropping deleted rows.

mod flush;
pub(crate) mod plan;

pub(crate) use flush::{FlushedTable, TableToFlush, flush_table};
