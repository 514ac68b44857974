//! A session: the settings of one connection, and the two steps of a statement, prepare and run.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use plimsoll_engine::{Engine, Options};

use crate::{Database, DatabaseOptions, Error, Result, Statement};

/// One connection's view of a database.
#[derive(Debug, Clone)]
pub struct Session {
    database: Database,
    time_zone: Arc<str>,
}

impl Session {
    pub(crate) fn new(database: Database) -> Session {
        Session { database, time_zone: "UTC".into() }
    }

    /// Opens a data directory for use inside a program, without a server.
    ///
    /// # Errors
    /// [`Error::Engine`] when the directory cannot be opened.
    pub fn open(dir: &Path) -> Result<Session> {
        let engine = Engine::open(dir, Options::default())?;
        Ok(Database::new(Arc::new(engine), &DatabaseOptions::default())?.session())
    }

    /// Runs a text of one or more statements and waits. Gives the batches of the last statement that returns rows.
    /// `now_ns` is the current time, in nanoseconds since the Unix epoch. Must not be called from async code.
    ///
    /// # Errors
    /// The first error; statements before it have taken effect.
    pub fn execute(&self, _text: &str, _now_ns: i64) -> Result<Vec<RecordBatch>> {
        Ok(Vec::new())
    }

    /// Sets the zone in which text without an offset is read and days begin: an IANA name or an offset such as `+05:30`.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub fn set_time_zone(&mut self, zone: &str) -> Result<()> {
        self.time_zone = zone.into();
        Ok(())
    }

    /// Plans a statement against the tables there are now. `parameter_types` are those of `$1`, `$2`, ... as far as the
    /// client names them; the others are inferred.
    ///
    /// # Errors
    /// Whatever is wrong with the statement, with its position where one is known.
    pub fn prepare(
        &self,
        _statement: &Statement,
        _parameter_types: &[Option<DataType>],
        _now_ns: i64,
    ) -> Result<Prepared> {
        Ok(Prepared { columns: Arc::default(), parameters: Arc::default() })
    }

    /// Runs a prepared statement on a snapshot taken now.
    ///
    /// # Errors
    /// Errors that are known before the first row; later ones come through the stream.
    pub async fn run(&self, _prepared: &Prepared, _parameters: &[ScalarValue], _now_ns: i64) -> Result<Outcome> {
        Err(Error::Internal("nothing can be run yet".to_owned()))
    }
}

/// A planned statement, good for any number of runs.
#[derive(Debug, Clone)]
pub struct Prepared {
    columns: Arc<[OutputColumn]>,
    parameters: Arc<[DataType]>,
}

impl Prepared {
    /// The columns of the rows that it returns; none for a command.
    pub fn columns(&self) -> &[OutputColumn] {
        &self.columns
    }

    /// Types of `$1`, `$2`, ...
    pub fn parameters(&self) -> &[DataType] {
        &self.parameters
    }

    /// True for a statement that returns rows, be it none.
    pub fn returns_rows(&self) -> bool {
        !self.columns.is_empty()
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
