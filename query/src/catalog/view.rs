//! A view: a query under a name, with the columns that it had when it was defined.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{self, CreateView, ObjectName, Query, Visit, Visitor};
use serde::{Deserialize, Serialize};

use super::Reference;
use crate::ddl::table_name;
use crate::lower::{Lowering, Parameters, folded, rewrite};
use crate::plan::columns;
use crate::statement::{query, span_position};
use crate::{Error, OutputColumn, Result};

/// A view.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Its name, in schema `public`.
    pub name: String,
    /// Its query, as text.
    pub query: String,
    /// Its columns.
    pub columns: Vec<ViewColumn>,
    /// Whether its rows are kept up, rather than computed when they are read.
    pub is_continuous: bool,
    /// What it reads.
    pub(super) reads: BTreeSet<Reference>,
}

/// A column of a view.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewColumn {
    /// Its name.
    pub name: String,
    /// Its type; an instant carries whatever zone it was defined in.
    pub data_type: DataType,
    /// The column of the query that it is, by name and, where the name comes more than once, by number.
    source: (String, usize),
}

/// A view as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    query: String,
    #[serde(default)]
    is_continuous: bool,
    columns: Vec<StoredColumn>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredColumn {
    name: String,
    data_type: String,
    source: String,
    nth: usize,
}

impl View {
    /// Reads and plans a statement.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for clauses that views here cannot have, [`Error::Type`] for columns that do not fit, and
    /// whatever is wrong with the query.
    pub(crate) fn define(create: &CreateView, lowering: &Lowering<'_>) -> Result<View> {
        refuse_clauses(create)?;
        let is_continuous = create.materialized;
        let (plan, output) = plan_query(&create.query, lowering)?;
        if is_continuous {
            crate::maintained::check_view(&plan, &output)?;
        }
        let given: Vec<String> = create.columns.iter().map(|column| folded(&column.name)).collect();
        if given.len() > output.len() {
            let message = "CREATE VIEW specifies more column names than columns".to_owned();
            return Err(Error::Type { message, position: None, hint: None });
        }
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut columns: Vec<ViewColumn> = Vec::with_capacity(output.len());
        for (at, column) in output.into_iter().enumerate() {
            let nth = seen.entry(column.name.clone()).or_default();
            let source = (column.name.clone(), *nth);
            *nth += 1;
            let name = given.get(at).cloned().unwrap_or(column.name);
            if columns.iter().any(|other| other.name == name) {
                let message = format!("column \"{name}\" specified more than once");
                let hint = Some("Give the column another name with AS.".to_owned());
                return Err(Error::Type { message, position: None, hint });
            }
            columns.push(ViewColumn { name, data_type: column.data_type, source });
        }
        let query = create.query.to_string();
        Ok(View { name: table_name(&create.name)?, query, columns, is_continuous, reads: relations(&create.query) })
    }

    /// A number that another query has not: rows that are kept are those of one query.
    pub(crate) fn version(&self) -> u64 {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(self.query.as_bytes());
        digest.iter().take(4).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The statement that makes it.
    pub(crate) fn text(&self) -> String {
        let (kind, options) =
            if self.is_continuous { ("MATERIALIZED VIEW", " WITH (continuous)") } else { ("VIEW", "") };
        format!("CREATE {kind} {}{options} AS {}", crate::dialect::quoted(&self.name), self.query)
    }

    /// The plan that gives the view's rows, under the names of its columns.
    ///
    /// # Errors
    /// Whatever has become wrong with the query since it was defined.
    pub(crate) fn plan(&self, lowering: &Lowering<'_>) -> Result<LogicalPlan> {
        let (plan, output) = plan_query(&*query(&self.query)?, lowering)?;
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut places: BTreeMap<(&str, usize), usize> = BTreeMap::new();
        for (at, column) in output.iter().enumerate() {
            let nth = seen.entry(&column.name).or_default();
            places.insert((&column.name, *nth), at);
            *nth += 1;
        }
        let projected = |column: &ViewColumn| {
            let (source, nth) = &column.source;
            let at = places.get(&(source.as_str(), *nth)).copied();
            let at = at.ok_or_else(|| Error::UndefinedColumn { name: source.clone(), position: None, hint: None })?;
            Ok(Expr::Column(Column::from(plan.schema().qualified_field(at))).alias(&column.name))
        };
        let projection = self.columns.iter().map(projected).collect::<Result<Vec<_>>>()?;
        Ok(LogicalPlanBuilder::from(plan).project(projection)?.build()?)
    }

    /// Checks that a view keeps the columns of the one that it replaces.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub(super) fn check_replaces(&self, old: &View) -> Result<()> {
        let refused = |message: String| Err(Error::Type { message, position: None, hint: None });
        if self.is_continuous != old.is_continuous {
            let (is, other) =
                if old.is_continuous { ("materialized view", "view") } else { ("view", "materialized view") };
            return refused(format!("\"{}\" is a {is} and is not replaced by a {other}", self.name));
        }
        if self.columns.len() < old.columns.len() {
            return refused("cannot drop columns from view".to_owned());
        }
        for (old, new) in old.columns.iter().zip(&self.columns) {
            if old.name != new.name {
                return refused(format!("cannot change name of view column \"{}\" to \"{}\"", old.name, new.name));
            }
            if !same_type(&old.data_type, &new.data_type) {
                return refused(format!("cannot change data type of view column \"{}\"", old.name));
            }
        }
        Ok(())
    }

    pub(super) fn to_stored(&self) -> String {
        let column = |column: &ViewColumn| StoredColumn {
            name: column.name.clone(),
            data_type: column.data_type.to_string(),
            source: column.source.0.clone(),
            nth: column.source.1,
        };
        let is_continuous = self.is_continuous;
        let stored =
            Stored { query: self.query.clone(), is_continuous, columns: self.columns.iter().map(column).collect() };
        serde_json::to_string(&stored).expect("a view is plain data")
    }

    pub(super) fn from_stored(name: &str, text: &str) -> Result<View> {
        let damaged = |what: String| Error::Internal(format!("stored view \"{name}\": {what}"));
        let stored: Stored = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
        let reads = relations(&*query(&stored.query)?);
        let column = |column: StoredColumn| {
            let data_type = column.data_type.parse().map_err(|e| damaged(format!("{e}")))?;
            Ok(ViewColumn { name: column.name, data_type, source: (column.source, column.nth) })
        };
        let columns = stored.columns.into_iter().map(column).collect::<Result<_>>()?;
        let is_continuous = stored.is_continuous;
        Ok(View { name: name.to_owned(), query: stored.query, columns, is_continuous, reads })
    }
}

/// Plans a query that takes no parameters. Gives also the columns under the names that PostgreSQL would give.
///
/// # Errors
/// Whatever is wrong with the query.
pub(crate) fn plan_query(query: &Query, lowering: &Lowering<'_>) -> Result<(LogicalPlan, Vec<OutputColumn>)> {
    let mut rewritten = query.clone();
    rewrite(&mut rewritten, &lowering.settings.functions)?;
    let plan = lowering.query(&rewritten, &Parameters::declared(&[]), None)?;
    let plan = lowering.analyze(plan)?;
    let output = columns(query, &plan);
    Ok((plan, output))
}

/// What a query reads, at any depth.
pub(crate) fn relations(query: &Query) -> BTreeSet<Reference> {
    #[derive(Default)]
    struct Names {
        found: BTreeSet<Reference>,
        /// A function that has been seen and whose name comes next.
        is_function: bool,
    }
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
            self.is_function = called(factor).is_some_and(|name| crate::relation::is_function(&name));
            self.found.extend(asked_of(factor));
            ControlFlow::Continue(())
        }
        fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
            if std::mem::take(&mut self.is_function) {
                return ControlFlow::Continue(());
            }
            let parts: Vec<String> = name.0.iter().filter_map(ast::ObjectNamePart::as_ident).map(folded).collect();
            if let Some((name, schema)) = parts.split_last() {
                self.found.extend(Reference::of_relation(schema.last().map(String::as_str), name));
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names::default();
    let _always_continues = query.visit(&mut names);
    names.found
}

/// True for a query that asks one of our table functions, at any depth.
pub(crate) fn asks_functions(query: &Query) -> bool {
    struct Asks;
    impl Visitor for Asks {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
            match called(factor).is_some_and(|name| crate::relation::is_function(&name)) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }
    }
    query.visit(&mut Asks).is_break()
}

/// The name of a table function.
fn called(factor: &ast::TableFactor) -> Option<String> {
    let ast::TableFactor::Table { name, args: Some(_), .. } = factor else { return None };
    match name.0.as_slice() {
        [ast::ObjectNamePart::Identifier(function)] => Some(folded(function)),
        _ => None,
    }
}

/// The definition that a table function asks of: `gaps('k', ...)` of the KPI k.
fn asked_of(factor: &ast::TableFactor) -> Option<Reference> {
    let ast::TableFactor::Table { args: Some(arguments), .. } = factor else { return None };
    let kind = crate::relation::asks_of(&called(factor)?)?;
    let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Value(first))) = arguments.args.first()? else {
        return None;
    };
    match &first.value {
        ast::Value::SingleQuotedString(name) => Some(Reference::Object(kind, name.clone())),
        _ => None,
    }
}

fn refuse_clauses(create: &CreateView) -> Result<()> {
    let has_options = !matches!(create.options, ast::CreateTableOptions::None) && !create.materialized;
    let refused = [
        (create.materialized && !is_continuous(create)?, "CREATE MATERIALIZED VIEW without WITH (continuous)"),
        (create.materialized && !create.columns.is_empty(), "names of columns of a materialized view"),
        (create.temporary, "CREATE TEMPORARY VIEW"),
        (create.if_not_exists, "CREATE VIEW IF NOT EXISTS"),
        (
            create.secure || create.or_alter || create.to.is_some() || create.with_no_schema_binding,
            "this form of CREATE VIEW",
        ),
        (has_options || !create.cluster_by.is_empty() || create.comment.is_some(), "options of CREATE VIEW"),
    ];
    match refused.into_iter().find(|(is_there, _)| *is_there) {
        None => Ok(()),
        Some((_, what)) => {
            let position = span_position(ast::Spanned::span(&create.name));
            let hint = match create.materialized {
                true => {
                    "CREATE [OR REPLACE] MATERIALIZED VIEW name WITH (continuous) AS query is: its rows are kept up."
                }
                false => "CREATE [OR REPLACE] VIEW name [(columns)] AS query is.",
            };
            Err(Error::Unsupported { what: format!("{what} is not supported"), position, hint: Some(hint.to_owned()) })
        }
    }
}

/// Whether a materialized view is to be kept up.
///
/// # Errors
/// [`Error::InvalidOption`] for an option that there is not, or another value.
fn is_continuous(create: &CreateView) -> Result<bool> {
    let ast::CreateTableOptions::With(options) = &create.options else { return Ok(false) };
    for option in options {
        let ast::SqlOption::KeyValue { key, value } = option else { return Ok(false) };
        let name = folded(key);
        let is_true = matches!(value, ast::Expr::Value(value) if value.value == ast::Value::Boolean(true));
        if name != "continuous" || !is_true {
            let message = match name.as_str() {
                "continuous" => "a materialized view is continuous or is none".to_owned(),
                _ => format!("unrecognized parameter \"{name}\""),
            };
            let hint = Some("It is WITH (continuous).".to_owned());
            return Err(Error::InvalidOption { message, position: span_position(key.span), hint });
        }
    }
    Ok(!options.is_empty())
}

fn same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::Timestamp(a, zone_a), DataType::Timestamp(b, zone_b)) => {
            a == b && zone_a.is_some() == zone_b.is_some()
        }
        _ => a == b,
    }
}
