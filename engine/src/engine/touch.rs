//! What was touched of a table since its reader last looked.

use super::{Engine, Result, SchemaError};
use crate::model::TimeRange;
use crate::touched::Touched;
use crate::wal::Lsn;

/// What was touched of a table by the records after one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touches {
    /// Times of rows that were written or deleted, ascending, apart from each other; they may hold more than was touched. `None`
    /// when it is not known: anything may have been.
    pub ranges: Option<Vec<TimeRange>>,
    /// The last record that is told of.
    pub up_to: u64,
}

impl Engine {
    /// The times of a table that were touched by records after `since`. Expiry is no touch.
    ///
    /// From the first call on it is kept what is touched, across restarts; [`Engine::forget_touches`] lets go of what has been dealt
    /// with. Whoever computes something from the rows of a snapshot that is taken after the call, and remembers `up_to`, misses
    /// nothing.
    ///
    /// # Errors
    /// [`SchemaError::NoTable`].
    pub fn take_touches(&self, table: &str, since: u64) -> Result<Touches> {
        let touches = self.touches_since(table, since)?;
        if touches.ranges.is_none() {
            // A restart has to know that it is kept. If that fails, it asks for everything once more.
            let mut publishing = self.publishing();
            let flushed_lsn = self.state().flushed_lsn;
            let _later = self.publish(&self.manifest(flushed_lsn), &mut publishing);
        }
        Ok(touches)
    }

    fn touches_since(&self, table: &str, since: u64) -> Result<Touches> {
        let mut state = self.state_mut();
        let up_to = state.applied_lsn;
        let found = state.tables.get_mut(table).filter(|table| table.schema().is_some());
        let found = found.ok_or_else(|| SchemaError::NoTable(table.to_owned()))?;
        if found.touched().is_none() {
            found.watch(Touched::new(up_to));
        }
        let ranges = found.touched_mut().and_then(|touched| {
            touched.seal();
            touched.after(since)
        });
        Ok(Touches { ranges, up_to })
    }

    /// As [`Engine::take_touches`], for a look in between: nothing is remembered of it. `None` when it is not known.
    pub fn touches(&self, table: &str, since: u64) -> Option<Vec<TimeRange>> {
        self.state().tables.get(table)?.touched()?.after(since)
    }

    /// Forgets what records up to this one touched: all readers of the table know.
    pub fn forget_touches(&self, table: &str, up_to: Lsn) {
        let mut state = self.state_mut();
        if let Some(touched) = state.tables.get_mut(table).and_then(|table| table.touched_mut()) {
            touched.forget(up_to);
        }
    }
}
