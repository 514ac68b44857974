//! `plimsoll sql`: statements on a data directory, without a server.

mod describe;
mod print;
mod report;
mod shell;
mod table;
mod values;

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use plimsoll_engine::Engine;
use plimsoll_engine::env::{Clock, SystemClock};
use plimsoll_query::{Error as QueryError, Outcome, Prepared, Session, Statement};

use super::{SqlArgs, load, runtime};
use crate::pgwire::Zone;
use crate::{Config, Error, Result, storage, telemetry};
use print::{Heading, Printer};

pub(super) use print::Format;
pub(super) use values::Values;

pub(super) fn run(args: SqlArgs, environment: Vec<(String, String)>) -> Result<()> {
    let (config, _not_ours) = load(Config::default(), args.config, None, environment)?;
    telemetry::start_logging(config.log, "warn");
    if !config.data.is_dir() {
        return Err(Error::Usage(format!("there is no data directory {}", config.data.display())));
    }
    let engine = storage::open_engine(&config, &(Arc::new(SystemClock) as Arc<dyn Clock>))?;
    let database = storage::open_database(&config, &engine)?;
    let asked = Asked { runtime: runtime()?, engine, session: database.session(), format: args.format };
    let outcome = answer(&asked, &args.command, args.file.as_deref());
    if let Err(error) = storage::settle(&asked.engine) {
        tracing::warn!(%error, "what was acknowledged is in the log, but could not be flushed");
    }
    outcome
}

fn answer(asked: &Asked, commands: &[String], file: Option<&Path>) -> Result<()> {
    let mut texts = commands.to_vec();
    texts.extend(file.map(read).transpose()?);
    if texts.is_empty() {
        if io::stdin().is_terminal() {
            return shell::run(asked);
        }
        texts.push(read(Path::new("-"))?);
    }
    texts.iter().try_for_each(|text| asked.runtime.block_on(asked.print(text)))
}

fn read(file: &Path) -> Result<String> {
    let mut text = String::new();
    let text = match file.to_str() {
        Some("-") => io::stdin().read_to_string(&mut text).map(|_| text),
        _ => fs::read_to_string(file),
    };
    text.map_err(|source| Error::io("cannot read", file, source))
}

/// Whom to ask, and how the answer should look.
struct Asked {
    runtime: tokio::runtime::Runtime,
    engine: Arc<Engine>,
    session: Session,
    format: Format,
}

impl Asked {
    /// Runs the statements of a text and prints their answers; stops at the first error, which is printed too.
    async fn print(&self, text: &str) -> Result<()> {
        let statements = match plimsoll_query::parse(text) {
            Ok(statements) => statements,
            Err(error) => return fail(text, &error),
        };
        let mut out = io::BufWriter::new(io::stdout().lock());
        for statement in &statements {
            if let Err(failure) =
                print_statement(&self.session, statement, self.format, SystemClock.now_ns(), &mut out).await
            {
                out.flush().map_err(Error::Output)?;
                return match failure {
                    Failure::Statement(error) => fail(text, &error),
                    Failure::Output(error) => Err(Error::Output(error)),
                };
            }
        }
        out.flush().map_err(Error::Output)
    }
}

fn fail(text: &str, error: &QueryError) -> Result<()> {
    let mut err = io::stderr().lock();
    let _nowhere_to_say_it = writeln!(err, "{}", report::report(text, error));
    Err(Error::Reported)
}

/// Why a statement gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// It failed.
    Statement(QueryError),
    /// Its answer could not be written.
    Output(io::Error),
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Failure {
        Failure::Statement(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Statement(error) => Error::Query(error),
            Failure::Output(error) => Error::Output(error),
        }
    }
}

/// Runs one statement at a time (nanoseconds since the Unix epoch) and prints its rows or its command tag.
pub(super) async fn print_statement(
    session: &Session,
    statement: &Statement,
    format: Format,
    now_ns: i64,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let prepared = session.prepare(statement, &[], now_ns)?;
    match session.run(&prepared, &[], now_ns).await? {
        // Only rows are data: a command tag would spoil a CSV or JSON file.
        Outcome::Done(command) => {
            if let Some(notice) = command.notice() {
                writeln!(std::io::stderr(), "WARNING:  {notice}")?;
            }
            match format {
                Format::Table => Ok(writeln!(out, "{command}")?),
                _ => Ok(()),
            }
        }
        Outcome::Rows { mut stream, notice } => {
            if let Some(notice) = notice {
                writeln!(std::io::stderr(), "WARNING:  {notice}")?;
            }
            let (mut printer, zone) = (Printer::new(format, headings(&prepared), out), Zone::default());
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(QueryError::from)?;
                let values = Values::new(&batch, &zone).map_err(QueryError::Internal)?;
                values.rows().try_for_each(|row| printer.push(row))?;
            }
            Ok(printer.finish()?)
        }
    }
}

fn headings(prepared: &Prepared) -> Vec<Heading> {
    let columns = prepared.columns().iter();
    columns.map(|column| Heading::new(&column.name, values::kind(&column.data_type))).collect()
}
