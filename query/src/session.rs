//! A session: the settings of one connection, and the two steps of a statement, prepare and run.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::execution::context::ExecutionProps;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use futures::TryStreamExt;
use plimsoll_engine::{Engine, Options, Snapshot};

use crate::database::Settings;
use crate::lower::{Lowering, locate};
use crate::plan::Plan;
use crate::source::RunSnapshot;
use crate::stack::{OnDeepStack, STACK_BYTES, on_deep_stack};
use crate::{Database, DatabaseOptions, Error, Result, Statement};

/// One connection's view of a database.
#[derive(Debug, Clone)]
pub struct Session {
    database: Database,
    settings: Arc<Settings>,
}

impl Session {
    pub(crate) fn new(database: Database, settings: Arc<Settings>) -> Session {
        Session { database, settings }
    }

    /// Opens a data directory for use inside a program, without a server.
    ///
    /// # Errors
    /// [`Error::Engine`] when the directory cannot be opened.
    pub fn open(dir: &Path) -> Result<Session> {
        let engine = Engine::open(dir, Options::default())?;
        Ok(Database::new(Arc::new(engine), &DatabaseOptions::default())?.session())
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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.database.threads())
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|e| Error::Internal(format!("cannot start threads: {e}")))?;
        runtime.block_on(async {
            let mut last = Vec::new();
            for statement in &statements {
                let prepared = self.prepare(statement, &[], now_ns)?;
                if let Outcome::Rows(stream) = self.run(&prepared, &[], now_ns).await? {
                    last = collect(stream).await?;
                }
            }
            Ok(last)
        })
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
        let snapshot = self.database.engine().snapshot();
        let state = self.state(&snapshot, now_ns);
        let lowering = Lowering { settings: &self.settings, state: &state, snapshot: &snapshot };
        let (plan, columns, parameters) =
            on_deep_stack(|| Plan::new(statement, &lowering, parameter_types).map_err(|e| locate(e, statement.ast())))?;
        let zone = self.settings.time_zone.clone();
        Ok(Prepared { inner: Arc::new(Inner { statement: statement.clone(), plan, columns, parameters, zone }) })
    }

    /// Runs a prepared statement on a snapshot taken now.
    ///
    /// # Errors
    /// Errors that are known before the first row; later ones come through the stream.
    pub async fn run(&self, prepared: &Prepared, parameters: &[ScalarValue], now_ns: i64) -> Result<Outcome> {
        let snapshot = self.database.engine().snapshot();
        let state = self.state(&snapshot, now_ns);
        let fresh = self.refresh(prepared, &snapshot, now_ns)?;
        OnDeepStack(Box::pin(fresh.inner.plan.run(&fresh, parameters, &state, self.database.engine()))).await
    }

    /// The statement as planned, or planned anew when a table or the time zone has changed since.
    fn refresh(&self, prepared: &Prepared, snapshot: &Snapshot, now_ns: i64) -> Result<Prepared> {
        let inner = &prepared.inner;
        if inner.zone == self.settings.time_zone && inner.plan.fits(snapshot) {
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
        state.config_mut().set_extension(Arc::new(RunSnapshot(snapshot.clone())));
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

/// What a run gave.
pub enum Outcome {
    /// Rows, with the columns of [`Prepared::columns`] by position. Dropping the stream stops the work. Its errors become
    /// ours with `Error::from`.
    Rows(SendableRecordBatchStream),
    /// A command was carried out.
    Done(Command),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Rows(stream) => f.debug_tuple("Rows").field(&stream.schema()).finish(),
            Outcome::Done(command) => f.debug_tuple("Done").field(command).finish(),
        }
    }
}

/// A command that was carried out. Displays as PostgreSQL's command tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `CREATE TABLE`
    CreateTable,
    /// `DROP TABLE`
    DropTable,
    /// `INSERT 0 rows`
    Insert {
        /// Rows stored.
        rows: u64,
    },
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::CreateTable => f.write_str("CREATE TABLE"),
            Command::DropTable => f.write_str("DROP TABLE"),
            Command::Insert { rows } => write!(f, "INSERT 0 {rows}"),
        }
    }
}
