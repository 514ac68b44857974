//! The direct plan: from the parsed statement straight to a request of the engine, past the optimizer.
//!
//! ```text
//! Query ─► shape ─► scope, filter, bucket ─► groups ─► AggregateRequest ─► run ─► output
//!          one SELECT of one table           rows   ─► ScanRequest, LastRequest, tag values
//! ```
//!
//! Invariants
//! - What is not understood exactly has no direct plan, and goes the long way untouched; so does every statement that is wrong,
//!   because the long way has the errors.
//! - The rows, the columns' names, types and nullability, and the order that is promised are those of the long way.
//! - A run that the engine refuses for its size goes the long way, which spills.

mod bucket;
mod explain;
mod filter;
mod groups;
mod names;
mod operand;
mod output;
mod rows;
mod run;
mod scope;
mod shape;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{Expr, Query};
use plimsoll_engine::{ScanOrder, Snapshot, TableSchema};

pub(crate) use explain::shown_request;
use filter::Filter;
use groups::Groups;
use operand::Operand;
use rows::Columns;
pub(crate) use run::{Means, finished};
use scope::{Scope, literal_number};
use shape::{Once, Shape};

use crate::OutputColumn;

/// A statement that the engine answers by itself.
#[derive(Debug)]
pub(crate) struct Direct {
    table: Arc<TableSchema>,
    what: What,
    filter: Filter,
    limit: Option<Operand<usize>>,
    parameters: Vec<DataType>,
}

/// What is asked of the engine.
#[derive(Debug)]
enum What {
    /// Aggregates by bucket and tags.
    Groups(Groups),
    /// Rows.
    Scan(Columns, ScanOrder),
    /// The latest row of each combination of these tags.
    Latest(Columns, Vec<String>),
    /// The combinations of tags that have rows.
    Tags(Columns),
}

impl Direct {
    /// The direct plan of a query, if it has one. `declared` are the types of its parameters as far as the client names them.
    pub(crate) fn of(
        query: &Query,
        snapshot: &Snapshot,
        time_zone: &Arc<str>,
        declared: &[Option<DataType>],
    ) -> Option<Direct> {
        if !snapshot.shortcuts().direct_plan {
            return None;
        }
        let shape = Shape::of(query)?;
        let table = snapshot.table(&shape.table)?;
        let parameters = RefCell::new(declared.to_vec());
        let scope = Scope { table: &table, qualifier: &shape.qualifier, time_zone, parameters };
        let filter = Filter::read(shape.selection, &scope)?;
        let what = what(&shape, &filter, &scope)?;
        let limit = match shape.limit {
            None => None,
            Some(limit) => Some(rows_max(limit, &scope)?),
        };
        let parameters = scope.parameters.into_inner().into_iter().collect::<Option<_>>()?;
        Some(Direct { table, what, filter, limit, parameters })
    }

    /// The table that it reads.
    pub(crate) fn table(&self) -> &str {
        &self.table.name
    }

    /// Types of the parameters.
    pub(crate) fn parameters(&self) -> &[DataType] {
        &self.parameters
    }

    /// The columns of the result.
    pub(crate) fn columns(&self) -> Vec<OutputColumn> {
        self.output().schema.fields().iter().map(OutputColumn::of).collect()
    }

    /// True when the table is still the one that was planned for.
    pub(crate) fn fits(&self, snapshot: &Snapshot) -> bool {
        snapshot.table(&self.table.name).is_some_and(|now| Arc::ptr_eq(&now, &self.table) || now == self.table)
    }

    fn output(&self) -> &output::Output {
        match &self.what {
            What::Groups(groups) => &groups.output,
            What::Scan(columns, _) | What::Latest(columns, _) | What::Tags(columns) => &columns.output,
        }
    }
}

fn what(shape: &Shape<'_>, filter: &Filter, scope: &Scope<'_>) -> Option<What> {
    match (&shape.distinct, shape.group_by) {
        (Once::None, []) => match rows::scan(shape, scope) {
            Some((columns, order)) => Some(What::Scan(columns, order)),
            None => Groups::read(shape, scope).map(What::Groups),
        },
        (Once::None, _) => Groups::read(shape, scope).map(What::Groups),
        _ if filter.tests_fields() => None,
        (Once::Whole, _) => rows::tags(shape, scope).map(What::Tags),
        (Once::On(on), _) => rows::latest(shape, on, scope).map(|(columns, by)| What::Latest(columns, by)),
    }
}

/// The number of LIMIT.
fn rows_max(limit: &Expr, scope: &Scope<'_>) -> Option<Operand<usize>> {
    match literal_number(limit) {
        Some((false, digits)) => digits.parse().ok().map(Operand::Literal),
        Some(_) => None,
        None => scope.parameter(limit, &DataType::Int64).map(Operand::Parameter),
    }
}
