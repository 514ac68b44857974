//! From parsed queries to logical plans, over the tables of one snapshot and the functions of one session.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableFunctionArgs;
use datafusion::catalog::view::ViewTable;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, DFSchemaRef, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner};
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::sql::planner::{NullOrdering, ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, Query};
use plimsoll_engine::{Snapshot, TableSchema};

use crate::catalog::Definitions;
use crate::database::Settings;
use crate::dialect::{Kind, quoted};
use crate::functions::{BUSINESS_TIME, BusinessTime, Missing, TIER_THRESHOLD, TierThreshold, most_similar};
use crate::ops::{self, OpsSource};
use crate::privilege::{On, Privilege, Rights};
use crate::quality;
use crate::relation;
use crate::source::SnapshotTable;
use crate::system::{self, SystemSource};
use crate::{Database, Error, Result};

mod arrays;
mod asof;
mod casts;
mod counters;
mod gapfill;
mod locate;
mod minutes;
mod names;
mod parameters;
mod rewrite;

use asof::{RELATIONS, narrow_asof_joins};
use counters::lower_counters;
use gapfill::lower_gaps;
use minutes::{add_seconds, add_seconds_to};

pub(crate) use casts::declared_types;
pub(crate) use locate::{dotted, locate};
pub(crate) use minutes::instant;
pub(crate) use names::{folded, item_name, output_names};
pub(crate) use parameters::{Parameters, bind};
pub(crate) use rewrite::{DOT_IS_ANY, HIDDEN, rewrite};

/// Names that the planner itself gives a meaning to when they look like functions.
const BUILT_IN: [&str; 5] = ["unnest", "unnest_outer", "make_map", "map", "grouping"];

/// The schema of tables and views.
pub(crate) const PUBLIC: &str = "public";

/// Plans queries. `state` carries the time that `now()` gives.
pub(crate) struct Lowering<'a> {
    pub(crate) settings: &'a Arc<Settings>,
    pub(crate) state: &'a SessionState,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) definitions: &'a Arc<Definitions>,
    /// What system tables tell of.
    pub(crate) database: &'a Database,
    /// Who asks.
    pub(crate) actor: &'a Arc<str>,
    /// The role whose rights count; all rights without.
    pub(crate) role: Option<&'a Arc<str>>,
    /// What it may do.
    pub(crate) rights: Rights,
    /// Who looks a name up.
    pub(crate) reader: Cell<Reader>,
    /// True while what an SLO counts is planned, which are buckets that were measured.
    pub(crate) is_counting: Cell<bool>,
}

/// Who looks a name up while a statement is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reader {
    /// The statement: the right to read it is checked.
    Statement,
    /// A view or a function of ours. Who may ask it needs no other right, and sees the rows that he may see.
    BuiltIn,
    /// A definition: it reads with all rights.
    Definition,
}

impl Lowering<'_> {
    /// Plans and analyses a query that was rewritten; `values_schema` gives the types of the rows of an outer VALUES.
    pub(crate) fn query(
        &self,
        query: &Query,
        parameters: &Parameters,
        values_schema: Option<DFSchemaRef>,
    ) -> Result<LogicalPlan> {
        let mut context = PlannerContext::new().with_prepare_param_data_types(parameters.fields());
        context.set_table_schema(values_schema);
        let planner = SqlToRel::new_with_options(self, self.parser_options());
        let statement = ast::Statement::Query(Box::new(query.clone()));
        let plan = planner.sql_statement_to_plan_with_context(statement, &mut context)?;
        only_reads(&plan)?;
        Ok(plan)
    }

    /// The analysed plan of a condition over the rows of a table, which need not be in the snapshot: one column. `check` sees it
    /// first.
    pub(crate) fn condition(
        &self,
        condition: &ast::Expr,
        table: &Arc<TableSchema>,
        check: impl Fn(&Expr) -> Result<()>,
    ) -> Result<LogicalPlan> {
        let mut select = *crate::statement::query("SELECT 1")?;
        if let ast::SetExpr::Select(select) = &mut *select.body {
            select.projection = vec![ast::SelectItem::UnnamedExpr(condition.clone())];
        }
        rewrite(&mut select, &self.settings.functions)?;
        let ast::SetExpr::Select(select) = *select.body else { unreachable!("it is written as a SELECT") };
        let Some(ast::SelectItem::UnnamedExpr(condition) | ast::SelectItem::ExprWithAlias { expr: condition, .. }) =
            select.projection.into_iter().next()
        else {
            return Err(Error::Internal("a condition became none".to_owned()));
        };
        let source = provider_as_source(Arc::new(SnapshotTable::new(table.clone(), &self.settings.time_zone)));
        let rows = LogicalPlanBuilder::scan(TableReference::bare(table.name.as_str()), source, None)?;
        let planner = SqlToRel::new_with_options(self, self.parser_options());
        let condition = planner.sql_to_expr(condition, rows.schema(), &mut PlannerContext::new())?;
        check(&condition)?;
        self.analyze(rows.project([condition])?.build()?)
    }

    /// Checks the right to read something, unless a definition reads it.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub(crate) fn check_may_read(&self, on: &On) -> Result<()> {
        match self.reader.get() {
            Reader::Statement => self.rights.check(Privilege::Select, on),
            Reader::BuiltIn | Reader::Definition => Ok(()),
        }
    }

    /// As [`Lowering::check_may_read`], for all of its rows.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub(crate) fn check_may_read_whole(&self, on: &On) -> Result<()> {
        match self.reader.get() {
            Reader::Statement => self.rights.check_whole(on),
            Reader::BuiltIn | Reader::Definition => Ok(()),
        }
    }

    /// Checks that no policy keeps rows of what a definition reads away from whoever asks what it found in them.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub(crate) fn check_sees_all(&self, kind: Kind, name: &str) -> Result<()> {
        let object = self.definitions.find(kind, name);
        let reads = object.iter().flat_map(|object| &object.reads);
        reads.map(On::read).try_for_each(|on| self.rights.check_all_rows(&on))
    }

    /// Looks names up for something that a statement reads.
    pub(crate) fn within<T>(&self, reader: Reader, work: impl FnOnce() -> T) -> T {
        let before = self.reader.get();
        self.reader.set(before.max(reader));
        let done = work();
        self.reader.set(before);
        done
    }

    /// Plans what an SLO counts.
    pub(crate) fn counting<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.is_counting.replace(true);
        let done = work();
        self.is_counting.set(before);
        done
    }

    /// The rows of a relation that policies let its reader see; `None` when these are all.
    ///
    /// # Errors
    /// [`Error::Denied`] without the right to read it, and those of planning.
    fn seen(&self, name: &TableReference) -> Option<Result<Arc<dyn TableSource>>> {
        if self.reader.get() == Reader::Definition {
            return None;
        }
        let schema = name.schema().unwrap_or(PUBLIC);
        let rows_of = match schema {
            ops::WITH_ID => ops::SCHEMA,
            // These are rows that the table was to have.
            quality::QUARANTINE => PUBLIC,
            schema => schema,
        };
        let on = On::named(rows_of, name.table());
        let condition = self.rights.rows(&on)?;
        let planned = || {
            self.check_may_read(&on)?;
            let text = format!("SELECT * FROM {}.{} WHERE {condition}", quoted(schema), quoted(name.table()));
            let query = crate::dialect::Query { text: text.clone(), offset: 0 };
            let (plan, _) = self.within(Reader::Definition, || relation::plan_text(&query, self))?;
            Ok(provider_as_source(Arc::new(ViewTable::new(plan, Some(text)))))
        };
        Some(planned())
    }

    /// Resolves types and coercions, so that the plan's schema is final.
    pub(crate) fn analyze(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = lower_counters(lower_gaps(narrow_asof_joins(plan)?)?)?;
        let plan = self.state.analyzer().execute_and_check(plan, self.state.config_options(), |_, _| {})?;
        Ok(add_seconds(plan)?)
    }

    /// The table that a name stands for.
    pub(crate) fn table(&self, name: &TableReference) -> Result<Arc<TableSchema>> {
        let schema = name.schema().unwrap_or("public");
        let is_ours = TableSchema::is_internal_name(name.table());
        let table = (schema == "public" && !is_ours).then(|| self.snapshot.table(name.table())).flatten();
        table.ok_or_else(|| {
            let parts = [name.catalog(), name.schema(), Some(name.table())];
            let full = parts.into_iter().flatten().collect::<Vec<_>>().join(".");
            if schema != "public" {
                return ops::undefined(schema, name.table(), None);
            }
            let tables = self.snapshot.tables();
            let views = self.definitions.views.keys().map(String::as_str);
            let near = most_similar(name.table(), tables.iter().map(|table| table.name.as_str()).chain(views));
            let hint = near.map(|near| format!("Did you mean \"{near}\"?"));
            Error::UndefinedTable { name: full, position: None, hint }
        })
    }

    fn parser_options(&self) -> ParserOptions {
        let options = &self.state.config_options().sql_parser;
        ParserOptions {
            parse_float_as_decimal: options.parse_float_as_decimal,
            enable_ident_normalization: options.enable_ident_normalization,
            support_varchar_with_length: options.support_varchar_with_length,
            enable_options_value_normalization: options.enable_options_value_normalization,
            collect_spans: options.collect_spans,
            map_string_types_to_utf8view: options.map_string_types_to_utf8view,
            default_null_ordering: NullOrdering::NullsMax,
        }
    }
}

/// Statements with effects have doors of their own; no plan from a query may reach DataFusion's.
fn only_reads(plan: &LogicalPlan) -> Result<()> {
    let mut effect = None;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Ddl(_)
        | LogicalPlan::Dml(_)
        | LogicalPlan::Copy(_)
        | LogicalPlan::Statement(_)
        | LogicalPlan::DescribeTable(_)
        | LogicalPlan::Explain(_)
        | LogicalPlan::Analyze(_) = node
        {
            effect = Some(node.display().to_string());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    match effect {
        None => Ok(()),
        Some(what) => Err(Error::Unsupported {
            what: format!("{what} inside a query is not supported"),
            position: None,
            hint: None,
        }),
    }
}

/// The tables that a plan reads, each once.
pub(crate) fn tables_of(plan: &LogicalPlan) -> Result<Vec<Arc<TableSchema>>> {
    let mut tables = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(TreeNodeRecursion::Continue) };
        if let Some(table) = SnapshotTable::of(&scan.source) {
            tables.insert(table.name.clone(), table.clone());
        }
        for inner in relation::inputs(&scan.source) {
            for table in tables_of(&inner).map_err(|e| DataFusionError::External(Box::new(e)))? {
                tables.insert(table.name.clone(), table);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(tables.into_values().collect())
}

impl ContextProvider for Lowering<'_> {
    fn get_table_source(&self, name: TableReference) -> datafusion::common::Result<Arc<dyn TableSource>> {
        let external = |e| DataFusionError::External(Box::new(e));
        let time_zone = &self.settings.time_zone;
        let may_read = |schema: &str| self.check_may_read(&On::named(schema, name.table())).map_err(external);
        if let Some(seen) = self.seen(&name) {
            return seen.map_err(external);
        }
        if let Some(table) = name.schema().and_then(|schema| system::find(schema, name.table())) {
            may_read(name.schema().unwrap_or_default())?;
            return Ok(provider_as_source(Arc::new(SystemSource::new(table, self.database, time_zone))));
        }
        let with_id = name.schema() == Some(ops::WITH_ID);
        let schema = if with_id { Some(ops::SCHEMA) } else { name.schema() };
        if let Some(table) = schema.and_then(|schema| ops::find_in(schema, name.table())) {
            may_read(schema.unwrap_or_default())?;
            return Ok(provider_as_source(Arc::new(OpsSource::new(table, with_id, self.database, time_zone))));
        }
        if name.schema() == Some(ops::SCHEMA)
            && let Some(view) = self.within(Reader::BuiltIn, || crate::report::source(name.table(), self))
        {
            may_read(ops::SCHEMA)?;
            return view.map(provider_as_source).map_err(external);
        }
        if name.schema() == Some(quality::QUARANTINE) {
            // Its rows are those that the table was to have.
            may_read(PUBLIC)?;
            return quality::quarantine(name.table(), self).map_err(external);
        }
        if let Some(kind) = name.schema().and_then(Kind::of_schema) {
            may_read(kind.word())?;
            return self.within(Reader::Definition, || relation::source(self, kind, name.table())).map_err(external);
        }
        let view =
            || self.definitions.views.get(name.table()).filter(|_| matches!(name.schema(), None | Some("public")));
        match (self.table(&name), view()) {
            (Ok(table), _) => {
                may_read(PUBLIC)?;
                Ok(provider_as_source(Arc::new(SnapshotTable::new(table, time_zone))))
            }
            (Err(_), Some(view)) => {
                may_read(PUBLIC)?;
                let planned = || match view.is_continuous {
                    true => crate::maintained::read_view(view, view.plan(self)?, self),
                    false => view.plan(self),
                };
                let plan = self.within(Reader::Definition, planned).map_err(external)?;
                Ok(provider_as_source(Arc::new(ViewTable::new(plan, Some(view.query.clone())))))
            }
            (Err(error), None) => Err(external(error)),
        }
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> datafusion::common::Result<Arc<dyn TableSource>> {
        let functions = SessionStateDefaults::default_table_functions();
        let is_estimate = name == system::estimate::NAME;
        let function = functions.into_iter().find(|f| f.name() == name);
        if function.is_none() && !is_estimate && !relation::is_function(name) {
            let signature = format!("{name}()");
            let error = Error::UndefinedFunction { signature, position: None, hint: None };
            return Err(DataFusionError::External(Box::new(error)));
        }
        let context = SimplifyContext::builder()
            .with_config_options(self.state.config_options().clone())
            .with_query_execution_start_time(self.state.execution_props().query_execution_start_time)
            .build();
        let simplifier = ExprSimplifier::new(context);
        let schema = DFSchema::empty();
        let simplify = |arg| simplifier.coerce(add_seconds_to(arg)?, &schema).and_then(|arg| simplifier.simplify(arg));
        let args = args.into_iter().map(simplify).collect::<datafusion::common::Result<Vec<_>>>()?;
        relation::check_may_ask(name, &args, self).map_err(|e| DataFusionError::External(Box::new(e)))?;
        let function_answer = match relation::reads_as_asked(name) {
            true => relation::function(name, &args, self),
            false => self.within(relation::reader_of(name), || relation::function(name, &args, self)),
        };
        if let Some(answer) = function_answer {
            return answer.map(provider_as_source).map_err(|e| DataFusionError::External(Box::new(e)));
        }
        let Some(function) = function else {
            let estimate = system::estimate::estimate(self.database, &args);
            return Ok(provider_as_source(estimate.map_err(|e| DataFusionError::External(Box::new(e)))?));
        };
        Ok(provider_as_source(function.create_table_provider_with_args(TableFunctionArgs::new(&args, self.state))?))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> datafusion::common::Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &*RELATIONS
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let functions = &self.settings.functions;
        if name == BUSINESS_TIME {
            let (definitions, database) = (self.definitions.clone(), self.database.clone());
            let find = move |name: &str| relation::calendar_of(name, &definitions, &database);
            return Some(Arc::new(BusinessTime::over(Arc::new(find))));
        }
        if name == TIER_THRESHOLD {
            let (definitions, database) = (self.definitions.clone(), self.database.clone());
            let find = move |name: &str| crate::alert::tier_threshold(name, &definitions, &database);
            return Some(Arc::new(TierThreshold::over(Arc::new(find))));
        }
        if let Some(function) = functions.scalars.get(name) {
            return Some(function.clone());
        }
        if functions.contains(name) || BUILT_IN.contains(&name) {
            return None;
        }
        let similar = most_similar(name, functions.names()).map(str::to_owned);
        Some(Arc::new(ScalarUDF::from(Missing::new(name, similar))))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.settings.functions.higher_order.get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.settings.functions.aggregates.get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.settings.functions.windows.get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.settings.functions.scalars.keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.settings.functions.higher_order.keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.settings.functions.aggregates.keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.settings.functions.windows.keys().cloned().collect()
    }
}
