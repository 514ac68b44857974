//! `ops.adjustment`: corrections of what is reported that one person asks for and another one signs off. No raw row is changed by
//! one: time that is excluded does not count, and a period that is to be restated is sealed once more.

use std::collections::BTreeMap;

use super::incident::{built_in, rfc3339};
use super::seal::{Seal, open_periods};
use super::{Named, Row, Transaction, Value, audit};
use crate::alert::ACTOR;
use crate::analysis::intervals::Intervals;
use crate::{Database, Error, Result};

/// Time that does not count.
const EXCLUDE: &str = "exclude";

/// A sealed period that is to be sealed anew, with the rows that came later.
const RESTATE: &str = "restate";

const PROPOSED: &str = "proposed";
const APPROVED: &str = "approved";
const REJECTED: &str = "rejected";

/// What an approved adjustment is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Adjustment {
    sla: Option<String>,
    slo: Option<String>,
    start_ns: i64,
    end_ns: i64,
    is_excluding: bool,
    /// When it was signed off.
    approved_ns: i64,
    /// Who asked for it, who signed it off, and why, in a sentence.
    pub(crate) told: String,
}

impl Adjustment {
    /// True for one of an SLO, on its own or as a target of an SLA.
    fn is_of(&self, slo: &str, sla: Option<&str>) -> bool {
        let fits = |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        fits(&self.slo, Some(slo)) && fits(&self.sla, sla)
    }

    fn overlaps(&self, start_ns: i64, end_ns: i64) -> bool {
        self.start_ns < end_ns && self.end_ns > start_ns
    }
}

/// The adjustments that were signed off by a moment, in their order.
pub(crate) fn approved(database: &Database, at_ns: i64) -> Vec<Adjustment> {
    let Ok(table) = built_in("adjustment") else { return Vec::new() };
    let rows = database.ops().rows(table);
    let read = |row: &std::sync::Arc<Row>| {
        let row = Named::new(table, row);
        let approved_ns = row.time_ns("approved_at").filter(|ns| *ns <= at_ns)?;
        let text = |column: &str| row.text(column).map(str::to_owned);
        let told = format!(
            "#{} {} ({}, signed off by {}): {}",
            row.integer("id")?,
            row.text("op")?,
            row.text("requested_by")?,
            row.text("approved_by")?,
            row.text("reason")?
        );
        (row.text("state") == Some(APPROVED)).then_some(Adjustment {
            sla: text("sla"),
            slo: text("slo"),
            start_ns: row.time_ns("starts_at")?,
            end_ns: row.time_ns("ends_at")?,
            is_excluding: row.text("op") == Some(EXCLUDE),
            approved_ns,
            told,
        })
    };
    rows.values().filter_map(read).collect()
}

/// The time that was signed off not to count for an SLO, on its own or as a target of an SLA.
pub(crate) fn excluded(database: &Database, slo: &str, sla: Option<&str>, at_ns: i64) -> Intervals {
    let all = approved(database, at_ns);
    let of_it = all.iter().filter(|adjustment| adjustment.is_excluding && adjustment.is_of(slo, sla));
    Intervals::new(of_it.map(|adjustment| (adjustment.start_ns, adjustment.end_ns)))
}

/// What was signed off for a period of a target, as a text; `None` without any.
pub(crate) fn told(all: &[Adjustment], sla: &str, target: &str, start_ns: i64, end_ns: i64) -> Option<String> {
    let of_it = all.iter().filter(|one| one.is_of(target, Some(sla)) && one.overlaps(start_ns, end_ns));
    let told: Vec<&str> = of_it.map(|one| one.told.as_str()).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Checks what statements do to adjustments: they are asked for in one's own name, and what is decided stays.
///
/// # Errors
/// [`Error::Check`].
pub(super) fn follow(transaction: &mut Transaction<'_>) -> Result<()> {
    let table = built_in("adjustment")?;
    for (number, before) in transaction.changed(table) {
        if **transaction.actor() == *ACTOR || transaction.is_decided(number) {
            continue;
        }
        let refused = |column: &str, hint: &str| {
            let (table, column) = (table.name.to_owned(), column.to_owned());
            Err(Error::Check { table, column, hint: hint.to_owned() })
        };
        if before.as_ref().is_some_and(|row| Named::new(table, row).text("state") != Some(PROPOSED)) {
            return refused("state", "What was decided stays as it is: ask for another adjustment.");
        }
        let Some(row) = transaction.held(table).rows().get(&number).cloned() else { continue };
        let row = Named::new(table, &row);
        if row.text("state") != Some(PROPOSED)
            || row.text("approved_by").is_some()
            || row.time_ns("approved_at").is_some()
        {
            return refused("state", "CALL approve_adjustment(id, reason) or reject_adjustment(id, reason) decides.");
        }
        if before.is_none() && row.text("requested_by") != Some(&**transaction.actor()) {
            return refused("requested_by", "An adjustment is asked for in one's own name.");
        }
    }
    Ok(())
}

/// Signs an adjustment off or rejects it. What is signed off opens the sealed periods that it is about, so that they are sealed
/// once more.
///
/// # Errors
/// [`Error::InvalidParameter`] for one that there is not or that is decided, [`Error::Denied`] for one's own.
pub(crate) fn decide(
    transaction: &mut Transaction<'_>,
    database: &Database,
    id: i64,
    is_approved: bool,
    reason: &str,
) -> Result<()> {
    let table = built_in("adjustment")?;
    let wrong = |message: String| Error::InvalidParameter { name: "id".to_owned(), message };
    let held = transaction.held(table);
    let found = held.find(&["id"], &[Value::Integer(id)]);
    let Some((number, row)) = found else { return Err(wrong(format!("there is no adjustment {id}"))) };
    let row = Named::new(table, row);
    let text = |column: &str| row.text(column).map(str::to_owned);
    let state = row.text("state").unwrap_or(PROPOSED);
    if state != PROPOSED {
        return Err(wrong(format!("adjustment {id} is {state}")));
    }
    if row.text("requested_by") == Some(&**transaction.actor()) {
        let what = format!("permission denied: adjustment {id} is signed off by somebody else than who asked for it");
        return Err(Error::Denied { what });
    }
    let (now_ns, actor) = (transaction.now_ns(), transaction.actor().to_string());
    let decision = if is_approved { APPROVED } else { REJECTED };
    let text_of = |text: &str| Some(Value::Text(text.to_owned()));
    let set = [
        ("state", text_of(decision)),
        ("approved_by", text_of(&actor)),
        ("approved_at", Some(Value::Time(now_ns))),
        ("decision", text_of(reason)),
    ];
    transaction.decide(number);
    transaction.set(table, number, &set)?;
    if !is_approved {
        return Ok(());
    }
    let about = Adjustment {
        sla: text("sla"),
        slo: text("slo"),
        start_ns: row.time_ns("starts_at").unwrap_or(i64::MIN),
        end_ns: row.time_ns("ends_at").unwrap_or(i64::MAX),
        is_excluding: row.text("op") == Some(EXCLUDE),
        approved_ns: now_ns,
        told: String::new(),
    };
    let why = format!("adjustment {id}: {reason}");
    let definitions = database.catalog().definitions();
    for sla in definitions.of_kind(crate::dialect::Kind::Sla) {
        let is_about = |seal: &Seal| {
            about.is_of(&seal.target, Some(&sla.name)) && about.overlaps(seal.period_start_ns, seal.period_end_ns)
        };
        open_periods(transaction, database, &sla.name, is_about, &why)?;
    }
    Ok(())
}

/// A sealed target that comes to something else with the rows that came later.
pub(crate) struct Later {
    pub(crate) seal: Seal,
    pub(crate) attained: Option<f64>,
    pub(crate) status: String,
}

/// Offers what rows have come to that came after the seal, as an adjustment to be signed off: one for each target and period.
///
/// # Errors
/// Those of the table.
pub(crate) fn offer(transaction: &mut Transaction<'_>, sla: &str, later: &[Later]) -> Result<()> {
    let table = built_in("adjustment")?;
    let held = transaction.held(table);
    let mut waiting: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for (number, row) in held.rows() {
        let row = Named::new(table, row);
        if row.text("sla") == Some(sla) && row.text("op") == Some(RESTATE) && row.text("state") == Some(PROPOSED) {
            let key = row.text("slo").map(str::to_owned).zip(row.time_ns("starts_at"));
            waiting.extend(key.map(|key| (key, *number)));
        }
    }
    for Later { seal, attained, status } in later {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let is_same = *attained == seal.attained && *status == seal.status;
        let values = [
            ("attained_now", attained.map(Value::Float)),
            ("status_now", text(status)),
            ("attained_sealed", seal.attained.map(Value::Float)),
            ("status_sealed", text(&seal.status)),
        ];
        match waiting.get(&(seal.target.clone(), seal.period_start_ns)) {
            Some(number) => transaction.set(table, *number, &values)?,
            None if is_same => {}
            None => {
                let mut values = values.to_vec();
                values.extend([
                    ("sla", text(sla)),
                    ("slo", text(&seal.target)),
                    ("starts_at", Some(Value::Time(seal.period_start_ns))),
                    ("ends_at", Some(Value::Time(seal.period_end_ns))),
                    ("op", text(RESTATE)),
                    ("reason", text("rows that came after the period was sealed")),
                ]);
                transaction.insert(table, &values)?;
                let object = format!("sla {sla} {} {}", rfc3339(seal.period_start_ns), seal.target);
                let deed = audit::Deed { action: "offer".to_owned(), object, ..audit::Deed::default() };
                audit::enter(transaction, &deed)?;
            }
        }
    }
    Ok(())
}
