//! The latest rows and the values of tags, against what follows from the rows of the plain twin.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_engine::env::sim::Random;
use plimsoll_engine::naive::Naive;
use plimsoll_engine::{ColumnKind, LastRequest, ScanRequest, Shortcuts, Snapshot, TableSchema};

use crate::check::{Cell, Row, rows};

/// Asks for the latest rows and the tag values of what a scan reads, by some of the tags, with and without shortcuts.
pub(crate) fn same(snapshot: &Snapshot, naive: &Naive, scan: &ScanRequest, random: &mut Random) -> Result<(), String> {
    let Some(schema) = naive.table(&scan.table) else { return Ok(()) };
    let tags = schema.columns.iter().filter(|column| column.kind == ColumnKind::Tag);
    let by: Vec<String> = tags.map(|column| column.name.clone()).filter(|_| random.one_in(2)).collect();
    for shortcuts in [Shortcuts::ALL, Shortcuts::NONE] {
        let snapshot = snapshot.with_shortcuts(shortcuts);
        same_values(&snapshot, naive, &schema, scan, &by).map_err(|why| format!("values of {by:?}: {why}"))?;
        same_last(&snapshot, naive, &schema, scan, &by).map_err(|why| format!("latest by {by:?}: {why}"))?;
    }
    Ok(())
}

/// The rows of the plain twin with these columns, of the series and times of a scan.
fn expected(naive: &Naive, schema: &TableSchema, scan: &ScanRequest, columns: Vec<String>) -> Result<Vec<Row>, String> {
    let (time, tags) = (scan.time, scan.tags.clone());
    let request = ScanRequest { time, tags, ..ScanRequest::new(&*scan.table, columns) };
    Ok(rows(&naive.read(schema, &request).map_err(|e| e.to_string())?))
}

fn same_values(
    snapshot: &Snapshot,
    naive: &Naive,
    schema: &TableSchema,
    scan: &ScanRequest,
    by: &[String],
) -> Result<(), String> {
    let batch = snapshot.tag_values(&scan.table, by, &scan.tags, Some(scan.time)).map_err(|e| e.to_string())?;
    let found = rows(&batch);
    let distinct: BTreeSet<Row> = found.iter().cloned().collect();
    let wanted: BTreeSet<Row> = expected(naive, schema, scan, by.to_vec())?.into_iter().collect();
    if distinct.len() == found.len() && distinct == wanted {
        return Ok(());
    }
    Err(format!("{found:?} instead of {wanted:?}"))
}

fn same_last(
    snapshot: &Snapshot,
    naive: &Naive,
    schema: &TableSchema,
    scan: &ScanRequest,
    by: &[String],
) -> Result<(), String> {
    let fields = schema.columns.iter().filter(|column| column.kind != ColumnKind::Time).map(|c| c.name.clone());
    let columns: Vec<String> = by.iter().cloned().chain([TableSchema::TIME.to_owned()]).chain(fields).collect();
    let request = LastRequest {
        table: scan.table.clone(),
        columns: columns.clone(),
        tags: scan.tags.clone(),
        by: by.to_vec(),
        time: scan.time,
    };
    let found = rows(&snapshot.last_points(&request).map_err(|e| e.to_string())?);
    // Any of the rows of the latest time will do.
    let mut latest: BTreeMap<Row, (Cell, Vec<Row>)> = BTreeMap::new();
    for row in expected(naive, schema, scan, columns)? {
        let time = row[by.len()].clone();
        let best = latest.entry(row[..by.len()].to_vec()).or_insert_with(|| (time.clone(), Vec::new()));
        if time > best.0 {
            *best = (time.clone(), Vec::new());
        }
        if time == best.0 {
            best.1.push(row);
        }
    }
    if found.len() != latest.len() {
        return Err(format!("{} rows instead of {}", found.len(), latest.len()));
    }
    for row in found {
        match latest.remove(&row[..by.len()]) {
            Some((_, rows)) if rows.contains(&row) => {}
            other => return Err(format!("{row:?} instead of {other:?}")),
        }
    }
    Ok(())
}
