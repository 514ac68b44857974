//! Seals reporting periods when their time for late data is over.

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Float64Type, TimestampNanosecondType};

use crate::Result;
use crate::alert::ACTOR;
use crate::dialect::{Definition, Kind, quoted, text_literal};
use crate::ops::adjustment::{Later, offer};
use crate::ops::incident::rfc3339;
use crate::ops::seal::{Seal, has_opened, seal, seals};
use crate::relation::sealing;
use crate::session::Session;

/// Seals what is due, each period once. An SLA that cannot be computed is left for the next look.
///
/// # Errors
/// Those of the store.
pub(crate) async fn take(session: &Session, now_ns: i64) -> Result<()> {
    let database = session.database();
    let definitions = database.catalog().definitions();
    for object in definitions.of_kind(Kind::Sla) {
        let Definition::Sla(sla) = &object.definition else { continue };
        let due = session.lowered(now_ns, |lowering| sealing(object, sla, now_ns, lowering));
        // What was over before it was promised is told, and never sealed by itself: history may still be loaded.
        let Some(due) = due.ok().flatten().filter(|due| due.end > object.defined_ns) else { continue };
        let held = seals(database, &object.name, now_ns);
        let is_open = |target: &str| !held.contains_key(&(due.start, target.to_owned()));
        let open: Vec<&str> = sla.targets.iter().map(|target| target.slo.as_str()).filter(|slo| is_open(slo)).collect();
        if open.is_empty() && !has_opened(database, &object.name) {
            continue;
        }
        let text = format!(
            "SELECT {COLUMNS} FROM sla.{} \
             WHERE sealed_at IS NULL AND period_end <= '{}' AND period_end > '{}'",
            quoted(&object.name),
            rfc3339(due.end),
            rfc3339(object.defined_ns)
        );
        let Ok(batches) = session.rows_of(&text, now_ns).await else { continue };
        let mut new: Vec<Seal> = batches.iter().flat_map(|batch| rows(batch, now_ns)).collect();
        let is_found = |slo: &str| new.iter().any(|seal| seal.period_start_ns == due.start && seal.target == slo);
        let without_data = open.into_iter().filter(|slo| !is_found(slo)).map(|slo| Seal {
            period_start_ns: due.start,
            period_end_ns: due.end,
            target: slo.to_owned(),
            attained: None,
            required: None,
            status: "unknown".to_owned(),
            coverage: None,
            credit: None,
            sealed_ns: now_ns,
            quality: None,
            adjustments: None,
        });
        let without_data: Vec<Seal> = without_data.collect();
        new.extend(without_data);
        database.ops().transaction(&ACTOR.into(), now_ns, |transaction| {
            new.iter().try_for_each(|one| seal(transaction, &object.name, one))
        })?;
    }
    offer_late(session, now_ns).await
}

/// What a seal is made of.
const COLUMNS: &str =
    "period_start, period_end, target, attained, required, status, coverage, credit, quality, adjustments";

/// Offers what sealed periods would come to with the rows that came later, where rows of a KPI were restated in them.
async fn offer_late(session: &Session, now_ns: i64) -> Result<()> {
    let database = session.database();
    let restated = database.ops().newly_restated()?;
    if restated.is_empty() {
        return Ok(());
    }
    let definitions = database.catalog().definitions();
    for object in definitions.of_kind(Kind::Sla) {
        let held = seals(database, &object.name, now_ns);
        let is_late = |seal: &&Seal| {
            restated.iter().any(|bucket_ns| (seal.period_start_ns..seal.period_end_ns).contains(bucket_ns))
        };
        let late: Vec<&Seal> = held.values().filter(is_late).collect();
        if late.is_empty() {
            continue;
        }
        let text = format!("SELECT {COLUMNS} FROM sla_restated({})", text_literal(&object.name));
        let Ok(batches) = session.rows_of(&text, now_ns).await else { continue };
        let now: Vec<Seal> = batches.iter().flat_map(|batch| rows(batch, now_ns)).collect();
        let is_of =
            |seal: &Seal, other: &Seal| (seal.period_start_ns, &seal.target) == (other.period_start_ns, &other.target);
        let later = late.into_iter().filter_map(|seal| {
            let now = now.iter().find(|now| is_of(seal, now))?;
            Some(Later { seal: seal.clone(), attained: now.attained, status: now.status.clone() })
        });
        let later: Vec<Later> = later.collect();
        database.ops().transaction(&ACTOR.into(), now_ns, |transaction| offer(transaction, &object.name, &later))?;
    }
    Ok(())
}

fn rows(batch: &RecordBatch, now_ns: i64) -> Vec<Seal> {
    let time = |at: usize| batch.column(at).as_primitive::<TimestampNanosecondType>();
    let number = |at: usize, row: usize| {
        let column = batch.column(at).as_primitive::<Float64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let text = |at: usize, row: usize| batch.column(at).as_string::<i32>().value(row).to_owned();
    let maybe = |at: usize, row: usize| batch.column(at).is_valid(row).then(|| text(at, row));
    let row = |row: usize| Seal {
        period_start_ns: time(0).value(row),
        period_end_ns: time(1).value(row),
        target: text(2, row),
        attained: number(3, row),
        required: number(4, row),
        status: text(5, row),
        coverage: number(6, row),
        credit: number(7, row),
        sealed_ns: now_ns,
        quality: maybe(8, row),
        adjustments: maybe(9, row),
    };
    (0..batch.num_rows()).map(row).collect()
}
