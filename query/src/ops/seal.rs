//! `sys.seal`: reporting periods as they were when no late data was waited for any longer.

use std::collections::BTreeMap;

use super::incident::of_system;
use super::{Named, Transaction, Value};
use crate::{Database, Error, Result};

/// The status of a row by which a period is open again until it is sealed anew.
const OPENED: &str = "opened";

/// What a target of a period came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seal {
    pub(crate) period_start_ns: i64,
    pub(crate) period_end_ns: i64,
    pub(crate) target: String,
    pub(crate) attained: Option<f64>,
    pub(crate) required: Option<f64>,
    pub(crate) status: String,
    pub(crate) coverage: Option<f64>,
    pub(crate) credit: Option<f64>,
    pub(crate) sealed_ns: i64,
    pub(crate) quality: Option<String>,
    pub(crate) adjustments: Option<String>,
}

/// The seals of an SLA that held at a moment, by the start of the period and the target: of each the last one.
pub(crate) fn seals(database: &Database, sla: &str, at_ns: i64) -> BTreeMap<(i64, String), Seal> {
    let mut all = BTreeMap::new();
    let Ok(table) = of_system("seal") else { return all };
    for row in database.ops().rows(table).values() {
        let row = Named::new(table, row);
        let times = (row.time_ns("period_start"), row.time_ns("period_end"), row.time_ns("sealed_at"));
        let (Some(period_start_ns), Some(period_end_ns), Some(sealed_ns)) = times else { continue };
        let (Some(target), Some(status)) = (row.text("target"), row.text("status")) else { continue };
        if row.text("sla") != Some(sla) || sealed_ns > at_ns {
            continue;
        }
        let key = (period_start_ns, target.to_owned());
        if status == OPENED {
            all.remove(&key);
            continue;
        }
        all.insert(
            key,
            Seal {
                period_start_ns,
                period_end_ns,
                target: target.to_owned(),
                attained: row.number("attained"),
                required: row.number("required"),
                status: status.to_owned(),
                coverage: row.number("coverage"),
                credit: row.number("credit"),
                sealed_ns,
                quality: row.text("quality").map(str::to_owned),
                adjustments: row.text("adjustments").map(str::to_owned),
            },
        );
    }
    all
}

/// True when a period was opened that is not sealed anew.
pub(crate) fn has_opened(database: &Database, sla: &str) -> bool {
    let Ok(table) = of_system("seal") else { return false };
    let mut last: BTreeMap<(i64, String), bool> = BTreeMap::new();
    for row in database.ops().rows(table).values() {
        let row = Named::new(table, row);
        if let (Some(start_ns), Some(target), true) =
            (row.time_ns("period_start"), row.text("target"), row.text("sla") == Some(sla))
        {
            last.insert((start_ns, target.to_owned()), row.text("status") == Some(OPENED));
        }
    }
    last.values().any(|is_opened| *is_opened)
}

/// Keeps what a period came to.
///
/// # Errors
/// Those of the table.
pub(crate) fn seal(transaction: &mut Transaction<'_>, sla: &str, seal: &Seal) -> Result<()> {
    let (text, number) =
        (|text: &str| Some(Value::Text(text.to_owned())), |number: Option<f64>| number.map(Value::Float));
    let values = [
        ("sla", text(sla)),
        ("period_start", Some(Value::Time(seal.period_start_ns))),
        ("period_end", Some(Value::Time(seal.period_end_ns))),
        ("target", text(&seal.target)),
        ("attained", number(seal.attained)),
        ("required", number(seal.required)),
        ("status", text(&seal.status)),
        ("coverage", number(seal.coverage)),
        ("credit", number(seal.credit)),
        ("sealed_at", Some(Value::Time(seal.sealed_ns))),
        ("quality", seal.quality.as_deref().and_then(text)),
        ("adjustments", seal.adjustments.as_deref().and_then(text)),
    ];
    transaction.insert(of_system("seal")?, &values)?;
    super::audit::enter(
        transaction,
        &super::audit::Deed {
            action: "seal".to_owned(),
            object: format!("sla {sla} {} {}", super::incident::rfc3339(seal.period_start_ns), seal.target),
            after: Some(seal.status.clone()),
            ..super::audit::Deed::default()
        },
    )
}

/// Opens a period that is sealed, so that it is computed and sealed once more. The seals that it had stay.
///
/// # Errors
/// [`Error::InvalidParameter`] for a period that is not sealed.
pub(crate) fn open_again(
    transaction: &mut Transaction<'_>,
    database: &Database,
    sla: &str,
    period_start_ns: i64,
    reason: &str,
) -> Result<()> {
    let of_period = |seal: &Seal| seal.period_start_ns == period_start_ns;
    match open_periods(transaction, database, sla, of_period, reason)? {
        0 => {
            let message = format!("no such period of SLA \"{sla}\" is sealed");
            Err(Error::InvalidParameter { name: "period".to_owned(), message })
        }
        _ => Ok(()),
    }
}

/// Opens the sealed targets of an SLA that `is_meant` is true of. Gives how many there were.
///
/// # Errors
/// Those of the table.
pub(super) fn open_periods(
    transaction: &mut Transaction<'_>,
    database: &Database,
    sla: &str,
    is_meant: impl Fn(&Seal) -> bool,
    reason: &str,
) -> Result<usize> {
    let held = seals(database, sla, transaction.now_ns());
    let meant: Vec<&Seal> = held.values().filter(|seal| is_meant(seal)).collect();
    for seal in &meant {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        let values = [
            ("sla", text(sla)),
            ("period_start", Some(Value::Time(seal.period_start_ns))),
            ("period_end", Some(Value::Time(seal.period_end_ns))),
            ("target", text(&seal.target)),
            ("status", text(OPENED)),
            ("reason", text(reason)),
        ];
        transaction.insert(of_system("seal")?, &values)?;
        super::audit::enter(
            transaction,
            &super::audit::Deed {
                action: "reseal".to_owned(),
                object: format!("sla {sla} {} {}", super::incident::rfc3339(seal.period_start_ns), seal.target),
                before: Some(seal.status.clone()),
                reason: Some(reason.to_owned()),
                ..super::audit::Deed::default()
            },
        )?;
    }
    Ok(meant.len())
}
