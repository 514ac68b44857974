//! Objects by name and by oid: what the `reg*` types read and print.

use super::{
    Context,
    datum::Datum,
    error::{CatalogError, Result},
    functions, relations,
    types::{self, Class, oid},
};
use std::{collections::HashMap, sync::LazyLock};

/// Schemas and their oids.
pub(crate) const NAMESPACES: &[(u32, &str)] = &[
    (11, "pg_catalog"),
    (99, "pg_toast"),
    (2200, "public"),
    (13207, "information_schema"),
    (13299, "sys"),
    (13297, "kpi"),
    (13296, "slo"),
    (13295, "sla"),
    (13294, "ops"),
];

/// Oid of the connected role, the superuser.
pub(crate) const ROLE: u32 = 10;
/// Oid of PostgreSQL's predefined role that owns `public`.
pub(crate) const DATABASE_OWNER: u32 = 6171;

/// A function as `pg_proc` lists it.
#[derive(Debug)]
pub(crate) struct Procedure {
    pub oid: u32,
    pub name: &'static str,
    pub result: u32,
    pub returns_set: bool,
    pub kind: char,
    pub volatility: char,
    pub arguments: Vec<u32>,
}

static PROCEDURES: LazyLock<Vec<Procedure>> =
    LazyLock::new(|| include_str!("relations/procs.txt").lines().filter_map(parse_procedure).collect());

static PROCEDURES_BY_NAME: LazyLock<HashMap<&'static str, u32>> =
    LazyLock::new(|| PROCEDURES.iter().map(|p| (p.name, p.oid)).collect());

fn parse_procedure(line: &'static str) -> Option<Procedure> {
    let fields: Vec<&'static str> = line.split(' ').collect();
    let [oid, name, result, returns_set, kind, volatility, arguments] = fields.as_slice() else { return None };
    Some(Procedure {
        oid: oid.parse().ok()?,
        name,
        result: result.parse().ok()?,
        returns_set: *returns_set == "t",
        kind: kind.chars().next()?,
        volatility: volatility.chars().next()?,
        arguments: arguments.split(',').filter_map(|a| a.parse().ok()).collect(),
    })
}

pub(crate) fn procedures() -> &'static [Procedure] {
    &PROCEDURES
}

pub(crate) fn procedure(oid: u32) -> Option<&'static Procedure> {
    PROCEDURES.iter().find(|p| p.oid == oid)
}

/// A `regproc` value by name; `-` and unknown names are oid 0.
pub(crate) fn procedure_datum(name: &str) -> Datum {
    PROCEDURES_BY_NAME.get(name).map_or_else(|| Datum::Reg(0, "-".into()), |oid| Datum::Reg(*oid, name.into()))
}

pub(crate) fn namespace_oid(name: &str) -> Option<u32> {
    NAMESPACES.iter().find(|(_, n)| *n == name).map(|(oid, _)| *oid)
}

/// Schema and name of a system relation or a user table.
pub(crate) fn relation_name<'a>(context: &'a Context<'_>, oid: u32) -> Option<(&'static str, &'a str)> {
    if let Some(relation) = relations::by_oid(oid) {
        return Some((relation.schema, relation.name));
    }
    context.tables.iter().find(|table| table.oid == oid).map(|table| (table.schema, table.name.as_str()))
}

pub(crate) fn role_name(context: &Context<'_>, oid: u32) -> Option<String> {
    match oid {
        ROLE => Some(context.user.to_owned()),
        DATABASE_OWNER => Some("pg_database_owner".to_owned()),
        _ => None,
    }
}

/// A `reg*` value of that oid, with the name it prints as.
pub(crate) fn from_oid(context: &Context<'_>, type_oid: u32, oid: u32) -> Datum {
    if oid == 0 {
        return Datum::Reg(0, "-".into());
    }
    let quote = functions::quote_ident;
    let name = match type_oid {
        oid::REGCLASS => relation_name(context, oid).map(|(schema, name)| match schema {
            "pg_catalog" | "public" => quote(name),
            schema => format!("{schema}.{}", quote(name)),
        }),
        oid::REGTYPE => types::by_oid(oid).map(|_| types::sql_name(oid)),
        oid::REGPROC => procedure(oid).map(|p| p.name.to_owned()),
        oid::REGPROCEDURE => procedure(oid).map(|p| {
            let arguments: Vec<String> = p.arguments.iter().map(|t| types::sql_name(*t)).collect();
            format!("{}({})", p.name, arguments.join(","))
        }),
        oid::REGNAMESPACE => NAMESPACES.iter().find(|(n, _)| *n == oid).map(|(_, name)| (*name).to_owned()),
        oid::REGROLE => role_name(context, oid).map(|name| quote(&name)),
        oid::REGCOLLATION => relations::collation_name(oid).map(quote),
        _ => None,
    };
    Datum::Reg(oid, name.unwrap_or_else(|| oid.to_string()).into())
}

/// Reads a `reg*` value: a number, or the name of an object that must exist.
pub(crate) fn from_text(context: &Context<'_>, type_oid: u32, text: &str) -> Result<Datum> {
    let text = text.trim();
    if text == "-" {
        return Ok(Datum::Reg(0, "-".into()));
    }
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let oid = text
            .parse()
            .map_err(|_| CatalogError::new("22003", format!("value \"{text}\" is out of range for type oid")))?;
        return Ok(from_oid(context, type_oid, oid));
    }
    if type_oid == oid::REGTYPE {
        let missing = || CatalogError::new("42704", format!("type \"{text}\" does not exist"));
        return types::by_sql_name(text).map(|oid| from_oid(context, type_oid, oid)).ok_or_else(missing);
    }
    let bare = if type_oid == oid::REGPROCEDURE { text.split('(').next().unwrap_or(text) } else { text };
    let path = functions::identifiers(bare).ok_or_else(|| CatalogError::new("42602", "invalid name syntax"))?;
    let (schema, name) = match path.as_slice() {
        [name] => (None, name.as_str()),
        [.., schema, name] => (Some(schema.as_str()), name.as_str()),
        [] => return Err(CatalogError::new("42602", "invalid name syntax")),
    };
    let (found, missing) = match type_oid {
        oid::REGCLASS => (relation_oid(context, schema, name), CatalogError::undefined_table(text)),
        oid::REGNAMESPACE => {
            (namespace_oid(name), CatalogError::new("3F000", format!("schema \"{name}\" does not exist")))
        }
        oid::REGROLE => {
            let found =
                [ROLE, DATABASE_OWNER].into_iter().find(|oid| role_name(context, *oid).as_deref() == Some(name));
            (found, CatalogError::new("42704", format!("role \"{name}\" does not exist")))
        }
        oid::REGPROC | oid::REGPROCEDURE => {
            let message = format!("function \"{text}\" does not exist");
            (PROCEDURES_BY_NAME.get(name).copied(), CatalogError::new("42883", message))
        }
        oid::REGCOLLATION => {
            let message = format!("collation \"{text}\" for encoding \"UTF8\" does not exist");
            (relations::collation_oid(name), CatalogError::new("42704", message))
        }
        _ => (None, CatalogError::new("42704", format!("\"{text}\" does not exist"))),
    };
    found.map(|oid| from_oid(context, type_oid, oid)).ok_or(missing)
}

/// A parameter's value; one of a `reg*` type becomes the object it means.
pub(crate) fn resolved(context: &Context<'_>, value: &Datum, type_oid: u32) -> Result<Datum> {
    match (value, types::class(type_oid)) {
        (Datum::Text(text), Class::Reg) => from_text(context, type_oid, text),
        (Datum::Reg(oid, _), Class::Reg) => Ok(from_oid(context, type_oid, *oid)),
        (Datum::Time(micros, _), Class::Time) if type_oid == oid::TIMESTAMPTZ => {
            Ok(functions::time::instant(context, *micros))
        }
        _ => Ok(value.clone()),
    }
}

fn relation_oid(context: &Context<'_>, schema: Option<&str>, name: &str) -> Option<u32> {
    let system = relations::find(schema.unwrap_or("pg_catalog"), name).map(|relation| relation.oid);
    let schema = schema.unwrap_or("public");
    let ours = || context.tables.iter().find(|table| table.name == name && table.schema == schema);
    system.or_else(|| ours().map(|table| table.oid))
}
