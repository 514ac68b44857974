//! `DELETE FROM table [WHERE condition]`.
//!
//! It is planned as the query that gives the time and tags of the rows to be deleted. When the engine can apply the whole
//! condition itself, it is told the condition; otherwise the query is run, and the engine is told the points that it gave.

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use datafusion::sql::sqlparser::ast::{self, FromTable, Ident, Query, SelectItem, SetExpr, TableFactor};
use futures::TryStreamExt;
use plimsoll_engine::{ColumnKind, Engine, TableSchema};

use crate::ddl::table_name;
use crate::lower::Lowering;
use crate::session::blocking;
use crate::source::{Pushed, scan_of};
use crate::statement::query;
use crate::{Error, Result};

/// A planned DELETE: its table, and the query of its points.
#[derive(Debug)]
pub(crate) struct Delete {
    pub(crate) table: Arc<TableSchema>,
}

impl Delete {
    /// The statement, and the query of the points to be deleted.
    ///
    /// # Errors
    /// Whatever is wrong with the statement.
    pub(crate) fn read(delete: &ast::Delete, lowering: &Lowering<'_>) -> Result<(Delete, Query)> {
        refuse_clauses(delete)?;
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let [one] = from.as_slice() else { return Err(unsupported("DELETE from several tables")) };
        let TableFactor::Table { name, .. } = &one.relation else {
            return Err(unsupported("DELETE from anything but a table"));
        };
        if !one.joins.is_empty() {
            return Err(unsupported("DELETE with a join"));
        }
        let quarantined = crate::quality::delete_target(name, lowering)?;
        let (table, keys) = match quarantined {
            Some(quarantined) => quarantined,
            None => {
                let table = lowering.table(&TableReference::bare(table_name(name)?))?;
                let keys = table.columns.iter().filter(|column| !matches!(column.kind, ColumnKind::Field(_)));
                let keys = keys.map(|column| (column.name.clone(), column.name.clone())).collect();
                (table, keys)
            }
        };
        let mut query = *query("SELECT 1")?;
        let SetExpr::Select(select) = &mut *query.body else { unreachable!("it is written as a SELECT") };
        let quoted = |name: &str| Ident::with_quote('"', name);
        let item = |(shown, name): &(String, String)| match shown == name {
            true => SelectItem::UnnamedExpr(ast::Expr::Identifier(quoted(name))),
            false => SelectItem::ExprWithAlias { expr: ast::Expr::Identifier(quoted(shown)), alias: quoted(name) },
        };
        select.projection = keys.iter().map(item).collect();
        select.from = vec![one.clone()];
        select.selection.clone_from(&delete.selection);
        Ok((Delete { table }, query))
    }

    /// Deletes what an optimized query of points, with its parameters in it, gives over the snapshot in `state`.
    ///
    /// # Errors
    /// Those of the query and of the engine; nothing is deleted then.
    pub(crate) async fn run(&self, points: LogicalPlan, state: &SessionState, engine: &Arc<Engine>) -> Result<u64> {
        let (engine, table) = (engine.clone(), self.table.name.clone());
        if let Some(Pushed { time, tags, predicates }) = scan_of(&points) {
            return blocking(move || Ok(engine.delete(&table, time, &tags, &predicates)?)).await;
        }
        let physical = state.query_planner().create_physical_plan(&points, state).await?;
        let mut stream = execute_stream(physical, state.task_ctx())?;
        let (mut batches, mut rows) = (Vec::new(), 0);
        while let Some(batch) = stream.try_next().await? {
            rows += batch.num_rows() as u64;
            if rows > Engine::DELETED_POINTS_MAX {
                let what = format!(
                    "DELETE of more than {} rows by this condition is not supported",
                    Engine::DELETED_POINTS_MAX
                );
                let hint = Some("Delete them by ranges of time, or by a condition on time and tags alone.".to_owned());
                return Err(Error::Unsupported { what, position: None, hint });
            }
            batches.push(batch);
        }
        blocking(move || Ok(engine.delete_points(&table, &batches)?)).await
    }
}

fn refuse_clauses(delete: &ast::Delete) -> Result<()> {
    let refused = [
        (delete.using.is_some(), "DELETE ... USING"),
        (delete.returning.is_some(), "DELETE ... RETURNING"),
        (!delete.tables.is_empty() || delete.output.is_some(), "this form of DELETE"),
        (!delete.order_by.is_empty() || delete.limit.is_some(), "DELETE with ORDER BY or LIMIT"),
    ];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(unsupported(what)),
        None => Ok(()),
    }
}

fn unsupported(what: &str) -> Error {
    let hint = Some("Use DELETE FROM table WHERE condition; the condition may hold sub-queries.".to_owned());
    Error::Unsupported { what: format!("{what} is not supported"), position: None, hint }
}
