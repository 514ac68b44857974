//! Upkeep: what is due (`plan`), and doing it: moving unflushed rows into segments (`flush`), writing segments anew as one and
//! without deleted rows (`compact`), rolling up (`retain` says what is due, `roll` does it).

mod compact;
mod flush;
pub(crate) mod plan;
pub(crate) mod retain;
pub(crate) mod roll;
mod stream;

pub(crate) use compact::{Compacted, Job};
pub(crate) use flush::{FlushedTable, TableToFlush, flush_table, remove_files};
pub(crate) use stream::{Stream, Wanted};
