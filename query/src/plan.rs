//! What a statement is planned as, and how each kind is run.

use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::sqlparser::ast::{self, ObjectType, Query};
use futures::{StreamExt, TryStreamExt};
use plimsoll_engine::{Snapshot, TableSchema};

use crate::alter::NewColumns;
use crate::catalog::View;
use crate::ddl::{DroppedTables, NewTable, dropped};
use crate::define::{Defining, Done};
use crate::delete::Delete;
use crate::dialect;
use crate::direct::{Direct, Means};
use crate::insert::{self, Insert};
use crate::lower::{HIDDEN, Lowering, PUBLIC, Parameters, Reader, bind, output_names, rewrite, tables_of};
use crate::ops;
use crate::options::ChangedOptions;
use crate::privilege::{On, Privilege, Rights, schema_of};
use crate::quality::ChangedRules;
use crate::session::{OutputColumn, Prepared, blocking};
use crate::source::{Pushing, RunSnapshot};
use crate::statement::Form;
use crate::subscribe::Subscription;
use crate::vacuum::Vacuum;
use crate::{Command, Database, Error, Outcome, Result, Statement};

/// A planned statement.
#[derive(Debug)]
pub(crate) enum Plan {
    /// A query.
    Rows(Reading),
    /// A query that the engine answers by itself.
    Direct(Direct),
    /// EXPLAIN of such a query.
    ExplainDirect {
        /// The query.
        direct: Direct,
        /// Run it as well.
        analyze: bool,
    },
    /// EXPLAIN of a query.
    Explain {
        /// The query.
        reading: Reading,
        /// Run it as well, and show what each step did.
        analyze: bool,
    },
    /// INSERT.
    Insert(Box<Insert>, Reading),
    /// DELETE, with the query of the points to be deleted.
    Delete(Delete, Reading),
    /// UPDATE or DELETE of rows of a table of the schema `ops`, with the query of these rows.
    ChangeOps(ops::Changing, Reading),
    /// CREATE TABLE.
    CreateTable(NewTable),
    /// ALTER TABLE ... SET (...).
    AlterTable(ChangedOptions),
    /// ALTER TABLE ... ADD COLUMN.
    AddColumns(NewColumns),
    /// ALTER TABLE ... ADD CONSTRAINT and DROP CONSTRAINT.
    ChangeRules(ChangedRules),
    /// DROP TABLE.
    DropTable(DroppedTables),
    /// CREATE VIEW.
    CreateView {
        /// The view.
        view: View,
        /// In place of one of the same name.
        or_replace: bool,
    },
    /// DROP VIEW.
    DropView(DroppedTables),
    /// VACUUM.
    Vacuum(Vacuum),
    /// A statement of the dialect.
    Define(Defining),
    /// SUBSCRIBE.
    Subscribe(Subscription),
}

/// An analysed query and the tables that it was planned over.
#[derive(Debug)]
pub(crate) struct Reading {
    plan: LogicalPlan,
    tables: Vec<Arc<TableSchema>>,
}

impl Reading {
    fn new(plan: LogicalPlan) -> Result<Reading> {
        let tables = tables_of(&plan)?;
        Ok(Reading { plan, tables })
    }

    fn fits(&self, snapshot: &Snapshot) -> bool {
        let same = |table: &Arc<TableSchema>| snapshot.table(&table.name).is_some_and(|now| now == *table);
        self.tables.iter().all(same)
    }

    /// The optimized plan with its parameters in it.
    fn optimized(&self, prepared: &Prepared, parameters: &[ScalarValue], state: &SessionState) -> Result<LogicalPlan> {
        let plan = bind(self.plan.clone(), prepared.parameters(), parameters)?;
        Ok(state.optimizer().optimize(plan, state, |_, _| {})?)
    }

    /// All rows, over the snapshot in `state`.
    async fn batches(
        &self,
        prepared: &Prepared,
        parameters: &[ScalarValue],
        state: &SessionState,
    ) -> Result<Vec<RecordBatch>> {
        let physical = self.physical(prepared, parameters, state).await?;
        Ok(execute_stream(physical, state.task_ctx())?.try_collect().await?)
    }

    /// The steps that give the rows, over the snapshot in `state`.
    async fn physical(
        &self,
        prepared: &Prepared,
        parameters: &[ScalarValue],
        state: &SessionState,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        steps(self.optimized(prepared, parameters, state)?, state).await
    }
}

/// The time of a statement, in nanoseconds since the Unix epoch.
pub(crate) fn now_ns(state: &SessionState) -> i64 {
    state.execution_props().query_execution_start_time.and_then(|now| now.timestamp_nanos_opt()).unwrap_or(0)
}

/// The steps that give the rows of an analysed plan without parameters, over the snapshot in `state`.
///
/// # Errors
/// Those of planning.
pub(crate) async fn physical(plan: LogicalPlan, state: &SessionState) -> Result<Arc<dyn ExecutionPlan>> {
    steps(state.optimizer().optimize(plan, state, |_, _| {})?, state).await
}

async fn steps(optimized: LogicalPlan, state: &SessionState) -> Result<Arc<dyn ExecutionPlan>> {
    let optimized = match state.config().get_extension::<RunSnapshot>() {
        Some(run) => {
            let threads = state.config().target_partitions();
            Pushing { snapshot: &run.snapshot, threads, shortfalls: &run.shortfalls }.push(optimized)?
        }
        None => optimized,
    };
    Ok(state.query_planner().create_physical_plan(&optimized, state).await?)
}

impl Plan {
    /// The direct plan of a statement, with the columns it returns and the types of its parameters, if it has one.
    pub(crate) fn direct(
        statement: &Statement,
        snapshot: &Snapshot,
        time_zone: &Arc<str>,
        parameter_types: &[Option<DataType>],
    ) -> Option<(Plan, Vec<OutputColumn>, Vec<DataType>)> {
        let (query, analyze) = match statement.ast()? {
            ast::Statement::Query(query) => (query, None),
            ast::Statement::Explain { statement, analyze, .. } => match &**statement {
                ast::Statement::Query(query) => (query, Some(*analyze)),
                _ => return None,
            },
            _ => return None,
        };
        let direct = Direct::of(query, snapshot, time_zone, parameter_types)?;
        let parameters = direct.parameters().to_vec();
        Some(match analyze {
            None => {
                let columns = direct.columns();
                (Plan::Direct(direct), columns, parameters)
            }
            Some(analyze) => (Plan::ExplainDirect { direct, analyze }, vec![plan_column()], parameters),
        })
    }

    /// True for a plan of [`Plan::direct`].
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self, Plan::Direct(_) | Plan::ExplainDirect { .. })
    }

    /// The table that a direct plan reads.
    pub(crate) fn table_read_directly(&self) -> Option<&str> {
        match self {
            Plan::Direct(direct) | Plan::ExplainDirect { direct, .. } => Some(direct.table()),
            _ => None,
        }
    }

    /// Runs a direct plan: its rows, and what whoever asked should know of them. `None` when this run has to go the long way.
    ///
    /// # Errors
    /// Errors that are known before the first row.
    pub(crate) async fn run_direct(
        &self,
        parameters: &[ScalarValue],
        means: &Means<'_>,
    ) -> Result<Option<(SendableRecordBatchStream, Option<String>)>> {
        match self {
            Plan::Direct(direct) => direct.run(parameters, means).await,
            Plan::ExplainDirect { direct, analyze } => {
                let text = direct.explain(*analyze, parameters, means).await?;
                text.map(|text| Ok((lines(&text)?, None))).transpose()
            }
            _ => Ok(None),
        }
    }

    /// Plans a statement. Gives also the columns it returns and the types of its parameters.
    ///
    /// # Errors
    /// Whatever is wrong with the statement.
    pub(crate) fn new(
        statement: &Statement,
        lowering: &Lowering<'_>,
        parameter_types: &[Option<DataType>],
    ) -> Result<(Plan, Vec<OutputColumn>, Vec<DataType>)> {
        let mut parameters = Parameters::declared(parameter_types);
        let ast = match statement.form() {
            Form::Sql(ast) => ast,
            Form::Dialect(dialect) => {
                let (plan, columns) = Plan::dialect(dialect, statement, lowering, &mut parameters)?;
                return Ok((plan, columns, parameters.finish()));
            }
        };
        let (plan, columns) = match &**ast {
            ast::Statement::Query(query) => {
                let reading = read(query, lowering, &mut parameters)?;
                let columns = columns(query, &reading.plan);
                (Plan::Rows(reading), columns)
            }
            ast::Statement::Explain { statement: inner, analyze, .. } => {
                let ast::Statement::Query(query) = &**inner else {
                    return Err(unsupported("EXPLAIN of anything but a query"));
                };
                let reading = read(query, lowering, &mut parameters)?;
                (Plan::Explain { reading, analyze: *analyze }, vec![plan_column()])
            }
            ast::Statement::Insert(insert) => {
                let insert = Insert::plan(insert, lowering, &mut parameters)?;
                let reading = Reading::new(insert.rows.clone())?;
                (Plan::Insert(Box::new(insert), reading), Vec::new())
            }
            ast::Statement::Update(update) => match ops::Changing::update(update, lowering.actor)? {
                Some((changing, rows)) => {
                    (Plan::ChangeOps(changing, read(&rows, lowering, &mut parameters)?), Vec::new())
                }
                None => return Err(unsupported(&kind(statement.text()))),
            },
            ast::Statement::Delete(delete)
                if let Some((changing, rows)) = ops::Changing::delete(delete, lowering.actor)? =>
            {
                (Plan::ChangeOps(changing, read(&rows, lowering, &mut parameters)?), Vec::new())
            }
            ast::Statement::Delete(delete) => {
                let (delete, points) = Delete::read(delete, lowering)?;
                let reading = read(&points, lowering, &mut parameters)?;
                (Plan::Delete(delete, reading), Vec::new())
            }
            ast::Statement::CreateTable(create) => {
                let table = NewTable::read(create, statement)?;
                table.check(lowering)?;
                (Plan::CreateTable(table), Vec::new())
            }
            ast::Statement::AlterTable(alter) if let Some(changed) = ChangedRules::read(alter, statement)? => {
                changed.check(lowering)?;
                (Plan::ChangeRules(changed), Vec::new())
            }
            ast::Statement::AlterTable(alter) => match (ChangedOptions::read(alter)?, NewColumns::read(alter)?) {
                (Some(changed), _) => (Plan::AlterTable(changed), Vec::new()),
                (None, Some(columns)) => (Plan::AddColumns(columns), Vec::new()),
                (None, None) => return Err(unsupported(&kind(statement.text()))),
            },
            ast::Statement::CreateView(create) => {
                let view = View::define(create, lowering)?;
                (Plan::CreateView { view, or_replace: create.or_replace }, Vec::new())
            }
            ast::Statement::Vacuum(vacuum) => (Plan::Vacuum(Vacuum::read(vacuum)?), Vec::new()),
            other => match dropped(other)? {
                Some((kind @ (ObjectType::View | ObjectType::MaterializedView), dropped)) => {
                    dropped.check_kind(kind, lowering)?;
                    (Plan::DropView(dropped), Vec::new())
                }
                Some((_, dropped)) => (Plan::DropTable(dropped), Vec::new()),
                None => return Err(unsupported(&kind(statement.text()))),
            },
        };
        plan.check_rights(ast, &lowering.rights)?;
        Ok((plan, columns, parameters.finish()))
    }

    /// Checks the rights to what a plan of SQL changes; what it reads has been checked when it was planned.
    fn check_rights(&self, ast: &ast::Statement, rights: &Rights) -> Result<()> {
        let on_table = |privilege, table: &str| rights.check(privilege, &On::named(PUBLIC, table));
        let on_ops = |privilege, table: &str| rights.check(privilege, &On::named(ops::SCHEMA, table));
        match self {
            Plan::Insert(insert, _) => {
                let also = match ast {
                    ast::Statement::Insert(insert) if insert.on.is_some() => [Privilege::Insert, Privilege::Update],
                    _ => [Privilege::Insert; 2],
                };
                also.into_iter().try_for_each(|privilege| match &insert.into {
                    insert::Into::Table(target) => on_table(privilege, &target.table.name),
                    insert::Into::Ops(writer) => on_ops(privilege, writer.table.name)
                        .and_then(|()| rights.check_may_enter(&On::named(ops::SCHEMA, writer.table.name))),
                })
            }
            Plan::ChangeOps(changing, _) if changing.is_update() => on_ops(Privilege::Update, changing.table.name),
            Plan::ChangeOps(changing, _) => on_ops(Privilege::Delete, changing.table.name),
            Plan::Delete(delete, _) => on_table(Privilege::Delete, &delete.table.name),
            Plan::CreateTable(_)
            | Plan::AlterTable(_)
            | Plan::AddColumns(_)
            | Plan::ChangeRules(_)
            | Plan::DropTable(_)
            | Plan::DropView(_)
            | Plan::Vacuum(_) => rights.check(Privilege::Create, &On::Schema(PUBLIC.to_owned())),
            // What it reads it will read with all rights, so its maker has to see all of it.
            Plan::CreateView { .. } => {
                rights.check(Privilege::Create, &On::Schema(PUBLIC.to_owned()))?;
                match ast {
                    ast::Statement::CreateView(create) => {
                        let reads = crate::catalog::relations(&create.query);
                        reads.iter().try_for_each(|read| rights.check_whole(&On::read(read)))
                    }
                    _ => Ok(()),
                }
            }
            Plan::Rows(_)
            | Plan::Direct(_)
            | Plan::ExplainDirect { .. }
            | Plan::Explain { .. }
            | Plan::Define(_)
            | Plan::Subscribe(_) => Ok(()),
        }
    }

    /// Plans a statement of the dialect: EVALUATE is a query in other words.
    fn dialect(
        dialect: &Arc<dialect::Statement>,
        statement: &Statement,
        lowering: &Lowering<'_>,
        parameters: &mut Parameters,
    ) -> Result<(Plan, Vec<OutputColumn>)> {
        if let dialect::Statement::EvaluateSla { .. } | dialect::Statement::BacktestBaseline { .. } = &**dialect {
            let query = crate::relation::evaluation(dialect)?;
            let reading = read(&query, lowering, parameters)?;
            let columns = columns(&query, &reading.plan);
            return Ok((Plan::Rows(reading), columns));
        }
        check_dialect(dialect, lowering)?;
        let computed = match &**dialect {
            // Its query of incidents is that of whoever asks.
            dialect::Statement::Backtest(backtest) => Some(crate::alert::backtest(backtest, lowering)),
            dialect::Statement::ExplainAlert { name, at } => {
                Some(lowering.within(Reader::Definition, || crate::alert::explain(name, at, lowering)))
            }
            _ => None,
        };
        if let Some(computed) = computed {
            let computed = computed.map_err(|error| error.shifted(statement.offset()))?;
            let source = provider_as_source(Arc::new(computed));
            let plan = LogicalPlanBuilder::scan(dialect.tag(), source, None)?.build()?;
            let columns = plan.schema().fields().iter().map(OutputColumn::of).collect();
            return Ok((Plan::Rows(Reading::new(lowering.analyze(plan)?)?), columns));
        }
        if let dialect::Statement::Subscribe { query, options, .. } = &**dialect {
            let subscription = Subscription::new(query, options, lowering);
            let subscription = subscription.map_err(|error| error.shifted(statement.offset()))?;
            let columns = subscription.columns();
            return Ok((Plan::Subscribe(subscription), columns));
        }
        if let dialect::Statement::Call(call) = &**dialect {
            crate::alert::Procedure::read(call).map_err(|error| error.shifted(statement.offset()))?;
        }
        let defining = Defining::new(dialect, statement.offset(), lowering.settings, lowering.actor, lowering.role);
        let columns = defining.columns();
        Ok((Plan::Define(defining), columns))
    }

    /// The analysed plan of a query.
    pub(crate) fn query(&self) -> Option<&LogicalPlan> {
        match self {
            Plan::Rows(reading) => Some(&reading.plan),
            _ => None,
        }
    }

    /// The tables of time series that a query reads.
    pub(crate) fn tables(&self) -> Vec<String> {
        match self {
            Plan::Rows(reading) => reading.tables.iter().map(|table| table.name.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// True when the tables that were planned over are still the same.
    pub(crate) fn fits(&self, snapshot: &Snapshot) -> bool {
        match self {
            Plan::Rows(reading) | Plan::Explain { reading, .. } => reading.fits(snapshot),
            Plan::Direct(direct) | Plan::ExplainDirect { direct, .. } => direct.fits(snapshot),
            Plan::Insert(insert, reading) => match &insert.into {
                insert::Into::Table(target) => {
                    let table = &target.table;
                    reading.fits(snapshot) && snapshot.table(&table.name).is_some_and(|now| now.id == table.id)
                }
                insert::Into::Ops(_) => reading.fits(snapshot),
            },
            Plan::ChangeOps(_, reading) => reading.fits(snapshot),
            Plan::Delete(delete, reading) => {
                reading.fits(snapshot) && snapshot.table(&delete.table.name).is_some_and(|now| now == delete.table)
            }
            Plan::CreateTable(_)
            | Plan::AlterTable(_)
            | Plan::AddColumns(_)
            | Plan::ChangeRules(_)
            | Plan::DropTable(_)
            | Plan::CreateView { .. }
            | Plan::DropView(_)
            | Plan::Vacuum(_)
            | Plan::Subscribe(_)
            | Plan::Define(_) => true,
        }
    }

    /// True for plans that return rows.
    pub(crate) fn returns_rows(&self) -> bool {
        match self {
            Plan::Define(defining) => !defining.columns().is_empty(),
            other => matches!(other, Plan::Rows(_) | Plan::Explain { .. } | Plan::Subscribe(_)) || self.is_direct(),
        }
    }

    /// What the audit says of the plan once it was run; `None` for what it does not tell of, or tells by the rows that change.
    pub(crate) fn deed(&self, statement: &Statement) -> Option<ops::audit::Deed> {
        let object = match self {
            Plan::AlterTable(changed) => format!("table {}", changed.table()),
            Plan::AddColumns(columns) => format!("table {}", columns.table()),
            Plan::DropTable(dropped) => format!("table {}", dropped.names().join(", ")),
            Plan::DropView(dropped) => format!("view {}", dropped.names().join(", ")),
            Plan::Delete(delete, _) => format!("table {}", delete.table.name),
            Plan::CreateView { view, .. } => format!("view {}", view.name),
            Plan::Define(defining) => defining.object()?,
            _ => return None,
        };
        let after = match self {
            Plan::Define(defining) => Some(defining.text()),
            _ => statement.ast().map(ToString::to_string),
        };
        Some(ops::audit::Deed { object, after, ..ops::audit::Deed::default() })
    }

    /// Runs the plan over the snapshot in `state`.
    ///
    /// # Errors
    /// Errors that are known before the first row.
    pub(crate) async fn run(
        &self,
        prepared: &Prepared,
        parameters: &[ScalarValue],
        state: &SessionState,
        database: &Database,
    ) -> Result<Outcome> {
        let engine = database.engine();
        match self {
            Plan::Rows(reading) => {
                let physical = reading.physical(prepared, parameters, state).await?;
                let stream = execute_stream(physical, state.task_ctx())?;
                Ok(Outcome::Rows { stream: named(stream, prepared.columns()), notice: notice(state) })
            }
            Plan::Explain { reading, analyze } => {
                let physical = reading.physical(prepared, parameters, state).await?;
                Ok(Outcome::Rows { stream: explain(physical, *analyze, state).await?, notice: None })
            }
            Plan::Direct(_) | Plan::ExplainDirect { .. } => {
                Err(Error::Internal("a direct plan has a door of its own".to_owned()))
            }
            Plan::Insert(insert, reading) => {
                let target = match &insert.into {
                    insert::Into::Table(target) => target,
                    insert::Into::Ops(writer) => {
                        let batches = reading.batches(prepared, parameters, state).await?;
                        let (writer, database, now_ns) = (writer.clone(), database.clone(), now_ns(state));
                        let rows = blocking(move || writer.insert(&batches, &database, now_ns)).await?;
                        return Ok(Outcome::Done(Command::Insert { rows }));
                    }
                };
                let rows = insert_rows(target, reading, prepared, parameters, state, database).await?;
                Ok(Outcome::Done(Command::Insert { rows }))
            }
            Plan::ChangeOps(changing, reading) => {
                let rows = change_ops(changing, reading, prepared, parameters, state, database).await?;
                Ok(Outcome::Done(match changing.is_update() {
                    true => Command::Update { rows },
                    false => Command::Delete { rows },
                }))
            }
            Plan::Delete(delete, reading) => {
                let points = reading.optimized(prepared, parameters, state)?;
                let rows = delete.run(points, state, engine).await?;
                Ok(Outcome::Done(Command::Delete { rows }))
            }
            Plan::CreateTable(table) => Ok(Outcome::Done(table.clone().run(database.clone()).await?)),
            Plan::AlterTable(changed) => Ok(Outcome::Done(changed.clone().run(database.engine().clone()).await?)),
            Plan::AddColumns(columns) => Ok(Outcome::Done(columns.clone().run(database.engine().clone()).await?)),
            Plan::ChangeRules(changed) => Ok(Outcome::Done(changed.clone().run(database.clone()).await?)),
            Plan::DropTable(tables) => Ok(Outcome::Done(tables.clone().run(database.clone()).await?)),
            Plan::CreateView { view, or_replace } => {
                let done = match view.is_continuous {
                    true => Command::CreateMaterializedView,
                    false => Command::CreateView,
                };
                let (view, or_replace, database) = (view.clone(), *or_replace, database.clone());
                let create = move || database.catalog().create_view(view, or_replace, &database.engine().snapshot());
                blocking(create).await?;
                Ok(Outcome::Done(done))
            }
            Plan::Vacuum(vacuum) => {
                Ok(Outcome::Done(vacuum.clone().run(database.engine().clone(), now_ns(state)).await?))
            }
            Plan::Define(defining) => Ok(match defining.run(state, database).await? {
                Done::Command(command) => Outcome::Done(command),
                Done::Rows(stream) => Outcome::Rows { stream, notice: None },
            }),
            Plan::Subscribe(_) => Err(Error::Internal("a subscription has a door of its own".to_owned())),
            Plan::DropView(views) => Ok(Outcome::Done(views.clone().run_on_views(database.clone()).await?)),
        }
    }
}

/// Stores the rows of a query. Gives how many there were. Where one of them may be refused, all are looked at before any is stored.
async fn insert_rows(
    target: &insert::Target,
    reading: &Reading,
    prepared: &Prepared,
    parameters: &[ScalarValue],
    state: &SessionState,
    database: &Database,
) -> Result<u64> {
    let guard = database.guard(now_ns(state));
    let physical = reading.physical(prepared, parameters, state).await?;
    let mut stream = execute_stream(physical, state.task_ctx())?;
    let mut looked_at = Vec::new();
    if guard.may_refuse(&target.table().name) {
        let mut first_row = 0;
        while let Some(batch) = stream.try_next().await? {
            let (target, guard, rows) = (target.clone(), guard.clone(), batch.clone());
            blocking(move || target.check(&guard, &rows, first_row)).await?;
            first_row += batch.num_rows() as u64;
            looked_at.push(batch);
        }
    }
    let mut stream = futures::stream::iter(looked_at.into_iter().map(Ok)).chain(stream);
    let (mut stored, mut first_row) = (0, 0);
    while let Some(batch) = stream.try_next().await? {
        let (target, guard) = (target.clone(), guard.clone());
        let rows = batch.num_rows() as u64;
        stored += blocking(move || target.write(&guard, &batch, first_row)).await?;
        first_row += rows;
    }
    Ok(stored)
}

/// Checks the rights that a statement of the dialect takes, besides those to what its queries read.
///
/// # Errors
/// [`Error::Denied`].
fn check_dialect(statement: &dialect::Statement, lowering: &Lowering<'_>) -> Result<()> {
    use dialect::{Shown, Statement};
    let rights = &lowering.rights;
    let is_stewarded = |kind: dialect::Kind, name: &str| {
        let object = lowering.definitions.find(kind, name);
        let steward = object.as_ref().and_then(|object| object.definition.option_text("steward"));
        steward.map_or(Ok(()), |steward| rights.check_steward(&On::object(kind, name), steward))
    };
    let makes = |kind| rights.check(Privilege::Create, &On::Schema(schema_of(kind).to_owned()));
    let sees = |on| rights.check(Privilege::Select, &on);
    match statement {
        Statement::Create { object, or_replace, .. } => {
            makes(object.kind())?;
            if *or_replace { is_stewarded(object.kind(), object.name()) } else { Ok(()) }
        }
        Statement::AlterSet { kind, name, .. } => {
            makes(*kind)?;
            is_stewarded(*kind, name)
        }
        Statement::Comment { kind, .. } => makes(*kind),
        Statement::Drop { kind, cascade, names, .. } => {
            makes(*kind)?;
            names.iter().try_for_each(|name| is_stewarded(*kind, name))?;
            // What depends on it may be of any kind.
            let mut others = dialect::Kind::all().filter(|_| *cascade);
            others.try_for_each(makes)
        }
        Statement::Refresh { .. } => rights.check(Privilege::Create, &On::Schema(PUBLIC.to_owned())),
        Statement::Override(changed) => {
            rights.check(Privilege::Override, &On::object(dialect::Kind::Baseline, &changed.baseline))
        }
        Statement::ShowCreate { of: Shown::Object(kind), name } | Statement::ShowLineage { kind, name } => {
            sees(On::object(*kind, name))
        }
        Statement::ShowCreate { of: Shown::Table | Shown::View, name } => sees(On::named(PUBLIC, name)),
        Statement::Backtest(backtest) => sees(On::object(dialect::Kind::Alert, &backtest.alert)),
        Statement::ExplainAlert { name, .. } => {
            sees(On::object(dialect::Kind::Alert, name))?;
            lowering.check_sees_all(dialect::Kind::Alert, name)
        }
        // It says what is wrong with the query where it stands, and asks for the rights to what it reads.
        Statement::ExplainLineage { query } => crate::relation::plan_text(query, lowering).map(|_| ()),
        Statement::Subscribe { .. } => rights.check(Privilege::Subscribe, &On::Everything),
        Statement::Call(call) => match call.name.as_str() {
            "redeliver" | "enable_sink" => makes(dialect::Kind::Sink),
            "release" | "purge_quarantine" | "reseal" => rights.check(Privilege::Restate, &On::Everything),
            "approve_adjustment" | "reject_adjustment" | "approve_change" | "reject_change" => {
                rights.check(Privilege::Approve, &On::Everything)
            }
            "rebaseline" => {
                let named = call.arguments.iter().find(|argument| argument.name.as_deref() == Some("baseline"));
                let baseline = match named.or(call.arguments.first()).map(|argument| &argument.value) {
                    Some(dialect::Literal::Text(name)) => name.as_str(),
                    _ => "",
                };
                rights.check(Privilege::Override, &On::object(dialect::Kind::Baseline, baseline))
            }
            _ => rights.check(Privilege::Ack, &On::Everything),
        },
        // Rows are checked where they are read, and roles where they are changed.
        Statement::EvaluateSla { .. } | Statement::BacktestBaseline { .. } | Statement::Role(_) => Ok(()),
    }
}

/// How often an UPDATE or DELETE reads its rows anew when others change them meanwhile.
const TRIES: usize = 100;

/// Reads rows and changes them. Gives how many there were.
async fn change_ops(
    changing: &ops::Changing,
    reading: &Reading,
    prepared: &Prepared,
    parameters: &[ScalarValue],
    state: &SessionState,
    database: &Database,
) -> Result<u64> {
    for _ in 0..TRIES {
        let before = database.ops().held(changing.table);
        let batches = reading.batches(prepared, parameters, state).await?;
        let touched = ops::Touched { batches, before, now_ns: now_ns(state) };
        let (changing, database) = (changing.clone(), database.clone());
        if let Some(rows) = blocking(move || changing.run(&touched, &database)).await? {
            return Ok(rows);
        }
    }
    Err(Error::Contended { table: changing.table.name.to_owned() })
}

/// Plans a query twice when it has parameters: once to learn their types, once with them.
fn read(query: &Query, lowering: &Lowering<'_>, parameters: &mut Parameters) -> Result<Reading> {
    let mut query = query.clone();
    let integers = rewrite(&mut query, &lowering.settings.functions)?;
    let mut plan = lowering.query(&query, parameters, None)?;
    parameters.infer(&plan, &integers)?;
    if parameters.len() > 0 {
        *parameters = Parameters::from(parameters.clone().finish().as_slice());
        plan = lowering.query(&query, parameters, None)?;
    }
    Reading::new(lowering.analyze(plan)?)
}

/// Names from the statement, types from the plan.
pub(crate) fn columns(query: &Query, plan: &LogicalPlan) -> Vec<OutputColumn> {
    let fields = plan.schema().fields();
    let names = output_names(query);
    let before = names.iter().position(Option::is_none).unwrap_or(names.len());
    let after = names.len() - names.iter().rposition(Option::is_none).map_or(0, |at| at + 1);
    let column = |(at, field): (usize, &Arc<Field>)| {
        let planned = || field.name().split(HIDDEN).next().unwrap_or_default().to_owned();
        let written = match () {
            () if at < before => names.get(at).cloned().flatten(),
            () if at + after >= fields.len() => names.get(at + names.len() - fields.len()).cloned().flatten(),
            () => None,
        };
        OutputColumn {
            name: written.unwrap_or_else(planned),
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
        }
    };
    fields.iter().enumerate().map(column).collect()
}

/// The stream under the names of the result.
fn named(stream: SendableRecordBatchStream, columns: &[OutputColumn]) -> SendableRecordBatchStream {
    let field = |(column, field): (&OutputColumn, &Arc<Field>)| field.as_ref().clone().with_name(&column.name);
    let fields: Vec<_> = columns.iter().zip(stream.schema().fields()).map(field).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let renamed = schema.clone();
    let batches = stream.map(move |batch| {
        let batch = batch?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(renamed.clone(), batch.columns().to_vec(), &options)?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

/// What whoever asked should know of the run.
fn notice(state: &SessionState) -> Option<String> {
    state.config().get_extension::<RunSnapshot>().and_then(|run| run.shortfalls.take())
}

/// The one column of EXPLAIN.
const QUERY_PLAN: &str = "QUERY PLAN";

/// A row for each line of the plan.
async fn explain(
    physical: Arc<dyn ExecutionPlan>,
    analyze: bool,
    state: &SessionState,
) -> Result<SendableRecordBatchStream> {
    let text = if analyze {
        let mut stream = execute_stream(physical.clone(), state.task_ctx())?;
        while stream.try_next().await?.is_some() {}
        let steps = DisplayableExecutionPlan::with_metrics(physical.as_ref()).indent(false).to_string();
        match state.config().get_extension::<RunSnapshot>() {
            Some(run) => format!("{steps}{}", run.snapshot.effort()),
            None => steps,
        }
    } else {
        DisplayableExecutionPlan::new(physical.as_ref()).indent(false).to_string()
    };
    match notice(state) {
        Some(notice) => lines(&format!("{}\nNotice: {notice}", text.trim_end())),
        None => lines(&text),
    }
}

fn plan_column() -> OutputColumn {
    OutputColumn { name: QUERY_PLAN.to_owned(), data_type: DataType::Utf8, nullable: false }
}

/// A row for each line of a text.
fn lines(text: &str) -> Result<SendableRecordBatchStream> {
    let schema = Arc::new(Schema::new(vec![Field::new(QUERY_PLAN, DataType::Utf8, false)]));
    let lines: StringArray = text.lines().map(Some).collect();
    let batch =
        RecordBatch::try_new(schema.clone(), vec![Arc::new(lines)]).map_err(|e| Error::Internal(e.to_string()))?;
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter([Ok(batch)]))))
}

fn unsupported(what: &str) -> Error {
    let hint = Some(
        "Statements are SELECT, EXPLAIN, INSERT, DELETE, COPY, CREATE, ALTER and DROP TABLE, CREATE and DROP VIEW, VACUUM."
            .to_owned(),
    );
    Error::Unsupported { what: format!("{what} is not supported"), position: None, hint }
}

/// What a statement is called, from its first words.
fn kind(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    let mut words = words.map(str::to_uppercase);
    let first = words.next().unwrap_or_default();
    if !matches!(first.as_str(), "CREATE" | "ALTER" | "DROP" | "COMMENT" | "REFRESH") {
        return first;
    }
    let filler = ["OR", "REPLACE", "TEMP", "TEMPORARY", "UNIQUE", "MATERIALIZED", "GLOBAL", "LOCAL", "UNLOGGED", "ON"];
    match words.find(|word| !filler.contains(&word.as_str())) {
        Some(object) => format!("{first} {object}"),
        None => first,
    }
}
