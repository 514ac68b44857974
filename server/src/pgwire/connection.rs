//! One connection: its messages in turn, each carried out under the eyes of whoever may stop it.
//!
//! Invariants
//! - Whoever sends `Query` or `Sync` gets exactly one `ReadyForQuery`, whatever goes wrong short of the connection.
//! - After an error in the extended protocol nothing is done until `Sync`.
//! - While a statement runs, the connection still sees a cancel request, the client's leaving, the statement's timeout and the
//!   server's stop. Each drops the running statement, and its work with it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use pgwire::messages::PgWireFrontendMessage;
use pgwire::messages::copy::{CopyInResponse, CopyOutResponse};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, ReadyForQuery};
use pgwire::messages::startup::ParameterStatus;
use plimsoll_query::{CopyFormat, CopyIn, CopyOptions, Notification, Outcome};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cancel::Cancel;
use super::columns::Format;
use super::command::{rows_tag, writes};
use super::copy::{Copying, out};
use super::cursor::{Declaration, Fetch, no_cursor};
use super::rows::{Rows, SendError, Sending, Sent};
use super::session::{Arguments, Life, Portal, Progress, Session};
use super::sqlstate::{SqlError, code};
use super::startup::{Client, greet};
use super::statement::{Plan, Planned};
use super::system;
use super::wire::{Reader, WireError, Writer};
use super::{Input, Output, Shared, telemetry};

/// A client's connection, from its greeting on.
pub(crate) struct Connection {
    pub(super) reader: Reader<Input>,
    pub(super) writer: Writer<Output>,
    pub(super) session: Session,
    pub(super) shared: Arc<Shared>,
    cancel: Cancel,
    /// An error was met: everything up to `Sync` is passed over.
    pub(super) skipping: bool,
}

/// Why something that was under way came to its end.
pub(crate) enum Stop {
    /// It failed; the connection goes on.
    Error(SqlError),
    /// The client is gone.
    Closed,
    /// The server goes, or the client breaks the protocol: it is told, and the connection ends.
    Fatal(SqlError),
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Stop {
        Stop::Error(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(_: std::io::Error) -> Stop {
        Stop::Closed
    }
}

impl From<SendError> for Stop {
    fn from(error: SendError) -> Stop {
        match error {
            SendError::Sql(error) => Stop::Error(error),
            SendError::Closed => Stop::Closed,
        }
    }
}

/// How an execution came to its end for now.
pub(crate) enum Completion {
    /// There was nothing to execute.
    Empty,
    /// It is done; the command tag.
    Done(String),
    /// The rows asked for are sent, there may be more.
    Suspended,
}

impl Connection {
    pub(crate) fn new(
        reader: Reader<Input>,
        mut writer: Writer<Output>,
        client: &Client,
        cancel: Cancel,
        shared: Arc<Shared>,
    ) -> Connection {
        greet(client, &cancel, &mut writer);
        let session = Session::new(shared.database.clone(), client, cancel.pid());
        Connection { reader, writer, session, shared, cancel, skipping: false }
    }

    /// Serves the client until it leaves or has to.
    pub(crate) async fn serve(mut self) {
        if let Err(Stop::Fatal(error)) = self.messages().await {
            self.writer.put(&error.response());
            // The client may not be reading; its connection is about to go either way.
            let _ = tokio::time::timeout(self.shared.limits.farewell, self.writer.flush()).await;
        }
        let _ = self.writer.shutdown().await;
    }

    async fn messages(&mut self) -> Result<(), Stop> {
        self.ready().await?;
        while let Some(message) = self.next().await? {
            self.cancel.forget();
            let is_query = matches!(message, PgWireFrontendMessage::Query(_));
            let is_sync = matches!(message, PgWireFrontendMessage::Sync(_));
            if self.skipping && !is_sync && !matches!(message, PgWireFrontendMessage::Terminate(_)) {
                continue;
            }
            if matches!(message, PgWireFrontendMessage::Terminate(_)) {
                return Ok(());
            }
            let handled = AssertUnwindSafe(self.handle(message)).catch_unwind().await;
            match handled.unwrap_or_else(|panic| Err(Stop::Error(from_panic(&*panic)))) {
                Ok(()) => {}
                Err(Stop::Error(error)) => self.refuse(&error, is_query || is_sync).await?,
                Err(stop) => return Err(stop),
            }
        }
        Ok(())
    }

    /// The next message; `None` when the client has left. The server's stop ends the wait.
    async fn next(&mut self) -> Result<Option<PgWireFrontendMessage>, Stop> {
        loop {
            let message = tokio::select! {
                biased;
                () = self.shared.stopping.cancelled() => return Err(Stop::Fatal(stopping())),
                message = self.reader.message() => message,
                came = next_in(&mut self.session.inbox) => {
                    self.put_heard(came);
                    self.flush().await?;
                    continue;
                }
            };
            match message {
                Ok(message) => return Ok(message),
                Err(WireError::Gone) => return Err(Stop::Closed),
                Err(WireError::Protocol(error)) => return Err(Stop::Fatal(error)),
                Err(WireError::Text { .. }) if self.skipping => {}
                Err(WireError::Text { kind, error }) => self.refuse(&error, kind == b'Q').await?,
            }
        }
    }

    async fn handle(&mut self, message: PgWireFrontendMessage) -> Result<(), Stop> {
        match message {
            PgWireFrontendMessage::Query(query) => return self.query(&query.query).await,
            PgWireFrontendMessage::Parse(parse) => self.parse(parse)?,
            PgWireFrontendMessage::Bind(bind) => self.bind(&bind)?,
            PgWireFrontendMessage::Describe(describe) => self.describe(&describe)?,
            PgWireFrontendMessage::Execute(execute) => self.execute_portal(&execute).await?,
            PgWireFrontendMessage::Close(close) => self.close(&close),
            PgWireFrontendMessage::Flush(_) => return self.flush().await,
            PgWireFrontendMessage::Sync(_) => {
                self.skipping = false;
                self.session.end_implicit();
                return self.ready().await;
            }
            // What is left of a COPY that failed.
            PgWireFrontendMessage::CopyData(_)
            | PgWireFrontendMessage::CopyDone(_)
            | PgWireFrontendMessage::CopyFail(_) => {}
            _ => return Err(Stop::Fatal(SqlError::protocol("unexpected message"))),
        }
        self.flush_if_full().await
    }

    /// Tells the client of an error. In the simple protocol that ends the query, in the extended one it lasts until `Sync`.
    async fn refuse(&mut self, error: &SqlError, ends_here: bool) -> Result<(), Stop> {
        if error.code == code::INTERNAL {
            tracing::error!(pid = self.cancel.pid(), error = error.message, "a statement failed in the server");
        }
        self.session.fail();
        self.put_notices();
        self.writer.put(&error.response());
        if ends_here {
            self.skipping = false;
            self.session.end_implicit();
            return self.ready().await;
        }
        self.skipping = true;
        self.flush_if_full().await
    }

    /// Tells the client that it is its turn, and of settings that changed.
    pub(super) async fn ready(&mut self) -> Result<(), Stop> {
        for (name, value) in self.session.news() {
            self.writer.put(&ParameterStatus::new(name.to_owned(), value));
        }
        while let Some(came) = self.session.inbox.as_mut().and_then(taken) {
            self.put_heard(came);
        }
        self.writer.put(&ReadyForQuery::new(self.session.status()));
        self.flush().await
    }

    /// Tells the client of a notification, if it listens.
    fn put_heard(&mut self, came: Result<Arc<Notification>, RecvError>) {
        if let Some(response) = self.session.heard(came) {
            self.writer.put(&response);
        }
        self.put_notices();
    }

    /// Sends what is queued, unless the server has to go before the client reads it.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        tokio::select! {
            sent = self.writer.flush() => Ok(sent?),
            () = self.shared.killed.cancelled() => Err(Stop::Closed),
        }
    }

    async fn flush_if_full(&mut self) -> Result<(), Stop> {
        tokio::select! {
            sent = self.writer.flush_if_full() => Ok(sent?),
            () = self.shared.killed.cancelled() => Err(Stop::Closed),
        }
    }

    pub(super) fn put_notices(&mut self) {
        for notice in self.session.take_notices() {
            self.writer.put(&notice.notice());
        }
    }

    /// Tells the client what it should know of what it has asked for.
    fn put_warning(&mut self, notice: Option<&str>) {
        if let Some(notice) = notice {
            self.session.warn(code::WARNING, notice);
            self.put_notices();
        }
    }

    /// Executes a portal, or goes on with it: at most `rows_max` rows.
    pub(super) async fn execute(&mut self, portal: &mut Portal, rows_max: u64) -> Result<Completion, Stop> {
        let started = Instant::now();
        let outcome = self.execute_unmetered(portal, rows_max).await;
        telemetry::statement(portal.planned.kind(), outcome.is_ok(), started.elapsed());
        outcome
    }

    async fn execute_unmetered(&mut self, portal: &mut Portal, rows_max: u64) -> Result<Completion, Stop> {
        let command = match &portal.planned.plan {
            Plan::Empty => return Ok(Completion::Empty),
            Plan::Command(command) => Some(command),
            _ => None,
        };
        self.session.check_not_failed(command)?;
        let deadline = self.session.settings.statement_timeout().map(|timeout| Instant::now() + timeout);
        if let Plan::Fetch(fetch) = &Arc::clone(&portal.planned).plan {
            return self.fetch(portal, fetch, rows_max, deadline).await;
        }
        if matches!(portal.progress, Progress::Bound) {
            // Left so when the start fails: a portal is started once.
            portal.progress = Progress::Finished;
            if let Some(tag) = self.start(portal, deadline).await? {
                return Ok(Completion::Done(tag));
            }
        }
        self.send_rows(portal, rows_max, deadline).await
    }

    /// Starts a portal. A command is done with that and gives its tag.
    async fn start(&mut self, portal: &mut Portal, deadline: Option<Instant>) -> Result<Option<String>, Stop> {
        let planned = Arc::clone(&portal.planned);
        match (&planned.plan, &portal.arguments) {
            (Plan::Command(command), _) => {
                let reply = self.session.perform(command)?;
                self.put_notices();
                let Some(answer) = reply.answer else { return Ok(Some(reply.tag)) };
                portal.progress = Progress::Running(Rows::answer(answer));
            }
            (Plan::Catalog(statement), Arguments::Catalog(arguments)) => {
                let (text, parameters, times) = (&planned.text, &planned.parameters, self.shared.times());
                let answer = system::execute(&mut self.session, statement, text, parameters, arguments, times)?;
                if answer.sleep_s > 0.0 {
                    let Connection { reader, cancel, shared, .. } = self;
                    let time = Duration::try_from_secs_f64(answer.sleep_s).unwrap_or(Duration::MAX);
                    let slept = tokio::time::sleep(time).map(Ok);
                    watched(slept, reader, cancel, &shared.killed, deadline).await?;
                }
                portal.progress = Progress::Running(Rows::answer(answer));
            }
            (Plan::Copy(target), _) => {
                self.session.check_may_write("COPY FROM")?;
                let rows = self.copy_in(target, deadline).await?;
                return Ok(Some(format!("COPY {rows}")));
            }
            (Plan::CopyOut { query, options }, arguments) => {
                let rows = self.copy_out(query, options, arguments, deadline).await?;
                return Ok(Some(format!("COPY {rows}")));
            }
            (Plan::Declare(declaration), arguments) => {
                self.declare(declaration, arguments, deadline).await?;
                return Ok(Some("DECLARE CURSOR".to_owned()));
            }
            (Plan::Query { statement, prepared }, Arguments::Query(arguments)) => {
                if let Some(word) = writes(statement) {
                    self.session.check_may_write(word)?;
                }
                let now_ns = self.shared.times().now_ns;
                let Connection { reader, session, cancel, shared, .. } = self;
                let work =
                    session.query.run(prepared, arguments, now_ns).map(|outcome| Ok(outcome.map_err(SqlError::from)?));
                match watched(work, reader, cancel, &shared.killed, deadline).await? {
                    Outcome::Done(command) => {
                        self.put_warning(command.notice());
                        return Ok(Some(command.to_string()));
                    }
                    Outcome::Rows { stream, notice } => {
                        self.put_warning(notice.as_deref());
                        portal.progress = Progress::Running(Rows::stream(stream));
                    }
                }
            }
            _ => return Err(SqlError::new(code::INTERNAL, "the portal's parameters are not its statement's").into()),
        }
        Ok(None)
    }

    /// Starts a statement that gives rows, inside of another one.
    async fn started(
        &mut self,
        query: &Arc<Planned>,
        arguments: &Arguments,
        format: Format,
        life: Life,
        deadline: Option<Instant>,
    ) -> Result<Portal, Stop> {
        let formats = vec![format; query.columns.as_ref().map_or(0, Vec::len)];
        let (planned, arguments) = (Arc::clone(query), arguments.clone());
        let mut portal = Portal { planned, arguments, formats, progress: Progress::Finished, life };
        Box::pin(self.start(&mut portal, deadline)).await?;
        Ok(portal)
    }

    /// Makes a cursor. Its query runs from now on, and sees what is there now.
    async fn declare(
        &mut self,
        declaration: &Declaration,
        arguments: &Arguments,
        deadline: Option<Instant>,
    ) -> Result<(), Stop> {
        let life = self.session.life_of_cursor(declaration.hold)?;
        let portals_max = self.shared.limits.portals_max;
        self.session.check_cursor(&declaration.name, portals_max)?;
        let portal = self.started(&declaration.query, arguments, Format::Text, life, deadline).await?;
        Ok(self.session.add_cursor(&declaration.name, portal, portals_max)?)
    }

    /// Takes rows from a cursor, in the formats of the portal that asks. After an error the cursor is gone.
    async fn fetch(
        &mut self,
        portal: &mut Portal,
        fetch: &Fetch,
        rows_max: u64,
        deadline: Option<Instant>,
    ) -> Result<Completion, Stop> {
        let (left, taken) = match std::mem::replace(&mut portal.progress, Progress::Finished) {
            Progress::Bound => (fetch.rows, 0),
            Progress::Fetching { left, taken } => (left, taken),
            _ => return Ok(Completion::Done(fetch.tag(0))),
        };
        let mut cursor = self.session.portals.remove(&fetch.cursor).ok_or_else(|| no_cursor(&fetch.cursor))?;
        if !fetch.moves && cursor.planned.columns != portal.planned.columns {
            return Err(SqlError::unsupported("cached plan must not change result type").into());
        }
        if matches!(cursor.progress, Progress::Bound) {
            cursor.progress = Progress::Finished;
            Box::pin(self.start(&mut cursor, deadline)).await?;
        }
        let count = left.min(rows_max);
        let sent = match (&mut cursor.progress, fetch.moves) {
            (Progress::Running(rows), false) => {
                let Connection { reader, writer, session, cancel, shared, .. } = self;
                let columns = portal.planned.columns.as_deref().unwrap_or_default();
                let (formats, zone) = (portal.formats.as_slice(), &session.zone);
                let how = Sending { columns, formats, zone, rows_max: count, is_eager: false, copy: None };
                let work = rows.send(&how, writer).map(|sent| sent.map_err(Stop::from));
                watched(work, reader, cancel, &shared.killed, deadline).await?
            }
            (Progress::Running(rows), true) => {
                let Connection { reader, cancel, shared, .. } = self;
                let columns = cursor.planned.columns.as_deref().unwrap_or_default();
                let work = rows.pass(columns, left).map(|sent| sent.map_err(Stop::from));
                watched(work, reader, cancel, &shared.killed, deadline).await?
            }
            _ => Sent { rows: 0, finished: true },
        };
        if sent.finished {
            cursor.progress = Progress::Finished;
        }
        self.session.portals.insert(fetch.cursor.clone(), cursor);
        let taken = taken + sent.rows;
        if !sent.finished && sent.rows < left && !fetch.moves {
            portal.progress = Progress::Fetching { left: left - sent.rows, taken };
            return Ok(Completion::Suspended);
        }
        Ok(Completion::Done(fetch.tag(taken)))
    }

    /// Sends the rows of a query as a COPY; gives their number.
    async fn copy_out(
        &mut self,
        query: &Arc<Planned>,
        options: &CopyOptions,
        arguments: &Arguments,
        deadline: Option<Instant>,
    ) -> Result<u64, Stop> {
        let format = if options.format == CopyFormat::Binary { Format::Binary } else { Format::Text };
        let mut portal = self.started(query, arguments, format, Life::Transaction, deadline).await?;
        let columns = query.columns.as_deref().unwrap_or_default();
        let code = i8::from(format == Format::Binary);
        self.writer.put(&CopyOutResponse::new(code, columns.len() as i16, vec![i16::from(code); columns.len()]));
        out::put_names(columns.iter().map(|column| column.name.as_str()), options, &mut self.writer.out);
        let Connection { reader, writer, session, cancel, shared, .. } = self;
        let (formats, zone) = (portal.formats.as_slice(), &session.zone);
        let is_eager = query.is_subscription();
        let how = Sending { columns, formats, zone, rows_max: u64::MAX, is_eager, copy: Some(options) };
        let Progress::Running(rows) = &mut portal.progress else {
            return Err(SqlError::new(code::INTERNAL, "a query gave no rows to copy").into());
        };
        let work = rows.send(&how, writer).map(|sent| sent.map_err(Stop::from));
        let sent = watched(work, reader, cancel, &shared.killed, deadline).await?;
        telemetry::rows(sent.rows);
        out::put_end(options, sent.rows, &mut self.writer.out);
        Ok(sent.rows)
    }

    /// Takes the rows of a COPY from the client; gives their number.
    async fn copy_in(&mut self, target: &CopyIn, deadline: Option<Instant>) -> Result<u64, Stop> {
        let format = i8::from(target.options.format == CopyFormat::Binary);
        let columns = target.schema().fields().len();
        self.writer.put(&CopyInResponse::new(format, columns as i16, vec![i16::from(format); columns]));
        self.flush().await?;
        let mut copying = Copying::new(target, &self.session.zone, self.shared.times().now_ns);
        let taken = self.take_copy(&mut copying, deadline).await;
        match taken {
            Ok(()) => {
                let Connection { cancel, shared, .. } = self;
                Ok(unless_stopped(copying.finish().map(|rows| Ok(rows?)), cancel, &shared.killed, deadline).await?)
            }
            Err(Stop::Error(error)) => Err(Stop::Error(copying.explain(error).await)),
            Err(stop) => Err(stop),
        }
    }

    async fn take_copy(&mut self, copying: &mut Copying, deadline: Option<Instant>) -> Result<(), Stop> {
        let Connection { reader, cancel, shared, .. } = self;
        loop {
            let message = reader.message().map(|message| match message {
                Ok(Some(message)) => Ok(message),
                Ok(None) | Err(WireError::Gone) => Err(Stop::Closed),
                Err(WireError::Protocol(error)) => Err(Stop::Fatal(error)),
                Err(WireError::Text { error, .. }) => Err(Stop::Error(error)),
            });
            match unless_stopped(message, cancel, &shared.killed, deadline).await? {
                PgWireFrontendMessage::CopyData(data) => {
                    let fed = copying.feed(&data.data).map(|fed| Ok(fed?));
                    unless_stopped(fed, cancel, &shared.killed, deadline).await?;
                }
                PgWireFrontendMessage::CopyDone(_) => return Ok(()),
                PgWireFrontendMessage::CopyFail(fail) => {
                    let message = format!("COPY from stdin failed: {}", fail.message);
                    return Err(SqlError::new(code::QUERY_CANCELED, message).into());
                }
                // Clients may send these while they copy.
                PgWireFrontendMessage::Flush(_) | PgWireFrontendMessage::Sync(_) => {}
                PgWireFrontendMessage::Terminate(_) => return Err(Stop::Closed),
                _ => {
                    let message = "unexpected message type during COPY from stdin";
                    return Err(Stop::Fatal(SqlError::protocol(message)));
                }
            }
        }
    }

    async fn send_rows(
        &mut self,
        portal: &mut Portal,
        rows_max: u64,
        deadline: Option<Instant>,
    ) -> Result<Completion, Stop> {
        let tag = tag_of(&portal.planned);
        let Progress::Running(mut rows) = std::mem::replace(&mut portal.progress, Progress::Finished) else {
            return Ok(Completion::Done(with_rows(tag, 0)));
        };
        let Connection { reader, writer, session, cancel, shared, .. } = self;
        let columns = portal.planned.columns.as_deref().unwrap_or_default();
        let is_eager = portal.planned.is_subscription();
        let how = Sending { columns, formats: &portal.formats, zone: &session.zone, rows_max, is_eager, copy: None };
        let work = rows.send(&how, writer).map(|sent| sent.map_err(Stop::from));
        let sent = watched(work, reader, cancel, &shared.killed, deadline).await?;
        telemetry::rows(sent.rows);
        if sent.finished {
            return Ok(Completion::Done(with_rows(tag, sent.rows)));
        }
        portal.progress = Progress::Running(rows);
        Ok(Completion::Suspended)
    }

    /// Queues the message that ends an execution.
    pub(super) fn put_completion(&mut self, completion: Completion) {
        match completion {
            Completion::Empty => self.writer.put(&EmptyQueryResponse::new()),
            Completion::Done(tag) => self.writer.put(&CommandComplete::new(tag)),
            Completion::Suspended => self.writer.put(&pgwire::messages::extendedquery::PortalSuspended::new()),
        }
    }

    /// Plans a statement. `declared` are the types of the first parameters, 0 where they are to be inferred.
    pub(super) fn plan(
        &self,
        statement: &plimsoll_query::Statement,
        text: &Arc<str>,
        declared: &[u32],
    ) -> Result<Planned, SqlError> {
        super::planning::plan(&self.session, statement, text, declared, self.shared.times())
    }
}

/// The next notification; never one for those who do not listen.
async fn next_in(inbox: &mut Option<Receiver<Arc<Notification>>>) -> Result<Arc<Notification>, RecvError> {
    match inbox {
        Some(inbox) => inbox.recv().await,
        None => std::future::pending().await,
    }
}

/// A notification that is there already.
fn taken(inbox: &mut Receiver<Arc<Notification>>) -> Option<Result<Arc<Notification>, RecvError>> {
    match inbox.try_recv() {
        Ok(notification) => Some(Ok(notification)),
        Err(TryRecvError::Lagged(lost)) => Some(Err(RecvError::Lagged(lost))),
        Err(TryRecvError::Empty | TryRecvError::Closed) => None,
    }
}

/// As [`unless_stopped`], for work during which the client sends nothing and may leave.
async fn watched<T>(
    work: impl Future<Output = Result<T, Stop>>,
    reader: &mut Reader<Input>,
    cancel: &Cancel,
    killed: &CancellationToken,
    deadline: Option<Instant>,
) -> Result<T, Stop> {
    let work = async {
        tokio::select! {
            biased;
            done = work => done,
            () = reader.closed() => Err(Stop::Closed),
        }
    };
    unless_stopped(work, cancel, killed, deadline).await
}

/// Does the work, unless one of those who may stops it. What it has queued for the client stays.
async fn unless_stopped<T>(
    work: impl Future<Output = Result<T, Stop>>,
    cancel: &Cancel,
    killed: &CancellationToken,
    deadline: Option<Instant>,
) -> Result<T, Stop> {
    let timeout = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    let canceled =
        |why: &str| Stop::Error(SqlError::new(code::QUERY_CANCELED, format!("canceling statement due to {why}")));
    tokio::select! {
        biased;
        () = cancel.requested() => Err(canceled("user request")),
        () = timeout => Err(canceled("statement timeout")),
        () = killed.cancelled() => Err(Stop::Fatal(stopping())),
        done = work => done,
    }
}

/// What every client is told when the server stops.
fn stopping() -> SqlError {
    SqlError::fatal(code::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}

fn from_panic(panic: &(dyn std::any::Any + Send)) -> SqlError {
    let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned());
    SqlError::new(code::INTERNAL, format!("internal error: {said}"))
}

/// The tag of a statement that gives rows; `None` where it counts them.
fn tag_of(planned: &Planned) -> Option<&'static str> {
    match &planned.plan {
        Plan::Command(_) => Some("SHOW"),
        Plan::Query { statement, .. } => match statement.ast() {
            Some(ast) => rows_tag(ast),
            None => statement.dialect_tag().filter(|tag| *tag == "SHOW"),
        },
        Plan::Catalog(ast) => rows_tag(ast),
        Plan::Empty | Plan::Copy(_) | Plan::CopyOut { .. } | Plan::Declare(_) | Plan::Fetch(_) => None,
    }
}

fn with_rows(tag: Option<&str>, rows: u64) -> String {
    tag.map_or_else(|| format!("SELECT {rows}"), str::to_owned)
}

/// The format of each column from the codes of `Bind`: none is text, one is for all.
pub(super) fn formats(codes: &[i16], columns: usize) -> Result<Vec<Format>, SqlError> {
    let format = |code: &i16| match code {
        0 => Ok(Format::Text),
        1 => Ok(Format::Binary),
        other => Err(SqlError::new(code::INVALID_PARAMETER_VALUE, format!("unsupported format code: {other}"))),
    };
    match codes {
        [] => Ok(vec![Format::Text; columns]),
        [all] => Ok(vec![format(all)?; columns]),
        codes if codes.len() == columns => codes.iter().map(format).collect(),
        codes => {
            let message = format!("bind message has {} result formats but query has {columns} columns", codes.len());
            Err(SqlError::new("08P01", message))
        }
    }
}
