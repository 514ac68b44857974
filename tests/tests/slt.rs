//! Runs the scripts of `tests/slt`, each over a database of its own, in virtual time that begins at the Unix epoch.
//!
//! Statements that begin with a dot are for the harness:
//! - `.ingest LINES` stores line protocol; lines without a timestamp get the current time.
//! - `.advance 5m` moves time on (`s`, `m`, `h`, `d`).
//! - `.tick` evaluates alerts at the current time and does what follows; `.tick 5m 1m` does so for five minutes, each minute.
//! - `.deliver` notes all events that are due as delivered; `.deliver gone` that their sinks are gone, `.deliver later` that they
//!   failed, `.deliver dead` that they are given up.
//! - `.maintain` does upkeep at the current time until none is left.
//! - `.flush` writes everything to segments; `.restart` closes the database and opens it again.
//! - `.memory 8388608` opens it again with that many bytes for queries.
//! - `.zone Europe/Berlin` sets the time zone of the session, `.user alice` who it speaks for, until it is opened again.
//!
//! The examples of some pages of `docs` are run as well, one after the other over a database for each page; what they answer is
//! for their readers.
//!
//! Arguments choose scripts by a part of their name; `--complete` writes what came out into the scripts as expected.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use plimsoll::ingest::Loader;
use plimsoll::ingest::line_protocol::Precision;
use plimsoll_engine::{Engine, Options};
use plimsoll_query::{Database, DatabaseOptions, Session, Settled};
use sqllogictest::{
    DB, DBOutput, DefaultColumnType, Runner, default_normalizer, default_validator, strict_column_validator,
};
use tempfile::TempDir;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let complete = arguments.iter().any(|argument| argument == "--complete");
    let names: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let mut out = io::stdout().lock();
    let mut failed = 0;
    for script in scripts().expect("tests/slt can be listed") {
        let shown = script.display().to_string();
        if !names.is_empty() && !names.iter().any(|name| shown.contains(name.as_str())) {
            continue;
        }
        let is_page = script.extension().is_some_and(|extension| extension == "md");
        let verdict = match if is_page { run_examples(&script) } else { run(&script, complete) } {
            Ok(()) => "ok".to_owned(),
            Err(error) => {
                failed += 1;
                format!("FAILED\n{error}")
            }
        };
        writeln!(out, "script {} ... {verdict}", script.file_name().unwrap_or_default().display())
            .expect("stdout is open");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn scripts() -> io::Result<Vec<PathBuf>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut scripts: Vec<PathBuf> =
        std::fs::read_dir(here.join("slt"))?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    scripts.extend(["alerting", "dialect", "ops", "sql"].map(|page| here.join(format!("../docs/{page}.md"))));
    scripts.sort();
    Ok(scripts)
}

/// Runs the blocks of SQL in a page.
fn run_examples(page: &Path) -> Result<(), Box<dyn Error>> {
    let text = std::fs::read_to_string(page)?;
    let mut world = World::new()?;
    for after in text.split("```sql\n").skip(1) {
        let block = after.split("```").next().unwrap_or_default();
        world.run(block).map_err(|error| format!("{error}\n[SQL] {block}"))?;
    }
    Ok(())
}

fn run(script: &Path, complete: bool) -> Result<(), Box<dyn Error>> {
    let mut runner = Runner::new(|| async { World::new() });
    runner.with_column_validator(strict_column_validator);
    if complete {
        let update =
            runner.update_test_file(script, " ", default_validator, default_normalizer, strict_column_validator);
        return futures::executor::block_on(update);
    }
    runner.run_file(script).map_err(|error| error.display(false).to_string().into())
}

/// A database in a directory of its own, and the time.
struct World {
    dir: TempDir,
    session: Option<Session>,
    options: DatabaseOptions,
    zone: String,
    now_ns: i64,
}

impl World {
    fn new() -> Result<World, Failure> {
        let options = DatabaseOptions { threads: 2, ..DatabaseOptions::default() };
        let dir = tempfile::tempdir().map_err(Failure::of)?;
        let mut world = World { dir, session: None, options, zone: "UTC".to_owned(), now_ns: 0 };
        world.restart()?;
        Ok(world)
    }

    fn restart(&mut self) -> Result<(), Failure> {
        self.session = None;
        let engine = Engine::open(self.dir.path(), Options::default()).map_err(Failure::of)?;
        let mut session = Database::new(Arc::new(engine), &self.options).map_err(Failure::of)?.session();
        session.set_time_zone(&self.zone).map_err(Failure::of)?;
        self.session = Some(session);
        Ok(())
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("a session is open between statements")
    }

    fn dot_command(&mut self, command: &str) -> Result<(), Failure> {
        let (name, argument) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match name {
            ".ingest" => self.ingest(argument),
            ".advance" => {
                self.now_ns += duration_ns(argument.trim())?;
                Ok(())
            }
            ".flush" => self.session().database().engine().flush().map_err(Failure::of),
            ".maintain" => self.maintain(),
            ".tick" => self.tick(argument.trim()),
            ".deliver" => self.deliver(argument.trim()),
            ".restart" => self.restart(),
            ".memory" => {
                self.options.memory_limit_bytes = argument.trim().parse().map_err(Failure::of)?;
                self.restart()
            }
            ".zone" => {
                self.zone = argument.trim().to_owned();
                self.session.as_mut().expect("open").set_time_zone(argument.trim()).map_err(Failure::of)
            }
            ".user" => {
                self.session.as_mut().expect("open").set_user(argument.trim());
                Ok(())
            }
            _ => Err(Failure(format!("unknown command {name}"))),
        }
    }

    /// Looks at alerts now, or every `step` for as long as `argument` says.
    fn tick(&mut self, argument: &str) -> Result<(), Failure> {
        let database = self.session().database().clone();
        if let Some((length, step)) = argument.split_once(char::is_whitespace) {
            let end_ns = self.now_ns + duration_ns(length.trim())?;
            while self.now_ns < end_ns {
                self.now_ns += duration_ns(step.trim())?;
                database.tick_blocking(self.now_ns).map_err(Failure::of)?;
            }
            return Ok(());
        }
        database.tick_blocking(self.now_ns).map_err(Failure::of).map(|_| ())
    }

    fn deliver(&mut self, outcome: &str) -> Result<(), Failure> {
        let now_ns = self.now_ns;
        let database = self.session().database().clone();
        for delivery in database.deliveries(now_ns).map_err(Failure::of)? {
            let settled = match outcome {
                "" => Settled::Delivered("200 OK".to_owned()),
                "later" => Settled::Later(now_ns + 1_000_000_000, "503".to_owned()),
                "dead" => Settled::Dead("400 no".to_owned()),
                "gone" => Settled::Gone("410 gone".to_owned()),
                other => return Err(Failure(format!("unknown outcome {other}"))),
            };
            database.settle(&delivery, &settled, now_ns).map_err(Failure::of)?;
        }
        Ok(())
    }

    fn maintain(&mut self) -> Result<(), Failure> {
        let engine = self.session().database().engine().clone();
        while engine.maintain(self.now_ns).map_err(Failure::of)?.more {}
        Ok(())
    }

    fn ingest(&mut self, lines: &str) -> Result<(), Failure> {
        let loader = Loader::new(self.session().database().clone());
        let loaded = loader.load(lines.as_bytes(), self.now_ns, Precision::Nanosecond);
        match (loaded.failure, loaded.refused) {
            (Some(error), _) => Err(Failure::of(error)),
            (None, Some(refused)) => Err(Failure(refused)),
            (None, None) => Ok(()),
        }
    }
}

impl DB for World {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        if sql.starts_with('.') {
            self.dot_command(sql)?;
            return Ok(DBOutput::StatementComplete(0));
        }
        let now_ns = self.now_ns;
        let batches = self.session().execute(sql, now_ns).map_err(|error| Failure::sql(&error))?;
        match batches.first() {
            None => Ok(DBOutput::StatementComplete(0)),
            Some(first) => {
                let types = first.schema().fields().iter().map(|field| column_type(field.data_type())).collect();
                let rows = batches.iter().map(rows).collect::<Result<Vec<_>, _>>()?.concat();
                Ok(DBOutput::Rows { types, rows })
            }
        }
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => DefaultColumnType::Text,
        integer if integer.is_integer() => DefaultColumnType::Integer,
        number if number.is_numeric() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Any,
    }
}

fn rows(batch: &RecordBatch) -> Result<Vec<Vec<String>>, Failure> {
    let format = FormatOptions::default()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &format))
        .collect::<Result<_, _>>()
        .map_err(Failure::of)?;
    let cell = |column: &ArrayFormatter<'_>, row| match column.value(row).to_string() {
        empty if empty.is_empty() => "(empty)".to_owned(),
        text => text,
    };
    Ok((0..batch.num_rows()).map(|row| columns.iter().map(|column| cell(column, row)).collect()).collect())
}

fn duration_ns(text: &str) -> Result<i64, Failure> {
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(Failure(format!("a duration is like 5m, not {text}"))),
    };
    let count: i64 = text[..text.len() - 1].parse().map_err(Failure::of)?;
    Ok(count * unit * 1_000_000_000)
}

/// What a script sees of an error: message, position and hint.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn of(error: impl Error) -> Failure {
        Failure(error.to_string())
    }

    fn sql(error: &plimsoll_query::Error) -> Failure {
        let mut text = error.to_string();
        if let Some(position) = error.position() {
            write!(text, " (at character {position})").expect("a string takes everything");
        }
        if let Some(hint) = error.hint() {
            write!(text, " (hint: {hint})").expect("a string takes everything");
        }
        Failure(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Failure {}
