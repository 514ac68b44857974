//! The alerts that an SLO asks for by its option `burn_alerts`: one for each row of a template in `ops.burn_template`.
//!
//! How many times as fast as it lasts the budget has to be spent follows from the share of it that is spent then, as in the Site
//! Reliability Workbook, chapter 5: share × length of the SLO's window / long time. For 30 days that is 14.4, 6, 3 and 1.

use crate::analysis::duration::Span;
use crate::catalog::{BURN_TEMPLATE, Definitions};
use crate::dialect::{self, Definition, Kind, Slo, Statement, Window, quoted, text_literal};
use crate::ops::{Named, incident};
use crate::{Database, Error, Result};

/// The alerts of an SLO; none without a template.
///
/// # Errors
/// KP003 for a template that there is not, or a window or length of time that is none; [`Error::DuplicateObject`] where somebody
/// else's alert has the name of one.
pub(super) fn alerts(slo: &Slo, definitions: &Definitions, database: &Database) -> Result<Vec<Definition>> {
    let Some(template) = slo.options.text("burn_alerts") else { return Ok(Vec::new()) };
    let table = incident::built_in("burn_template")?;
    let rows = database.ops().rows(table);
    let rows = rows.values().map(|row| Named::new(table, row));
    let mut alerts = Vec::new();
    for row in rows.filter(|row| row.text("template") == Some(template)) {
        let text = |column: &str| row.text(column).unwrap_or_default();
        let definition = alert(slo, template, row.number("budget").unwrap_or(0.0), text)?;
        let (kind, name) = (Kind::Alert, definition.name());
        if let Some(other) = definitions.find(kind, name)
            && other.definition.option_text(BURN_TEMPLATE).is_none()
        {
            return Err(Error::DuplicateObject { kind: kind.word(), name: name.to_owned() });
        }
        alerts.push(definition);
    }
    match alerts.is_empty() {
        true => {
            let error = Error::definition("KP003", format!("there is no template \"{template}\" of burn alerts"));
            Err(error.hinted("SELECT * FROM ops.burn_template shows those there are; google_30d is one."))
        }
        false => Ok(alerts),
    }
}

fn alert<'a>(slo: &Slo, template: &str, budget: f64, column: impl Fn(&str) -> &'a str) -> Result<Definition> {
    let (long, short, severity) = (column("long"), column("short"), column("severity"));
    let factor = budget * window_ns(slo)? / length_ns(long)?;
    // A factor is written as people would: 14.4.
    let factor = (factor * 1000.0).round() / 1000.0;
    let name = format!("{}_burn_{}", slo.name, long.replace(' ', ""));
    let service = slo.service.as_ref().map(|name| format!(" ON SERVICE {}", quoted(name))).unwrap_or_default();
    let text = format!(
        "CREATE ALERT {}{service} AS SELECT time, long_burn, short_burn FROM slo_burn({}, {}, {}) \
         WHEN long_burn > {factor} AND short_burn > {factor} SEVERITY {} WITH (dedup_key = {}, {BURN_TEMPLATE} = {})",
        quoted(&name),
        text_literal(&slo.name),
        text_literal(long),
        text_literal(short),
        text_literal(severity),
        text_literal(&format!("slo/{}", slo.name)),
        text_literal(template),
    );
    match dialect::parse_statement(&text) {
        Some(Ok(Statement::Create { object, .. })) => Ok(*object),
        _ => Err(Error::Internal(format!("an alert that is none: {text}"))),
    }
}

/// About how long the window of an SLO is, in nanoseconds.
fn window_ns(slo: &Slo) -> Result<f64> {
    match &slo.window {
        Window::Rolling(text) => length_ns(text),
        Window::Calendar { period, .. } => length_ns(period),
    }
}

fn length_ns(text: &str) -> Result<f64> {
    let refused = |why: String| Error::definition("KP003", why);
    let ns = Span::parse(text).map_err(refused)?.about_ns().filter(|ns| *ns > 0);
    ns.map(|ns| ns as f64).ok_or_else(|| refused(format!("'{text}' is no length of time")))
}
