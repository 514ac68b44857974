//! What has to differ between two servers, taken out of their rows before they are compared. Each rule has a name.

use std::sync::LazyLock;

use regex::Regex;

use super::ask::Answer;
use super::fixture::Query;

/// What the rules have to know of a side.
pub(super) struct Sample<'a> {
    /// Names and oids of the sample's relations.
    pub(super) objects: &'a [(String, u32)],
    /// The order of the rows counts.
    pub(super) ordered: bool,
}

/// Schemas that only we have. Rule `our_schemas`: rows about them are left out.
const OUR_SCHEMAS: &[&str] = &["sys", "kpi", "slo", "sla", "ops", "quarantine"];

static VERSION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(PostgreSQL )?15\.\d+.*$").expect("a pattern"));
static SPACE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\s+").expect("a pattern"));

/// The rows of an answer as they are compared.
pub(super) fn rows(query: &Query, answer: &Answer, sample: &Sample<'_>) -> Vec<String> {
    let columns = answer.columns.as_deref().unwrap_or_default();
    let value = |(at, value): (usize, &Option<String>)| {
        let name = columns.get(at).map_or("", |(name, _)| name.as_str());
        match value {
            None => "NULL".to_owned(),
            Some(value) => normal(query, name, value, sample),
        }
    };
    let kept = answer.rows.iter().filter(|row| !is_of_our_schemas(row));
    let mut rows: Vec<String> =
        kept.map(|row| row.iter().enumerate().map(value).collect::<Vec<_>>().join("|")).collect();
    if !sample.ordered {
        rows.sort();
    }
    rows
}

/// Rule `our_schemas`.
fn is_of_our_schemas(row: &[Option<String>]) -> bool {
    row.iter().flatten().any(|value| {
        OUR_SCHEMAS.contains(&value.as_str())
            || OUR_SCHEMAS.iter().any(|schema| value.starts_with(&format!("{schema}.")))
    })
}

fn normal(_query: &Query, column: &str, value: &str, sample: &Sample<'_>) -> String {
    // Rule `oids`: those of the sample's relations are told by name.
    if let Some((name, _)) = sample.objects.iter().find(|(_, oid)| oid.to_string() == value) {
        return format!("oid of {name}");
    }
    // Rule `versions`.
    if VERSION.is_match(value) {
        return "version".to_owned();
    }
    // Rule `sizes`: how much room a relation takes.
    if matches!(column.to_lowercase().as_str(), "size" | "relpages" | "reltuples") {
        return "size".to_owned();
    }
    // Rule `white_space`: definitions are laid out in their own ways.
    SPACE.replace_all(value, " ").trim().trim_end_matches(';').to_owned()
}

/// The first rows that one side has and the other does not.
pub(super) fn difference(wanted: &[String], got: &[String]) -> String {
    let short = |row: &String| row.chars().take(200).collect::<String>();
    let lacks: Vec<String> = wanted.iter().filter(|row| !got.contains(row)).take(3).map(short).collect();
    let more: Vec<String> = got.iter().filter(|row| !wanted.contains(row)).take(3).map(short).collect();
    format!("{} rows for {}: lacks {lacks:?}, has {more:?}", got.len(), wanted.len())
}
