//! Reports that are kept for each period: what a query said when the period was over, and a digest of it.

use datafusion::sql::sqlparser::ast;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::analysis::period::Period;
use crate::dialect::text_literal;
use crate::ops::incident::{built_in, of_system, rfc3339};
use crate::ops::{Named, Value};
use crate::session::Session;
use crate::{Error, Result};

/// How long after a failure a report is tried again, in nanoseconds.
const AGAIN_NS: i64 = 60_000_000_000;

/// A report whose period is over.
struct Due {
    name: String,
    query: String,
    start_ns: i64,
    end_ns: i64,
    /// The row of an attempt that failed.
    failed: Option<u64>,
}

/// Keeps the reports whose periods are over, each period once. A query that fails is noted and tried again. Gives how many were
/// kept.
///
/// # Errors
/// Those of the store.
pub(crate) async fn take(session: &Session, now_ns: i64) -> Result<usize> {
    let kept = of_system("report_snapshot")?;
    let database = session.database();
    let mut count = 0;
    for due in due(session, now_ns)? {
        let (text, time) = (|text: String| Some(Value::Text(text)), |ns| Some(Value::Time(ns)));
        let mut values = vec![
            ("report", text(due.name.clone())),
            ("period_start", time(due.start_ns)),
            ("period_end", time(due.end_ns)),
            ("sealed_at", time(now_ns)),
        ];
        match answer(&due, session, now_ns).await {
            Ok(rows) => {
                let number = i64::try_from(rows.len()).unwrap_or(i64::MAX);
                let body = Json::Array(rows).to_string();
                let digest: String = Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
                values.extend([
                    ("rows", Some(Value::Integer(number))),
                    ("sha256", text(digest)),
                    ("body", text(body)),
                    ("error", None),
                ]);
                count += 1;
            }
            Err(error) => values.push(("error", text(error.to_string()))),
        }
        database.ops().transaction(&crate::alert::ACTOR.into(), now_ns, |transaction| match due.failed {
            Some(number) => transaction.set(kept, number, &values),
            None => transaction.insert(kept, &values).map(|_| ()),
        })?;
    }
    Ok(count)
}

/// The reports whose last period is over and not kept.
fn due(session: &Session, now_ns: i64) -> Result<Vec<Due>> {
    let (reports, kept) = (built_in("report")?, of_system("report_snapshot")?);
    let database = session.database();
    let held = database.ops().held(kept);
    let mut due = Vec::new();
    for row in database.ops().rows(reports).values() {
        let row = Named::new(reports, row);
        let (Some(name), Some(query)) = (row.text("name"), row.text("query")) else { continue };
        let zone = row.text("zone").unwrap_or("UTC");
        let Ok(period) = Period::parse(row.text("period").unwrap_or("1 month"), zone, None) else { continue };
        let current = period.containing(now_ns);
        let Some(last) = current.and_then(|current| period.containing(current.start.saturating_sub(1))) else {
            continue;
        };
        if row.time_ns("entered_at").is_none_or(|entered_ns| entered_ns >= last.end) {
            continue;
        }
        let key = [Value::Text(name.to_owned()), Value::Time(last.start)];
        let failed = match held.find(&["report", "period_start"], &key) {
            None => None,
            Some((number, row)) => {
                let row = Named::new(kept, row);
                let is_soon = row.time_ns("sealed_at").is_some_and(|ns| now_ns.saturating_sub(ns) < AGAIN_NS);
                if row.text("body").is_some() || is_soon {
                    continue;
                }
                Some(number)
            }
        };
        due.push(Due {
            name: name.to_owned(),
            query: query.to_owned(),
            start_ns: last.start,
            end_ns: last.end,
            failed,
        });
    }
    Ok(due)
}

/// The rows of a report, as objects.
async fn answer(due: &Due, session: &Session, now_ns: i64) -> Result<Vec<Json>> {
    let instant = |ns| format!("{}::timestamptz", text_literal(&rfc3339(ns)));
    let text = due.query.replace("{from}", &instant(due.start_ns)).replace("{to}", &instant(due.end_ns));
    let statements = crate::parse(&text)?;
    let is_query = |statement: &crate::Statement| matches!(statement.ast(), Some(ast::Statement::Query(_)));
    if statements.len() != 1 || !statements.iter().all(is_query) {
        return Err(Error::definition("KP001", "a report is one query"));
    }
    let mut rows = Vec::new();
    for batch in session.rows_of(&text, now_ns).await? {
        rows.extend(crate::objects(&batch)?.into_iter().map(Json::Object));
    }
    Ok(rows)
}
