//! Reports that are kept for each period: what a query said when the period was over, and a digest of it.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::analysis::period::Period;
use crate::dialect::{Kind, text_literal};
use crate::ops::incident::{of_system, rfc3339};
use crate::ops::{Named, Value, incident};
use crate::session::Session;
use crate::{Error, Result};

/// The event that a sink is told.
const TOLD: &str = "report.kept";

/// How long after a failure a report is tried again, in nanoseconds.
const AGAIN_NS: i64 = 60_000_000_000;

/// Periods of one report that one look catches up with.
const PERIODS_MAX: usize = 20;

/// Rows and bytes of a report that a sink is told in full; of more, only how many there are.
const TOLD_ROWS_MAX: usize = 1_000;
const TOLD_BYTES_MAX: usize = 256 * 1024;

/// What is wanted.
struct Wanted {
    name: String,
    query: String,
    sink: Option<String>,
}

/// A report whose period is over.
struct Due {
    start_ns: i64,
    end_ns: i64,
    /// The row of an attempt that failed.
    failed: Option<u64>,
}

/// Keeps the reports whose periods are over, each period once and in their order. A query that fails is noted and tried again, and
/// later periods wait for it. Gives how many were kept.
///
/// # Errors
/// Those of the store.
pub(crate) async fn take(session: &Session, now_ns: i64) -> Result<usize> {
    let mut count = 0;
    for (wanted, due) in due(session, now_ns)? {
        for due in due {
            if !keep(&wanted, &due, session, now_ns).await? {
                break;
            }
            count += 1;
        }
    }
    Ok(count)
}

/// Asks and keeps what is said of one period; false when the query failed.
async fn keep(wanted: &Wanted, due: &Due, session: &Session, now_ns: i64) -> Result<bool> {
    let kept = of_system("report_snapshot")?;
    let database = session.database();
    let (text, time) = (|text: String| Some(Value::Text(text)), |ns| Some(Value::Time(ns)));
    let mut values = vec![
        ("report", text(wanted.name.clone())),
        ("period_start", time(due.start_ns)),
        ("period_end", time(due.end_ns)),
        ("sealed_at", time(now_ns)),
    ];
    let answer = answer(&wanted.query, due, session, now_ns).await;
    let mut event = None;
    match &answer {
        Ok(rows) => {
            let body = Json::Array(rows.clone()).to_string();
            let digest: String = Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            let sink = wanted.sink.as_deref();
            let is_there = |sink: &&str| database.catalog().definitions().find(Kind::Sink, sink).is_some();
            event = sink.filter(is_there).map(|sink| (sink, told(wanted, due, rows, &body, &digest)));
            let nobody = sink.filter(|_| event.is_none()).map(|sink| format!("sink \"{sink}\" does not exist"));
            values.extend([
                ("rows", Some(Value::Integer(i64::try_from(rows.len()).unwrap_or(i64::MAX)))),
                ("sha256", text(digest)),
                ("body", text(body)),
                ("error", nobody.and_then(text)),
            ]);
        }
        Err(error) => values.push(("error", text(error.to_string()))),
    }
    database.ops().transaction(&crate::alert::ACTOR.into(), now_ns, |transaction| {
        match due.failed {
            Some(number) => transaction.set(kept, number, &values)?,
            None => drop(transaction.insert(kept, &values)?),
        }
        let Some((sink, mut body)) = event else { return Ok(()) };
        let id = incident::event_id(now_ns);
        body["event_id"] = id.as_str().into();
        incident::post(transaction, sink, None, TOLD, &id, &body.to_string())
    })?;
    Ok(answer.is_ok())
}

/// What a sink is told of a report: `report_v1`, without the name of the event.
fn told(wanted: &Wanted, due: &Due, rows: &[Json], body: &str, digest: &str) -> Json {
    let is_short = rows.len() <= TOLD_ROWS_MAX && body.len() <= TOLD_BYTES_MAX;
    json!({
        "schema": "report_v1",
        "event": TOLD,
        "report": wanted.name,
        "period": { "start": rfc3339(due.start_ns), "end": rfc3339(due.end_ns) },
        "sha256": digest,
        "count": rows.len(),
        "rows": is_short.then_some(rows),
    })
}

/// The periods of reports that are over and not kept, as many as are caught up with at once.
fn due(session: &Session, now_ns: i64) -> Result<Vec<(Wanted, Vec<Due>)>> {
    let (reports, kept) = (incident::built_in("report")?, of_system("report_snapshot")?);
    let database = session.database();
    let wanted = database.ops().rows(reports);
    // Each look comes here; most databases want none.
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // How far each is, and which of its periods failed when.
    let mut until: BTreeMap<String, i64> = BTreeMap::new();
    let mut failed: BTreeMap<(String, i64), (u64, i64)> = BTreeMap::new();
    for (number, row) in &database.ops().rows(kept) {
        let row = Named::new(kept, row);
        let (Some(report), Some(start_ns)) = (row.text("report"), row.time_ns("period_start")) else { continue };
        match (row.text("body"), row.time_ns("period_end")) {
            (Some(_), Some(end_ns)) => {
                let known = until.entry(report.to_owned()).or_insert(end_ns);
                *known = end_ns.max(*known);
            }
            _ => {
                let tried_ns = row.time_ns("sealed_at").unwrap_or(i64::MIN);
                failed.insert((report.to_owned(), start_ns), (*number, tried_ns));
            }
        }
    }
    let mut all = Vec::new();
    for row in wanted.values() {
        let row = Named::new(reports, row);
        let (Some(name), Some(query)) = (row.text("name"), row.text("query")) else { continue };
        let zone = row.text("zone").unwrap_or("UTC");
        let Ok(period) = Period::parse(row.text("period").unwrap_or("1 month"), zone, None) else { continue };
        let Some(entered_ns) = row.time_ns("entered_at") else { continue };
        let mut next_ns = until.get(name).map_or(entered_ns, |until_ns| entered_ns.max(*until_ns));
        let mut due = Vec::new();
        while let Some(of) = period.containing(next_ns).filter(|of| of.end <= now_ns) {
            let failed = failed.get(&(name.to_owned(), of.start)).copied();
            let is_soon = failed.is_some_and(|(_, tried_ns)| now_ns.saturating_sub(tried_ns) < AGAIN_NS);
            if is_soon || due.len() >= PERIODS_MAX {
                break;
            }
            due.push(Due { start_ns: of.start, end_ns: of.end, failed: failed.map(|(number, _)| number) });
            next_ns = of.end;
        }
        if !due.is_empty() {
            let sink = row.text("sink").map(str::to_owned);
            all.push((Wanted { name: name.to_owned(), query: query.to_owned(), sink }, due));
        }
    }
    Ok(all)
}

/// The rows of a report, as objects.
async fn answer(query: &str, due: &Due, session: &Session, now_ns: i64) -> Result<Vec<Json>> {
    let instant = |ns| format!("{}::timestamptz", text_literal(&rfc3339(ns)));
    let text = query.replace("{from}", &instant(due.start_ns)).replace("{to}", &instant(due.end_ns));
    // What was entered before queries were checked may be something else.
    crate::statement::query(&text).map_err(|error| match error {
        Error::Internal(_) => Error::definition("KP001", "a report is one query"),
        error => error,
    })?;
    let mut rows = Vec::new();
    for batch in session.rows_of(&text, now_ns).await? {
        rows.extend(crate::objects(&batch)?.into_iter().map(Json::Object));
    }
    Ok(rows)
}
