//! Names and literals as SQL writes them, and names taken apart.

use super::{
    super::{
        datum::Datum,
        error::{CatalogError, Result},
        types::oid::*,
    },
    Call, Function, f,
};

pub(super) static FUNCTIONS: &[Function] = &[
    f("quote_ident", &[TEXT], TEXT, |call| Ok(Datum::from(quote_ident(call.text(0))))),
    f("quote_literal", &[TEXT], TEXT, |call| Ok(Datum::from(quote_literal(call.text(0))))),
    f("quote_nullable", &[TEXT], TEXT, quote_nullable).lenient(),
    f("parse_ident", &[TEXT], TEXT_ARRAY, parse_ident),
];

/// Words that PostgreSQL's parser reserves: a name spelled like one needs quotes.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// A name as SQL needs it written.
pub(crate) fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && RESERVED.binary_search(&name).is_err() {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

fn quote_nullable(call: &Call<'_>) -> Result<Datum> {
    Ok(Datum::from(if call.values[0].is_null() { "NULL".to_owned() } else { quote_literal(call.text(0)) }))
}

/// The parts of a qualified name, unquoted ones in lower case.
pub(crate) fn identifiers(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let (part, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut tail = quoted;
            loop {
                let (before, after) = tail.split_once('"')?;
                part.push_str(before);
                match after.strip_prefix('"') {
                    Some(more) => {
                        part.push('"');
                        tail = more;
                    }
                    None => break (part, after),
                }
            }
        } else {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
            (rest[..end].to_lowercase(), &rest[end..])
        };
        if part.is_empty() {
            return None;
        }
        parts.push(part);
        let after = after.trim_start();
        match after.strip_prefix('.') {
            Some(more) => rest = more.trim_start(),
            None if after.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

fn parse_ident(call: &Call<'_>) -> Result<Datum> {
    let text = call.text(0);
    let parts = identifiers(text)
        .ok_or_else(|| CatalogError::new("22023", format!("string is not a valid identifier: \"{text}\"")))?;
    Ok(Datum::array(TEXT, parts.into_iter().map(Datum::from).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_when_they_must() {
        for (name, quoted) in
            [("cpu", "cpu"), ("CPU", "\"CPU\""), ("table", "\"table\""), ("a\"b", "\"a\"\"b\""), ("", "\"\"")]
        {
            assert_eq!(quote_ident(name), quoted);
        }
        assert!(RESERVED.is_sorted());
    }

    #[test]
    fn identifiers_split_at_dots() {
        assert_eq!(identifiers("Public.\"My.Table\"").unwrap(), ["public", "My.Table"]);
        assert_eq!(identifiers(" \"a\"\"b\" ").unwrap(), ["a\"b"]);
        for bad in ["", ".", "a.", "a b", "\"a"] {
            assert_eq!(identifiers(bad), None, "{bad}");
        }
    }
}
