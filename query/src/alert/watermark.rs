//! Up to when the data of an alert is complete.

use std::collections::BTreeMap;

use plimsoll_engine::Snapshot;

use crate::Result;
use crate::session::Session;

/// The latest times of tables, each looked up once.
pub(crate) struct Watermarks<'a> {
    session: &'a Session,
    now_ns: i64,
    latest: BTreeMap<String, Option<i64>>,
}

/// How long it takes at most, in nanoseconds, until a fact that is entered can be read: its time is that of the statement or of
/// the look that enters it.
const FACTS_NS: i64 = 1_000_000_000;

impl<'a> Watermarks<'a> {
    pub(crate) fn new(session: &'a Session, now_ns: i64) -> Watermarks<'a> {
        Watermarks { session, now_ns, latest: BTreeMap::new() }
    }

    /// Up to when rows of all of these tables have come, `lateness_ns` allowed for: what the rows themselves tell, or the clock
    /// where they have stopped for `idle_ns`. For no tables the clock alone: facts are there soon after the time that they say.
    ///
    /// # Errors
    /// Those of the query.
    pub(crate) async fn of(
        &mut self,
        tables: &[String],
        snapshot: &Snapshot,
        lateness_ns: i64,
        idle_ns: i64,
    ) -> Result<i64> {
        let mut least = match tables.is_empty() {
            true => self.now_ns.saturating_sub(FACTS_NS),
            false => self.now_ns,
        };
        for table in tables {
            let latest_ns = match self.latest.get(table) {
                Some(known) => *known,
                None => {
                    let known = self.latest_of(table, snapshot).await?;
                    self.latest.insert(table.clone(), known);
                    known
                }
            };
            let told_ns = latest_ns.map_or(i64::MIN, |latest_ns| latest_ns.min(self.now_ns));
            let complete_ns = told_ns.max(self.now_ns.saturating_sub(idle_ns));
            least = least.min(complete_ns.saturating_sub(lateness_ns));
        }
        Ok(least)
    }

    async fn latest_of(&self, table: &str, snapshot: &Snapshot) -> Result<Option<i64>> {
        use datafusion::arrow::array::{Array, AsArray};
        use datafusion::arrow::datatypes::TimestampNanosecondType;
        if snapshot.table(table).is_none() {
            return Ok(None);
        }
        let text = format!("SELECT max(time) FROM {}", crate::dialect::quoted(table));
        let batches = self.session.rows_of(&text, self.now_ns).await?;
        let first = batches.iter().find(|batch| batch.num_rows() > 0);
        Ok(first.and_then(|batch| {
            let column = batch.column(0).as_primitive::<TimestampNanosecondType>();
            column.is_valid(0).then(|| column.value(0))
        }))
    }
}
