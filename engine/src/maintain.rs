//! Upkeep: what is due (`plan`), and doing it: moving unflushed rows into segments (`flush`), writing segments anew as one and
//! without deleted rows (`compact`).

mod compact;
mod flush;
pub(crate) mod plan;
mod stream;

pub(crate) use compact::{Compacted, Job};
pub(crate) use flush::{FlushedTable, TableToFlush, flush_table, remove_files};
pub(crate) use stream::{Stream, Wanted};
