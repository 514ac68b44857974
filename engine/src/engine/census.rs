//! How the columns of what is stored are encoded.

use std::sync::Arc;

use super::Engine;
use crate::Result;
use crate::model::{ColumnKind, TableSchema};
use crate::table::{LiveSegment, Table};

/// The vectors of one column of a segment that are encoded in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnEncoding {
    /// The table.
    pub table: String,
    /// The file, without its directory.
    pub segment: String,
    /// The column.
    pub column: String,
    /// What `docs/file-format.md` calls the encoding.
    pub encoding: String,
    /// Vectors, of 1,024 rows at most.
    pub vectors: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Series of which [`Engine::new_tag_values`] tells what is new.
const NEWEST_SERIES: u32 = 1000;

impl Engine {
    /// For each tag of a table how many of its values came with the newest 1,000 series: who makes the number of series grow.
    pub fn new_tag_values(&self, table: &str) -> Vec<(String, u64)> {
        let Some(core) = self.find_table(table) else { return Vec::new() };
        let (shape, index) = (core.shape(), core.index());
        let tags = (0..).zip(&shape.schema.columns).filter(|(_, column)| column.kind == ColumnKind::Tag);
        tags.map(|(at, column)| (column.name.clone(), index.new_values(at, NEWEST_SERIES) as u64)).collect()
    }

    /// How the columns of raw rows are encoded, by table, segment and column. Reads every vector; segments that cannot be read
    /// are left out.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] for damage inside a segment.
    pub fn encodings(&self) -> Result<Vec<ColumnEncoding>> {
        let of_table = |table: &Table| Some((table.schema()?.clone(), table.segments.clone()));
        let tables: Vec<_> = self.state().tables.values().filter_map(of_table).collect();
        let mut found = Vec::new();
        for (schema, segments) in tables {
            for live in segments.iter().filter(|live| live.entry.tier == 0) {
                found.extend(of_segment(&schema, live)?);
            }
        }
        Ok(found)
    }
}

fn of_segment(schema: &TableSchema, live: &Arc<LiveSegment>) -> Result<Vec<ColumnEncoding>> {
    let Ok(file) = &live.file else { return Ok(Vec::new()) };
    let segment = live.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let column = |position: Option<u32>| match position {
        None => Some(TableSchema::TIME.to_owned()),
        Some(position) => schema.columns.get(position as usize).map(|column| column.name.clone()),
    };
    let encodings = file.census()?.into_iter().filter_map(|found| {
        Some(ColumnEncoding {
            table: schema.name.clone(),
            segment: segment.clone(),
            column: column(found.position)?,
            encoding: found.encoding,
            vectors: found.vectors,
            bytes: found.bytes,
        })
    });
    Ok(encodings.collect())
}
