//! Statements of the dialect, carried out: definitions are checked, kept and dropped; questions about them are answered.
//!
//! A definition is planned and checked while the catalogue is held, so two connections that define at once see each other's.

use std::cell::Cell;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;

use crate::alert::Procedure;
use crate::catalog::{Changed, Definitions, Object, Reference};
use crate::database::Settings;
use crate::dialect::{Definition, Kind, RoleStatement, Statement, quoted};
use crate::lower::{Lowering, PUBLIC, Reader};
use crate::plan::now_ns;
use crate::privilege::{On, Rights, RowPolicy};
use crate::session::blocking;
use crate::source::RunSnapshot;
use crate::stack::on_deep_stack;
use crate::{Command, Database, Error, OutputColumn, Result, relation};

mod approval;
mod burn;
mod check;
mod create;
mod lineage;
mod overriding;
#[cfg(test)]
mod tests;

/// A statement of the dialect and all that it takes to carry it out.
#[derive(Debug, Clone)]
pub(crate) struct Defining {
    statement: Arc<Statement>,
    /// Characters before the statement in the text that it came from.
    offset: usize,
    settings: Arc<Settings>,
    actor: Arc<str>,
    /// The role whose rights it is done with; all rights without.
    role: Option<Arc<str>>,
}

/// What carrying a statement out gave.
pub(crate) enum Done {
    Command(Command),
    Rows(SendableRecordBatchStream),
}

impl Defining {
    pub(crate) fn new(
        statement: &Arc<Statement>,
        offset: usize,
        settings: &Arc<Settings>,
        actor: &Arc<str>,
        role: Option<&Arc<str>>,
    ) -> Defining {
        let (statement, settings, actor) = (statement.clone(), settings.clone(), actor.clone());
        Defining { statement, offset, settings, actor, role: role.cloned() }
    }

    /// The columns of the rows that it gives; none for a change of what is defined.
    pub(crate) fn columns(&self) -> Vec<OutputColumn> {
        let fields = match &*self.statement {
            Statement::ShowCreate { .. } => create::schema(),
            Statement::ShowLineage { .. } | Statement::ExplainLineage { .. } => lineage::schema(),
            _ => return Vec::new(),
        };
        fields.fields().iter().map(OutputColumn::of).collect()
    }

    /// What it changes, as the audit calls it; `None` for what changes nothing, or rows that the audit tells of itself.
    pub(crate) fn object(&self) -> Option<String> {
        match &*self.statement {
            Statement::Create { object, .. } => Some(format!("{} {}", object.kind().word(), object.name())),
            Statement::AlterSet { kind, name, .. } | Statement::Comment { kind, name, .. } => {
                Some(format!("{} {name}", kind.word()))
            }
            Statement::Drop { kind, names, .. } => Some(format!("{} {}", kind.word(), names.join(", "))),
            Statement::Role(statement) => Some(format!("role {}", statement.names().join(", "))),
            Statement::Refresh { name } => Some(format!("view {name}")),
            _ => None,
        }
    }

    /// The statement, without its secrets.
    pub(crate) fn text(&self) -> String {
        match &*self.statement {
            Statement::Create { or_replace, if_not_exists, object } => Statement::Create {
                or_replace: *or_replace,
                if_not_exists: *if_not_exists,
                object: Box::new(object.masked()),
            }
            .to_string(),
            Statement::AlterSet { kind: Kind::Sink, name, .. } => format!("ALTER SINK {name} SET (...)"),
            other => other.to_string(),
        }
    }

    /// Carries the statement out.
    ///
    /// # Errors
    /// Whatever is wrong with it; then nothing has changed.
    pub(crate) async fn run(&self, state: &SessionState, database: &Database) -> Result<Done> {
        if let (Statement::Call(call), Some(role)) = (&*self.statement, &self.role) {
            Procedure::read(call)?.check_may_touch(role, database, now_ns(state)).await?;
        }
        let (this, state, database) = (self.clone(), state.clone(), database.clone());
        let (now_ns, seen) = (now_ns(&state), database.clone());
        if let Statement::Refresh { name } = &*self.statement {
            crate::maintained::recompute(name, &database, now_ns).await?;
            return Ok(Done::Command(Command::Define { tag: self.statement.tag(), notice: None }));
        }
        let work = move || on_deep_stack(|| this.decide(&state, &database));
        let done = blocking(work).await.map_err(|error| error.shifted(self.offset))?;
        match (&*self.statement, done) {
            (Statement::Create { object, .. }, Done::Command(Command::Define { tag, .. })) => {
                let notice = crate::alert::dry_run_notice(object, &seen, now_ns).await;
                Ok(Done::Command(Command::Define { tag, notice }))
            }
            (_, done) => Ok(done),
        }
    }

    /// Carries the statement out, or keeps it until somebody else agrees.
    fn decide(&self, state: &SessionState, database: &Database) -> Result<Done> {
        let now_ns = now_ns(state);
        let told = |notice| Ok(Done::Command(Command::Define { tag: self.statement.tag(), notice }));
        if let Some(what) = approval::needed(&self.statement, &database.catalog().definitions()) {
            return told(Some(approval::propose(&self.statement, what, &self.actor, now_ns, database)?));
        }
        let Statement::Call(call) = &*self.statement else { return self.carry_out(state, database) };
        let Some((id, is_approved, reason)) = Procedure::read(call)?.decision()? else {
            return self.carry_out(state, database);
        };
        let statement = Arc::new(approval::waiting(id, &self.actor, database)?);
        if is_approved {
            Defining { statement, offset: 0, ..self.clone() }.carry_out(state, database)?;
        }
        approval::decided(id, is_approved, &reason, &self.actor, now_ns, database)?;
        told(None)
    }

    fn carry_out(&self, state: &SessionState, database: &Database) -> Result<Done> {
        let catalog = database.catalog();
        let done = || Ok(Done::Command(Command::Define { tag: self.statement.tag(), notice: None }));
        match &*self.statement {
            Statement::Create { or_replace, if_not_exists, object } => {
                let (kind, name) = (object.kind(), object.name());
                catalog.define(|definitions, next| {
                    let old = definitions.find(kind, name);
                    match old {
                        Some(_) if *if_not_exists => return Ok(Changed::default()),
                        Some(_) if !or_replace => {
                            return Err(Error::DuplicateObject { kind: kind.word(), name: name.to_owned() });
                        }
                        _ => {}
                    }
                    self.changed((**object).clone(), old, definitions, next, state, database)
                })?;
                done()
            }
            Statement::AlterSet { kind, name, set, reset } => {
                catalog.define(|definitions, next| {
                    let old = definitions.get(*kind, name)?;
                    let mut changed = old.definition.clone();
                    changed.change_options(set, reset);
                    self.changed(changed, Some(old), definitions, next, state, database)
                })?;
                done()
            }
            Statement::Override(changed) => {
                overriding::enter(changed, &self.actor, &self.settings.time_zone, now_ns(state), database)?;
                done()
            }
            Statement::Comment { kind, name, text } => {
                catalog.define(|definitions, _next| {
                    let old = definitions.get(*kind, name)?;
                    Ok(Object { comment: text.clone(), ..(**old).clone() }.into())
                })?;
                done()
            }
            Statement::Drop { kind, names, if_exists, cascade } => {
                catalog.drop_objects(*kind, names, *if_exists, *cascade)?;
                done()
            }
            Statement::ShowCreate { of, name } => {
                let text = create::text(*of, name, &catalog.definitions(), database)?;
                let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
                rows(RecordBatch::try_new(create::schema(), vec![column]))
            }
            Statement::ShowLineage { kind, name } => {
                let definitions = catalog.definitions();
                self.lineage(lineage::lines(*kind, name, &definitions, database)?, &definitions)
            }
            Statement::ExplainLineage { query } => {
                let reads = crate::catalog::relations(&*crate::statement::query(&query.text)?);
                let definitions = catalog.definitions();
                self.lineage(lineage::of_query(&reads, &definitions, database), &definitions)
            }
            Statement::Call(call) => {
                let notice = Procedure::read(call)?.run(&self.actor, now_ns(state), database)?;
                Ok(Done::Command(Command::Define { tag: self.statement.tag(), notice }))
            }
            Statement::Role(statement) => {
                self.check_granted(statement, database)?;
                if let RoleStatement::CreatePolicy { policy, .. } = statement {
                    self.check_policy(policy, state, database)?;
                }
                catalog.change_roles(statement, self.role.as_deref())?;
                done()
            }
            Statement::EvaluateSla { .. }
            | Statement::Refresh { .. }
            | Statement::Backtest(_)
            | Statement::BacktestBaseline { .. }
            | Statement::ExplainAlert { .. }
            | Statement::Subscribe { .. } => Err(Error::Internal("it is planned as a query".to_owned())),
        }
    }

    /// Steps of a lineage as whoever asks may see them.
    fn lineage(&self, lines: Vec<lineage::Line>, definitions: &Definitions) -> Result<Done> {
        let rights = Rights::of(&definitions.roles, self.role.as_deref());
        let lines: Vec<lineage::Line> = lines.into_iter().map(|line| line.seen_with(&rights)).collect();
        rows(lineage::batch(&lines))
    }

    /// Checks that what privileges are granted on is there.
    fn check_granted(&self, statement: &RoleStatement, database: &Database) -> Result<()> {
        let on = match statement {
            RoleStatement::Grant { privileges, .. } => privileges.on(),
            RoleStatement::CreatePolicy { policy, .. } => std::slice::from_ref(&policy.on),
            _ => return Ok(()),
        };
        let definitions = database.catalog().definitions();
        let snapshot = database.engine().snapshot();
        for on in on {
            let On::Named { schema, name } = on else { continue };
            let is_there = match Kind::of_word(schema) {
                Some(kind) => definitions.get(kind, name).map(|_| true)?,
                None if schema == PUBLIC => snapshot.table(name).is_some() || definitions.views.contains_key(name),
                None => {
                    crate::ops::find_in(schema, name).is_some()
                        || crate::system::find(schema, name).is_some()
                        || crate::report::VIEWS.iter().any(|view| schema == crate::ops::SCHEMA && view.name == name)
                }
            };
            if !is_there {
                let name = if schema == PUBLIC { name.clone() } else { format!("{schema}.{name}") };
                return Err(Error::UndefinedTable { name, position: None, hint: None });
            }
        }
        Ok(())
    }

    /// Checks that the condition of a policy is one of its relation.
    fn check_policy(&self, policy: &RowPolicy, state: &SessionState, database: &Database) -> Result<()> {
        let On::Named { schema, name } = &policy.on else { return Ok(()) };
        let condition = &policy.condition;
        let text = format!("SELECT * FROM {}.{} WHERE ({condition}\n)", quoted(schema), quoted(name));
        let query = crate::dialect::Query { text, offset: 0 };
        let definitions = database.catalog().definitions();
        let planned =
            self.lowered(&definitions, state, database, |lowering| relation::plan_text(&query, lowering).map(|_| ()));
        // Its place in that text is none in the statement.
        planned.map_err(|error| Error::InvalidParameter { name: "USING".to_owned(), message: error.to_string() })
    }

    /// What a definition changes: the object that it makes, and the alerts that an SLO asks for.
    fn changed(
        &self,
        definition: Definition,
        old: Option<&Arc<Object>>,
        definitions: &Arc<Definitions>,
        next: &mut dyn FnMut(Kind, &str) -> Result<u64>,
        state: &SessionState,
        database: &Database,
    ) -> Result<Changed> {
        let version = next(definition.kind(), definition.name())?;
        let made = self.made(definition, version, old, definitions, state, database)?;
        let Definition::Slo(slo) = &made.definition else { return Ok(made.into()) };
        let alerts = burn::alerts(slo, definitions, database)?;
        let before: Vec<Reference> = definitions.burn_alerts(&slo.name).map(|alert| alert.reference()).collect();
        let mut all = Arc::new(definitions.with(made.clone()));
        let mut changed = Changed::from(made);
        for alert in alerts {
            let version = next(alert.kind(), alert.name())?;
            let old = definitions.find(alert.kind(), alert.name());
            let alert = self.made(alert, version, old, &all, state, database)?;
            all = Arc::new(all.with(alert.clone()));
            changed.put.push(alert);
        }
        let is_gone = |reference: &Reference| !changed.put.iter().any(|put| put.reference() == *reference);
        changed.gone = before.into_iter().filter(is_gone).collect();
        Ok(changed)
    }

    /// The object that a definition makes, checked; `old` is the one that it replaces.
    fn made(
        &self,
        definition: Definition,
        version: u64,
        old: Option<&Arc<Object>>,
        definitions: &Arc<Definitions>,
        state: &SessionState,
        database: &Database,
    ) -> Result<Object> {
        let mut object = Object::new(definition, version, now_ns(state), &self.actor)?;
        object.comment = old.and_then(|old| old.comment.clone());
        // What it reads it will read with all rights, so its maker has to have them.
        let rights = Rights::of(&definitions.roles, self.role.as_deref());
        object.reads.iter().try_for_each(|read| rights.check_whole(&On::read(read)))?;
        // Everything that it reads is there before it is put among the others.
        self.lowered(definitions, state, database, |lowering| check::references(&object, lowering))?;
        let itself = object.reference();
        let with = Arc::new(definitions.with(object.clone()));
        if with.depends(&itself, &itself) {
            let message = format!("{} \"{}\" would read itself", object.kind().word(), object.name);
            return Err(Error::definition("KP002", message));
        }
        self.lowered(&with, state, database, |lowering| {
            check::meaning(&object, lowering)?;
            object.columns = relation::columns(&object, lowering)?;
            check::dependents(&itself, lowering)
        })?;
        Ok(object)
    }

    /// Does something with the means to plan over some definitions.
    fn lowered<T>(
        &self,
        definitions: &Arc<Definitions>,
        state: &SessionState,
        database: &Database,
        work: impl FnOnce(&Lowering<'_>) -> Result<T>,
    ) -> Result<T> {
        let run = state.config().get_extension::<RunSnapshot>();
        let run = run.ok_or_else(|| Error::Internal("a run has no snapshot".to_owned()))?;
        work(&Lowering {
            settings: &self.settings,
            state,
            snapshot: &run.snapshot,
            definitions,
            database,
            actor: &self.actor,
            role: None,
            rights: Rights::ALL,
            reader: Cell::new(Reader::Statement),
            is_counting: Cell::new(false),
        })
    }
}

/// Some rows as a stream.
fn rows(batch: datafusion::arrow::error::Result<RecordBatch>) -> Result<Done> {
    let batch = batch.map_err(datafusion::error::DataFusionError::from)?;
    let schema = batch.schema();
    let stream = futures::stream::iter([Ok(batch)]);
    Ok(Done::Rows(Box::pin(RecordBatchStreamAdapter::new(schema, stream))))
}
