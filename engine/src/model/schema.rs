//! Tables and their columns, and the identities that the engine gives out.

use std::sync::Arc;

use arrow_schema::{DataType, Field as ArrowField, Schema as ArrowSchema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::error::SchemaError;

/// Longest name of a table or column, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Identity of a table; never used again after a drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TableId(pub u32);

/// Identity of a series within its table, counted from zero in order of first appearance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeriesId(pub u32);

/// Type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// 64-bit float.
    Float,
    /// 64-bit signed integer.
    Integer,
    /// 64-bit unsigned integer.
    Unsigned,
    /// True or false.
    Boolean,
    /// UTF-8 text.
    Text,
}

impl FieldType {
    /// The word used in messages and in line-protocol errors.
    pub fn name(self) -> &'static str {
        match self {
            FieldType::Float => "float",
            FieldType::Integer => "integer",
            FieldType::Unsigned => "unsigned",
            FieldType::Boolean => "boolean",
            FieldType::Text => "string",
        }
    }

    /// True for types that can be added up.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, FieldType::Float | FieldType::Integer | FieldType::Unsigned)
    }

    /// The Arrow type in which scans hand out this field.
    pub fn arrow(self) -> DataType {
        match self {
            FieldType::Float => DataType::Float64,
            FieldType::Integer => DataType::Int64,
            FieldType::Unsigned => DataType::UInt64,
            FieldType::Boolean => DataType::Boolean,
            FieldType::Text => DataType::Utf8View,
        }
    }
}

/// A field inside the engine: its position in the table's schema, which never changes, and its type.
pub(crate) type FieldRef = (u32, FieldType);

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// The timestamp; every table has exactly one, called `time`.
    Time,
    /// Part of the identity of a series; text, may be absent.
    Tag,
    /// A measured value, may be absent.
    Field(FieldType),
}

impl ColumnKind {
    /// The word used in messages.
    pub fn name(self) -> &'static str {
        match self {
            ColumnKind::Time => "timestamp",
            ColumnKind::Tag => "tag",
            ColumnKind::Field(_) => "field",
        }
    }

    /// The Arrow type in which scans hand out this column.
    pub fn arrow(self) -> DataType {
        match self {
            ColumnKind::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            ColumnKind::Tag => DataType::Utf8View,
            ColumnKind::Field(kind) => kind.arrow(),
        }
    }
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name, unique in the table, as written (case is kept).
    pub name: String,
    /// What it is.
    pub kind: ColumnKind,
}

/// The columns of one table. Columns are only ever added, so a position never changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// Identity of the table.
    pub id: TableId,
    /// Name of the table.
    pub name: String,
    /// Columns in order of creation; the first is `time`.
    pub columns: Vec<Column>,
}

impl TableSchema {
    /// Name of the time column, the same in every table.
    pub const TIME: &'static str = "time";

    /// First character of the names of internal tables: of those that are computed from others, and are no user's.
    const INTERNAL: char = '\u{1}';

    /// The name of an internal table.
    pub fn internal_name(name: &str) -> String {
        format!("{}{name}", TableSchema::INTERNAL)
    }

    /// True for the name of an internal table.
    pub fn is_internal_name(name: &str) -> bool {
        name.starts_with(TableSchema::INTERNAL)
    }

    /// A table's name as people are shown it.
    pub fn shown_name(name: &str) -> &str {
        name.strip_prefix(TableSchema::INTERNAL).unwrap_or(name)
    }

    /// True for an internal table: it is listed nowhere, and only [`Engine::begin_internal_write`] writes to it. A scan that names
    /// it reads it.
    ///
    /// [`Engine::begin_internal_write`]: crate::Engine::begin_internal_write
    pub fn is_internal(&self) -> bool {
        TableSchema::is_internal_name(&self.name)
    }

    /// Position of a column.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// The schema in which scans of the whole table hand out batches; `time` is the one column without NULL.
    pub fn arrow(&self) -> SchemaRef {
        let field = |c: &Column| ArrowField::new(&c.name, c.kind.arrow(), c.kind != ColumnKind::Time);
        Arc::new(ArrowSchema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}

/// Refuses names that cannot name a table or a column.
pub(crate) fn check_name(name: &str) -> Result<(), SchemaError> {
    let why = match name {
        "" => "it is empty",
        _ if name.len() > NAME_BYTES_MAX => "it is longer than 255 bytes",
        _ if name.contains('\0') => "it holds a NUL character",
        _ => return Ok(()),
    };
    Err(SchemaError::Name { name: name.chars().take(40).collect(), why })
}
