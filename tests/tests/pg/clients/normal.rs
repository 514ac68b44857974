//! What has to differ between two servers, taken out of their rows before they are compared. Each rule has a name.

use std::sync::LazyLock;

use regex::Regex;

use super::ask::Answer;

/// What the rules have to know of a side.
pub(super) struct Sample<'a> {
    /// Names and oids of the sample's relations.
    pub(super) objects: &'a [(String, u32)],
    /// The order of the rows counts.
    pub(super) ordered: bool,
}

/// Schemas that only we have. Rule `our_schemas`: rows about them are left out.
const OUR_SCHEMAS: &[&str] = &["sys", "kpi", "slo", "sla", "ops", "quarantine"];

/// Schemas and databases that only PostgreSQL has. Rules `toast` and `templates`: rows about them are left out.
const THEIR_OBJECTS: &[&str] = &["pg_toast", "template0", "template1"];

/// Rule `system_columns`: the columns that every table of PostgreSQL has beside its own; ours have none.
const SYSTEM_COLUMNS: &[&str] = &["tableoid", "cmax", "xmax", "cmin", "xmin", "ctid"];

/// Rule `domains`: the types of `information_schema`, which are plain types here.
const DOMAINS: &[&str] = &["cardinal_number", "character_data", "sql_identifier", "time_stamp", "yes_or_no"];

const SIZES: &[&str] = &["size", "relpages", "reltuples", "estimated_row_count"];
const STORAGE: &[&str] = &["reltype", "relfilenode", "relfrozenxid", "relminmxid", "reltoastrelid"];

static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^-?\d+\.\d*0$").expect("a pattern"));
static VERSION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(PostgreSQL )?15\.\d+.*$").expect("a pattern"));
static SPACE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\s+").expect("a pattern"));

/// The rows of an answer as they are compared.
pub(super) fn rows(answer: &Answer, sample: &Sample<'_>) -> Vec<String> {
    let columns = answer.columns.as_deref().unwrap_or_default();
    let value = |(at, value): (usize, &Option<String>)| {
        let name = columns.get(at).map_or("", |(name, _)| name.as_str());
        match value {
            None if SIZES.contains(&name) => "size".to_owned(),
            None => "NULL".to_owned(),
            Some(value) => normal(name, value, sample),
        }
    };
    let kept = answer.rows.iter().filter(|row| !is_of_our_schemas(row) && !is_theirs(columns, row));
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

/// Rules `toast`, `templates`, `system_columns` and `domains`.
fn is_theirs(columns: &[(String, u32)], row: &[Option<String>]) -> bool {
    let named = columns.iter().map(|(name, _)| name.as_str()).zip(row);
    named.filter_map(|(column, value)| Some((column, value.as_deref()?))).any(|(column, value)| {
        THEIR_OBJECTS.contains(&value)
            || column == "attname" && SYSTEM_COLUMNS.contains(&value)
            || column == "typname" && DOMAINS.contains(&value.trim_start_matches('_'))
    })
}

fn normal(column: &str, value: &str, sample: &Sample<'_>) -> String {
    // Rule `oids`: those of the sample's relations are told by name.
    if let Some((name, _)) = sample.objects.iter().find(|(_, oid)| oid.to_string() == value) {
        return format!("oid of {name}");
    }
    // Rule `versions`.
    if VERSION.is_match(value) {
        return "version".to_owned();
    }
    // Rules `sizes` and `storage`: how much a relation holds, and how PostgreSQL stores it.
    if SIZES.contains(&column.to_lowercase().as_str()) {
        return "size".to_owned();
    }
    if STORAGE.contains(&column) {
        return "storage".to_owned();
    }
    // Rule `numbers`: `extract` gives `double precision` here, and PostgreSQL's `numeric` keeps its zeros.
    if NUMBER.is_match(value) {
        return value.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    // Rule `definitions`: PostgreSQL prints the query of a view anew, with the table before each column.
    if value.trim_start().starts_with("SELECT ") {
        let plain = value.replace("metrics.", "").replace('"', "");
        return SPACE.replace_all(&plain, " ").trim().trim_end_matches(';').to_owned();
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
