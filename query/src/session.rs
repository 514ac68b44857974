//! A session: the settings of one connection, and the two steps of a statement, prepare and run.

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::execution::context::ExecutionProps;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use futures::TryStreamExt;
use plimsoll_engine::{Engine, Options, Snapshot};

use crate::catalog::Definitions;
use crate::database::Settings;
use crate::direct::Means;
use crate::lower::{Lowering, PUBLIC, Reader, declared_types, locate};
use crate::ops::audit::{self, Deed};
use crate::plan::Plan;
use crate::privilege::{On, Privilege, Rights};
use crate::source::{RunSnapshot, Shortfalls};
use crate::stack::{OnDeepStack, STACK_BYTES, on_deep_stack};
use crate::{Database, DatabaseOptions, Error, Result, Statement};

/// One connection's view of a database.
#[derive(Debug, Clone)]
pub struct Session {
    database: Database,
    settings: Arc<Settings>,
    /// Whose it is, as `sys.queries` shows it.
    name: Arc<str>,
    /// Who defines what it defines.
    user: Arc<str>,
    /// Whose rights count; all rights without.
    role: Option<Arc<str>>,
}

impl Session {
    pub(crate) fn new(database: Database, settings: Arc<Settings>) -> Session {
        Session { database, settings, name: "".into(), user: "".into(), role: None }
    }

    /// Says whose session this is, for `sys.queries`.
    pub fn set_name(&mut self, name: &str) {
        self.name = name.into();
    }

    /// Says who is at work: what is defined or entered carries the name.
    pub fn set_user(&mut self, user: &str) {
        self.user = user.into();
    }

    /// Says whose rights count from now on. A session that nothing was said to has all rights: it is the program's own.
    pub fn set_role(&mut self, role: &str) {
        self.role = Some(role.into());
    }

    /// Opens a data directory for use inside a program, without a server.
    ///
    /// # Errors
    /// [`Error::Engine`] when the directory cannot be opened.
    pub fn open(dir: &Path) -> Result<Session> {
        let engine = Engine::open(dir, Options::default())?;
        Ok(Database::new(Arc::new(engine), &DatabaseOptions::default())?.session())
    }

    /// The zone in which text without an offset is read.
    pub(crate) fn time_zone(&self) -> &Arc<str> {
        &self.settings.time_zone
    }

    /// Who is at work.
    pub(crate) fn user(&self) -> &Arc<str> {
        &self.user
    }

    /// The database that this session is on.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Runs a text of one or more statements and waits. Gives the batches of the last statement that returns rows; there is
    /// always one at least, be it empty, so that the schema can be read. `now_ns` is the current time, in nanoseconds since
    /// the Unix epoch. Must not be called from async code: there, use [`Session::prepare`] and [`Session::run`].
    ///
    /// # Errors
    /// The first error; statements before it have taken effect.
    pub fn execute(&self, text: &str, now_ns: i64) -> Result<Vec<RecordBatch>> {
        let statements = crate::parse(text)?;
        runtime(self.database.threads())?.block_on(async {
            let mut last = Vec::new();
            for statement in &statements {
                let prepared = self.prepare(statement, &[], now_ns)?;
                if let Outcome::Rows { stream, .. } = self.run(&prepared, &[], now_ns).await? {
                    last = collect(stream).await?;
                }
            }
            Ok(last)
        })
    }

    /// The rows of a query, from async code.
    ///
    /// # Errors
    /// As [`Session::execute`].
    pub(crate) async fn rows_of(&self, text: &str, now_ns: i64) -> Result<Vec<RecordBatch>> {
        let mut last = Vec::new();
        for statement in &crate::parse(text)? {
            let prepared = self.prepare(statement, &[], now_ns)?;
            if let Outcome::Rows { stream, .. } = self.run(&prepared, &[], now_ns).await? {
                last = collect(stream).await?;
            }
        }
        Ok(last)
    }

    /// The tables of time series that a query reads, be it through others.
    ///
    /// # Errors
    /// Those of planning.
    pub(crate) fn tables_of(&self, statement: &Statement, now_ns: i64) -> Result<Vec<String>> {
        let prepared = self.prepare_the_long_way(statement, &[], &self.snapshot(), now_ns)?;
        Ok(prepared.inner.plan.tables())
    }

    /// Does something with the means to plan over what there is now.
    pub(crate) fn lowered<T>(&self, now_ns: i64, work: impl FnOnce(&Lowering<'_>) -> Result<T>) -> Result<T> {
        let definitions = self.database.catalog().definitions();
        self.lowered_over(&self.snapshot(), &definitions, now_ns, work)
    }

    fn lowered_over<T>(
        &self,
        snapshot: &Snapshot,
        definitions: &Arc<Definitions>,
        now_ns: i64,
        work: impl FnOnce(&Lowering<'_>) -> Result<T>,
    ) -> Result<T> {
        let state = self.state(snapshot, now_ns);
        work(&Lowering {
            settings: &self.settings,
            state: &state,
            snapshot,
            definitions,
            database: &self.database,
            actor: &self.user,
            role: self.role.as_ref(),
            rights: self.rights(definitions),
            reader: Cell::new(Reader::Statement),
            is_counting: Cell::new(false),
        })
    }

    /// The analysed plan of a query, and its columns.
    ///
    /// # Errors
    /// Those of planning.
    pub(crate) fn plan_of(&self, text: &str, now_ns: i64) -> Result<(LogicalPlan, Vec<OutputColumn>)> {
        let statements = crate::parse(text)?;
        let statement = statements.first().ok_or_else(|| Error::Internal("a query without text".to_owned()))?;
        let prepared = self.prepare_the_long_way(statement, &[], &self.snapshot(), now_ns)?;
        match prepared.inner.plan.query() {
            Some(plan) => Ok((plan.clone(), prepared.inner.columns.clone())),
            None => Err(Error::Internal("a query that is none".to_owned())),
        }
    }

    /// Sets the zone in which text without an offset is read and days begin: an IANA name or an offset such as `+05:30`.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub fn set_time_zone(&mut self, zone: &str) -> Result<()> {
        if zone.parse::<Tz>().is_err() {
            let message = format!("invalid value for parameter \"TimeZone\": \"{zone}\"");
            return Err(Error::InvalidParameter { name: "TimeZone".to_owned(), message });
        }
        if *zone != *self.settings.time_zone {
            self.settings = Arc::new(self.database.settings(zone)?);
        }
        Ok(())
    }

    /// Plans a statement against the tables there are now. `parameter_types` are those of `$1`, `$2`, ... as far as the
    /// client names them; the others are inferred.
    ///
    /// # Errors
    /// Whatever is wrong with the statement, with its position where one is known.
    pub fn prepare(
        &self,
        statement: &Statement,
        parameter_types: &[Option<DataType>],
        now_ns: i64,
    ) -> Result<Prepared> {
        let snapshot = self.snapshot();
        let definitions = self.database.catalog().definitions();
        match Plan::direct(statement, &snapshot, &self.settings.time_zone, parameter_types) {
            Some((plan, columns, parameters)) => {
                let read = plan.table_read_directly().map(|table| On::named(PUBLIC, table));
                let rights = self.rights(&definitions);
                read.as_ref().map_or(Ok(()), |read| rights.check(Privilege::Select, read))?;
                match read.and_then(|read| rights.rows(&read)) {
                    // Which rows are seen only the long way knows.
                    Some(_) => self.prepare_the_long_way(statement, parameter_types, &snapshot, now_ns),
                    None => Ok(self.prepared(statement, plan, columns, parameters, definitions)),
                }
            }
            None => self.prepare_the_long_way(statement, parameter_types, &snapshot, now_ns),
        }
    }

    /// What it may do, by the roles of some definitions.
    pub(crate) fn rights(&self, definitions: &Definitions) -> Rights {
        Rights::of(&definitions.roles, self.role.as_deref())
    }

    /// As [`Session::prepare`], by DataFusion.
    fn prepare_the_long_way(
        &self,
        statement: &Statement,
        parameter_types: &[Option<DataType>],
        snapshot: &Snapshot,
        now_ns: i64,
    ) -> Result<Prepared> {
        let declared = match statement.ast() {
            Some(ast) => declared_types(ast, parameter_types),
            None => Vec::new(),
        };
        let located = |error| match statement.ast() {
            Some(ast) => locate(error, ast),
            None => error,
        };
        let definitions = self.database.catalog().definitions();
        let (plan, columns, parameters) = self.lowered_over(snapshot, &definitions, now_ns, |lowering| {
            on_deep_stack(|| Plan::new(statement, lowering, &declared).map_err(located))
        })?;
        Ok(self.prepared(statement, plan, columns, parameters, definitions))
    }

    fn prepared(
        &self,
        statement: &Statement,
        plan: Plan,
        columns: Vec<OutputColumn>,
        parameters: Vec<DataType>,
        definitions: Arc<Definitions>,
    ) -> Prepared {
        let zone = self.settings.time_zone.clone();
        let statement = statement.clone();
        Prepared { inner: Arc::new(Inner { statement, plan, columns, parameters, zone, definitions }) }
    }

    /// The data as it is now.
    fn snapshot(&self) -> Snapshot {
        self.database.engine().snapshot().with_shortcuts(self.database.shortcuts())
    }

    /// Runs a prepared statement on a snapshot taken now.
    ///
    /// # Errors
    /// Errors that are known before the first row; later ones come through the stream.
    pub async fn run(&self, prepared: &Prepared, parameters: &[ScalarValue], now_ns: i64) -> Result<Outcome> {
        let snapshot = self.snapshot();
        let mut fresh = self.refresh(prepared, &snapshot, now_ns)?;
        let entry = self.database.running().enter(&fresh.inner.statement, &self.name, now_ns);
        if fresh.inner.plan.is_direct() {
            let means = Means { snapshot: &snapshot, now_ns, threads: self.database.threads() };
            if let Some((rows, notice)) = fresh.inner.plan.run_direct(parameters, &means).await? {
                return Ok(Outcome::Rows { stream: entry.until_the_end_of(rows), notice });
            }
            let declared: Vec<_> = fresh.parameters().iter().cloned().map(Some).collect();
            fresh = self.prepare_the_long_way(&fresh.inner.statement, &declared, &snapshot, now_ns)?;
        }
        if let Plan::Subscribe(subscription) = &fresh.inner.plan {
            let stream = subscription.stream(self.clone(), now_ns)?;
            return Ok(Outcome::Rows { stream: entry.until_the_end_of(stream), notice: None });
        }
        let state = self.state(&snapshot, now_ns);
        let outcome = OnDeepStack(Box::pin(fresh.inner.plan.run(&fresh, parameters, &state, &self.database))).await?;
        let tag = match &outcome {
            Outcome::Done(command) => Some(command.to_string()),
            Outcome::Rows { .. } => None,
        };
        if let (Some(action), Some(deed)) = (tag, fresh.inner.plan.deed(&fresh.inner.statement)) {
            let (database, actor, deed) = (self.database.clone(), self.user.clone(), Deed { action, ..deed });
            let enter = move || database.ops().transaction(&actor, now_ns, |audit| audit::enter(audit, &deed));
            blocking(enter).await?;
        }
        Ok(match outcome {
            Outcome::Rows { stream, notice } => Outcome::Rows { stream: entry.until_the_end_of(stream), notice },
            done @ Outcome::Done(_) => done,
        })
    }

    /// The statement as planned, or planned anew when a table or the time zone has changed since.
    fn refresh(&self, prepared: &Prepared, snapshot: &Snapshot, now_ns: i64) -> Result<Prepared> {
        let inner = &prepared.inner;
        let same_definitions = Arc::ptr_eq(&inner.definitions, &self.database.catalog().definitions());
        if inner.zone == self.settings.time_zone && same_definitions && inner.plan.fits(snapshot) {
            return Ok(prepared.clone());
        }
        let declared: Vec<_> = inner.parameters.iter().cloned().map(Some).collect();
        let fresh = self.prepare(&inner.statement, &declared, now_ns)?;
        let same = |a: &OutputColumn, b: &OutputColumn| a.name == b.name && same_type(&a.data_type, &b.data_type);
        let (old, new) = (prepared.columns(), fresh.columns());
        if old.len() != new.len() || !old.iter().zip(new).all(|(a, b)| same(a, b)) {
            let what = "cached plan must not change result type".to_owned();
            return Err(Error::Unsupported { what, position: None, hint: None });
        }
        Ok(fresh)
    }

    /// DataFusion's state for one statement: its own time, names and snapshot.
    fn state(&self, snapshot: &Snapshot, now_ns: i64) -> SessionState {
        let mut state = self.settings.state.clone();
        let start = DateTime::from_timestamp_nanos(now_ns);
        *state.execution_props_mut() = ExecutionProps::new().with_query_execution_start_time(start);
        state
            .config_mut()
            .set_extension(Arc::new(RunSnapshot { snapshot: snapshot.clone(), shortfalls: Shortfalls::default() }));
        state
    }
}

/// Instants are the same in every zone.
fn same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::Timestamp(a, Some(_)), DataType::Timestamp(b, Some(_))) => a == b,
        _ => a == b,
    }
}

/// Threads for queries of a program that has no runtime of its own.
///
/// # Errors
/// [`Error::Internal`] when there are none to be had.
pub(crate) fn runtime(threads: usize) -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let built = builder.worker_threads(threads).thread_stack_size(STACK_BYTES).enable_all().build();
    built.map_err(|e| Error::Internal(format!("cannot start threads: {e}")))
}

async fn collect(stream: SendableRecordBatchStream) -> Result<Vec<RecordBatch>> {
    let schema = stream.schema();
    let mut batches: Vec<RecordBatch> = stream.try_collect().await?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

/// Does something that may wait for the disk where that holds nobody up.
///
/// # Errors
/// Those of `work`.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|e| Err(Error::Internal(format!("a blocking task failed: {e}"))))
}

/// A planned statement, good for any number of runs. It holds no data: each run reads its own snapshot.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    statement: Statement,
    pub(crate) plan: Plan,
    pub(crate) columns: Vec<OutputColumn>,
    pub(crate) parameters: Vec<DataType>,
    zone: Arc<str>,
    /// The definitions that it was planned over.
    definitions: Arc<Definitions>,
}

impl Prepared {
    /// The columns of the rows that it returns; none for a command.
    pub fn columns(&self) -> &[OutputColumn] {
        &self.inner.columns
    }

    /// Types of `$1`, `$2`, ...
    pub fn parameters(&self) -> &[DataType] {
        &self.inner.parameters
    }

    /// True for a statement that returns rows, be it none.
    pub fn returns_rows(&self) -> bool {
        self.inner.plan.returns_rows()
    }
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputColumn {
    /// Its name by PostgreSQL's rules; the same name may come twice.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may hold NULL.
    pub nullable: bool,
}

impl OutputColumn {
    /// A column that is called as its field is.
    pub(crate) fn of(field: &Arc<Field>) -> OutputColumn {
        OutputColumn { name: field.name().clone(), data_type: field.data_type().clone(), nullable: field.is_nullable() }
    }
}

/// What a run gave.
pub enum Outcome {
    /// Rows, with the columns of [`Prepared::columns`] by position. Dropping the stream stops the work. Its errors become
    /// ours with `Error::from`.
    Rows {
        /// The rows.
        stream: SendableRecordBatchStream,
        /// What whoever asked should know of them: that a part of what was asked for is no longer kept.
        notice: Option<String>,
    },
    /// A command was carried out.
    Done(Command),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Rows { stream, .. } => f.debug_tuple("Rows").field(&stream.schema()).finish(),
            Outcome::Done(command) => f.debug_tuple("Done").field(command).finish(),
        }
    }
}

/// A command that was carried out. Displays as PostgreSQL's command tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `CREATE TABLE`
    CreateTable,
    /// `ALTER TABLE`
    AlterTable,
    /// `DROP TABLE`
    DropTable,
    /// `CREATE VIEW`
    CreateView,
    /// `DROP VIEW`
    DropView,
    /// `CREATE MATERIALIZED VIEW`
    CreateMaterializedView,
    /// `DROP MATERIALIZED VIEW`
    DropMaterializedView,
    /// `VACUUM`
    Vacuum,
    /// A change of what is defined, by its tag: `CREATE KPI`, `DROP SLO`, `COMMENT`.
    Define {
        /// The tag.
        tag: &'static str,
        /// What whoever asked should know of it.
        notice: Option<String>,
    },
    /// `UPDATE rows`
    Update {
        /// Rows changed.
        rows: u64,
    },
    /// `DELETE rows`
    Delete {
        /// Rows deleted.
        rows: u64,
    },
    /// `INSERT 0 rows`
    Insert {
        /// Rows stored.
        rows: u64,
    },
}

impl Command {
    /// What whoever asked should know of it.
    pub fn notice(&self) -> Option<&str> {
        match self {
            Command::Define { notice, .. } => notice.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::CreateTable => f.write_str("CREATE TABLE"),
            Command::AlterTable => f.write_str("ALTER TABLE"),
            Command::DropTable => f.write_str("DROP TABLE"),
            Command::CreateView => f.write_str("CREATE VIEW"),
            Command::DropView => f.write_str("DROP VIEW"),
            Command::CreateMaterializedView => f.write_str("CREATE MATERIALIZED VIEW"),
            Command::DropMaterializedView => f.write_str("DROP MATERIALIZED VIEW"),
            Command::Vacuum => f.write_str("VACUUM"),
            Command::Define { tag, .. } => f.write_str(tag),
            Command::Insert { rows } => write!(f, "INSERT 0 {rows}"),
            Command::Update { rows } => write!(f, "UPDATE {rows}"),
            Command::Delete { rows } => write!(f, "DELETE {rows}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::{Int64Type, TimeUnit};
    use tempfile::TempDir;

    use super::*;

    fn session() -> (TempDir, Session) {
        let dir = tempfile::tempdir().unwrap();
        let session = Session::open(dir.path()).unwrap();
        session.execute("CREATE TABLE cpu (time timestamptz, host text, usage float8, n bigint)", 0).unwrap();
        session.execute("INSERT INTO cpu VALUES ('2024-01-01', 'a', 1.5, 1), ('2024-01-02', 'b', 2.5, 2)", 0).unwrap();
        (dir, session)
    }

    fn prepare(session: &Session, sql: &str) -> Result<Prepared> {
        session.prepare(&crate::parse(sql).unwrap()[0], &[], 0)
    }

    fn types(session: &Session, sql: &str) -> Vec<String> {
        prepare(session, sql).unwrap().parameters().iter().map(ToString::to_string).collect()
    }

    #[tokio::main(flavor = "current_thread")]
    async fn run(session: &Session, prepared: &Prepared, values: &[ScalarValue]) -> Result<Vec<RecordBatch>> {
        match session.run(prepared, values, 0).await? {
            Outcome::Rows { stream, .. } => collect(stream).await,
            Outcome::Done(_) => Ok(Vec::new()),
        }
    }

    fn integer(batches: &[RecordBatch]) -> i64 {
        batches.iter().find(|b| b.num_rows() > 0).unwrap().column(0).as_primitive::<Int64Type>().value(0)
    }

    #[test]
    fn parameter_types_come_from_their_place() {
        let (_dir, session) = session();
        let time = r#"Timestamp(ns, "UTC")"#;
        assert_eq!(
            types(&session, "SELECT usage FROM cpu WHERE time > $1 AND host = $2 AND n IN ($3) LIMIT $4 OFFSET $5"),
            [time, "Utf8", "Int64", "Int64", "Int64"]
        );
        assert_eq!(types(&session, "SELECT usage FROM cpu WHERE time BETWEEN $2 AND $1"), [time, time]);
        assert_eq!(types(&session, "SELECT $1, $2::int, $3 + usage FROM cpu"), ["Utf8", "Int32", "Float64"]);
        assert_eq!(types(&session, "INSERT INTO cpu (host, time, n) VALUES ($1, $2, $3)"), ["Utf8", time, "Int64"]);
        assert_eq!(types(&session, "INSERT INTO cpu (time, n) SELECT $1, $2"), [time, "Int64"]);
        assert_eq!(types(&session, "SELECT time_bucket($1, time) FROM cpu"), ["Utf8"]);
        assert_eq!(types(&session, "EXPLAIN SELECT 1 FROM cpu WHERE n = $1"), ["Int64"]);
    }

    #[test]
    fn gaps_are_filled_between_parameters() {
        let (_dir, session) = session();
        let named =
            "SELECT count(*) FROM (SELECT time_bucket_gapfill('1 hour', time, $1, $2), sum(n) FROM cpu GROUP BY 1) s";
        let told = "SELECT count(*) FROM (SELECT time_bucket_gapfill('1 hour', time), locf(sum(n)) FROM cpu \
                    WHERE time >= $1 AND time < $2 GROUP BY 1) s";
        let range = |from: &str, until: &str| [from, until].map(|text| ScalarValue::Utf8(Some(text.to_owned())));
        for sql in [named, told] {
            let prepared = prepare(&session, sql).unwrap();
            let hours = |from, until| integer(&run(&session, &prepared, &range(from, until)).unwrap());
            assert_eq!(hours("2024-01-01 00:00:00", "2024-01-03 00:00:00"), 48);
            assert_eq!(hours("2024-01-01 00:00:00", "2024-01-02 00:30:00"), 25);
        }
    }

    #[test]
    fn declared_types_win() {
        let (_dir, session) = session();
        let statement = &crate::parse("SELECT n FROM cpu WHERE n = $1 AND usage > $2").unwrap()[0];
        let prepared = session.prepare(statement, &[Some(DataType::Int32), None], 0).unwrap();
        assert_eq!(prepared.parameters(), [DataType::Int32, DataType::Float64]);
    }

    #[test]
    fn a_prepared_statement_reads_what_is_there_when_it_runs() {
        let (_dir, session) = session();
        let count = prepare(&session, "SELECT count(*) FROM cpu WHERE host = $1").unwrap();
        let host = |name: &str| [ScalarValue::Utf8(Some(name.to_owned()))];
        assert_eq!(integer(&run(&session, &count, &host("a")).unwrap()), 1);
        session.execute("INSERT INTO cpu (time, host, n) VALUES ('2024-02-01', 'a', 3)", 0).unwrap();
        assert_eq!(integer(&run(&session, &count, &host("a")).unwrap()), 2);
        assert_eq!(integer(&run(&session, &count, &host("b")).unwrap()), 1);
    }

    #[test]
    fn a_changed_table_is_planned_anew() {
        let (_dir, session) = session();
        let count = prepare(&session, "SELECT count(*) FROM cpu").unwrap();
        let all = prepare(&session, "SELECT * FROM cpu").unwrap();
        let insert = prepare(&session, "INSERT INTO cpu (time, usage) VALUES ($1, $2)").unwrap();
        session.execute("DROP TABLE cpu; CREATE TABLE cpu (time timestamptz, usage bigint)", 0).unwrap();
        let values = [ScalarValue::TimestampNanosecond(Some(7), Some("UTC".into())), ScalarValue::Float64(Some(2.0))];
        run(&session, &insert, &values).unwrap();
        assert_eq!(integer(&run(&session, &count, &[]).unwrap()), 1);
        assert_eq!(run(&session, &all, &[]).unwrap_err().to_string(), "cached plan must not change result type");
        session.execute("DROP TABLE cpu", 0).unwrap();
        assert!(matches!(run(&session, &count, &[]), Err(Error::UndefinedTable { .. })));
    }

    #[test]
    fn values_are_cast_to_what_was_planned() {
        let (_dir, session) = session();
        let prepared = prepare(&session, "SELECT n FROM cpu WHERE time = $1").unwrap();
        let text = ScalarValue::Utf8(Some("2024-01-02 00:00:00+00".to_owned()));
        assert_eq!(integer(&run(&session, &prepared, &[text]).unwrap()), 2);
        let bad = ScalarValue::Utf8(Some("soon".to_owned()));
        assert!(matches!(run(&session, &prepared, &[bad]), Err(Error::InvalidDateTime { .. })));
        assert!(matches!(run(&session, &prepared, &[]), Err(Error::InvalidParameter { .. })));
    }

    #[test]
    fn columns_are_known_before_the_run() {
        let (_dir, session) = session();
        let prepared = prepare(&session, "SELECT *, count(*) OVER (), sum(n) OVER (), n AS \"N\", 1 FROM cpu").unwrap();
        let names: Vec<_> = prepared.columns().iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["time", "host", "usage", "n", "count", "sum", "N", "?column?"]);
        let batches = run(&session, &prepared, &[]).unwrap();
        let (schema, columns) = (batches[0].schema(), prepared.columns());
        let planned =
            schema.fields().iter().zip(columns).all(|(f, c)| f.data_type() == &c.data_type && f.name() == &c.name);
        assert!(planned, "{schema:?} is not {columns:?}");
        assert!(prepared.returns_rows());
        assert!(!prepare(&session, "DROP TABLE cpu").unwrap().returns_rows());
    }

    #[test]
    fn zones_label_time() {
        let (_dir, mut session) = session();
        let before = prepare(&session, "SELECT time FROM cpu").unwrap();
        session.set_time_zone("Europe/Berlin").unwrap();
        let prepared = prepare(&session, "SELECT time FROM cpu WHERE time < '2024-01-01 01:00:01'").unwrap();
        let berlin = DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Berlin".into()));
        assert_eq!(prepared.columns()[0].data_type, berlin);
        assert_eq!(run(&session, &prepared, &[]).unwrap()[0].num_rows(), 1);
        assert_eq!(run(&session, &before, &[]).unwrap()[0].column(0).data_type(), &berlin);
        assert!(matches!(session.set_time_zone("Mars/Olympus"), Err(Error::InvalidParameter { .. })));
        session.set_time_zone("+05:30").unwrap();
    }

    #[test]
    fn an_answer_without_rows_still_has_columns() {
        let (_dir, session) = session();
        let batches = session.execute("SELECT time, n FROM cpu WHERE host = 'nobody'", 0).unwrap();
        assert_eq!(batches[0].schema().field(1).name(), "n");
        assert!(session.execute("", 0).unwrap().is_empty());
        assert!(session.execute("DROP TABLE cpu", 0).unwrap().is_empty());
    }
}
