//! The system relations: every one that PostgreSQL 15 has, with its columns; those that hold something here have a
//! function that makes their rows, the others are empty and well formed.
//!
//! To fill one more relation, write its function and add it to the `FILLS` of its family.

mod information;
mod object;
mod server;
mod vocabulary;

use super::{
    Context,
    datum::{Datum, Row},
    types::{self, Class, oid},
};
use std::{collections::HashMap, sync::LazyLock};

pub(crate) use self::object::SCHEMA_DESCRIPTIONS;
pub(crate) use self::vocabulary::{collation_name, collation_oid};

/// A relation of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub(crate) struct Relation {
    pub oid: u32,
    pub schema: &'static str,
    pub name: &'static str,
    /// `r` for a table, `v` for a view.
    pub kind: char,
    pub columns: Vec<RelationColumn>,
}

#[derive(Debug)]
pub(crate) struct RelationColumn {
    pub name: &'static str,
    pub type_oid: u32,
    pub not_null: bool,
    /// Reached by name only: `SELECT *` and `pg_attribute` leave it out.
    pub hidden: bool,
}

/// Makes the rows of one relation.
type Fill = fn(&Context<'_>, &mut Rows);

/// Columns that every relation has beside its own.
const SYSTEM_COLUMNS: &[(&str, u32)] = &[("tableoid", oid::OID), ("xmin", oid::XID), ("xmax", oid::XID)];

/// Columns that PostgreSQL 16 to 18 added, for clients that go by their own version and not by ours.
const NEWER: &[(&str, &str, u32)] = &[
    ("pg_database", "datlocale", oid::TEXT),
    ("pg_database", "daticurules", oid::TEXT),
    ("pg_collation", "colllocale", oid::TEXT),
    ("pg_collation", "collicurules", oid::TEXT),
    ("pg_constraint", "conperiod", oid::BOOL),
    ("pg_constraint", "conenforced", oid::BOOL),
    ("pg_publication", "pubgencols", oid::CHAR),
    ("pg_subscription", "suborigin", oid::TEXT),
    ("pg_subscription", "subrunasowner", oid::BOOL),
    ("pg_subscription", "subpasswordrequired", oid::BOOL),
    ("pg_subscription", "subfailover", oid::BOOL),
];

impl Relation {
    /// The columns of `SELECT *`.
    pub(crate) fn visible(&self) -> impl Iterator<Item = &RelationColumn> {
        self.columns.iter().filter(|column| !column.hidden)
    }
}

struct Relations {
    list: Vec<Relation>,
    by_name: HashMap<(&'static str, &'static str), usize>,
    by_oid: HashMap<u32, usize>,
    fills: HashMap<(&'static str, &'static str), Fill>,
}

static RELATIONS: LazyLock<Relations> = LazyLock::new(|| {
    let list: Vec<Relation> = include_str!("relations/relations.txt").lines().filter_map(parse_relation).collect();
    let by_name = list.iter().enumerate().map(|(i, r)| ((r.schema, r.name), i)).collect();
    let by_oid = list.iter().enumerate().map(|(i, r)| (r.oid, i)).collect();
    let catalog = object::FILLS.iter().chain(server::FILLS).chain(vocabulary::FILLS);
    let catalog = catalog.map(|(name, fill)| (("pg_catalog", *name), *fill));
    let information = information::FILLS.iter().map(|(name, fill)| (("information_schema", *name), *fill));
    Relations { list, by_name, by_oid, fills: catalog.chain(information).collect() }
});

/// `[schema.]name oid kind column:type[!] ...`, where `!` is NOT NULL and no schema is `pg_catalog`.
fn parse_relation(line: &'static str) -> Option<Relation> {
    let mut words = line.split(' ');
    let (schema, name) = words.next().map(|name| name.split_once('.').unwrap_or(("pg_catalog", name)))?;
    let (oid, kind) = (words.next()?.parse().ok()?, words.next()?.chars().next()?);
    let column = |word: &'static str| {
        let (name, type_name) = word.split_once(':')?;
        let (type_name, not_null) = type_name.strip_suffix('!').map_or((type_name, false), |t| (t, true));
        let type_oid = types::by_internal_name(type_name).map_or(types::oid::TEXT, |t| t.oid);
        Some(RelationColumn { name, type_oid, not_null, hidden: false })
    };
    let newer =
        NEWER.iter().filter(|(relation, ..)| *relation == name).map(|(_, column, type_oid)| (*column, *type_oid));
    let hidden = SYSTEM_COLUMNS.iter().copied().chain(newer);
    let hidden = hidden.map(|(name, type_oid)| RelationColumn { name, type_oid, not_null: false, hidden: true });
    Some(Relation { oid, schema, name, kind, columns: words.filter_map(column).chain(hidden).collect() })
}

pub(crate) fn all() -> &'static [Relation] {
    &RELATIONS.list
}

pub(crate) fn find(schema: &str, name: &str) -> Option<&'static Relation> {
    RELATIONS.by_name.get(&(schema, name)).map(|i| &RELATIONS.list[*i])
}

pub(crate) fn by_oid(oid: u32) -> Option<&'static Relation> {
    RELATIONS.by_oid.get(&oid).map(|i| &RELATIONS.list[*i])
}

/// The rows of a relation for this session.
pub(crate) fn rows(relation: &'static Relation, context: &Context<'_>) -> Vec<Row> {
    let mut rows = Rows::of(relation);
    if let Some(fill) = RELATIONS.fills.get(&(relation.schema, relation.name)) {
        fill(context, &mut rows);
    }
    rows.rows
}

/// Collects a relation's rows. A column that is not given holds its type's zero if it may not be NULL.
struct Rows {
    relation: &'static Relation,
    blank: Vec<Datum>,
    rows: Vec<Row>,
}

impl Rows {
    fn of(relation: &'static Relation) -> Rows {
        let blank = |column: &RelationColumn| if column.not_null { zero(column.type_oid) } else { Datum::Null };
        let system = |column: &RelationColumn| match column.name {
            "tableoid" if column.hidden => relation.oid.into(),
            // Every row is of the first transaction, and lives.
            "xmin" if column.hidden => Datum::Int(1),
            "xmax" if column.hidden => Datum::Int(0),
            _ => blank(column),
        };
        Rows { relation, blank: relation.columns.iter().map(system).collect(), rows: Vec::new() }
    }

    fn push<const N: usize>(&mut self, fields: [(&str, Datum); N]) {
        let mut row = self.blank.clone();
        for (name, value) in fields {
            let column = self.relation.columns.iter().position(|column| column.name == name);
            debug_assert!(column.is_some(), "{} has a column {name}", self.relation.name);
            if let Some(column) = column {
                row[column] = value;
            }
        }
        self.rows.push(row.into());
    }
}

fn zero(type_oid: u32) -> Datum {
    match types::class(type_oid) {
        Class::Bool => Datum::Bool(false),
        Class::Int => Datum::Int(0),
        Class::Float => Datum::Float(0.0),
        Class::Char => Datum::Char(0),
        Class::Reg => Datum::Reg(0, "-".into()),
        Class::Array(element) => Datum::array(element, Vec::new()),
        Class::Text => Datum::from(""),
        _ => Datum::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_relation_is_read_and_every_fill_has_one() {
        assert_eq!(all().len(), include_str!("relations/relations.txt").lines().count());
        for (schema, name) in RELATIONS.fills.keys() {
            assert!(find(schema, name).is_some(), "{schema}.{name}");
        }
        assert!(all().iter().all(|relation| !relation.columns.is_empty()));
    }
}
